"""Reshaping, joining, repeating, padding and indexing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kcore import ops
from kcore.backend.configuration import normalize_data_format
from kcore.backend.tensors import int_shape, shape
from kcore.graph import composite, dtypes

__all__ = [
    "arange",
    "batch_flatten",
    "concatenate",
    "expand_dims",
    "flatten",
    "one_hot",
    "permute_dimensions",
    "repeat",
    "repeat_elements",
    "reshape",
    "resize_images",
    "reverse",
    "slice",
    "spatial_2d_padding",
    "squeeze",
    "stack",
    "temporal_padding",
    "tile",
]


def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
    return ops.concatenate(list(tensors), axis=axis)


def reshape(x: Any, shape: Any) -> Any:
    return ops.reshape(x, shape)


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """The axes in the order of ``pattern``."""
    return ops.transpose(x, tuple(pattern))


def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest"
) -> Any:
    """Images enlarged by whole factors, ``"nearest"`` or ``"bilinear"`` between pixel centres."""
    rows, columns = (2, 3) if normalize_data_format(data_format) == "channels_first" else (1, 2)
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"interpolation should be one of 'nearest' or 'bilinear', got {interpolation!r}")
    if interpolation == "nearest" and not ops.dtype(x).startswith("float"):
        return ops.repeat(ops.repeat(x, height_factor, axis=rows), width_factor, axis=columns)
    return _enlarged(x, rows=rows, factors=(height_factor, width_factor), interpolation=interpolation)


def _enlarged_shape(x: Any, *, rows: int, factors: tuple[int, int], interpolation: str) -> tuple:
    shape = list(x.shape)
    for axis, factor in zip((rows, rows + 1), factors, strict=True):
        shape[axis] = None if shape[axis] is None else shape[axis] * factor
    return tuple(shape), x.dtype


@composite(deferred=True, infer=_enlarged_shape)
def _enlarged(x: Any, *, rows: int, factors: tuple[int, int], interpolation: str) -> Any:
    size = (x.shape[rows] * factors[0], x.shape[rows + 1] * factors[1])
    data_format = "channels_last" if rows == 1 else "channels_first"
    return ops.image.resize(x, size, interpolation=interpolation, data_format=data_format)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each slice along ``axis`` repeated ``rep`` times."""
    return ops.repeat(x, rep, axis=axis)


def repeat(x: Any, n: int) -> Any:
    """``(batch, features)`` to ``(batch, n, features)``."""
    if len(x.shape) != 2:
        raise ValueError(f"repeat takes a matrix, got shape {tuple(x.shape)}")
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: str = "int32") -> Any:
    """``start, start + step, ...`` below ``stop``; from 0 if only one number is given."""
    return ops.arange(start, stop, step, dtype=dtypes.standardize(dtype))


def tile(x: Any, n: Any) -> Any:
    """``x`` laid out ``n`` times along each axis; a number counts for the last."""
    return ops.tile(x, n)


def flatten(x: Any) -> Any:
    """A vector of all elements."""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """A matrix: all but the first axis made one."""
    inner = int_shape(x)[1:]
    if None not in inner:
        return ops.reshape(x, (-1, math.prod(inner)))  # type: ignore[arg-type]
    return ops.reshape(x, (shape(x)[0], -1))


def expand_dims(x: Any, axis: int = -1) -> Any:
    return ops.expand_dims(x, axis)


def squeeze(x: Any, axis: int) -> Any:
    return ops.squeeze(x, axis)


def temporal_padding(x: Any, padding: tuple[int, int] = (1, 1)) -> Any:
    """Zeros before and after the middle axis of ``(batch, steps, features)``."""
    return ops.pad(x, [(0, 0), tuple(padding), (0, 0)])


def spatial_2d_padding(x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around images: ``((top, bottom), (left, right))``."""
    space = [tuple(pair) for pair in padding]
    if normalize_data_format(data_format) == "channels_first":
        return ops.pad(x, [(0, 0), (0, 0), *space])
    return ops.pad(x, [(0, 0), *space, (0, 0)])


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    return ops.stack(list(x), axis=axis)


def one_hot(indices: Any, num_classes: int) -> Any:
    """``(...)`` integers to ``(..., num_classes)`` zeros with a one at each index."""
    return ops.one_hot(indices, num_classes)


def reverse(x: Any, axes: Any) -> Any:
    """The order along ``axes`` reversed."""
    return ops.flip(x, axis=axes)


def slice(x: Any, start: Any, size: Any) -> Any:
    """``size`` elements from ``start`` on along each axis."""
    return ops.slice(x, start, size)
