"""Creation, conversion, branches, loops and custom gradients."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, Variable, gradients, placeholder


def run(function, *arrays, hide=True):
    xs = [placeholder([None] * a.ndim if hide else a.shape, a.dtype.name) for a in arrays]
    result = function(*xs)
    ys = list(result) if isinstance(result, (list, tuple)) else [result]
    values = Function(xs, ys)(list(arrays))
    return values if isinstance(result, (list, tuple)) else values[0]


A = np.arange(12, dtype="float32").reshape(3, 4)


@pytest.mark.parametrize(
    ("function", "want"),
    [
        (lambda x: ops.zeros_like(x), np.zeros((3, 4))),
        (lambda x: ops.ones_like(x, dtype="int32"), np.ones((3, 4), "int32")),
        (lambda x: ops.full_like(x, 2.5), np.full((3, 4), 2.5)),
        (lambda x: ops.zeros((ops.shape(x)[1], 2)), np.zeros((4, 2))),
        (lambda x: ops.full((2, ops.shape(x)[0]), 7), np.full((2, 3), 7)),
        (lambda x: ops.arange(ops.shape(x)[1]), np.arange(4)),
        (lambda x: ops.arange(1, ops.shape(x)[1], 2), np.array([1, 3])),
        (lambda x: ops.tril(x, 1), np.tril(A, 1)),
        (lambda x: ops.triu(x, -1), np.triu(A, -1)),
        (lambda x: ops.cast(ops.size(x), "float32") + 0.0 * x[0, 0], 12.0),
        (
            lambda x: ops.saturate_cast(x * 100.0 - 500.0, "uint8"),
            np.clip(A * 100 - 500, 0, 255).astype("uint8"),
        ),
        (lambda x: ops.meshgrid(x[0], x[:, 0])[0], np.meshgrid(A[0], A[:, 0])[0]),
    ],
)
def test_values(function, want):
    np.testing.assert_allclose(run(function, A), want)


def test_eager_creation():
    np.testing.assert_array_equal(ops.eye(2, 3, k=1), np.eye(2, 3, 1))
    np.testing.assert_array_equal(ops.identity(2), np.eye(2))
    np.testing.assert_allclose(ops.linspace(0, 1, 5), np.linspace(0, 1, 5))
    np.testing.assert_allclose(ops.logspace(0, 2, 3), [1, 10, 100])
    np.testing.assert_allclose(ops.geomspace(1, 8, 4), [1, 2, 4, 8], rtol=1e-6)
    np.testing.assert_array_equal(ops.tri(3, 2), np.tri(3, 2))
    assert ops.zeros((2,)).dtype == np.float32
    assert ops.arange(3).dtype == np.int32
    assert ops.arange(3.0).dtype == np.float32
    for mine, numpy in zip(
        ops.meshgrid([1, 2], [3, 4, 5], indexing="ij"),
        np.meshgrid([1, 2], [3, 4, 5], indexing="ij"),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, numpy)


def test_shape_is_static_where_known():
    x = placeholder((None, 4))
    assert ops.shape(x)[1] == 4
    assert ops.is_tensor(ops.shape(x)[0])
    assert ops.shape(A) == (3, 4)
    assert ops.ndim(x) == 2
    assert ops.dtype(x) == "float32"


def test_conversion():
    w = Variable([1.0, 2.0])
    np.testing.assert_array_equal(ops.convert_to_numpy(w * 2.0), [2, 4])
    assert ops.convert_to_tensor([1, 2], "float32").dtype == np.float32
    x = placeholder((2,))
    stacked = ops.convert_to_tensor([x, x * 2.0])
    np.testing.assert_array_equal(Function([x], [stacked])([np.ones(2, "float32")])[0], [[1, 1], [2, 2]])
    with pytest.raises(ValueError, match="depends on"):
        ops.convert_to_numpy(x)
    with pytest.raises(ValueError, match="sparse"):
        ops.convert_to_tensor([1], sparse=True)


def test_cond_and_switch():
    def branch(x):
        return ops.cond(ops.sum(x) > 60.0, lambda: x * 2.0, lambda: -x)

    np.testing.assert_array_equal(run(branch, A), A * 2)
    np.testing.assert_array_equal(run(branch, A * 0.5), -A * 0.5)
    assert ops.cond(True, lambda: 1, lambda: 2) == 1
    x = placeholder((3, 4))
    (g,) = gradients(branch(x), [x])
    np.testing.assert_array_equal(Function([x], [g])([A])[0], np.full((3, 4), 2))
    i = placeholder((), "int32")
    y = ops.switch(i, [lambda: np.float32(1), lambda: np.float32(5), lambda: np.float32(9)])
    f = Function([i], [y])
    assert [float(f([np.array(k)])[0]) for k in (-1, 0, 1, 2, 7)] == [1, 1, 5, 9, 9]
    with pytest.raises(ValueError, match="at least one branch"):
        ops.switch(0, [])


def test_scan_map_and_fori_loop():
    carry, ys = ops.scan(lambda c, x: (c + x, c * x), np.float32(1), np.arange(4, dtype="float32"))
    assert float(carry) == 7
    np.testing.assert_array_equal(ys, [0, 1, 4, 12])
    carry, ys = ops.scan(lambda c, x: ({"a": c["a"] * 2.0}, None), {"a": np.float32(1)}, length=5)
    assert float(carry["a"]) == 32
    assert ys is None
    np.testing.assert_array_equal(ops.map(lambda x: x * x, A), A * A)
    np.testing.assert_array_equal(run(lambda x: ops.vectorized_map(lambda r: ops.sum(r), x), A), A.sum(1))
    assert float(ops.fori_loop(0, 5, lambda i, v: v + ops.cast(i, "float32"), np.float32(0))) == 10
    with pytest.raises(ValueError, match="give xs or length"):
        ops.scan(lambda c, x: (c, x), 0.0)


def test_custom_gradient():
    @ops.custom_gradient
    def clipped(x, w):
        return x * w, lambda dy: (ops.clip(dy, -1.0, 1.0), dy * 0.0 + 3.0)

    x, w = placeholder((2,)), placeholder((2,))
    y = clipped(x, w)
    gx, gw = gradients(y * 10.0, [x, w])
    a, b = np.array([1.0, 2.0], "float32"), np.array([5.0, 6.0], "float32")
    value, dx, dw = Function([x, w], [y, gx, gw])([a, b])
    np.testing.assert_array_equal(value, a * b)
    np.testing.assert_array_equal(dx, [1, 1])
    np.testing.assert_array_equal(dw, [3, 3])


def test_stop_gradient_on_structures():
    x = placeholder((2,))
    y = ops.stop_gradient([x, x * 2.0])
    (g,) = gradients(y[0] + x, [x])
    np.testing.assert_array_equal(Function([x], [g])([np.ones(2, "float32")])[0], [1, 1])
