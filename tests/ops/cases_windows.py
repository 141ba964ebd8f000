"""Rows of sliding windows and adaptive pooling."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(9)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


images = draw(2, 3, 5, 6)


def columns(x, kernel, dilation, padding, stride):
    x = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    span = [(k - 1) * dilation + 1 for k in kernel]
    cut = [
        x[:, :, r : r + span[0] : dilation, c : c + span[1] : dilation].reshape(len(x), -1)
        for r in range(0, x.shape[2] - span[0] + 1, stride)
        for c in range(0, x.shape[3] - span[1] + 1, stride)
    ]
    return np.stack(cut, -1)


def folded(x, size, kernel):
    """Windows without gaps or overlaps."""
    n, depth, _ = x.shape
    blocks = x.reshape(n, depth // (kernel * kernel), kernel, kernel, size[0] // kernel, size[1] // kernel)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, *size)


def adaptive(x, function, size):
    for axis, m in enumerate(size, 1):
        n = x.shape[axis]
        bounds = [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]
        x = np.stack([function(np.take(x, range(a, b), axis), axis) for a, b in bounds], axis)
    return x


CASES = [
    Case("diff", ops.diff, [draw(3, 4)], np.diff),
    Case("diff-twice", lambda x: ops.diff(x, 2, 0), [draw(5, 3)], lambda x: np.diff(x, 2, 0)),
    Case("diff-nothing", lambda x: ops.diff(x, 3), [draw(3, 2)], lambda x: np.diff(x, 3)),
    Case(
        "extract_sequences",
        lambda x: ops.extract_sequences(x, 4, 3),
        [draw(2, 11)],
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 4, -1)[:, ::3],
    ),
    Case("unfold", lambda x: ops.unfold(x, 2), [images], lambda x: columns(x, (2, 2), 1, 0, 1)),
    Case(
        "unfold-geometry",
        lambda x: ops.unfold(x, (2, 3), 2, 1, 2),
        [images],
        lambda x: columns(x, (2, 3), 2, 1, 2),
    ),
    Case(
        "fold",
        lambda x: ops.fold(x, (4, 6), 2, stride=2),
        [draw(2, 12, 6)],
        lambda x: folded(x, (4, 6), 2),
    ),
    Case(
        "fold-of-unfold",
        lambda x: ops.fold(ops.unfold(x, 3, padding=1), (5, 6), 3, padding=1),
        [images],
        lambda x: x * np.outer([2, 3, 3, 3, 2], [2, 3, 3, 3, 3, 2]),
        unknown=False,
    ),
    *(
        Case(
            f"adaptive_{kind}_pool-{size}",
            lambda x, kind=kind, size=size: getattr(ops, f"adaptive_{kind}_pool")(x, size),
            [draw(2, *extents, 3)],
            lambda x, f=function, size=size: adaptive(x, f, size),
        )
        for kind, function in (("average", np.mean), ("max", np.max))
        for extents, size in (((7,), (3,)), ((6, 5), (3, 4)), ((3, 4, 2), (2, 4, 1)))
    ),
    Case(
        "adaptive_max_pool-first",
        lambda x: ops.adaptive_max_pool(x, 2, "channels_first"),
        [images],
        lambda x: np.moveaxis(adaptive(np.moveaxis(x, 1, -1), np.max, (2, 2)), -1, 1),
    ),
]
