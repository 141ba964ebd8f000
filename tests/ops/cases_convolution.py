"""Rows of the convolutions."""

import itertools

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(3)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


def same_padding(n, span, stride):
    total = max(((n + stride - 1) // stride - 1) * stride + span - n, 0)
    return total // 2, total - total // 2


def pads(shape, kernel, strides, padding, dilation):
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        return [same_padding(n, e, s) for n, e, s in zip(shape, spans, strides, strict=True)]
    return [(e - 1 if padding == "causal" else 0, 0) for e in spans]


def taps(x, kernel_shape, strides, padding, dilation):
    """(index of the tap, what every output reads there)."""
    n = len(kernel_shape) - 2
    borders = pads(x.shape[1:-1], kernel_shape[:n], strides, padding, dilation)
    padded = np.pad(x, [(0, 0), *borders, (0, 0)])
    spans = [(k - 1) * d + 1 for k, d in zip(kernel_shape[:n], dilation, strict=True)]
    out = [(e - s) // t + 1 for e, s, t in zip(padded.shape[1:-1], spans, strides, strict=True)]
    for tap in itertools.product(*map(range, kernel_shape[:n])):
        window = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(tap, dilation, out, strides, strict=True)
        )
        yield tap, padded[(slice(None), *window)]


def convolved(x, kernel, strides, padding, dilation):
    groups = x.shape[-1] // kernel.shape[-2]
    y = 0
    for tap, window in taps(x, kernel.shape, strides, padding, dilation):
        xs, kernels = np.split(window, groups, -1), np.split(kernel[tap], groups, -1)
        y = y + np.concatenate([a @ b for a, b in zip(xs, kernels, strict=True)], -1)
    return y


def depthwise(x, kernel, strides, padding, dilation):
    y = 0
    for tap, window in taps(x, kernel.shape, strides, padding, dilation):
        y = y + (window[..., None] * kernel[tap]).reshape(*window.shape[:-1], -1)
    return y


def transposed(x, kernel, size, strides, padding, dilation):
    """Every input adds its multiple of the kernel to the image."""
    n = len(size)
    borders = pads(size, kernel.shape[:n], strides, padding, dilation)
    padded = [s + sum(b) for s, b in zip(size, borders, strict=True)]
    image = np.zeros((x.shape[0], *padded, kernel.shape[-2]))
    for tap in itertools.product(*map(range, kernel.shape[:n])):
        at = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(tap, dilation, x.shape[1:-1], strides, strict=True)
        )
        image[(slice(None), *at)] += x @ kernel[tap].T
    inner = tuple(slice(b[0], b[0] + s) for b, s in zip(borders, size, strict=True))
    return image[(slice(None), *inner)]


def to_last(x):
    return np.moveaxis(x, 1, -1)


def to_first(x):
    return np.moveaxis(x, -1, 1)


def case(op, reference, x_shape, kernel_shape, strides=1, padding="valid", dilation=1, first=False):
    n = len(kernel_shape) - 2
    steps = (strides,) * n if isinstance(strides, int) else strides
    rates = (dilation,) * n if isinstance(dilation, int) else dilation
    data_format = "channels_first" if first else "channels_last"

    def expected(x, kernel):
        y = reference(to_last(x) if first else x, kernel, steps, padding, rates)
        return to_first(y) if first else y

    return Case(
        f"{op.__name__}-{x_shape}-{kernel_shape}-{strides}-{padding}-{dilation}-{data_format}",
        lambda x, kernel: op(x, kernel, strides, padding, data_format=data_format, dilation_rate=dilation),
        [draw(*x_shape), draw(*kernel_shape)],
        expected,
        unknown=False,
    )


def transpose_case(
    x_shape, kernel_shape, size, strides=1, padding="valid", output_padding=None, dilation=1, first=False
):
    n = len(kernel_shape) - 2
    steps = (strides,) * n if isinstance(strides, int) else strides
    data_format = "channels_first" if first else "channels_last"

    def expected(x, kernel):
        y = transposed(to_last(x) if first else x, kernel, size, steps, padding, (dilation,) * n)
        return to_first(y) if first else y

    return Case(
        f"conv_transpose-{x_shape}-{kernel_shape}-{strides}-{padding}-{output_padding}-{dilation}-{data_format}",
        lambda x, kernel: ops.conv_transpose(
            x, kernel, strides, padding, output_padding, data_format, dilation
        ),
        [draw(*x_shape), draw(*kernel_shape)],
        expected,
        unknown=False,
    )


def separable_case(x_shape, depthwise_shape, filters, strides=1, padding="valid", first=False):
    n = len(depthwise_shape) - 2
    data_format = "channels_first" if first else "channels_last"

    def expected(x, kernel, pointwise):
        y = depthwise(to_last(x) if first else x, kernel, (strides,) * n, padding, (1,) * n)
        y = y @ pointwise.reshape(-1, filters)
        return to_first(y) if first else y

    return Case(
        f"separable_conv-{x_shape}-{depthwise_shape}-{strides}-{padding}-{data_format}",
        lambda x, kernel, pointwise: ops.separable_conv(x, kernel, pointwise, strides, padding, data_format),
        [
            draw(*x_shape),
            draw(*depthwise_shape),
            draw(*([1] * n), depthwise_shape[-2] * depthwise_shape[-1], filters),
        ],
        expected,
        unknown=False,
    )


CASES = [
    case(ops.conv, convolved, (2, 5, 4, 3), (3, 2, 3, 2)),
    case(ops.conv, convolved, (1, 5, 6, 2), (3, 3, 2, 3), (2, 1), "same"),
    case(ops.conv, convolved, (1, 6, 5, 2), (2, 3, 2, 2), 3, "same"),
    case(ops.conv, convolved, (1, 7, 7, 2), (3, 2, 2, 2), 1, "same", (2, 3)),
    case(ops.conv, convolved, (1, 7, 6, 1), (2, 2, 1, 2), (2, 3), "valid", 2),
    case(ops.conv, convolved, (1, 4, 4, 4), (2, 2, 2, 6), 1, "same"),
    case(ops.conv, convolved, (2, 3, 4, 5), (2, 2, 3, 2), 2, "same", first=True),
    case(ops.conv, convolved, (2, 4, 4, 5), (2, 3, 2, 2), first=True),
    case(ops.conv, convolved, (2, 7, 3), (3, 3, 2)),
    case(ops.conv, convolved, (2, 7, 3), (3, 3, 2), 2, "same"),
    case(ops.conv, convolved, (2, 7, 3), (2, 3, 2), 1, "causal", 3),
    case(ops.conv, convolved, (2, 7, 2), (3, 2, 2), 2, "causal"),
    case(ops.conv, convolved, (2, 3, 7), (2, 3, 2), first=True),
    case(ops.conv, convolved, (2, 3, 3, 4), (1, 1, 4, 3)),
    case(ops.depthwise_conv, depthwise, (2, 5, 4, 3), (3, 2, 3, 1)),
    case(ops.depthwise_conv, depthwise, (1, 5, 6, 2), (3, 3, 2, 2), 2, "same"),
    case(ops.depthwise_conv, depthwise, (1, 6, 5, 2), (2, 2, 2, 1), (1, 2), "valid", (2, 1)),
    case(ops.depthwise_conv, depthwise, (1, 2, 5, 4), (2, 3, 2, 2), 1, "same", first=True),
    case(ops.depthwise_conv, depthwise, (2, 7, 3), (3, 3, 2), 2, "same"),
    separable_case((1, 5, 5, 2), (3, 3, 2, 2), 3),
    separable_case((1, 5, 4, 2), (2, 3, 2, 1), 3, 2, "same"),
    separable_case((1, 2, 5, 4), (2, 3, 2, 1), 3, first=True),
    separable_case((2, 6, 2), (3, 2, 2), 3, 1, "same"),
    transpose_case((1, 3, 4, 2), (3, 2, 3, 2), (5, 5)),
    transpose_case((1, 3, 2, 2), (3, 3, 3, 2), (7, 5), 2),
    transpose_case((1, 3, 2, 2), (3, 3, 1, 2), (6, 4), 2, "same"),
    transpose_case((1, 3, 2, 2), (3, 3, 2, 2), (8, 6), 2, "valid", 1),
    transpose_case((1, 3, 3, 2), (3, 3, 2, 2), (6, 6), 2, "same", 1),
    transpose_case((1, 3, 3, 2), (3, 3, 2, 2), (5, 5), 2, "same", 0),
    transpose_case((1, 2, 3, 2), (1, 2, 2, 2), (6, 9), 3),
    transpose_case((1, 3, 4, 2), (2, 3, 3, 2), (5, 8), dilation=2),
    transpose_case((1, 2, 3, 4), (3, 3, 3, 2), (6, 8), 2, "same", first=True),
    transpose_case((2, 4, 3), (3, 2, 3), (9,), 2),
    transpose_case((2, 4, 3), (2, 2, 3), (12,), 3, "same"),
]
