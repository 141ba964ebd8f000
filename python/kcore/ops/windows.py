"""Windows that slide over an axis or an image, and pooling over as many as are asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcore.config import image_data_format
from kcore.conv_arithmetic import normalize_tuple
from kcore.graph import Tensor, composite, dtypes
from kcore.graph.primitives import cast, reshape
from kcore.ops.indexing import gather, scatter_add, take
from kcore.ops.movement import moveaxis, take_ranges
from kcore.ops.operands import Dims, integer, normalize_axis, operand
from kcore.ops.reduction import max as reduce_max
from kcore.ops.reduction import sum as reduce_sum

__all__ = ["adaptive_average_pool", "adaptive_max_pool", "diff", "extract_sequences", "fold", "unfold"]


def _differences(shape: Dims, n: int, axis: int) -> Dims:
    return tuple(max(d - n, 0) if i == axis and d is not None else d for i, d in enumerate(shape))


@composite(deferred=True, infer=lambda x, *, n, axis: (_differences(x.shape, n, axis), x.dtype))
def _diff(x: Any, *, n: int, axis: int) -> Any:
    for _ in range(n):
        ranges = [range(d) for d in x.shape]
        extent = x.shape[axis]
        ranges[axis] = range(min(1, extent), extent)
        later = take_ranges(x, ranges)
        ranges[axis] = range(max(extent - 1, 0))
        x = later - take_ranges(x, ranges)
    return x


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """The differences between neighbours along ``axis``, taken ``n`` times."""
    x = operand(a)
    times = integer(n, "diff: n")
    if times < 0 or str(x.dtype) == "bool":
        raise ValueError(f"diff: n={n} and a tensor of dtype {x.dtype}")
    return _diff(x, n=times, axis=normalize_axis(axis, len(x.shape), "diff"))


def _sequence_count(extent: int | None, length: int, stride: int) -> int | None:
    return None if extent is None else max(0, (extent - length) // stride + 1)


def _infer_sequences(x: Tensor, *, length: int, stride: int) -> tuple:
    return (*x.shape[:-1], _sequence_count(x.shape[-1], length, stride), length), x.dtype


@composite(deferred=True, infer=_infer_sequences)
def _extract_sequences(x: Any, *, length: int, stride: int) -> Any:
    count = _sequence_count(x.shape[-1], length, stride) or 0
    places = np.arange(count)[:, None] * stride + np.arange(length)
    return take(x, places.astype("int32"), -1)


def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """The windows of the last axis: ``(..., time)`` to ``(..., windows, sequence_length)``."""
    x = operand(x)
    length = integer(sequence_length, "extract_sequences: sequence_length")
    stride = integer(sequence_stride, "extract_sequences: sequence_stride")
    if length < 1 or stride < 1 or not x.shape:
        raise ValueError(f"extract_sequences: length {length} and stride {stride} for shape {tuple(x.shape)}")
    return _extract_sequences(x, length=length, stride=stride)


def _columns(size: tuple, kernel: tuple, dilation: tuple, padding: tuple, stride: tuple) -> np.ndarray:
    """For each (kernel element, window) the pixel under it, -1 where that is padding."""
    rows, columns = (
        np.arange(k)[:, None] * d - p + np.arange((n + 2 * p - d * (k - 1) - 1) // s + 1) * s
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )
    inside = ((rows >= 0) & (rows < size[0]))[:, None, :, None] & ((columns >= 0) & (columns < size[1]))[
        :, None
    ]
    places = np.where(inside, rows[:, None, :, None] * size[1] + columns[:, None], -1)
    return places.reshape(math.prod(kernel), -1)


def _infer_unfold(x: Tensor, *, kernel: tuple, **geometry: tuple) -> tuple:
    n, channels, *size = x.shape
    depth = None if channels is None else channels * math.prod(kernel)
    windows = None
    if None not in size:
        windows = _columns(tuple(size), kernel, **geometry).shape[1]  # type: ignore[arg-type]
    return (n, depth, windows), x.dtype


@composite(deferred=True, infer=_infer_unfold)
def _unfold(x: Any, *, kernel: tuple, **geometry: tuple) -> Any:
    n, channels, height, width = x.shape
    places = _columns((height, width), kernel, **geometry)
    # Padding reads beyond the end, which is 0.
    places = np.where(places < 0, height * width, places).astype("int32")
    windows = gather(reshape(x, (n, channels, height * width)), places, axis=2, missing=0.0)
    return reshape(windows, (n, channels * places.shape[0], places.shape[1]))


@composite(
    deferred=True,
    infer=lambda x, *, size, kernel, **geometry: (
        (x.shape[0], None if x.shape[1] is None else x.shape[1] // math.prod(kernel), *size),
        x.dtype,
    ),
)
def _fold(x: Any, *, size: tuple, kernel: tuple, **geometry: tuple) -> Any:
    n, depth, windows = x.shape
    places = _columns(size, kernel, **geometry)
    if depth % math.prod(kernel) or places.shape[1] != windows:
        raise ValueError(
            f"fold: {windows} windows of {depth} elements do not make images of {size} with kernel {kernel}"
        )
    pixels = size[0] * size[1]
    places = np.where(places < 0, pixels, places).astype("int32")
    channels = depth // math.prod(kernel)
    parts = reshape(x, (n, channels, *places.shape))
    return reshape(scatter_add(places, parts, shape=(n, channels, pixels), axis=2), (n, channels, *size))


def _geometry(op: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> dict[str, tuple]:
    geometry = {
        "kernel": normalize_tuple(kernel_size, 2, "kernel_size"),
        "dilation": normalize_tuple(dilation, 2, "dilation"),
        "padding": normalize_tuple(padding, 2, "padding"),
        "stride": normalize_tuple(stride, 2, "stride"),
    }
    if (
        min(*geometry["kernel"], *geometry["dilation"], *geometry["stride"]) < 1
        or min(geometry["padding"]) < 0
    ):
        raise ValueError(f"{op}: kernel_size, dilation and stride must be positive, padding not negative")
    return geometry


def unfold(
    x: Any,
    kernel_size: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    stride: int | tuple[int, int] = 1,
) -> Any:
    """The windows of channels-first images as columns (im2col).

    Args:
        x: ``(batch, channels, height, width)``.
        kernel_size, dilation, stride: of the windows.
        padding: zeros on all sides.

    Returns:
        ``(batch, channels * kernel height * kernel width, windows)``.
    """
    x = operand(x)
    if len(x.shape) != 4:
        raise ValueError(f"unfold: needs images (batch, channels, height, width), got shape {tuple(x.shape)}")
    return _unfold(x, **_geometry("unfold", kernel_size, dilation, padding, stride))


def fold(
    x: Any,
    output_size: int | tuple[int, int],
    kernel_size: int | tuple[int, int],
    dilation: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    stride: int | tuple[int, int] = 1,
) -> Any:
    """Channels-first images as the sums of their windows: ``unfold`` transposed.

    Args:
        x: ``(batch, channels * kernel height * kernel width, windows)``.
        output_size: height and width of the images.
        kernel_size, dilation, padding, stride: as for ``unfold``.
    """
    x = operand(x)
    if len(x.shape) != 3:
        raise ValueError(f"fold: needs columns (batch, elements, windows), got shape {tuple(x.shape)}")
    geometry = _geometry("fold", kernel_size, dilation, padding, stride)
    return _fold(x, size=normalize_tuple(output_size, 2, "output_size"), **geometry)


@composite(deferred=True, infer=lambda x, *, kind, size: ((x.shape[0], *size, x.shape[-1]), x.dtype))
def _adaptive_pool(x: Any, *, kind: str, size: tuple[int, ...]) -> Any:
    """One axis after another: window i of m over n elements is from floor(i n / m) to ceil((i + 1) n / m)."""
    for axis, m in enumerate(size, 1):
        n = x.shape[axis]
        begin = np.arange(m) * n // m
        length = -(-(np.arange(m) + 1) * n // m) - begin
        steps = np.arange(length.max(initial=0))
        # Shorter windows repeat their last element, which counts once.
        places = begin[:, None] + np.minimum(steps, length[:, None] - 1)
        windows = take(x, places.astype("int32"), axis)
        if kind == "max":
            x = reduce_max(windows, axis=axis + 1)
            continue
        weights = ((steps < length[:, None]) / length[:, None]).astype(str(x.dtype))
        weights = weights.reshape(*weights.shape, *(1,) * (len(x.shape) - axis - 1))
        x = reduce_sum(windows * weights, axis=axis + 1)
    return x


def _adaptive(kind: str, inputs: Any, output_size: Any, data_format: str | None) -> Any:
    x = operand(inputs)
    x = x if dtypes.is_float(str(x.dtype)) else cast(x, dtypes.floatx())
    if len(x.shape) not in (3, 4, 5):
        raise ValueError(f"adaptive_{kind}_pool: needs 1, 2 or 3 spatial axes, got shape {tuple(x.shape)}")
    size = normalize_tuple(output_size, len(x.shape) - 2, "output_size")
    if min(size) < 1:
        raise ValueError(f"adaptive_{kind}_pool: output_size must be positive, got {output_size}")
    if (data_format or image_data_format()) == "channels_first":
        return moveaxis(_adaptive_pool(moveaxis(x, 1, -1), kind=kind, size=size), -1, 1)
    return _adaptive_pool(x, kind=kind, size=size)


def adaptive_average_pool(
    inputs: Any, output_size: int | tuple[int, ...], data_format: str | None = None
) -> Any:
    """The means of so many windows as ``output_size`` asks for, of nearly equal extents.

    Args:
        inputs: ``(batch, *spatial, channels)``, or channels first.
        output_size: the extents of the result's spatial axes.
        data_format: ``'channels_last'`` or ``'channels_first'``; the configured one if ``None``.
    """
    return _adaptive("average", inputs, output_size, data_format)


def adaptive_max_pool(inputs: Any, output_size: int | tuple[int, ...], data_format: str | None = None) -> Any:
    """The greatest elements of so many windows as ``output_size`` asks for; see ``adaptive_average_pool``."""
    return _adaptive("max", inputs, output_size, data_format)
