"""What the common checks leave out: errors, dtypes, inferred shapes."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, Variable, gradients, placeholder


def test_unknown_extents_are_taken_from_the_other_operand():
    x = placeholder((None, None))
    w = placeholder((5, 3))
    assert ops.matmul(x, w).shape == (None, 3)
    assert ops.einsum("bi,io->bo", x, w).shape == (None, 3)
    assert ops.tensordot(x, w, 1).shape == (None, 3)
    assert ops.einsum("bi,io->bi", x, w).shape == (None, 5)
    assert ops.batch_dot(placeholder((None, 4, 2)), placeholder((7, None, 5))).shape == (7, 4, 5)


def test_ellipsis_over_unknown_extents():
    x = np.random.default_rng(0).uniform(-1, 1, (2, 3, 4, 5)).astype("float32")
    symbol = placeholder((None, None, 4, 5))
    y = ops.einsum("...ij,jk->...ik", symbol, np.ones((5, 2), "float32"))
    assert y.shape == (None, None, 4, 2)
    np.testing.assert_allclose(Function([symbol], [y])([x])[0], x @ np.ones((5, 2)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_dtypes(dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 2 if dtype == "bool" else 100, s).astype(dtype) for s in [(3, 40), (40, 2)])
    got = ops.matmul(a, b)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, np.matmul(a, b))
    symbols = [placeholder(a.shape, dtype), placeholder(b.shape, dtype)]
    np.testing.assert_array_equal(Function(symbols, [ops.matmul(*symbols)])([a, b])[0], np.matmul(a, b))


def test_dtypes_are_promoted():
    assert ops.matmul(np.ones((2, 3), "int32"), np.ones((3, 2), "float64")).dtype == "float64"
    assert ops.matmul(placeholder((2, 3)), np.ones((3, 2))).dtype == "float32"


def test_operator():
    x = placeholder((None, 3))
    w = Variable(np.arange(6.0).reshape(3, 2), "float32")
    value = np.ones((4, 3), "float32")
    np.testing.assert_array_equal(Function([x], [x @ w])([value])[0], value @ w.numpy())
    np.testing.assert_array_equal(
        Function([x], [np.ones((2, 4), "float32") @ x])([value])[0], np.full((2, 3), 4)
    )


def test_weight_gradient_of_a_batch_of_matrices_is_one_product():
    x = placeholder((4, 6, 3))
    w = Variable(np.ones((3, 5)), "float32")
    function = Function([x], gradients(ops.matmul(x, w), [w]))
    value = np.random.default_rng(0).uniform(-1, 1, (4, 6, 3)).astype("float32")
    want = np.repeat(value.sum((0, 1))[:, None], 5, axis=1)
    np.testing.assert_allclose(function([value])[0], want, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.matmul(x((2, 3)), x((4, 5))), "inner extents of shapes .* differ: 3 and 4"),
        (lambda x: ops.matmul(x((2, 2, 3)), x((3, 3, 5))), "cannot be broadcast"),
        (lambda x: ops.matmul(x(()), x((3,))), "matmul takes no scalars"),
        (lambda x: ops.matmul(x((2, 1)), x((3,))), "1 and 3 .* do not fit"),
        (lambda x: ops.vdot(x((2, 3)), x((5,))), "6 and 5 .* do not fit"),
        (lambda x: ops.matmul(x((3,)), x((4,))), "3 and 4 .* do not fit"),
        (lambda x: ops.dot(x((2, 3)), x((5, 4, 2))), "3 and 4 .* do not fit"),
        (lambda x: ops.tensordot(x((2, 3)), x((3, 2)), ([0, 1], [0])), "2 axes of x1 but 1 of x2"),
        (lambda x: ops.tensordot(x((2, 3)), x((3, 2)), 3), "do not both have 3 axes"),
        (lambda x: ops.tensordot(x((2, 2)), x((2, 2)), ([0, 0], [0, 1])), "not distinct"),
        (lambda x: ops.einsum("ij,jk->ik", x((2, 3))), "describes 2 operands, got 1"),
        (lambda x: ops.einsum("ijk->i", x((2, 3))), "does not fit a tensor of 2 axes"),
        (lambda x: ops.einsum("i->i", x((2, 3))), "does not fit a tensor of 2 axes"),
        (lambda x: ops.einsum("ij->ik", x((2, 3))), "has one that no operand has"),
        (lambda x: ops.einsum("ij->ii", x((2, 3))), "repeats a letter"),
        (lambda x: ops.einsum("i1->i", x((2, 3))), "is not made of letters"),
        (lambda x: ops.einsum("i......->i", x((2, 3))), "is not made of letters"),
        (lambda x: ops.einsum("ij,jk->ik", x((2, 3)), x((4, 5))), "3 and 4 .* do not fit"),
        (lambda x: ops.batch_dot(x((3,)), x((3, 2))), "at least two axes"),
        (lambda x: ops.batch_dot(x((3, 2)), x((3, 2)), 0), "axis 0, the batch"),
        (lambda x: ops.batch_dot(x((3, 2)), x((3, 2)), 2), "do not all exist"),
        (lambda x: ops.batch_dot(x((3, 2)), x((3, 2)), ([0, 1], 1)), "one axis of each"),
        (lambda x: ops.batch_dot(x((3, 2)), x((4, 2))), "3 and 4 .* do not fit"),
        (lambda x: ops.batch_dot(x((3, 2, 4)), x((3, 5, 4)), (1, 1)), "2 and 5 .* do not fit"),
    ],
)
@pytest.mark.parametrize(
    "make", [placeholder, lambda shape: np.ones(shape, "float32")], ids=["symbolic", "eager"]
)
def test_errors(call, message, make):
    with pytest.raises(ValueError, match=message):
        call(make)


def test_einsum_takes_no_other_arguments():
    with pytest.raises(TypeError, match="unknown arguments"):
        ops.einsum("i->i", np.ones(3), casting="safe")
