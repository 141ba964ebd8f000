"""Ops on images: ``kcore.ops.image``. Images are ``(height, width, channels)``, or a batch of those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcore.config import image_data_format
from kcore.conv_arithmetic import normalize_tuple
from kcore.graph import Tensor, composite, dtypes, primitive
from kcore.graph.primitives import cast
from kcore.ops.movement import concatenate, expand_dims, moveaxis, pad, squeeze, take_ranges
from kcore.ops.operands import Dims, operand

__all__ = ["crop_images", "extract_patches", "pad_images", "resize", "rgb_to_grayscale"]

_resize = primitive(
    "resize",
    infer=lambda x, *, size, method: ((x.shape[0], *size, x.shape[3]), x.dtype),
    gradient=lambda y, dy, x, *, size, method: _resize_gradient(dy, size=x.shape[1:3], method=method),
    lower=lambda attrs: {"method": attrs["method"]},
)

_resize_gradient = primitive(
    "resize_gradient",
    infer=lambda dy, *, size, method: ((dy.shape[0], *size, dy.shape[3]), dy.dtype),
    gradient=lambda dx, g, dy, *, size, method: _resize(g, size=dy.shape[1:3], method=method),
    lower=lambda attrs: {"method": attrs["method"]},
)


def _on_batches(op: str, images: Any, data_format: str | None, function: Callable) -> Any:
    """``function`` of ``images`` as a batch of channels-last float images; the result in their own format."""
    x = operand(images)
    data_format = data_format or image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"{op}: unknown data_format {data_format!r}")
    if len(x.shape) not in (3, 4):
        raise ValueError(f"{op}: needs an image or a batch of images, got shape {tuple(x.shape)}")
    first = data_format == "channels_first"
    x = moveaxis(x, -3, -1) if first else x
    y = squeeze(function(expand_dims(x, 0)), 0) if len(x.shape) == 3 else function(x)
    return moveaxis(y, -1, -3) if first else y


def resize(
    images: Any,
    size: int | tuple[int, int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    data_format: str | None = None,
) -> Any:
    """Images of another height and width.

    Args:
        images: an image or a batch of images.
        size: the new height and width.
        interpolation: ``'nearest'`` or ``'bilinear'``; pixels have their centres at halves.
        antialias: must be false.
        data_format: ``'channels_last'`` or ``'channels_first'``; the configured one if ``None``.

    Returns:
        The resized images, of the dtype of ``images`` (integers are computed in ``floatx()`` and rounded
        towards zero).
    """
    extents = normalize_tuple(size, 2, "size")
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"resize: interpolation must be 'nearest' or 'bilinear', got {interpolation!r}")
    if antialias:
        raise ValueError("resize: antialias is not supported")
    if min(extents) < 1:
        raise ValueError(f"resize: size must be positive, got {size}")

    def resized(x: Any) -> Any:
        dtype = str(x.dtype)
        if dtypes.is_float(dtype):
            return _resize(x, size=extents, method=interpolation)
        return cast(_resize(cast(x, dtypes.floatx()), size=extents, method=interpolation), dtype)

    return _on_batches("resize", images, data_format, resized)


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """One channel, ``0.2989 R + 0.5870 G + 0.1140 B`` (the luma of ITU-R BT.601)."""

    def gray(x: Any) -> Any:
        if x.shape[-1] not in (None, 3):
            raise ValueError(f"rgb_to_grayscale: needs three channels, got shape {tuple(x.shape)}")
        dtype = str(x.dtype)
        y = x if dtypes.is_float(dtype) else cast(x, dtypes.floatx())
        red, green, blue = (_channel(y, index=i) for i in range(3))
        return cast(0.2989 * red + 0.5870 * green + 0.1140 * blue, dtype)

    return _on_batches("rgb_to_grayscale", images, data_format, gray)


@composite(deferred=True, infer=lambda x, *, index: ((*x.shape[:-1], 1), x.dtype))
def _channel(x: Any, *, index: int) -> Any:
    return take_ranges(x, [*(range(d) for d in x.shape[:-1]), range(index, index + 1)])


def _border(
    op: str, low: int | None, high: int | None, target: int | None, extent: int | None, grow: bool
) -> tuple:
    """What to add to (or take from) both ends of an axis, of which two of the three numbers are given."""
    if (low is None) + (high is None) + (target is None) != 1:
        raise ValueError(f"{op}: give exactly two of both sides and the target, for height and for width")
    if target is not None:
        if extent is None:
            raise ValueError(f"{op}: a target extent needs images of known extents")
        total = target - extent if grow else extent - target
        low, high = (total - high, high) if low is None else (low, total - low)  # type: ignore[operator]
    if low < 0 or high < 0:  # type: ignore[operator]
        raise ValueError(f"{op}: a side of {low} and {high} pixels")
    return low, high


def pad_images(
    images: Any,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with a border of zeros; for each direction two of both sides and the target are given."""

    def padded(x: Any) -> Any:
        rows = _border("pad_images", top_padding, bottom_padding, target_height, x.shape[1], True)
        columns = _border("pad_images", left_padding, right_padding, target_width, x.shape[2], True)
        return pad(x, ((0, 0), rows, columns, (0, 0)))

    return _on_batches("pad_images", images, data_format, padded)


