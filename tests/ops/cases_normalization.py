"""Rows of normalisation."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(6)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


x = draw(3, 4, 5)


def standard(x, axis, epsilon):
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + epsilon)


def training(axis, x, gamma=1.0, beta=0.0):
    rest = tuple(a for a in range(x.ndim) if a != axis)
    along = [1] * x.ndim
    along[axis] = -1
    gamma, beta = np.reshape(gamma, along), np.reshape(beta, along)
    return standard(x, rest, 1e-3) * gamma + beta, x.mean(rest), x.var(rest)


def inference(axis, x, mean, variance, offset=0.0, scale=1.0):
    along = [1] * x.ndim
    along[axis] = -1
    mean, variance, offset, scale = (np.reshape(v, along) for v in (mean, variance, offset, scale))
    return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset


def layer(axis, x, gamma=1.0, beta=0.0):
    return standard(x, axis, 1e-7) * gamma + beta


CASES = [
    Case(
        "batch-training",
        ops.batch_normalization_training,
        [x, draw(5), draw(5)],
        lambda *xs: training(2, *xs),
        unknown=False,
    ),
    Case(
        "batch-training-axis",
        lambda *xs: ops.batch_normalization_training(*xs, axis=1),
        [x, draw(4), draw(4)],
        lambda *xs: training(1, *xs),
        unknown=False,
    ),
    Case(
        "batch-training-plain",
        ops.batch_normalization_training,
        [x],
        lambda x: training(2, x),
        unknown=False,
    ),
    Case(
        "batch-training-beta",
        lambda x, beta: ops.batch_normalization_training(x, beta=beta),
        [x, draw(5)],
        lambda x, beta: training(2, x, 1.0, beta),
        unknown=False,
    ),
    Case(
        "batch-inference",
        lambda x, m, v, o, s: ops.batch_normalization(x, m, v, -1, o, s),
        [x, draw(5), draw(5) + 1.5, draw(5), draw(5)],
        lambda *xs: inference(2, *xs),
    ),
    Case(
        "batch-inference-axis",
        lambda x, m, v: ops.batch_normalization(x, m, v, 1),
        [x, draw(4), draw(4) + 1.5],
        lambda *xs: inference(1, *xs),
    ),
    Case(
        "layer",
        ops.layer_normalization,
        [x, draw(5), draw(5)],
        lambda *xs: layer(-1, *xs),
        unknown=False,
    ),
    Case("layer-plain", ops.layer_normalization, [x], lambda x: layer(-1, x), unknown=False),
    Case(
        "layer-axes",
        lambda x, g, b: ops.layer_normalization(x, g, b, axis=(1, 2)),
        [x, draw(4, 5), draw(4, 5)],
        lambda *xs: layer((1, 2), *xs),
        unknown=False,
    ),
    Case(
        "layer-first-axis",
        lambda x, g: ops.layer_normalization(x, g, axis=0),
        [x, draw(3)],
        lambda x, g: layer(0, x, g[:, None, None]),
        unknown=False,
    ),
    Case(
        "rms",
        ops.rms_normalization,
        [x, draw(5)],
        lambda x, s: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-7) * s,
    ),
    Case(
        "normalize",
        ops.normalize,
        [x],
        lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True),
    ),
    Case(
        "normalize-order",
        lambda x: ops.normalize(x, (0, 2), 3),
        [x],
        lambda x: x / ((np.abs(x) ** 3).sum((0, 2), keepdims=True)) ** (1 / 3),
    ),
]
