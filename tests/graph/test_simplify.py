"""Rewrites that save whole passes over memory: the values stay, the passes are gone."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, gradients, placeholder

rng = np.random.default_rng(0)

POOLS = [
    pytest.param((2, 6, 6, 3), 2, None, "valid", id="2x2"),
    pytest.param((2, 7, 9, 3), 3, 2, "same", id="overlapping"),
    pytest.param((1, 5, 5, 1), 2, 3, "valid", id="gaps"),
    pytest.param((3, 8, 4), 2, None, "valid", id="1d"),
    pytest.param((1, 4, 6, 4, 2), 2, None, "valid", id="3d"),
]


@pytest.mark.parametrize(("shape", "size", "strides", "padding"), POOLS)
def test_gradient_of_relu_before_a_max_pool(shape, size, strides, padding):
    """The gradients of the rewritten graph are those of relu and pooling taken one after the other."""
    image = rng.standard_normal(shape)
    image[rng.random(shape) < 0.3] = 0  # ties, and windows with nothing positive
    x, bias = placeholder(shape, "float64"), placeholder(shape[-1:], "float64")
    active = ops.relu(x + bias)
    pooled = ops.max_pool(active, size, strides, padding, data_format="channels_last")
    weights = rng.standard_normal(pooled.shape)
    got = Function([x, bias], gradients(ops.sum(pooled * weights), [x, bias]))([image, np.zeros(shape[-1])])

    a = placeholder(shape, "float64")
    pool_only = ops.max_pool(a, size, strides, padding, data_format="channels_last")
    (to_active,) = Function([a], gradients(ops.sum(pool_only * weights), [a]))([np.maximum(image, 0)])
    expected = np.where(image > 0, to_active, 0)
    np.testing.assert_array_equal(got[0], expected)
    np.testing.assert_allclose(got[1], expected.sum(tuple(range(len(shape) - 1))), atol=1e-12)


def test_the_mask_of_relu_is_applied_after_the_pool():
    x, bias = placeholder((2, 6, 6, 3)), placeholder((3,))
    loss = ops.sum(ops.max_pool(ops.relu(x + bias), 2, data_format="channels_last"))
    program = Function([x, bias], gradients(loss, [x, bias])).describe([(2, 6, 6, 3), (3,)])
    assert "max_pool2d_gradient" in program
    lines = program.splitlines()
    operands = [lines[i + 1] for i, line in enumerate(lines) if "greater" in line or "reduce_sum" in line]
    assert operands
    assert all("[2, 6, 6, 3]" not in text for text in operands), program


def test_equal_expressions_are_computed_once():
    """Also where they have a number in them, which every gradient graph makes for itself."""
    x = placeholder((4, 3))
    y = ops.sum(ops.square(ops.tanh(x)))
    program = Function([x], [*gradients(y, [x]), *gradients(y, [x])]).describe([(4, 3)])
    assert program.count("tanh") == 1
    assert program.count("subtract") == 1, program


def test_other_masks_stay_where_they_are():
    """Only a mask of what was pooled may move."""
    shape = (1, 4, 4, 1)
    image, other = rng.standard_normal(shape), rng.standard_normal(shape)
    x, m = placeholder(shape, "float64"), placeholder(shape, "float64")
    (grad,) = gradients(ops.sum(ops.max_pool(x, 2, data_format="channels_last")), [x])
    for mask, keep in [(ops.greater(m, 0.0), other > 0), (ops.greater(x, 0.5), image > 0.5)]:
        got = Function([x, m], [ops.where(mask, grad, 0.0)])([image, other])[0]
        plain = Function([x, m], [grad])([image, other])[0]
        np.testing.assert_array_equal(got, np.where(keep, plain, 0))
