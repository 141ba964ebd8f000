"""A chain over a product that it takes piece by piece, against the product and the chain on their own."""

import itertools

import numpy as np
import pytest
from native import program_of, run, run1, run_in_place

FLOATS = ["float32", "float64"]
TRANSPOSES = list(itertools.product([False, True], repeat=2))

# Of the product, a matrix like it, a row, a column and a scalar: matrix - scalar * product * column, and
# whether the product is less than the row.
INPUTS = ["product", "matrix", "row", "column", "scalar"]
CHAIN = {
    "ops": ["multiply", "multiply", "subtract", "less"],
    "args": [0, 4, -1, 5, 3, -1, 1, 6, -1, 0, 2, -1],
    "constants": [],
    "constant_dtypes": [],
    "stores": [7, 8],
}

SHAPES = [
    (1, 1, 1),
    (1, 300, 20),
    (5, 0, 3),
    (0, 5, 3),
    (30, 40, 0),
    (13, 31, 17),
    (14, 32, 16),
    (15, 33, 100),
    (29, 65, 40),
    (57, 130, 33),
    (113, 257, 30),
    (300, 100, 40),
    (301, 1030, 70),  # several blocks of rows
    (40, 5000, 30),  # and of columns
    (200, 3, 150),  # too narrow for panels
    (3, 200, 150),
    (60, 70, 513),
    (150, 200, 1100),  # several blocks of depth: taken as a whole
]


def operands(m, n, k, dtype, transpose_a, transpose_b):
    rng = np.random.default_rng(m * n + k)
    shapes = {
        "a": (k, m) if transpose_a else (m, k),
        "b": (n, k) if transpose_b else (k, n),
        "matrix": (m, n),
        "row": (n,),
        "column": (m, 1),
        "scalar": (),
    }
    return {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes.items()}


def outputs_of(m, n, dtype):
    return [((m, n), dtype), ((m, n), "bool")]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("transpose_a", "transpose_b"), TRANSPOSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_bits_as_apart(shape, transpose_a, transpose_b, dtype):
    m, n, _ = shape
    x = operands(*shape, dtype, transpose_a, transpose_b)
    flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    product = run1("matmul", [x["a"], x["b"]], ((m, n), dtype), **flags)
    others = [x[name] for name in INPUTS[1:]]
    apart = run("elementwise", [product, *others], outputs_of(m, n, dtype), **CHAIN)
    taken = run(
        "matmul_elementwise",
        [x["a"], x["b"], *others],
        outputs_of(m, n, dtype),
        matmul_inputs=2,
        **flags,
        **CHAIN,
    )
    for got, want in zip(taken, apart, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ["none", "relu", "sigmoid"])
@pytest.mark.parametrize("addend", [False, True])
def test_product_with_an_epilogue(activation, addend, dtype):
    m, n, k = 130, 150, 60
    x = operands(m, n, k, dtype, False, False)
    inputs = [x["a"], x["b"], *([x["matrix"]] if addend else []), x["row"]]
    attributes = {"activation": activation, "addend": addend}
    product = run1("matmul", inputs, ((m, n), dtype), **attributes)
    chain = {"ops": ["square"], "args": [0, -1, -1], "constants": [], "constant_dtypes": [], "stores": [1]}
    got = run1(
        "matmul_elementwise", inputs, ((m, n), dtype), matmul_inputs=len(inputs), **attributes, **chain
    )
    np.testing.assert_array_equal(got, product * product)


