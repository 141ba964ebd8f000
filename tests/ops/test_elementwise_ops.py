"""What the common checks leave out: gradients at ties and kinks, dtypes, operators, errors."""

import math

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, gradients, placeholder


def gradient(function, *values):
    """Gradients of the sum of ``function``, one for each input."""
    xs = [placeholder(np.shape(v), "float64") for v in values]
    grads = gradients(function(*xs), xs)
    return Function(xs, grads)([np.asarray(v, "float64") for v in values])


def test_gradients_at_kinks():
    zero = [0.0]
    assert gradient(ops.relu, zero)[0] == 0
    assert gradient(ops.abs, zero)[0] == 0
    np.testing.assert_array_equal(gradient(ops.relu6, [0.0, 3.0, 6.0])[0], [0, 1, 0])
    np.testing.assert_array_equal(
        gradient(lambda x: ops.clip(x, -1, 1), [-2.0, -1, 0, 1, 2])[0], [0, 1, 1, 1, 0]
    )
    assert gradient(lambda x: ops.leaky_relu(x, 0.1), zero)[0] == 0.1
    assert gradient(lambda x: ops.power(x, 0), zero)[0] == 0


def test_gradients_at_ties():
    x, y = gradient(ops.maximum, [1.0, 2.0], [1.0, 3.0])
    np.testing.assert_array_equal(x, [1, 0])
    np.testing.assert_array_equal(y, [0, 1])
    x, y = gradient(ops.minimum, [1.0, 2.0], [1.0, 3.0])
    np.testing.assert_array_equal(x, [1, 1])
    np.testing.assert_array_equal(y, [0, 0])
    np.testing.assert_array_equal(gradient(ops.max, [1.0, 3.0, 3.0])[0], [0, 0.5, 0.5])
    np.testing.assert_array_equal(gradient(ops.min, [[1.0, 1.0], [2.0, 2.0]])[0], [[0.5, 0.5], [0, 0]])
    np.testing.assert_allclose(gradient(ops.logaddexp, [1.0], [1.0]), [[0.5], [0.5]])


def test_gradient_of_broadcast_operands_is_summed():
    a, b = gradient(ops.multiply, np.ones((2, 3)), np.full((3,), 2.0))
    np.testing.assert_array_equal(a, np.full((2, 3), 2))
    np.testing.assert_array_equal(b, [2, 2, 2])
    a, b = gradient(ops.subtract, np.ones((2, 1)), np.ones((1, 3)))
    np.testing.assert_array_equal(a, np.full((2, 1), 3))
    np.testing.assert_array_equal(b, np.full((1, 3), -2))


@pytest.mark.parametrize(
    ("function", "second"),
    [
        (ops.tanh, lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2)),
        (ops.exp, np.exp),
        (ops.sin, lambda x: -np.sin(x)),
        (lambda x: ops.power(x, 3), lambda x: 6 * x),
        (ops.rsqrt, lambda x: 0.75 * x**-2.5),
        (ops.log, lambda x: -1 / x**2),
        (ops.softplus, lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ],
)
def test_second_derivatives(function, second):
    x = placeholder((3,), "float64")
    (first,) = gradients(function(x), [x])
    values = np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(Function([x], gradients(first, [x]))([values])[0], second(values), rtol=1e-12)


def test_integers_become_floats_where_the_result_is_no_integer():
    for op in (
        ops.sqrt,
        ops.exp,
        ops.sigmoid,
        ops.softplus,
        ops.mean,
        ops.var,
        ops.softsign,
        ops.hard_sigmoid,
    ):
        assert op(np.arange(4)).dtype == "float32"
        assert op(placeholder((4,), "int32")).dtype == "float32"
    assert ops.divide(np.array([1]), np.array([2])).dtype == "float32"
    assert ops.add(np.array([1], "int32"), 1).dtype == "int32"
    assert ops.add(np.array([1], "int32"), 1.5).dtype == "float32"
    assert ops.relu(np.array([-1, 1])).dtype == "int64"
    assert ops.sum(np.ones(3, "uint8")).dtype == "int32"


def test_numbers_and_lists_are_operands():
    assert ops.add(1, 2) == 3
    assert ops.abs([-1.0, 2.0]).tolist() == [1, 2]
    assert ops.maximum(3.0, [1.0, 5.0]).tolist() == [3, 5]
    assert ops.softsign(1.0) == 0.5
    for scalar in (
        ops.softsign(1.0),
        ops.gelu(1.0),
        ops.logsumexp([1.0]),
        ops.hypot(3, 4),
        ops.log_sigmoid(0.0),
    ):
        assert isinstance(scalar, np.ndarray)


