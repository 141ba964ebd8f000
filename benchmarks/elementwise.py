"""Rows of kernels.py for elementwise chains, updates of optimizers, reductions, softmax, order and random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import numpy as np

from kcore import optimizers
from kcore.graph import Function, UpdateScope, Variable

F = "float32"


D = "float64"
FLOAT32 = [
    "relu",
    "exp",
    "tanh",
    "log",
    "erf",
    "sigmoid",
    "gelu",
    "elu",
    "selu",
    "softplus",
    "log1p",
    "expm1",
]
FLOAT32 += ["sqrt", "sin", "cos", "power"]
RARE = ["log2", "log10", "tan", "sinh", "cosh", "arctan", "arcsin"]
FLOAT64 = [
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "sqrt",
    "power",
    "erf",
    "sin",
    "cos",
    "log1p",
    "expm1",
    "softplus",
    "relu",
]
TORCH_NAMES = {"power": "pow", "arctan": "atan", "arcsin": "asin", "relu": "clamp", "selu": "elu"}
OPERANDS = {
    "power": lambda t: (t, 2.3),
    "relu": lambda t: (t, 0),
    "selu": lambda t: (t, 1.67326324, 1.05070098),
}
# What isn't one opcode: ops, arguments, stores, constants.
CHAINS = {
    "power": (["power"], [[0, 1]], [2], [2.3]),
    "gelu": (
        ["multiply", "erf", "add", "multiply", "multiply"],
        [[0, 1], [4], [5, 2], [0, 3], [7, 6]],
        [8],
        [0.5**0.5, 1, 0.5],
    ),
    "elu": (["greater", "expm1", "where"], [[0, 1], [0], [2, 0, 3]], [4], [0]),
    "selu": (
        ["greater", "expm1", "multiply", "where", "multiply"],
        [[0, 1], [0], [5, 2], [4, 0, 6], [7, 3]],
        [8],
        [0, 1.67326324, 1.05070098],
    ),
}


def _chain(program, inputs, outputs, ops, args, stores, constants=(), dtype=F):
    flat = [register for step in args for register in (*step, -1, -1, -1)[:3]]
    constants = list(map(float, constants))
    return program(
        "elementwise",
        inputs,
        outputs,
        ops=ops,
        args=flat,
        stores=stores,
        constants=constants,
        constant_dtypes=[dtype] * len(constants),
    )


def _elementwise(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    cases = [(op, n, F) for n in (1000, 100_000, 1 << 24) for op in FLOAT32]
    cases += [(op, 1 << 20, F) for op in RARE] + [(op, 1 << 20, D) for op in FLOAT64]
    for op, n, dtype in [("exp", 1000, F), ("exp", 1000, D)] if quick else cases:
        x = np.abs(rng.standard_normal(n)).astype(dtype) * (0.9 if op.startswith("arc") else 1)
        peers = {}
        if torch is not None:
            t, out = torch.from_numpy(x), torch.empty(n, dtype=getattr(torch, dtype))
            f = TORCH_NAMES.get(op, op)
            f = getattr(torch, f) if hasattr(torch, f) else getattr(torch._C._nn, f)
            peers["torch"] = partial(f, *OPERANDS.get(op, lambda t: (t,))(t), out=out)
        ours = _chain(program, [x], [((n,), dtype)], *CHAINS.get(op, ([op], [[0]], [1])), dtype=dtype)
        yield row(f"{op} {n}" + " float64" * (dtype == D), ours, peers, bytes=2.0 * x.nbytes)
    for n in [1000] if quick else [1000, 100_000, 1 << 24]:
        x, y = rng.standard_normal((2, n), F)
        peers = {"numpy": partial(np.add, x, y, out=np.empty_like(x))}
        if torch is not None:
            peers["torch"] = partial(torch.add, *map(torch.from_numpy, (x, y)), out=torch.empty(n))
        ours = _chain(program, [x, y], [((n,), F)], ["add"], [[0, 1]], [2])
        yield row(f"add {n}", ours, peers, bytes=12.0 * n)


# name, ours, torch's, streams of memory: each tensor that is read, and each that is written
OPTIMIZERS = [
    (
        "sgd nesterov",
        lambda o: o.SGD(0.01, 0.9, True),
        lambda o: partial(o.SGD, momentum=0.9, nesterov=True),
        5,
    ),
    ("rmsprop", lambda o: o.RMSprop(), lambda o: o.RMSprop, 5),
    ("adam", lambda o: o.Adam(), lambda o: o.Adam, 7),
    ("adadelta", lambda o: o.Adadelta(), lambda o: o.Adadelta, 7),
]


def _updates(quick: bool, row, program, torch) -> Iterator:
    """Updates as they run in training: a weight and its slots are read and written in place."""
    for n in [1000] if quick else [100_000, 1_000_000, 10_000_000]:
        for name, ours, theirs, streams in OPTIMIZERS:
            peers = {}
            if torch is not None:
                for how in ("fused", "foreach"):
                    weight = torch.nn.Parameter(torch.zeros(n))
                    weight.grad = torch.ones(n)
                    with contextlib.suppress(TypeError):  # no fused form
                        peers[how] = theirs(torch.optim)([weight], lr=0.001, **{how: True}).step
            weight, gradient = Variable(np.zeros(n, F)), Variable(np.ones(n, F))
            with UpdateScope() as scope:
                ours(optimizers).apply_gradients([(gradient, weight)])
            step = Function([], [], list(scope.values.items()))
            yield row(f"{name} {n}", partial(step, []), peers, bytes=4.0 * streams * n)


def _reductions(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    shapes = (
        [((30, 7), 0)]
        if quick
        else [((100_352, 64), 0), ((100_352, 64), 1), ((128, 1000), 0), ((1 << 24,), 0)]
    )
    for shape, axis in shapes:
        x = rng.standard_normal(shape, F)
        out = tuple(n for i, n in enumerate(shape) if i != axis)
        peers = {"numpy": lambda x=x, axis=axis: x.sum(axis)}
        if torch is not None:
            peers["torch"] = partial(torch.sum, torch.from_numpy(x), axis)
        ours = program("reduce", [x], [(out, F)], kind="sum", axes=[axis])
        yield row(f"sum {'x'.join(map(str, shape))} axis {axis}", ours, peers, bytes=float(x.nbytes))
    for shape in [(5, 7)] if quick else [(128, 10), (128, 1000), (4096, 512)]:
        x = rng.standard_normal(shape, F)
        peers = {}
        if torch is not None:
            peers["torch"] = partial(torch.softmax, torch.from_numpy(x), -1)
        name = f"softmax {shape[0]}x{shape[1]}"
        yield row(name, program("softmax", [x], [(shape, F)]), peers, bytes=2.0 * x.nbytes)


def _order(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    shapes = [((128, 10), 1), ((128, 1000), 1), ((128, 1000), 0), ((100_352, 64), 0)]
    for shape, axis in [((5, 7), 1)] if quick else shapes:
        x = rng.standard_normal(shape, F)
        out = tuple(n for i, n in enumerate(shape) if i != axis)
        peers = {"numpy": partial(x.argmax, axis)}
        if torch is not None:
            peers["torch"] = partial(torch.argmax, torch.from_numpy(x), axis)
        ours = program("argmax", [x], [(out, "int64")], axis=axis)
        yield row(f"argmax {'x'.join(map(str, shape))} axis {axis}", ours, peers, bytes=float(x.nbytes))
    for shape, k in [((5, 7), 3)] if quick else [((128, 1000), 5), ((64, 20_000), 100)]:
        x = rng.standard_normal(shape, F)
        peers = {}
        if torch is not None:
            peers["torch"] = partial(torch.topk, torch.from_numpy(x), k)
        outputs = [((shape[0], k), F), ((shape[0], k), "int32")]
        name = f"top {k} of {shape[0]}x{shape[1]}"
        yield row(name, program("top_k", [x], outputs), peers, bytes=float(x.nbytes))


def _random(quick: bool, row, program, torch) -> Iterator:
    n = 1000 if quick else 1 << 20
    generator = np.random.default_rng(0)
    out = np.empty(n, F)
    for name, attributes, numpy_draw, torch_draw in (
        ("uniform", {"minval": 0.0, "maxval": 1.0}, generator.random, "uniform_"),
        ("normal", {"mean": 0.0, "stddev": 1.0}, generator.standard_normal, "normal_"),
        ("bernoulli", {"p": 0.5}, None, "bernoulli_"),
    ):
        peers = {}
        if numpy_draw is not None:
            peers["numpy"] = lambda draw=numpy_draw: draw(dtype=F, out=out)
        if torch is not None:
            peers["torch"] = getattr(torch.empty(n), torch_draw)
        ours = program(f"random_{name}", [], [((n,), F)], key=1, **attributes)
        yield row(f"random {name} {n}", ours, peers, bytes=4.0 * n)


def rows(quick: bool, row, program, torch) -> Iterator:
    for family in _elementwise, _updates, _reductions, _order, _random:
        yield from family(quick, row, program, torch)
