"""Malformed programs: whatever they hold, building one raises or running it stays inside its buffers.

Under AddressSanitizer (``tools/sanitize.sh``) an access outside a buffer ends the run.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcore import _core

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
extents = st.integers(0, 5)
shapes = st.lists(extents, max_size=5).map(tuple)
numbers = st.one_of(st.integers(-3, 6), st.integers(-(2**62), 2**62))
ATTRIBUTES = {
    "axis": numbers,
    "axes": st.lists(st.integers(-2, 5), max_size=4),
    "perm": st.permutations(range(4)).map(list) | st.lists(numbers, max_size=5),
    "kind": st.sampled_from(["sum", "mean", "max", "min", "prod", "any", "all", "other"]),
    "strides": st.lists(numbers, max_size=4),
    "padding": st.lists(numbers, max_size=6),
    "dilation": st.lists(numbers, max_size=3),
    "groups": numbers,
    "pool": st.lists(numbers, max_size=3),
    "begin": st.lists(numbers, max_size=5),
    "size": st.lists(numbers, max_size=5),
    "low": st.lists(numbers, max_size=5),
    "high": st.lists(numbers, max_size=5),
    "shape": st.lists(numbers, max_size=5),
    "repeats": st.lists(numbers, max_size=5) | numbers,
    "value": st.floats(allow_nan=True) | numbers,
    "k": numbers,
    "transpose_a": st.booleans(),
    "transpose_b": st.booleans(),
    "activation": st.sampled_from(["none", "relu", "sigmoid", "tanh", "other"]),
    "reverse": st.booleans(),
    "epsilon": st.floats(0, 1),
    "ops": st.lists(
        st.sampled_from(["add", "exp", "where", "cast_int32", "divide", "power", "other"]), max_size=4
    ),
    "args": st.lists(st.integers(-2, 8), max_size=12),
    "constants": st.lists(st.floats(), max_size=3),
    "constant_dtypes": st.lists(st.sampled_from([*DTYPES, "float16"]), max_size=3),
    "stores": st.lists(st.integers(-1, 8), max_size=3),
}


def data(shape, dtype, seed):
    """Values that indices and sizes are likely to trip over."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype in ("float32", "float64"):
        return rng.choice(np.array([0.0, -1.0, 1.5, 1e30, np.nan, np.inf], dtype), shape)
    return rng.choice(np.array([0, 1, 2, 3, 200], "int64"), shape).astype(dtype) * (
        1 if dtype == "uint8" else rng.choice(np.array([-1, 1, 2**20], dtype))
    )


@st.composite
def instruction_calls(draw):
    name = draw(st.sampled_from(_core.instruction_names()))
    dtypes = (
        st.sampled_from(DTYPES)
        if draw(st.booleans())
        else st.just(draw(st.sampled_from(["float32", "int32"])))
    )
    base = draw(shapes)
    shape = st.one_of(st.just(base), shapes)
    inputs = draw(st.lists(st.tuples(shape, dtypes), max_size=5))
    outputs = draw(st.lists(st.tuples(shape, dtypes), max_size=3))
    names = draw(st.lists(st.sampled_from(sorted(ATTRIBUTES)), max_size=10, unique=True))
    return name, inputs, outputs, {n: draw(ATTRIBUTES[n]) for n in names}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(instruction_calls(), st.integers(0, 99))
def test_any_single_instruction(call, seed):
    name, inputs, outputs, attributes = call
    buffers = [("external", dtype, shape, None) for shape, dtype in [*inputs, *outputs]]
    ins = list(range(len(inputs)))
    outs = list(range(len(inputs), len(buffers)))
    try:
        program = _core.Program(buffers, [(name, ins, outs, attributes)], ins, outs, 0, 1)
    except (ValueError, TypeError):
        return
    arrays = [np.asarray(data(shape, dtype, seed + i), dtype) for i, (shape, dtype) in enumerate(inputs)]
    results = program.run(arrays)
    assert [r.shape for r in results] == [tuple(s) for s, _ in outputs]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arena", "external", "storage", "view", "elsewhere"]),
            st.sampled_from([*DTYPES, "complex64"]),
            st.lists(st.integers(-1, 4) | st.just(2**61), max_size=3),
            st.integers(-64, 256) | st.none(),
        ),
        max_size=5,
    ),
    st.lists(st.integers(-1, 6), max_size=4),
    st.lists(st.integers(-1, 6), max_size=4),
    st.integers(-1, 512),
    st.integers(-1, 3),
)
def test_any_buffers(buffers, inputs, outputs, arena, commit):
    fills = [("fill", [], [i], {"value": 1.0}) for i in range(len(buffers))]
    try:
        program = _core.Program(buffers, fills, inputs, outputs, arena, commit)
    except (ValueError, TypeError, RuntimeError):
        return
    if any(extent > 64 for _, _, shape, _ in buffers for extent in shape):
        return  # valid, but its inputs and outputs would not fit into memory
    program.run([np.zeros(buffers[i][2], buffers[i][1]) for i in inputs])


def test_run_refuses_what_does_not_fit():
    program = _core.Program(
        [("external", "float32", (2, 3), None), ("external", "float32", (2, 3), None)],
        [("fill", [], [1], {"value": 0.0})],
        [0],
        [1],
        0,
        1,
    )
    good = np.zeros((2, 3), "float32")
    program.run([good])
    for bad, error, message in [
        (good.astype("float64"), ValueError, r"input 0 must be float32 of shape \(2, 3\), got float64"),
        (good[:, :2], ValueError, "shape"),
        (np.asfortranarray(np.zeros((2, 3), "float32")), ValueError, "C-contiguous"),
        (np.zeros((4, 3), "float32")[::2], ValueError, "C-contiguous"),
        (good.tolist(), TypeError, "must be a NumPy array"),
        (None, TypeError, "must be a NumPy array"),
        (np.frombuffer(bytes(25), "u1")[1:].view("float32").reshape(2, 3), ValueError, "aligned"),
        (good.astype(">f4"), ValueError, "must be float32"),
    ]:
        with pytest.raises(error, match=message):
            program.run([bad])
    with pytest.raises(ValueError, match="takes 1 inputs, got 2"):
        program.run([good, good])


def test_storage_refuses_what_does_not_fit():
    storage = _core.Storage("float32", (2, 2))
    with pytest.raises(ValueError, match=r"value must be float32 of shape \(2, 2\)"):
        storage.write(np.zeros(4, "float32"))
    with pytest.raises(ValueError, match="negative extent"):
        _core.Storage("float32", (-1,))
    with pytest.raises(ValueError, match="too large"):
        _core.Storage("float32", (2**40, 2**40))
    with pytest.raises(ValueError, match="unknown dtype"):
        _core.Storage("complex64", (2,))
