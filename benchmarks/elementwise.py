"""Rows of kernels.py for elementwise chains, reductions, softmax and random numbers.

Adam's update is one chain of twelve steps over seven streams of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

F = "float32"


def _chain(program, inputs, outputs, ops, args, stores, constants=()):
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
        constant_dtypes=[F] * len(constants),
    )


def _adam(program, w, m, v, g):
    ops = ["multiply", "multiply", "add", "square", "multiply", "multiply", "add"]
    ops += ["sqrt", "add", "multiply", "divide", "subtract"]
    args = [[1, 4], [3, 5], [9, 10], [3], [2, 6], [12, 7], [13, 14]]
    args += [[15], [16, 8], [11, 4], [18, 17], [0, 19]]
    constants = (0.9, 0.1, 0.999, 0.001, 1e-7)
    return _chain(program, [w, m, v, g], [(w.shape, F)] * 3, ops, args, [20, 11, 15], constants)


def _elementwise(quick: bool, row, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    for n in [1000] if quick else [1000, 100_000, 1 << 24]:
        x, y, v, g = np.abs(rng.standard_normal((4, n), F))
        tensors = [torch.from_numpy(a) for a in (x, y, v, g)] if torch is not None else []
        yield row(f"adam {n}", _adam(program, x, y, v, g), _torch_adam(torch, tensors), bytes=28.0 * n)
        for op in ("relu", "exp", "tanh", "log", "erf", "sigmoid"):
            peers = {}
            if torch is not None:
                out = torch.empty(n)
                f = getattr(torch, op)
                peers["torch"] = (
                    (lambda t=tensors[0], out=out: torch.clamp(t, min=0, out=out))
                    if op == "relu"
                    else (lambda t=tensors[0], out=out, f=f: f(t, out=out))
                )
            yield row(f"{op} {n}", _chain(program, [x], [((n,), F)], [op], [[0]], [1]), peers, bytes=8.0 * n)
        peers = {"numpy": partial(np.add, x, y, out=np.empty_like(x))}
        ours = _chain(program, [x, y], [((n,), F)], ["add"], [[0, 1]], [2])
        yield row(f"add {n}", ours, peers, bytes=12.0 * n)


def _torch_adam(torch, tensors) -> dict:
    if torch is None:
        return {}
    weight = torch.nn.Parameter(tensors[0].clone())
    weight.grad = tensors[3].clone()
    optimizer = torch.optim.Adam([weight], fused=True)
    return {"torch": optimizer.step}


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
    for family in _elementwise, _reductions, _random:
        yield from family(quick, row, program, torch)