def test_operators():
    x = placeholder((3,), "int32")
    value = np.array([5, -7, 2], "int32")
    flag = x > 0
    results = Function(
        [x], [x // 2, x % 3, x**2, -x, abs(x), x & 3, x | 8, x ^ 1, ~x, flag & (x < 5), ~flag, 2 - x, 7 // x]
    )([value])
    wanted = [
        value // 2, value % 3, value**2, -value, abs(value), value & 3, value | 8, value ^ 1, ~value,
        (value > 0) & (value < 5), value <= 0, 2 - value, 7 // value,
    ]  # fmt: skip
    for got, want in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_nan_to_num_uses_the_largest_number_of_the_dtype():
    for dtype in ("float32", "float64"):
        got = ops.nan_to_num(np.array([np.nan, np.inf, -np.inf, 1], dtype))
        np.testing.assert_array_equal(got, [0, np.finfo(dtype).max, np.finfo(dtype).min, 1])
    assert ops.nan_to_num(np.array([3])).tolist() == [3]


def test_errors():
    with pytest.raises(ValueError, match="both x1 and x2"):
        ops.where([True], 1.0)
    with pytest.raises(ValueError, match="cannot be broadcast"):
        ops.add(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="sum: axis 2 is out of range"):
        ops.sum(np.ones((2, 3)), axis=2)
    with pytest.raises(ValueError, match="an axis is given twice"):
        ops.mean(np.ones((2, 3)), axis=(0, -2))
    with pytest.raises(TypeError, match="must be an integer"):
        ops.max(np.ones(3), axis="x")
    with pytest.raises(ValueError, match="max of no elements"):
        ops.max(np.ones((0,)))
    with pytest.raises(ValueError, match="need one axis to lie along"):
        ops.average(np.ones((2, 3)), axis=None, weights=np.ones(2))
    with pytest.raises(ValueError, match="target and output must have one shape"):
        ops.categorical_crossentropy(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="do not fit an output of shape"):
        ops.sparse_categorical_crossentropy(np.ones(3, "int32"), np.ones((2, 4)))


def test_a_class_that_is_none_gives_nan():
    losses = ops.sparse_categorical_crossentropy(np.array([0, 9]), np.full((2, 3), 1 / 3))
    assert np.isfinite(losses[0])
    assert np.isnan(losses[1])


@pytest.mark.parametrize("sparse", [False, True])
def test_second_derivatives_of_cross_entropy(sparse):
    rng = np.random.default_rng(0)
    z, v, w = rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    labels = np.array([0, 2, 1, 1], "int32")
    logits = placeholder((4, 3), "float64")
    if sparse:
        losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    else:
        losses = ops.categorical_crossentropy(np.eye(3)[labels], logits, from_logits=True)
    (first,) = gradients(losses, [logits], [ops.cast(w, "float64") + 0 * losses])
    (second,) = gradients(ops.sum(first * v), [logits])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    want = w[:, None] * p * (v - (v * p).sum(1, keepdims=True))
    np.testing.assert_allclose(Function([logits], [second])([z])[0], want, atol=1e-12)


def test_second_derivatives_of_softmax():
    rng = np.random.default_rng(0)
    z, v, u = rng.normal(size=(3, 4, 3))
    x = placeholder((4, 3), "float64")
    for op in (ops.softmax, ops.log_softmax):
        (first,) = gradients(ops.sum(op(x) * v), [x])
        (second,) = gradients(ops.sum(first * u), [x])
        function = Function([x], [first, second])
        want = np.zeros_like(z)
        for index in np.ndindex(z.shape):
            step = np.zeros_like(z)
            step[index] = 1e-6
            want[index] = ((function([z + step])[0] - function([z - step])[0]) * u).sum() / 2e-6
        np.testing.assert_allclose(function([z])[1], want, atol=1e-8)


def test_large_values_do_not_overflow():
    big = np.array([1e30, -1e30, 100.0, -100.0], "float32")
    for op in (
        ops.sigmoid,
        ops.softplus,
        ops.log_sigmoid,
        ops.gelu,
        ops.silu,
        ops.selu,
        ops.tanh,
        ops.softsign,
    ):
        assert not np.isnan(op(big)).any()
    assert ops.logsumexp(np.array([1e30, 0], "float32")) == np.float32(1e30)
    assert math.isclose(ops.hypot(np.float64(3e200), np.float64(4e200)), 5e200)