@pytest.mark.parametrize("batch", [(3, 40, 50), (2, 3, 5, 7)])
def test_batch_of_products(batch):
    """Of one right operand, which makes them one, and of as many."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(batch).astype("float32")
    shape = (*batch[:-1], 33)
    matrix = rng.standard_normal(shape).astype("float32")
    chain = {"ops": ["add"], "args": [0, 1, -1], "constants": [], "constant_dtypes": [], "stores": [2]}
    for b_shape in [(batch[-1], 33), (*batch[:-2], batch[-1], 33)]:
        b = rng.standard_normal(b_shape).astype("float32")
        product = run1("matmul", [a, b], (shape, "float32"))
        got = run1("matmul_elementwise", [a, b, matrix], (shape, "float32"), matmul_inputs=2, **chain)
        np.testing.assert_array_equal(got, product + matrix)


MOMENTUM = {  # v' = 0.9 v - 0.01 g; w' = w + v'
    "ops": ["multiply", "multiply", "subtract", "add"],
    "args": [1, 3, -1, 0, 4, -1, 5, 6, -1, 2, 7, -1],
    "constants": [0.9, 0.01],
    "stores": [7, 8],
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(30, 20, 10), (127, 190, 33), (301, 1030, 70), (50, 60, 1100)])
def test_updates_in_place(shape, dtype):
    m, n, k = shape
    rng = np.random.default_rng(1)
    x, dy, v, w = (rng.standard_normal(s).astype(dtype) for s in ((k, m), (k, n), (m, n), (m, n)))
    chain = {**MOMENTUM, "constant_dtypes": [dtype] * 2}
    got = run_in_place(
        "matmul_elementwise",
        [x, dy, v, w],
        [0, 1, 2, 3],
        [2, 3],
        matmul_inputs=2,
        transpose_a=True,
        **chain,
    )
    gradient = run1("matmul", [x, dy], ((m, n), dtype), transpose_a=True)
    want = run_in_place("elementwise", [gradient, v, w], [0, 1, 2], [1, 2], **chain)
    for got_, want_ in zip(got, want, strict=True):
        np.testing.assert_array_equal(got_, want_)


def test_what_the_product_reads_is_not_overwritten():
    square = [np.ones((8, 8), "float32")] * 2
    chain = {"ops": ["add"], "args": [0, 1, -1], "constants": [], "constant_dtypes": [], "stores": [2]}
    for ins in ([0, 1, 1], [0, 1, 0]):
        with pytest.raises(ValueError, match="overlaps what is read"):
            run_in_place("matmul_elementwise", square, ins, [ins[2]], matmul_inputs=2, **chain)


SQUARE = {"ops": ["square"], "args": [0, -1, -1], "constants": [], "constant_dtypes": [], "stores": [1]}


@pytest.mark.parametrize(
    ("inputs", "outputs", "attributes", "message"),
    [
        ([(2, 3), (3, 5)], [(2, 5)], {}, "matmul_inputs"),
        ([(2, 3), (3, 5)], [(2, 5)], {"matmul_inputs": 1}, "matmul_inputs is 1 of 2 inputs"),
        ([(2, 3), (3, 5)], [(2, 5)], {"matmul_inputs": 3}, "matmul_inputs is 3 of 2 inputs"),
        ([(2, 3), (3, 5)], [], {"matmul_inputs": 2}, "needs an output"),
        ([(2, 3), (3, 5)], [(5, 2)], {"matmul_inputs": 2}, r"gives \(2, 5\), got an output of \(5, 2\)"),
        ([(2, 3), (3, 5)], [(2, 5), (2, 5)], {"matmul_inputs": 2}, "2 outputs, but 1 stores"),
        ([(2, 3), (3, 5), (5,), (2,)], [(2, 5)], {"matmul_inputs": 3}, "does not broadcast"),
    ],
)
def test_wrong_programs_are_refused(inputs, outputs, attributes, message):
    specs = [[(shape, "float32") for shape in shapes] for shapes in (inputs, outputs)]
    with pytest.raises(ValueError, match=message):
        program_of("matmul_elementwise", *specs, {**SQUARE, **attributes})


def test_products_of_integers_are_not_taken():
    specs = [((2, 3), "int32"), ((3, 5), "int32")], [((2, 5), "int32")]
    with pytest.raises(ValueError, match="takes a product of floats, got int32"):
        program_of("matmul_elementwise", *specs, {**SQUARE, "matmul_inputs": 2})
