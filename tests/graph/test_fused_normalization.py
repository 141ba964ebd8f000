"""A relu runs within the normalisation before it."""

import numpy as np

from kcore import ops
from kcore.graph import Function, gradients, placeholder

rng = np.random.default_rng(0)
a, scale, offset = rng.uniform(-1, 1, (6, 5)), rng.uniform(0.5, 1, 5), rng.uniform(-1, 1, 5)


def normalized():
    x, gamma, beta = (
        placeholder((6, 5), "float64"),
        placeholder((5,), "float64"),
        placeholder((5,), "float64"),
    )
    y, mean, variance = ops.batch_normalization_training(x, gamma, beta)
    statistics = mean * 2.0 + variance  # reads the normalisation before the relu is made
    return (x, gamma, beta), y, statistics


def expected():
    y = (a - a.mean(0)) / np.sqrt(a.var(0) + 1e-3) * scale + offset
    return y, a.mean(0) * 2 + a.var(0)


def test_relu_is_part_of_the_normalisation():
    xs, y, statistics = normalized()
    f = Function(xs, [statistics, ops.relu(y)])
    assert "batch_norm_training+relu" in f.describe([t.shape for t in xs])
    got = f([a, scale, offset])
    y, statistics = expected()
    np.testing.assert_allclose(got[0], statistics)
    np.testing.assert_allclose(got[1], np.maximum(y, 0), atol=1e-12)


def test_relu_stays_apart_where_others_read_the_normalised():
    xs, y, _ = normalized()
    f = Function(xs, [ops.relu(y), ops.tanh(y)])
    assert "batch_norm_training+relu" not in f.describe([t.shape for t in xs])
    got = f([a, scale, offset])
    y, _ = expected()
    np.testing.assert_allclose(got[0], np.maximum(y, 0), atol=1e-12)
    np.testing.assert_allclose(got[1], np.tanh(y))


def test_gradient_through_the_fused_relu():
    xs, y, _ = normalized()
    loss = ops.sum(ops.square(ops.relu(y)))
    f, grads = Function(xs, [loss]), Function(xs, gradients(loss, xs))
    arrays = [a, scale, offset]
    for i, grad in enumerate(grads(arrays)):
        for index in np.ndindex(grad.shape):
            values = []
            for step in (1e-6, -1e-6):
                moved = [v.copy() for v in arrays]
                moved[i][index] += step
                values.append(f(moved)[0])
            np.testing.assert_allclose(grad[index], (values[0] - values[1]) / 2e-6, atol=1e-6)
