import numpy as np
import pytest
from native import run

from kcore import _core

RNG = np.random.default_rng(0)
F = "float64"


def program(operands, instructions, inputs, outputs, arena=0):
    """``operands``: shapes of external slots, or (shape, offset) of those in the arena."""
    buffers = [
        ("arena", F, s[0], s[1]) if s and isinstance(s[0], tuple) else ("external", F, s, None)
        for s in operands
    ]
    return _core.Program(buffers, instructions, inputs, outputs, arena, len(instructions))


def expression(ins, outs, ops, args, stores):
    flat = [register for step in args for register in (*step, -1, -1, -1)[:3]]
    return (
        "elementwise",
        ins,
        outs,
        {"ops": ops, "args": flat, "stores": stores, "constants": [], "constant_dtypes": []},
    )


def decay_body(n):
    """x, h, c -> h' = h * c + x, and the output h' * h."""
    step = expression([0, 1, 2], [3, 4], ["multiply", "add", "multiply"], [(1, 2), (3, 0), (4, 1)], [4, 5])
    return program([(n,)] * 5, [step], [0, 1, 2], [3, 4])


def decay(x, h, c, reverse):
    outputs = np.zeros_like(x)
    order = range(len(x))[::-1] if reverse else range(len(x))
    for t in order:
        new = h * c + x[t]
        outputs[t] = new * h
        h = new
    return h, outputs


COUNTS = {"sequences": 1, "states": 1, "captured": 1, "outputs": 1}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8, 100])
@pytest.mark.parametrize("n", [0, 1, 5, 9])
def test_scan(n, steps, reverse):
    x, h, c = RNG.standard_normal((steps, n)), RNG.standard_normal(n), RNG.standard_normal(n) / 2
    outputs = [((n,), F), ((steps, n), F)]
    got = run("scan", [x, h, c], outputs, body=decay_body(n), steps=steps, reverse=reverse, **COUNTS)
    for g, w in zip(got, decay(x, h, c, reverse), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-13, atol=1e-15)


def test_scan_exchanges_states():
    """Two states and two sequences: a', b' = b + x, a; the outputs are y and a'."""
    body = program(
        [(3,)] * 8,
        [
            expression([0, 3], [4], ["add"], [(0, 1)], [2]),
            ("reshape", [2], [5], {}),
            ("reshape", [1], [6], {}),
            expression([0, 3], [7], ["add"], [(0, 1)], [2]),
        ],
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    )
    x, y, a, b = (RNG.standard_normal(s) for s in ((5, 3), (5, 3), 3, 3))
    counts = {"sequences": 2, "states": 2, "captured": 0, "outputs": 2}
    shapes = [((3,), F), ((3,), F), ((5, 3), F), ((5, 3), F)]
    got = run("scan", [x, y, a, b], shapes, body=body, **counts)
    firsts = np.zeros((5, 3))
    for t in range(5):
        a, b = b + x[t], a
        firsts[t] = a
    for g, w in zip(got, [a, b, y, firsts], strict=True):
        np.testing.assert_array_equal(g, w)


def test_scan_without_sequences():
    body = program([(2,)] * 2, [expression([0], [1], ["add"], [(0, 0)], [1])], [0], [1])
    counts = {"sequences": 0, "states": 1, "captured": 0, "outputs": 0}
    (got,) = run("scan", [np.array([1.0, 3.0])], [((2,), F)], body=body, steps=5, **counts)
    np.testing.assert_array_equal(got, [32, 96])


def test_scan_without_states():
    body = program([(2,)] * 2, [expression([0], [1], ["add"], [(0, 0)], [1])], [0], [1])
    counts = {"sequences": 1, "states": 0, "captured": 0, "outputs": 1}
    x = RNG.standard_normal((4, 2))
    (got,) = run("scan", [x], [((4, 2), F)], body=body, **counts)
    np.testing.assert_array_equal(got, 2 * x)


def test_scan_within_a_scan():
    """The outer step runs the inner loop over its own sequence, from the state handed on."""
    steps, inner, n = 4, 3, 5
    body = program(
        [(inner, n), (n,), (n,), (n,), (inner, n)],
        [("scan", [0, 1, 2], [3, 4], {"body": decay_body(n), "steps": inner, **COUNTS})],
        [0, 1, 2],
        [3, 4],
    )
    x, h, c = RNG.standard_normal((steps, inner, n)), RNG.standard_normal(n), RNG.standard_normal(n) / 2
    got = run("scan", [x, h, c], [((n,), F), (x.shape, F)], body=body, **COUNTS)
    final, outputs = decay(x.reshape(-1, n), h, c, False)
    np.testing.assert_allclose(got[0], final, rtol=1e-13)
    np.testing.assert_allclose(got[1], outputs.reshape(x.shape), rtol=1e-13)


