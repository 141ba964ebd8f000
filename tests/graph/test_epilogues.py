"""What follows a product and runs within its instruction."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, gradients, placeholder

rng = np.random.default_rng(0)
SHAPE, KERNEL = (2, 8, 8, 16), (3, 3, 16, 16)


def convolved_twice(activation):
    x, first, second = placeholder(SHAPE), placeholder(KERNEL), placeholder(KERNEL)
    hidden = activation(ops.conv(x, first, padding="same", data_format="channels_last"))
    y = ops.conv(hidden, second, padding="same", data_format="channels_last")
    return [x, first, second], hidden, ops.sum(ops.square(y))


def arrays():
    return [rng.standard_normal(s).astype("float32") for s in (SHAPE, KERNEL, KERNEL)]


def test_mask_of_relu_is_part_of_the_data_gradient():
    inputs, _, loss = convolved_twice(ops.relu)
    grads = Function(inputs, gradients(loss, inputs))
    assert "conv2d_data_gradient+greater+where" in grads.describe([SHAPE, KERNEL, KERNEL])


@pytest.mark.parametrize("fetch_gradient", [False, True])
def test_gradient_through_relu_and_convolution(fetch_gradient):
    """Against the same graph whose mask is made another way, which nothing takes along."""
    values = arrays()
    results = []
    for activation in (ops.relu, lambda t: t * ops.cast(ops.greater(t, 0.0), "float32")):
        inputs, hidden, loss = convolved_twice(activation)
        (to_hidden,) = gradients(loss, [hidden])
        fetches = [*gradients(loss, inputs), *([to_hidden] if fetch_gradient else [])]
        f = Function(inputs, fetches)
        fused = "data_gradient+greater+where" in f.describe([SHAPE, KERNEL, KERNEL])
        assert fused == (activation is ops.relu and not fetch_gradient)
        results.append(f(values))
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def pooled_convolution(size=2, activation=ops.relu, data_format="channels_last"):
    x, kernel, bias = placeholder(SHAPE), placeholder(KERNEL), placeholder((16,))
    y = activation(ops.conv(x, kernel, padding="same", data_format="channels_last") + bias)
    return [x, kernel, bias], y, ops.max_pool(y, size, data_format="channels_last")


def described(inputs, fetches):
    return Function(inputs, fetches).describe([t.shape for t in inputs])


def test_max_pool_is_part_of_the_convolution():
    inputs, y, pooled = pooled_convolution()
    assert "conv2d+add+relu+max_pool2d" in described(inputs, [pooled])
    assert "conv2d+add+relu+max_pool2d" in described(inputs, gradients(ops.sum(ops.square(pooled)), inputs))
    assert "conv2d+add+relu+max_pool2d" not in described(inputs, [y, pooled])  # the unpooled is wanted too
    for other in (pooled_convolution(3), pooled_convolution(2, ops.tanh)):
        assert "max_pool2d [max_pool2d]" in described(other[0], [other[2]])


def test_pooled_convolution_and_its_gradients():
    inputs, y, pooled = pooled_convolution()
    weights = rng.standard_normal(pooled.shape).astype("float32")
    values = [*arrays()[:2], rng.standard_normal(16).astype("float32")]
    loss = ops.sum(pooled * weights)
    fused = Function(inputs, [pooled, *gradients(loss, inputs)])(values)
    apart = Function(inputs, [pooled, *gradients(loss, inputs), y])(values)
    for got, want in zip(fused, apart[:-1], strict=True):
        np.testing.assert_array_equal(got, want)


def test_other_masks_are_their_own_pass():
    dy, kernel, m = placeholder(SHAPE), placeholder(KERNEL), placeholder(SHAPE)
    x = placeholder(SHAPE)
    y = ops.conv(x, kernel, padding="same", data_format="channels_last")
    (dx,) = gradients(y, [x], [dy])
    values = arrays()
    dys, ms, xs = (rng.standard_normal(SHAPE).astype("float32") for _ in range(3))
    for masked, expect in [
        (ops.where(ops.greater(m, 1.0), dx, 0.0), lambda g: np.where(ms > 1, g, 0)),
        (ops.where(ops.greater(m, 0.0), dx, 1.0), lambda g: np.where(ms > 0, g, 1)),
        (ops.where(ops.greater(m, 0.0), 0.0, dx), lambda g: np.where(ms > 0, 0, g)),
        (ops.where(ops.less(m, 0.0), dx, 0.0), lambda g: np.where(ms < 0, g, 0)),
    ]:
        f = Function([x, dy, kernel, m], [masked])
        assert "data_gradient+greater" not in f.describe([SHAPE, SHAPE, KERNEL, SHAPE])
        plain = Function([x, dy, kernel], [dx])([xs, dys, values[1]])[0]
        np.testing.assert_array_equal(f([xs, dys, values[1], ms])[0], expect(plain))
