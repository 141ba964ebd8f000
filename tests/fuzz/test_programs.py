"""Malformed programs: whatever they hold, building one raises or running it stays inside its buffers.

Most mutants are recorded programs with a few things changed, so that they get past the first checks.
Under AddressSanitizer (``tools/sanitize.sh``) an access outside a buffer ends the run. ``KCORE_FUZZ=600`` tries
new mutants for about so many seconds a test, on seeds from the clock, and leaves the one in hand in the file
``KCORE_FUZZ_LOG``.
"""

import math
import os
import time
from pathlib import Path

import numpy as np
import pytest
from corpus import Recorded, record
from hypothesis import given, settings
from hypothesis import strategies as st
from mutate import Mutator

from kcore import _core

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
REFUSALS = (ValueError, TypeError, RuntimeError, MemoryError, OverflowError)
MUTANTS = 3000
LARGEST = 1 << 20  # bytes: what is larger is built, but not run


def data(shape, dtype, seed):
    """Values that indices and sizes are likely to trip over."""
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    if dtype in ("float32", "float64"):
        return np.asarray(rng.choice(np.array([0.0, -1.0, 1.5, 1e30, np.nan, np.inf], dtype), shape))
    whole = rng.choice(np.array([0, 1, 2, 3, 200], "int64"), shape).astype(dtype)
    return np.asarray(
        whole if dtype == "uint8" else whole * rng.choice(np.array([-1, 1, 2**20], dtype)), dtype
    )


@pytest.fixture(scope="module")
def corpus():
    return record()


def test_the_corpus_holds_every_instruction_and_all_of_it_is_valid(corpus):
    assert {call.name for call in corpus.calls} == set(_core.instruction_names())
    for call in corpus.calls:
        run(alone(call), seed=0)
    for program in corpus.programs:
        run(program, seed=0)


def alone(call):
    """The program of one instruction."""
    buffers = [("external", dtype, shape, None) for shape, dtype in [*call.inputs, *call.outputs]]
    slots = list(range(len(buffers)))
    ins, outs = slots[: len(call.inputs)], slots[len(call.inputs) :]
    return Recorded(buffers, [(call.name, ins, outs, call.attributes)], ins, outs, 0, 1)


def run(program, seed):
    built = program.build()
    operands = [program.buffers[i] for i in [*program.inputs, *program.outputs]]
    if sum(math.prod(max(n, 1) for n in shape) for _, _, shape, _ in operands) * 8 > LARGEST:
        return
    results = built.run([data(shape, dtype, seed) for _, dtype, shape, _ in operands[: len(program.inputs)]])
    assert [(y.shape, y.dtype.name) for y in results] == [
        (tuple(shape), dtype) for _, dtype, shape, _ in operands[len(program.inputs) :]
    ]


def mutants():
    """A seed for each mutant."""
    seconds = float(os.environ.get("KCORE_FUZZ") or 0)
    if not seconds:
        yield from range(MUTANTS)
        return
    end = time.monotonic() + seconds
    seed = time.time_ns()
    while time.monotonic() < end:
        yield seed
        seed += 1


@pytest.mark.parametrize("kind", ["call", "program"])
def test_mutants_of_valid_programs_run_or_are_refused(corpus, kind):
    log = os.environ.get("KCORE_FUZZ_LOG")
    ran = refused = 0
    for seed in mutants():
        mutator = Mutator(corpus, seed)
        program = alone(mutator.call()) if kind == "call" else mutator.program()
        if log:
            Path(log).write_text(f"{seed} {program}")
        try:
            run(program, seed)
            ran += 1
        except REFUSALS:
            refused += 1
        except Exception as error:
            raise AssertionError(f"mutant {seed}: {program}") from error
    assert min(ran, refused) > (ran + refused) / 10, "the mutants are too tame or too wild"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["arena", "prepared", "external", "storage", "view", "elsewhere"]),
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
    st.integers(-1, 3),
)
def test_any_buffers(buffers, inputs, outputs, arena, commit, prologue):
    fills = [("fill", [], [i], {"value": 1.0}) for i in range(len(buffers))]
    try:
        program = _core.Program(buffers, fills, inputs, outputs, arena, commit, prologue)
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
    for inputs in ([good], (good,), iter([good])):
        (result,) = program.run(inputs)
        assert result.shape == (2, 3)
        assert result.dtype == "float32"
    assert program.takes([good])
    assert program.takes((good,))
    assert not program.takes([good, good])
    assert not program.takes([])
    assert not program.takes(good)
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
        assert not program.takes([bad])
    for arguments, error, message in [
        (([good, good],), ValueError, "takes 1 inputs, got 2"),
        ((), TypeError, "run takes 1 to 4 arguments, got 0"),
        (([good], 0, 0, None, 0), TypeError, "run takes 1 to 4 arguments, got 5"),
        ((5,), TypeError, "not iterable"),
        (([good], 0.5), TypeError, "float"),
        (([good], -1), OverflowError, "negative"),
        (([good], 0, 1 << 64), OverflowError, "too (big|large)"),
        (([good], 0, 0, np.zeros(2)), ValueError, r"profile must be float64 of shape \(1,\)"),
        (([good], 0, 0, np.frombuffer(bytes(8))), ValueError, "profile is read-only"),
    ]:
        with pytest.raises(error, match=message):
            program.run(*arguments)


def test_what_is_no_program_does_not_run():
    with pytest.raises(TypeError, match="__init__ has not been called"):
        _core.Program.__new__(_core.Program).run([])
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Inherited", (_core.Program,), {})
    with pytest.raises(TypeError, match="apply to a"):
        _core.Program.run(5, [])


def test_many_inputs():
    """More than a run has room for without an allocation."""
    count = 40
    buffers = [("external", "float32", (3,), None)] * (count + 1)
    program = _core.Program(
        buffers, [("concatenate", [0, 1], [2], {"axis": 0})] * 0, list(range(count)), [count], 0, 0
    )
    assert program.run([np.zeros(3, "float32")] * count)[0].shape == (3,)


NEGATE = {"ops": ["negative"], "args": [0, -1, -1], "constants": [], "constant_dtypes": [], "stores": [1]}


@pytest.mark.parametrize(
    ("name", "attributes", "places", "message"),
    [
        ("top_k", {}, (0, 64, 80), "outputs 0 and 1 overlap"),
        ("top_k", {}, (0, 64, 32), "output 1 overlaps what is read"),
        ("reshape", {}, (0, 32), "output 0 overlaps what is read"),
        ("reshape", {}, (0, 0), "output 0 overlaps what is read"),
        ("elementwise", NEGATE, (0, 32), "output 0 overlaps what is read"),
        ("elementwise", NEGATE, (0, 0), None),  # in place
        ("reshape", {}, (0, 64), None),
        ("top_k", {}, (0, 64, 96), None),
    ],
)
def test_programs_refuse_to_write_what_they_read(name, attributes, places, message):
    """``places``: offsets in the arena of an input of 64 bytes and the outputs."""
    taken = [
        ("float32", (16,)),
        *([("float32", (8,)), ("int32", (8,))] if name == "top_k" else [("float32", (16,))]),
    ]
    buffers = [("arena", *spec, place) for spec, place in zip(taken, places, strict=True)]
    arguments = (buffers, [(name, [0], list(range(1, len(places))), attributes)], [], [], 128, 1)
    if message is None:
        _core.Program(*arguments).run([])
    else:
        with pytest.raises(ValueError, match=message):
            _core.Program(*arguments)


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
