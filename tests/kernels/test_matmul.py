import itertools

import numpy as np
import pytest
from native import program_of, run1

FLOATS = ["float32", "float64"]
INTEGERS = ["int32", "int64"]


def draw(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype in INTEGERS:
        return rng.integers(-9, 10, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(x, 0),
}


def assert_product(
    a, b, dtype, *, addend=None, bias=None, activation="none", transpose_a=False, transpose_b=False
):
    left = np.swapaxes(a, -1, -2) if transpose_a else a
    right = np.swapaxes(b, -1, -2) if transpose_b else b
    exact = np.matmul(left.astype("float64"), right.astype("float64"))
    scale = np.matmul(np.abs(left.astype("float64")), np.abs(right.astype("float64")))
    inputs = [a, b]
    if addend is not None:
        exact, scale = exact + addend, scale + np.abs(addend)
        inputs.append(addend)
    if bias is not None:
        exact, scale = exact + bias, scale + np.abs(bias)
        inputs.append(bias)
    exact = ACTIVATIONS[activation](exact)
    got = run1(
        "matmul",
        inputs,
        (exact.shape, dtype),
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        activation=activation,
        addend=addend is not None,
    )
    if dtype in INTEGERS:
        np.testing.assert_array_equal(got, exact.astype(dtype))
    else:
        # No element is off by more than a few roundings of its own terms, and the whole by far less.
        # (Every activation's slope is at most 1.)
        assert np.all(np.abs(got - exact) <= np.finfo(dtype).eps * (64 * scale + 8 * np.abs(exact)))
        assert np.linalg.norm(got - exact) <= 1e-5 * np.linalg.norm(exact)


def operands(m, n, k, dtype, transpose_a, transpose_b, seed=0):
    a = draw((k, m) if transpose_a else (m, k), dtype, seed)
    b = draw((n, k) if transpose_b else (k, n), dtype, seed + 1)
    return a, b


TRANSPOSES = list(itertools.product([False, True], repeat=2))
# Around each register block: 4, 6, 12 and 14 rows; 8, 16 and 32 columns (half for float64).
ROWS = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 27, 28, 29, 43, 57, 85]
COLS = [1, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 20, 31, 32, 33, 63, 64, 65, 100]


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
def test_awkward_extents(dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(1)
    shapes = [(m, COLS[i % len(COLS)]) for i, m in enumerate(ROWS)]
    shapes += [(ROWS[(7 * i) % len(ROWS)], n) for i, n in enumerate(COLS)]
    shapes += [(m, n) for m in (1, 2, 9) for n in (1, 2, 10, 130)]
    for m, n in shapes:
        k = int(rng.choice([1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64]))
        a, b = operands(m, n, k, dtype, transpose_a, transpose_b, seed=m * n)
        assert_product(a, b, dtype, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
@pytest.mark.parametrize(
    "shape",
    [
        (130, 150, 515),
        (130, 150, 1100),
        (1, 300, 700),
        (3, 1030, 257),
        (700, 1, 300),
        (5, 5, 2000),
        (90, 1030, 300),  # rows of B a page apart
        (90, 150, 1024),  # rows of A a page apart, and share sets of the cache
    ],
)
def test_several_blocks(shape, dtype, transpose_a, transpose_b):
    a, b = operands(*shape, dtype, transpose_a, transpose_b)
    bias = draw((shape[1],), dtype, 3)
    assert_product(
        a, b, dtype, bias=bias, activation="relu", transpose_a=transpose_a, transpose_b=transpose_b
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
@pytest.mark.parametrize(
    "shape",
    [
        (1, 900, 200),
        (2, 500, 300),
        (4, 333, 257),
        (8, 300, 200),
        (60, 70, 610),
        (5, 5, 300),
        (900, 1, 200),
        (300, 10, 400),
        (400, 900, 2),
        (700, 800, 1),
        (70, 45, 3),
        (9, 33, 4),
        (1, 2100, 260),
        (1, 1027, 45),  # rows of B a page apart
        (2, 1027, 45),
        (3, 1027, 45),
        (4, 2056, 45),
    ],
)
def test_skinny(shape, dtype, transpose_a, transpose_b):
    a, b = operands(*shape, dtype, transpose_a, transpose_b)
    bias = draw((shape[1],), dtype, 3)
    assert_product(a, b, dtype, transpose_a=transpose_a, transpose_b=transpose_b)
    assert_product(
        a, b, dtype, bias=bias, activation="tanh", transpose_a=transpose_a, transpose_b=transpose_b
    )


# The last is read from memory, by rows of few columns.
@pytest.mark.parametrize(
    "shape", [(2100, 40, 9), (9, 4200, 8), (230, 4200, 9), (450, 70, 1000), (9001, 9, 500)]
)
def test_more_than_a_packed_block(shape):
    for transpose_a, transpose_b in TRANSPOSES:
        a, b = operands(*shape, "float32", transpose_a, transpose_b)
        assert_product(a, b, "float32", transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(1, 40, 9), (40, 70, 33), (6, 5, 3), (30, 3, 200)])
def test_relu_keeps_nan(shape, dtype):
    a, b = operands(*shape, dtype, False, False)
    a[0, 1] = np.nan
    got = run1("matmul", [a, b], (shape[:2], dtype), activation="relu")
    assert np.isnan(got[0]).all()
    assert (got[1:] >= 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
def test_addend(dtype, transpose_a, transpose_b):
    for m, n, k in [
        (1, 300, 70),
        (2, 1100, 9),
        (3, 40, 20),
        (33, 10, 130),
        (40, 70, 800),
        (20, 1, 50),
        (260, 33, 9),
        (5, 7, 0),
    ]:
        a, b = operands(m, n, k, dtype, transpose_a, transpose_b)
        addend, bias = draw((m, n), dtype, 5), draw((n,), dtype, 6)
        for extra in ({}, {"bias": bias, "activation": "relu"}):
            assert_product(
                a, b, dtype, addend=addend, transpose_a=transpose_a, transpose_b=transpose_b, **extra
            )


def test_few_rows_of_great_depth():
    a, b = operands(40, 70, 27000, "float32", True, False)
    assert_product(a, b, "float32", transpose_a=True)


@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
@pytest.mark.parametrize("shape", [(470, 200, 530), (100, 333, 77), (7, 4200, 100), (1000, 33, 70)])
def test_any_number_of_threads_gives_the_same_bits(shape, transpose_a, transpose_b):
    m, n, k = shape
    a, b = operands(m, n, k, "float32", transpose_a, transpose_b)
    transposes = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    run1("matmul", [a, b], ((m, n), "float32"), threads=(1, 2, 3, 6, 7), **transposes)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 10, 7), (4, 1, 5), (33, 20, 18), (128, 10, 64), (64, 65, 0)]
)
def test_bias_and_activation(shape, dtype):
    a, b = operands(*shape, dtype, False, False)
    bias = draw((shape[1],), dtype, 2)
    for activation in ["none", "relu"] if dtype in INTEGERS else ACTIVATIONS:
        assert_product(a, b, dtype, bias=bias, activation=activation)
        assert_product(a, b, dtype, activation=activation)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0), (1, 1, 0), (1, 40, 0)])
