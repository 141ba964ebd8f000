"""Valid programs to start from: those that the tables of ops and some models compile."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from checks import outputs_of

from kcore import Input, Model, layers
from kcore.graph import Function, gradients, native, placeholder
from kcore.graph.dtypes import is_float


@dataclass
class Call:
    """One instruction: a ``(shape, dtype)`` for each operand."""

    name: str
    inputs: list[tuple[tuple[int, ...], str]]
    outputs: list[tuple[tuple[int, ...], str]]
    attributes: dict[str, Any]


@dataclass
class Recorded:
    """The arguments of ``Program``."""

    buffers: list[tuple]
    instructions: list[tuple]
    inputs: list[int]
    outputs: list[int]
    arena_bytes: int
    commit: int
    prologue: int = 0

    def build(self):
        return native.Program(
            self.buffers,
            self.instructions,
            self.inputs,
            self.outputs,
            self.arena_bytes,
            self.commit,
            self.prologue,
        )

    def calls(self):
        for name, inputs, outputs, attributes in self.instructions:
            specs = [[(self.buffers[i][2], self.buffers[i][1]) for i in slots] for slots in (inputs, outputs)]
            yield Call(name, *specs, attributes)


@dataclass
class Corpus:
    programs: list[Recorded]
    calls: list[Call] = field(init=False)
    spare: dict[str, list] = field(init=False)  # all values that an attribute of a name has

    def __post_init__(self):
        recorded = [c for p in self.programs for c in p.calls()]
        self.calls = list({repr(c): c for c in [*recorded, *UNCOMPILED]}.values())
        self.spare = {}
        for call in self.calls:
            for name, value in call.attributes.items():
                self.spare.setdefault(name, []).append(value)


def _unary(name, shape, new_shape, **attributes):
    return Call(name, [(shape, "float32")], [(new_shape, "float32")], attributes)


def _random(name, dtype="float32", **attributes):
    return Call(name, [], [((3, 5), dtype)], {"key": 7, **attributes})


# Instructions that passes leave out of small programs.
UNCOMPILED = [
    _unary("reshape", (2, 6), (3, 4)),
    _unary("broadcast_to", (3, 1), (2, 3, 4)),
    _random("random_uniform", minval=-1.0, maxval=1.0),
    _random("random_uniform", "int32", minval=0, maxval=9),
    _random("random_normal", mean=0.0, stddev=1.0),
    _random("random_truncated_normal", mean=0.0, stddev=1.0),
    _random("random_bernoulli", "bool", p=0.3),
    Call(
        "max_pool2d_select",
        [((2, 2, 2, 3), "uint8"), ((2, 4, 5, 3), "float32")],
        [((2, 2, 2, 3), "float32")],
        {"pool": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)},
    ),
    Call("random_permutation", [], [((7,), "int32")], {"key": 3}),
    Call(
        "matmul_elementwise",
        [((20, 33), "float32"), ((20, 40), "float32"), ((40,), "float32"), ((33, 40), "float32")],
        [((33, 40), "float32"), ((33, 40), "bool")],
        {
            "matmul_inputs": 3,
            "transpose_a": True,
            "transpose_b": False,
            "activation": "relu",
            "addend": False,
            "ops": ["multiply", "subtract", "less"],
            "args": [0, 2, -1, 1, 3, -1, 0, 1, -1],
            "constants": [0.1],
            "constant_dtypes": ["float32"],
            "stores": [4, 5],
        },
    ),
    Call(
        "batch_norm_inference",
        [((2, 3, 5), "float32"), *[((5,), "float32")] * 4],
        [((2, 3, 5), "float32")],
        {"epsilon": 1e-3},
    ),
]


def record() -> Corpus:
    """Compile everything, noting what ``Program`` is given."""
    programs = []
    real = native.Program

    def recorder(*arguments):
        programs.append(Recorded(*arguments))
        return real(*arguments)

    native.Program = recorder
    try:
        compile_ops()
        compile_models()
    finally:
        native.Program = real
    return Corpus(programs)


def compile_ops() -> None:
    for path in sorted((Path(__file__).parent.parent / "ops").glob("cases_*.py")):
        for case in importlib.import_module(path.stem).CASES:
            arrays = case.arrays("float32")
            xs = [placeholder(x.shape, x.dtype.name) for x in arrays]
            ys = outputs_of(case.op(*xs))
            real = [y for y in ys if is_float(y.dtype)]
            wrt = [xs[i] for i in case.differentiable] if isinstance(case.differentiable, Sequence) else xs
            wrt = [x for x in wrt if is_float(x.dtype)] if case.differentiable and real else []
            grads = [g for g in gradients(real, wrt) if g is not None] if wrt else []
            Function(xs, [*ys, *grads]).compiled([x.shape for x in arrays])


def compile_models() -> None:
    image, words = Input((8, 8, 3)), Input((5,), dtype="int32")
    x = layers.Conv2D(5, 3, activation="relu", padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3)(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    y = layers.Embedding(7, 4, mask_zero=True)(words)
    y = layers.GRU(3)(layers.Bidirectional(layers.LSTM(3, return_sequences=True))(y))
    z = layers.Dense(4, activation="softmax")(layers.LayerNormalization()(layers.concatenate([x, y])))
    model = Model([image, words], z)
    for optimizer in ("adam", "rmsprop", "sgd"):
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        data = [np.ones((2, 8, 8, 3), "float32"), np.ones((2, 5), "int32")]
        model.fit(data, np.ones((2, 1), "int32"), verbose=0)
        model.predict(data)