def _cropped(shape: Dims, rows: tuple, columns: tuple) -> Dims:
    def left(d: int | None, border: tuple) -> int | None:
        if d is not None and d < sum(border):
            raise ValueError(f"crop_images: {border[0]} + {border[1]} pixels of {d}")
        return None if d is None else d - sum(border)

    return (shape[0], left(shape[1], rows), left(shape[2], columns), shape[3])


@composite(deferred=True, infer=lambda x, *, rows, columns: (_cropped(x.shape, rows, columns), x.dtype))
def _crop(x: Any, *, rows: tuple, columns: tuple) -> Any:
    n, h, w, c = x.shape
    _cropped(x.shape, rows, columns)
    return take_ranges(
        x, [range(n), range(rows[0], h - rows[1]), range(columns[0], w - columns[1]), range(c)]
    )


def crop_images(
    images: Any,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images without their border; for each direction two of both sides and the target are given."""

    def cropped(x: Any) -> Any:
        rows = _border("crop_images", top_cropping, bottom_cropping, target_height, x.shape[1], False)
        columns = _border("crop_images", left_cropping, right_cropping, target_width, x.shape[2], False)
        return _crop(x, rows=rows, columns=columns)

    return _on_batches("crop_images", images, data_format, cropped)


def _patch_count(n: int | None, span: int, stride: int, padding: str) -> int | None:
    if n is None:
        return None
    return -(-n // stride) if padding == "same" else max(0, (n - span) // stride + 1)


def _infer_patches(x: Tensor, *, size: tuple, strides: tuple, dilation: tuple, padding: str) -> tuple:
    counts = [
        _patch_count(n, (k - 1) * d + 1, s, padding)
        for n, k, s, d in zip(x.shape[1:3], size, strides, dilation, strict=True)
    ]
    depth = None if x.shape[3] is None else size[0] * size[1] * x.shape[3]
    return (x.shape[0], *counts, depth), x.dtype


@composite(deferred=True, infer=_infer_patches)
def _extract_patches(x: Any, *, size: tuple, strides: tuple, dilation: tuple, padding: str) -> Any:
    (_, *counts, _), _ = _infer_patches(x, size=size, strides=strides, dilation=dilation, padding=padding)
    if padding == "same":
        spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        totals = [
            max((m - 1) * s + span - n, 0)
            for m, s, span, n in zip(counts, strides, spans, x.shape[1:3], strict=True)
        ]
        x = pad(x, ((0, 0), *((t // 2, t - t // 2) for t in totals), (0, 0)))

    def places(axis: int, offset: int) -> range:
        begin = offset * dilation[axis]
        return range(begin, begin + counts[axis] * strides[axis], strides[axis])

    whole = range(x.shape[0]), range(x.shape[3])
    parts = [
        take_ranges(x, [whole[0], places(0, i), places(1, j), whole[1]])
        for i in range(size[0])
        for j in range(size[1])
    ]
    return concatenate(parts, 3)


def extract_patches(
    images: Any,
    size: int | tuple[int, int],
    strides: int | tuple[int, int] | None = None,
    dilation_rate: int | tuple[int, int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The windows of a convolution, each as one vector of channels.

    Args:
        images: an image or a batch of images.
        size: height and width of a patch.
        strides: from patch to patch; ``size`` if ``None``.
        dilation_rate: from pixel to pixel within a patch.
        padding: ``'valid'`` or ``'same'``.
        data_format: ``'channels_last'`` or ``'channels_first'``; the configured one if ``None``.

    Returns:
        ``(batch, rows, columns, height * width * channels)`` (or channels first).
    """
    extents = normalize_tuple(size, 2, "size")
    steps = extents if strides is None else normalize_tuple(strides, 2, "strides")
    dilation = normalize_tuple(dilation_rate, 2, "dilation_rate")
    if padding not in ("valid", "same") or min(*extents, *steps, *dilation) < 1:
        raise ValueError(
            f"extract_patches: size {size}, strides {strides} and dilation_rate {dilation_rate} must be "
            f"positive and padding 'valid' or 'same', got {padding!r}"
        )

    def patches(x: Any) -> Any:
        return _extract_patches(x, size=extents, strides=steps, dilation=dilation, padding=padding)

    return _on_batches("extract_patches", images, data_format, patches)