def test_empty(m, n, k, dtype):
    for transpose_a, transpose_b in TRANSPOSES:
        a, b = operands(m, n, k, dtype, transpose_a, transpose_b)
        assert_product(a, b, dtype, transpose_a=transpose_a, transpose_b=transpose_b)


BATCHES = [
    ((3,), ()),
    ((), (3,)),
    ((3,), (3,)),
    ((3, 1), (1, 4)),
    ((1,), (2, 3)),
    ((2, 1, 3), (4, 1)),
    ((0,), (1,)),
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(("batch_a", "batch_b"), BATCHES)
def test_batches_broadcast(batch_a, batch_b, dtype):
    for (m, n, k), (transpose_a, transpose_b) in itertools.product(
        [(5, 17, 6), (1, 3, 2), (2, 2, 0)], TRANSPOSES
    ):
        a = draw(batch_a + ((k, m) if transpose_a else (m, k)), dtype)
        b = draw(batch_b + ((n, k) if transpose_b else (k, n)), dtype, 1)
        bias = draw((n,), dtype, 2)
        assert_product(a, b, dtype, bias=bias, transpose_a=transpose_a, transpose_b=transpose_b)
        addend = draw((*np.broadcast_shapes(batch_a, batch_b), m, n), dtype, 3)
        assert_product(a, b, dtype, addend=addend, transpose_a=transpose_a, transpose_b=transpose_b)


def test_many_small_and_few_large_products():
    assert_product(draw((500, 7, 9), "float32"), draw((500, 9, 11), "float32", 1), "float32")
    assert_product(draw((2, 150, 90), "float32"), draw((2, 90, 180), "float32", 1), "float32")


def test_integers_wrap_around():
    a = np.array([[2**31 - 1, 5]], "int32")
    got = run1("matmul", [a, a.T], ((1, 1), "int32"))
    np.testing.assert_array_equal(got, (a @ a.T).astype("int32"))


def test_not_a_number_passes_relu():
    a = np.array([[np.nan, 1.0]], "float32")
    got = run1("matmul", [a, np.ones((2, 3), "float32")], ((1, 3), "float32"), activation="relu")
    assert np.isnan(got).all()


@pytest.mark.parametrize(
    ("inputs", "output", "attributes", "message"),
    [
        ([(2, 3)], ((2, 3), "float32"), {}, "takes a, b and optionally a bias"),
        ([(3,), (3, 2)], ((2,), "float32"), {}, "at least two axes"),
        ([(2, 3), (4, 5)], ((2, 5), "float32"), {}, r"inner extents of \(2, 3\) and \(4, 5\) differ"),
        ([(2, 3), (3, 5)], ((2, 5), "float32"), {"transpose_b": True}, "inner extents"),
        ([(2, 3), (3, 5)], ((2, 5), "float32"), {"transpose_a": True}, "inner extents"),
        ([(2, 3), (3, 5)], ((5, 2), "float32"), {}, r"gives \(2, 5\), got an output of \(5, 2\)"),
        ([(2, 3), (3, 5)], ((2, 5), "float64"), {}, "one dtype"),
        ([(2, 2, 3), (3, 3, 5)], ((3, 2, 5), "float32"), {}, "do not broadcast"),
        ([(2, 3), (3, 5), (2,)], ((2, 5), "float32"), {}, "takes a bias of 5 elements"),
        ([(2, 3), (3, 5), (1, 5)], ((2, 5), "float32"), {}, "takes a bias of 5 elements"),
        ([(2, 3), (3, 5)], ((2, 5), "float32"), {"addend": True}, "takes a, b, an addend and optionally"),
        ([(2, 3), (3, 5), (5,)], ((2, 5), "float32"), {"addend": True}, r"takes an addend of \(2, 5\)"),
        ([(2, 3), (3, 5), (2, 5)], ((2, 5), "float32"), {}, "takes a bias of 5 elements"),
        ([(2, 3), (3, 5)], ((2, 5), "float32"), {"activation": "swoosh"}, "no activation 'swoosh'"),
        ([(2, 3), (3, 5)], ((2, 5), "float32"), {"activation": 1}, "activation"),
    ],
)
def test_wrong_programs_are_refused(inputs, output, attributes, message):
    with pytest.raises(ValueError, match=message):
        run1("matmul", [np.zeros(shape, "float32") for shape in inputs], output, **attributes)


def test_more_products_than_their_offsets_are_kept_for():
    items = 2**27
    inputs, output = [((items, 1, 1), "float32")] * 2, [((items, 1, 1), "float32")]
    with pytest.raises(ValueError, match="at most 67108864 pairs of matrices at once"):
        program_of("matmul", inputs, output, {})
    program_of(
        "matmul", [((items, 0, 1), "float32"), ((items, 1, 1), "float32")], [((items, 0, 1), "float32")], {}
    )


def test_integers_have_no_curved_activation():
    with pytest.raises(ValueError, match="int32 takes the activations none and relu, got 'tanh'"):
        run1("matmul", [np.ones((2, 2), "int32")] * 2, ((2, 2), "int32"), activation="tanh")


def test_bool_has_no_product():
    with pytest.raises(ValueError, match="no kernel for bool"):
        run1("matmul", [np.ones((2, 2), bool)] * 2, ((2, 2), "bool"))
