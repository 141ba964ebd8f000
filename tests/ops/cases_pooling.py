"""Rows of pooling, against windows cut out one by one."""

import itertools

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(5)


def windows(n, pool, stride, padding):
    if padding == "valid":
        starts = range(0, n - pool + 1, stride)
    else:
        count = -(-n // stride)
        before = max((count - 1) * stride + pool - n, 0) // 2
        starts = [i * stride - before for i in range(count)]
    return [slice(max(s, 0), min(s + pool, n)) for s in starts]


def pooled(x, function, pool, strides, padding):
    spans = [windows(n, p, s, padding) for n, p, s in zip(x.shape[1:-1], pool, strides, strict=True)]
    axes = tuple(range(1, x.ndim - 1))
    values = [function(x[(slice(None), *key)], axis=axes) for key in itertools.product(*spans)]
    return np.stack(values, 1).reshape(x.shape[0], *map(len, spans), x.shape[-1])


def row(op, function, size, pool, strides, padding, channels_first=False):
    x = rng.permutation(np.prod((2, *size, 3))).reshape(2, *size, 3) / 100.0
    steps = pool if strides is None else strides
    name = f"{op.__name__}-{size}-{pool}-{strides}-{padding}{'-first' * channels_first}"
    if channels_first:
        return Case(
            name,
            lambda x: op(x, pool, strides, padding, "channels_first"),
            [np.moveaxis(x, -1, 1).copy()],
            lambda x: np.moveaxis(pooled(np.moveaxis(x, 1, -1), function, pool, steps, padding), -1, 1),
        )
    return Case(
        name,
        lambda x: op(x, pool, strides, padding, "channels_last"),
        [x],
        lambda x: pooled(x, function, pool, steps, padding),
    )


GEOMETRIES = [
    ((7,), (2,), None, "valid"),
    ((8,), (3,), (2,), "same"),
    ((4, 6), (2, 2), None, "valid"),
    ((5, 6), (3, 2), (2, 1), "same"),
    ((5, 6), (2, 3), (3, 2), "valid"),
    ((3, 4, 5), (2, 2, 2), None, "valid"),
    ((3, 4, 5), (2, 3, 2), (1, 2, 2), "same"),
]

CASES = [
    *(row(ops.max_pool, np.max, *g) for g in GEOMETRIES),
    *(row(ops.average_pool, np.mean, *g) for g in GEOMETRIES),
    row(ops.max_pool, np.max, (5, 4), (2, 2), (1, 2), "same", channels_first=True),
    row(ops.average_pool, np.mean, (5,), (2,), None, "valid", channels_first=True),
]
