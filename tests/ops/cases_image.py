"""Rows of the ops on images."""

import numpy as np
from checks import Case

from kcore.ops import image

rng = np.random.default_rng(7)
x = rng.uniform(-1, 1, (2, 4, 5, 3))


def matrix(method, n, m):
    """One row per output pixel: its weights over the input's."""
    weights = np.zeros((m, n))
    for o in range(m):
        centre = (o + 0.5) * n / m
        if method == "nearest":
            weights[o, min(int(centre), n - 1)] = 1
            continue
        low = int(np.floor(centre - 0.5))
        weights[o, max(low, 0)] += 1 - (centre - 0.5 - low)
        weights[o, min(low + 1, n - 1)] += centre - 0.5 - low
    return weights


def resized(x, size, method):
    return np.einsum(
        "oh,pw,...hwc->...opc", matrix(method, x.shape[-3], size[0]), matrix(method, x.shape[-2], size[1]), x
    )


def gray(x):
    return (x * [0.2989, 0.5870, 0.1140]).sum(-1, keepdims=True)


def patches(x, size, strides, dilation):
    rows = range(0, x.shape[1] - (size[0] - 1) * dilation, strides[0])
    columns = range(0, x.shape[2] - (size[1] - 1) * dilation, strides[1])
    cut = [
        [
            x[:, r : r + size[0] * dilation : dilation, c : c + size[1] * dilation : dilation].reshape(
                len(x), -1
            )
            for c in columns
        ]
        for r in rows
    ]
    return np.moveaxis(np.array(cut), 2, 0)


CASES = [
    *(
        Case(
            f"resize-{method}-{size}",
            lambda x, s=size, m=method: image.resize(x, s, m),
            [x],
            lambda x, s=size, m=method: resized(x, s, m),
        )
        for method in ("nearest", "bilinear")
        for size in ((8, 10), (3, 2), (4, 5), (7, 11))
    ),
    Case("resize-one", lambda x: image.resize(x, 6), [x[0]], lambda x: resized(x, (6, 6), "bilinear")),
    Case(
        "resize-channels_first",
        lambda x: image.resize(x, (6, 3), data_format="channels_first"),
        [np.moveaxis(x, -1, 1).copy()],
        lambda x: np.moveaxis(resized(np.moveaxis(x, 1, -1), (6, 3), "bilinear"), -1, 1),
    ),
    Case(
        "resize-integers",
        lambda x: image.resize(x, (8, 10), "nearest"),
        [(x * 100).astype("int32")],
        lambda x: x.repeat(2, 1).repeat(2, 2),
    ),
    Case("rgb_to_grayscale", image.rgb_to_grayscale, [x], gray),
    Case(
        "pad_images",
        lambda x: image.pad_images(x, 1, 2, 0, 3),
        [x],
        lambda x: np.pad(x, ((0, 0), (1, 0), (2, 3), (0, 0))),
    ),
    Case(
        "pad_images-target",
        lambda x: image.pad_images(x, top_padding=1, right_padding=0, target_height=7, target_width=6),
        [x],
        lambda x: np.pad(x, ((0, 0), (1, 2), (1, 0), (0, 0))),
        unknown=False,
    ),
    Case("crop_images", lambda x: image.crop_images(x, 1, 0, 1, 2), [x], lambda x: x[:, 1:3, :3]),
    Case(
        "crop_images-target",
        lambda x: image.crop_images(
            x[0], bottom_cropping=0, left_cropping=1, target_height=2, target_width=2
        ),
        [x],
        lambda x: x[0, 2:, 1:3],
        unknown=False,
    ),
    Case(
        "extract_patches", lambda x: image.extract_patches(x, 2), [x], lambda x: patches(x, (2, 2), (2, 2), 1)
    ),
    Case(
        "extract_patches-dilated",
        lambda x: image.extract_patches(x, (2, 3), 1, 2),
        [x],
        lambda x: patches(x, (2, 3), (1, 1), 2),
    ),
    Case(
        "extract_patches-same",
        lambda x: image.extract_patches(x, 3, 2, padding="same"),
        [x],
        lambda x: patches(np.pad(x, ((0, 0), (0, 1), (1, 1), (0, 0))), (3, 3), (2, 2), 1),
    ),
]
