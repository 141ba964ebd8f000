"""Gradients of gradients, where ops have kernels for both, against differences of the first gradient."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, gradients, placeholder

rng = np.random.default_rng(8)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


images = rng.permutation(2 * 5 * 6 * 3).reshape(2, 5, 6, 3) / 50.0
x = draw(4, 5, 3)

OPS = {
    "max_pool": (lambda x: ops.max_pool(x, 2), [images]),
    "max_pool-overlapping": (lambda x: ops.max_pool(x, 3, 2, "same"), [images]),
    "average_pool": (lambda x: ops.average_pool(x, 3, 2, "same"), [images]),
    "batch_normalization_training": (
        lambda x, g, b: ops.batch_normalization_training(x, g, b)[0],
        [x, draw(3), draw(3)],
    ),
    "batch statistics": (lambda x: ops.concatenate(ops.batch_normalization_training(x)[1:]), [x]),
    "layer_normalization": (ops.layer_normalization, [x, draw(3), draw(3)]),
    "resize": (lambda x: ops.image.resize(x, (7, 9)), [images]),
    "slice": (lambda x: x[::2, 1:-1], [x]),
    "take": (lambda x: ops.take(x, [0, 2, 2, -1], 0), [x]),
    "take_along_axis": (lambda x: ops.take_along_axis(x, [[[0, 2, 2, -1]]], -1), [x]),
    "scatter_update": (lambda x, u: ops.scatter_update(x, [[1], [3]], u), [x, draw(2, 5, 3)]),
    "sort": (lambda x: ops.sort(x, 0), [x]),
    "top_k": (lambda x: ops.top_k(x, 2)[0], [x]),
    "tile": (lambda x: ops.tile(x, (1, 2, 3)), [x]),
    "pad": (lambda x: ops.pad(x, 1, "reflect"), [x]),
    "flip": (lambda x: ops.concatenate([ops.flip(x, 1), ops.roll(x, 1, 0)], 2), [x]),
}


@pytest.mark.parametrize("name", OPS)
def test_second_gradient(name):
    op, arrays = OPS[name]
    xs = [placeholder(a.shape, "float64") for a in arrays]
    y = op(*xs)
    # A nonlinear function of y, whose first gradient depends on x even where y is linear.
    first = gradients([ops.tanh(y) * y], xs)
    directions = [draw(*a.shape) for a in arrays]
    second = gradients([g * d for g, d in zip(first, directions, strict=True)], xs)
    got = Function(xs, second)(arrays)
    gradient = Function(xs, first)

    def along(inputs):
        return sum(float((g * d).sum()) for g, d in zip(gradient(inputs), directions, strict=True))

    step = 1e-5
    for i, h in enumerate(got):
        want = np.zeros_like(arrays[i])
        for index in np.ndindex(want.shape):
            moved = [[a.copy() for a in arrays] for _ in range(2)]
            moved[0][i][index] += step
            moved[1][i][index] -= step
            want[index] = (along(moved[0]) - along(moved[1])) / (2 * step)
        scale = max(1.0, np.abs(want).max())
        np.testing.assert_allclose(h / scale, want / scale, atol=1e-6, err_msg=f"{name}: input {i}")