def test_scan_with_a_body_that_needs_memory():
    """(x + h) reversed, by way of the arena."""
    n = 300
    body = program(
        [(n,), (n,), ((n,), 0), (n,)],
        [expression([0, 1], [2], ["add"], [(0, 1)], [2]), ("reverse", [2], [3], {"axes": [0]})],
        [0, 1],
        [3],
        arena=8 * n,
    )
    x, h = RNG.standard_normal((7, n)), np.zeros(n)
    counts = {"sequences": 1, "states": 1, "captured": 0, "outputs": 0}
    (got,) = run("scan", [x, h], [((n,), F)], body=body, **counts)
    for t in range(7):
        h = (x[t] + h)[::-1]
    np.testing.assert_array_equal(got, h)


ERRORS = [
    ({"captured": 0}, {}, "inputs must be 2, got 3"),
    ({"outputs": 2}, {}, "outputs must be 3, got 2"),
    (
        {"states": 0, "captured": 2, "outputs": 2},
        {},
        "a sequence of 6 steps was wanted, got shape",
    ),
    ({"sequences": -1}, {}, "a count of operands is out of range"),
    ({"steps": 4}, {}, r"a sequence of 4 steps was wanted, got shape \(6, 5\)"),
    ({"steps": 2**20 + 1}, {}, "a sequence of 1048577 steps was wanted"),
    (
        {},
        {"x": (6, 4)},
        r"input 0 is float64 \(6, 4\) a step of which does not fit the body's float64 \(5,\)",
    ),
    ({}, {"x": (7, 5)}, r"a sequence of 7 steps was wanted, got shape \(6, 5\)"),
    ({}, {"x": ()}, "a sequence must have steps, got a scalar"),
    ({}, {"h": (4,)}, r"input 1 is float64 \(4,\) which does not fit the body's float64 \(5,\)"),
    ({}, {"c": (1, 5)}, r"input 2 is float64 \(1, 5\) which does not fit"),
    ({}, {"final": (6,)}, r"output 0 is float64 \(6,\) which does not fit the body's float64 \(5,\)"),
    ({}, {"y": (6, 5, 1)}, r"output 1 is float64 \(6, 5, 1\) a step of which does not fit"),
]


@pytest.mark.parametrize(("attributes", "shapes", "message"), ERRORS)
def test_scan_errors(attributes, shapes, message):
    shapes = {"x": (6, 5), "h": (5,), "c": (5,), "final": (5,), "y": (6, 5)} | shapes
    inputs = [np.zeros(shapes[name]) for name in "xhc"]
    outputs = [(shapes["final"], F), (shapes["y"], F)]
    with pytest.raises(ValueError, match=message):
        run("scan", inputs, outputs, body=decay_body(5), **(COUNTS | attributes))


def test_scan_needs_a_body_and_steps():
    x = np.zeros(2)
    counts = {"sequences": 0, "states": 1, "captured": 0, "outputs": 0}
    body = program([(2,)] * 2, [("reshape", [0], [1], {})], [0], [1])
    with pytest.raises(ValueError, match="attribute 'body' is missing"):
        run("scan", [x], [((2,), F)], steps=1, **counts)
    with pytest.raises(ValueError, match="attribute 'body' must be a program"):
        run("scan", [x], [((2,), F)], body="reshape", steps=1, **counts)
    with pytest.raises(ValueError, match="nothing says how many steps there are"):
        run("scan", [x], [((2,), F)], body=body, **counts)
    with pytest.raises(ValueError, match="there are more than 2\\^20 steps"):
        run("scan", [x], [((2,), F)], body=body, steps=2**20 + 1, **counts)
    with pytest.raises(ValueError, match="input 0 is float32"):
        run("scan", [x.astype("float32")], [((2,), F)], body=body, steps=1, **counts)


def test_scan_counts_the_operands_of_the_body():
    counts = {"sequences": 1, "states": 1, "captured": 0, "outputs": 1}
    outputs = [((5,), F), ((6, 5), F)]
    with pytest.raises(ValueError, match="inputs and outputs of the body must be 4, got 5"):
        run("scan", [np.zeros((6, 5)), np.zeros(5)], outputs, body=decay_body(5), **counts)


def test_scan_keeps_the_dtype_and_shape_of_states():
    body = program([(2,), (1, 2)], [("reshape", [0], [1], {})], [0], [1])
    counts = {"sequences": 0, "states": 1, "captured": 0, "outputs": 0}
    with pytest.raises(ValueError, match=r"state 0 begins as float64 \(2,\) and ends as float64 \(1, 2\)"):
        run("scan", [np.zeros(2)], [((1, 2), F)], body=body, steps=1, **counts)
