"""Ops that move elements: shapes, order of axes, parts and repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from kcore.graph import Tensor, composite, constant_value, primitive
from kcore.graph import primitives as graph
from kcore.graph.primitives import reduce_sum, reshape
from kcore.ops.operands import Dims, integer, merge_dims, normalize_axes, normalize_axis, operand, promoted

__all__ = [
    "append",
    "array_split",
    "broadcast_to",
    "concatenate",
    "depth_to_space",
    "dsplit",
    "dstack",
    "expand_dims",
    "flip",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "moveaxis",
    "pad",
    "permute_dimensions",
    "ravel",
    "repeat",
    "roll",
    "rot90",
    "slice",
    "space_to_depth",
    "split",
    "squeeze",
    "stack",
    "swapaxes",
    "tile",
    "transpose",
    "unstack",
    "vsplit",
    "vstack",
]


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes of ``x`` in another order: output axis ``i`` is input axis ``axes[i]``.

    Without ``axes`` the order is reversed. Raises ``ValueError`` unless ``axes`` names every axis once.
    """
    x = operand(x)
    ndim = len(x.shape)
    perm = tuple(reversed(range(ndim))) if axes is None else normalize_axes(tuple(axes), ndim, "transpose")
    if len(perm) != ndim:
        raise ValueError(f"transpose: axes {axes!r} do not fit a tensor of shape {x.shape}")
    return graph.transpose(x, perm=perm)


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """``transpose`` under its name of Keras 2."""
    return transpose(x, pattern)


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """``x`` with the axes ``source`` at the places ``destination``, the others in their order."""
    x = operand(x)
    ndim = len(x.shape)
    sources = normalize_axes(source, ndim, "moveaxis")
    destinations = normalize_axes(destination, ndim, "moveaxis")
    if len(sources) != len(destinations):
        raise ValueError(f"moveaxis: {source!r} and {destination!r} are not equally many")
    order = [a for a in range(ndim) if a not in sources]
    for place, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(place, axis)
    return transpose(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """``x`` with two axes exchanged."""
    x = operand(x)
    order = list(range(len(x.shape)))
    a, b = normalize_axis(axis1, len(order), "swapaxes"), normalize_axis(axis2, len(order), "swapaxes")
    order[a], order[b] = b, a
    return transpose(x, order)


def ravel(x: Any) -> Any:
    """All elements as a vector."""
    return reshape(operand(x), (-1,))


def _expanded(shape: Dims, axes: tuple[int, ...]) -> Dims:
    rest = iter(shape)
    return tuple(1 if i in axes else next(rest) for i in range(len(shape) + len(axes)))


@composite(deferred=True, infer=lambda x, *, axes: (_expanded(x.shape, axes), x.dtype))
def _expand_dims(x: Any, *, axes: tuple[int, ...]) -> Any:
    return reshape(x, _expanded(x.shape, axes))


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """``x`` with axes of extent 1 put in, at ``axis`` of the result."""
    x = operand(x)
    count = len(axis) if isinstance(axis, (list, tuple)) else 1
    return _expand_dims(x, axes=normalize_axes(axis, len(x.shape) + count, "expand_dims"))


def _squeezed(shape: Dims, axes: tuple[int, ...]) -> Dims:
    for a in axes:
        if shape[a] not in (1, None):
            raise ValueError(f"squeeze: axis {a} of a tensor of shape {tuple(shape)} has not extent 1")
    return tuple(d for i, d in enumerate(shape) if i not in axes)


@composite(deferred=True, infer=lambda x, *, axes: (_squeezed(x.shape, axes), x.dtype))
def _squeeze(x: Any, *, axes: tuple[int, ...]) -> Any:
    return reshape(x, _squeezed(x.shape, axes))


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """``x`` without the axes ``axis`` (all of them, if ``None``) of extent 1."""
    x = operand(x)
    if axis is None:
        return _squeeze(x, axes=tuple(i for i, d in enumerate(x.shape) if d == 1))
    return _squeeze(x, axes=normalize_axes(axis, len(x.shape), "squeeze"))


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """``x`` repeated along new axes and along those of extent 1 until it has ``shape``."""
    x = operand(x)
    if any(isinstance(d, Tensor) and constant_value(d) is None for d in shape):
        from kcore.ops.creation import full

        return graph.where(full(shape, True, "bool"), x, x)
    target = tuple(integer(d, "broadcast_to: an extent") for d in shape)
    own = x.shape
    fits = len(own) <= len(target) and all(
        d in (1, None, t) for d, t in zip(own, target[len(target) - len(own) :], strict=True)
    )
    if not fits or any(t < 0 for t in target):
        raise ValueError(f"broadcast_to: a tensor of shape {tuple(own)} cannot be broadcast to {target}")
    return graph.broadcast_to(x, shape=target)


# Parts.


_slice = primitive(
    "slice",
    infer=lambda x, *, shape, **where: (shape, x.dtype),
    gradient=lambda y, dy, x, *, shape, **where: _unslice(dy, shape=x.shape, **where),
    lower=lambda attrs: {"begin": attrs["begin"], "strides": attrs["strides"]},
)

_unslice = primitive(
    "slice_gradient",
    infer=lambda x, *, shape, **where: (shape, x.dtype),
    gradient=lambda y, dy, x, *, shape, **where: _slice(dy, shape=x.shape, **where),
    lower=lambda attrs: {"begin": attrs["begin"], "strides": attrs["strides"]},
)


def take_ranges(x: Any, ranges: Sequence[range]) -> Any:
    """The part of ``x`` (of known shape) that one range for each axis names."""
    shape = tuple(len(r) for r in ranges)
    if shape == tuple(x.shape) and all(r == range(len(r)) for r in ranges):
        return x
    begin = tuple(r.start if len(r) else 0 for r in ranges)
    return _slice(x, begin=begin, strides=tuple(r.step for r in ranges), shape=shape)


def _part(x: Any, axis: int, begin: int, end: int) -> Any:
    ranges = [range(d) for d in x.shape]
    ranges[axis] = range(begin, end)
    return take_ranges(x, ranges)


def _sliced_extents(shape: Dims, start: tuple, size: tuple) -> Dims:
    result: list[int | None] = []
    for d, begin, extent in zip(shape, start, size, strict=True):
        if extent == -1:
            extent = None if d is None else d - begin
        if begin < 0 or (extent is not None and (extent < 0 or (d is not None and begin + extent > d))):
            raise ValueError(f"slice: {size} elements from {start} on leave a tensor of shape {tuple(shape)}")
        result.append(extent)
    return tuple(result)


@composite(deferred=True, infer=lambda x, *, start, size: (_sliced_extents(x.shape, start, size), x.dtype))
def _slice_at(x: Any, *, start: tuple, size: tuple) -> Any:
    extents = _sliced_extents(x.shape, start, size)
    return take_ranges(x, [range(b, b + n) for b, n in zip(start, extents, strict=True)])  # type: ignore[operator]


def slice(inputs: Any, start_indices: Any, shape: Sequence[int]) -> Any:
    """The part of ``inputs`` of the given ``shape`` that begins at ``start_indices``.

    Args:
        inputs: a tensor of any rank.
        start_indices: one index for each axis; numbers, or an integer tensor or array, whose indices are
            clipped so that the part lies within ``inputs``.
        shape: the extents of the part; -1 for all that is left (where the start is a number).
    """
    x = operand(inputs)
    size = tuple(integer(n, "slice: an extent") for n in shape)
    if not isinstance(start_indices, (list, tuple)) or any(isinstance(s, Tensor) for s in start_indices):
        return _slice_dynamically(x, operand(start_indices), size=size)
    start = tuple(int(s) for s in start_indices)
    if not len(start) == len(size) == len(x.shape):
        raise ValueError(f"slice: {size} elements from {start} on of a tensor of shape {tuple(x.shape)}")
    return _slice_at(x, start=start, size=size)


@composite(deferred=True, infer=lambda x, starts, *, size: (size, x.dtype))
def _slice_dynamically(x: Any, starts: Any, *, size: tuple) -> Any:
    from kcore.ops.elementwise import maximum, minimum
    from kcore.ops.indexing import take

    _sliced_extents(x.shape, (0,) * len(x.shape), size)
    for axis, n in enumerate(size):
        if n == x.shape[axis]:
            continue
        start = maximum(minimum(starts[axis], x.shape[axis] - n), 0)
        x = take(x, start + np.arange(n, dtype="int32"), axis)
    return x


def _split_extents(extent: int | None, parts: int | tuple[int, ...], op: str) -> list[int | None]:
    """Extents of the parts: so many equal ones, or those between the given places."""
    if isinstance(parts, int):
        if extent is not None and extent % parts:
            raise ValueError(f"{op}: an axis of extent {extent} does not split into {parts} equal parts")
        return [None if extent is None else extent // parts] * parts
    if extent is None:
        return [None] * (len(parts) + 1)
    return [len(r) for r in _split_ranges(extent, parts)]


def _split_ranges(extent: int, places: tuple[int, ...]) -> list[range]:
    return [range(min(a, extent), min(b, extent)) for a, b in pairwise((0, *places, extent))]


def _infer_split(x: Tensor, *, parts: Any, axis: int) -> list[tuple]:
    extents = _split_extents(x.shape[axis], parts, "split")
    return [((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype) for n in extents]


@composite(deferred=True, infer=_infer_split)
def _split(x: Any, *, parts: Any, axis: int) -> Any:
    extent = x.shape[axis]
    if isinstance(parts, int):
        parts = tuple(i * (extent // parts) for i in range(1, parts))
    return tuple(_part(x, axis, r.start, r.start + len(r)) for r in _split_ranges(extent, parts))


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """``x`` cut along ``axis``: a list of parts.

    Args:
        x: a tensor.
        indices_or_sections: how many equal parts, or the places to cut at.
        axis: the axis to cut.

    Raises:
        ValueError: if the axis doesn't split into so many equal parts.
    """
    x = operand(x)
    axis = normalize_axis(axis, len(x.shape), "split")
    if isinstance(indices_or_sections, (list, tuple, np.ndarray)):
        parts: Any = tuple(integer(i, "split: a place") for i in indices_or_sections)
        if any(p < 0 for p in parts):
            if x.shape[axis] is None:
                raise ValueError("split: a place counted from the end of an axis of unknown extent")
            parts = tuple(p % x.shape[axis] if p < 0 else p for p in parts)
        if not parts:
            return [x]
    else:
        parts = integer(indices_or_sections, "split: the number of parts")
        if parts < 1:
            raise ValueError(f"split: the number of parts must be positive, got {parts}")
        if parts == 1:
            return [x]
        _split_extents(x.shape[axis], parts, "split")
    return list(_split(x, parts=parts, axis=axis))


def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Any]:
    """``split`` into parts whose extents differ by at most one, the longer ones first."""
    x = operand(x)
    axis = normalize_axis(axis, len(x.shape), "array_split")
    if isinstance(indices_or_sections, (list, tuple, np.ndarray)):
        return split(x, indices_or_sections, axis)
    extent, parts = x.shape[axis], integer(indices_or_sections, "array_split: the number of parts")
    if extent is None:
        raise ValueError("array_split: the extent of the axis is not known")
    if parts < 1:
        raise ValueError(f"array_split: the number of parts must be positive, got {parts}")
    longer = extent % parts
    return split(x, [i * (extent // parts) + min(i, longer) for i in range(1, parts)], axis)


def hsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """``split`` along axis 1 (axis 0 of a vector)."""
    x = operand(x)
    return split(x, indices_or_sections, 1 if len(x.shape) > 1 else 0)


def vsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """``split`` along axis 0."""
    return split(x, indices_or_sections, 0)


def dsplit(x: Any, indices_or_sections: int | Sequence[int]) -> list[Any]:
    """``split`` along axis 2."""
    return split(x, indices_or_sections, 2)


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """The slices of ``x`` along ``axis``, without that axis; ``num`` is needed if its extent is unknown."""
    x = operand(x)
    axis = normalize_axis(axis, len(x.shape), "unstack")
    count = x.shape[axis] if num is None else num
    if count is None:
        raise ValueError("unstack: the extent of the axis is not known; give `num`")
    if x.shape[axis] not in (None, count):
        raise ValueError(f"unstack: num={num} for an axis of extent {x.shape[axis]}")
    return [squeeze(part, axis) for part in split(x, count, axis)] if count else []


# Joining.


def _infer_concatenate(*xs: Tensor, axis: int) -> tuple:
    dims = merge_dims([x.shape for x in xs], "concatenate", axis)
    extents = [x.shape[axis] for x in xs]
    dims[axis] = None if None in extents else sum(extents)  # type: ignore[arg-type]
    return tuple(dims), xs[0].dtype


def _concatenate_gradient(y: Tensor, dy: Tensor, *xs: Tensor, axis: int) -> tuple[Tensor, ...]:
    ends = np.cumsum([x.shape[axis] for x in xs])
    return tuple(_part(dy, axis, int(end) - x.shape[axis], int(end)) for x, end in zip(xs, ends, strict=True))  # type: ignore[operator]


_concatenate = primitive("concatenate", infer=_infer_concatenate, gradient=_concatenate_gradient)


def concatenate(xs: Sequence[Any], axis: int | None = 0) -> Any:
    """Tensors of one rank joined along ``axis``; their other extents must agree.

    With ``axis=None`` they are raveled first. Dtypes are promoted to the widest.
    """
    tensors = promoted(list(xs))
    if not tensors:
        raise ValueError("concatenate: needs at least one tensor")
    if axis is None:
        return concatenate([ravel(t) for t in tensors], 0)
    axis = normalize_axis(axis, len(tensors[0].shape), "concatenate")
    merge_dims([tuple(t.shape) for t in tensors], "concatenate", axis)
    return tensors[0] if len(tensors) == 1 else _concatenate(*tensors, axis=axis)


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Tensors of one shape joined along a new axis, at ``axis`` of the result."""
    tensors = promoted(list(x))
    if not tensors:
        raise ValueError("stack: needs at least one tensor")
    merge_dims([tuple(t.shape) for t in tensors], "stack")
    axis = normalize_axis(axis, len(tensors[0].shape) + 1, "stack")
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """``x2`` after ``x1`` along ``axis``, both raveled if it is ``None``."""
    return concatenate([x1, x2], axis)


def _at_least(x: Any, ndim: int) -> Any:
    x = operand(x)
    if len(x.shape) < 1 <= ndim:
        x = expand_dims(x, 0)
    if len(x.shape) < 2 <= ndim:
        x = expand_dims(x, 0)
    return expand_dims(x, 2) if len(x.shape) < 3 <= ndim else x


def hstack(xs: Sequence[Any]) -> Any:
    """Tensors joined along axis 1 (vectors along axis 0)."""
    tensors = [_at_least(x, 1) for x in xs]
    return concatenate(tensors, 1 if tensors and len(tensors[0].shape) > 1 else 0)


def vstack(xs: Sequence[Any]) -> Any:
    """Tensors joined along axis 0, vectors as rows."""
    return concatenate([_at_least(x, 2) for x in xs], 0)


def dstack(xs: Sequence[Any]) -> Any:
    """Tensors joined along axis 2, vectors as rows and matrices as planes."""
    return concatenate([_at_least(x, 3) for x in xs], 2)


# Order and repetition.

_reverse = primitive(
    "reverse",
    infer=lambda x, *, axes: (x.shape, x.dtype),
    gradient=lambda y, dy, x, *, axes: _reverse(dy, axes=axes),
)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Any:
    """``x`` in opposite order along ``axis``: one axis, several, or (``None``) all."""
    x = operand(x)
    ndim = len(x.shape)
    return _reverse(x, axes=tuple(range(ndim)) if axis is None else normalize_axes(axis, ndim, "flip"))


def fliplr(x: Any) -> Any:
    """``flip`` along axis 1."""
    return flip(x, 1)


def flipud(x: Any) -> Any:
    """``flip`` along axis 0."""
    return flip(x, 0)


def rot90(array: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """``array`` turned ``k`` times by 90 degrees, from the first of ``axes`` towards the second."""
    x = operand(array)
    first, second = normalize_axes(tuple(axes), len(x.shape), "rot90")
    turns = integer(k, "rot90: k") % 4
    if turns == 2:
        return flip(x, (first, second))
    if turns == 1:
        return swapaxes(flip(x, second), first, second)
    return flip(swapaxes(x, first, second), second) if turns == 3 else x


def _tile_gradient(y: Tensor, dy: Tensor, x: Tensor, *, repeats: tuple) -> Tensor:
    pairs = [n for r, d in zip(repeats, x.shape, strict=True) for n in (r, d)]
    return reduce_sum(reshape(dy, pairs), axes=tuple(range(0, len(pairs), 2)))


_tile = primitive(
    "tile",
    infer=lambda x, *, repeats: (
        tuple(None if d is None else d * r for d, r in zip(x.shape, repeats, strict=True)),
        x.dtype,
    ),
    gradient=_tile_gradient,
)


def tile(x: Any, repeats: int | Sequence[int]) -> Any:
    """``x`` side by side with itself: ``repeats`` times along each axis, the last ones if they are fewer."""
    x = operand(x)
    counts = tuple(repeats) if isinstance(repeats, (list, tuple, np.ndarray)) else (repeats,)
    counts = tuple(integer(r, "tile: repeats") for r in counts)
    if any(r < 0 for r in counts):
        raise ValueError(f"tile: repeats must not be negative, got {counts}")
    missing = len(counts) - len(x.shape)
    if missing > 0:
        x = expand_dims(x, tuple(range(missing)))
    return _tile(x, repeats=(*(1,) * -missing, *counts))


def _repeat_gradient(y: Tensor, dy: Tensor, x: Tensor, *, repeats: int, axis: int) -> Tensor:
    shape = (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
    return reduce_sum(reshape(dy, shape), axes=(axis + 1,))


_repeat = primitive(
    "repeat",
    infer=lambda x, *, repeats, axis: (
        tuple(d * repeats if i == axis and d is not None else d for i, d in enumerate(x.shape)),
        x.dtype,
    ),
    gradient=_repeat_gradient,
)


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Any:
    """Each element along ``axis`` (of the raveled ``x`` if ``None``) several times in a row.

    ``repeats`` is one number for all, or one for each place along the axis, whose extent must then be known.
    """
    x = operand(x)
    if axis is None:
        x, axis = ravel(x), 0
    axis = normalize_axis(axis, len(x.shape), "repeat")
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ValueError(f"repeat: repeats must be integers and not negative, got {repeats!r}")
    if counts.size == 1:
        return _repeat(x, repeats=int(counts.reshape(())), axis=axis)
    from kcore.ops.indexing import take

    if counts.ndim != 1 or x.shape[axis] not in (None, counts.size):
        raise ValueError(f"repeat: {counts.size} repeats for an axis of extent {x.shape[axis]}")
    return take(x, np.repeat(np.arange(counts.size, dtype="int32"), counts), axis)


@composite(deferred=True, infer=lambda x, *, shifts, axes: (x.shape, x.dtype))
def _roll(x: Any, *, shifts: tuple, axes: tuple) -> Any:
    for shift, axis in zip(shifts, axes, strict=True):
        extent = x.shape[axis]
        cut = -shift % extent if extent else 0
        if cut:
            x = concatenate([_part(x, axis, cut, extent), _part(x, axis, 0, cut)], axis)
    return x


@composite(deferred=True, infer=lambda x, *, shift: (x.shape, x.dtype))
def _roll_raveled(x: Any, *, shift: int) -> Any:
    return reshape(_roll(ravel(x), shifts=(shift,), axes=(0,)), x.shape)


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """``x`` moved by ``shift`` places along ``axis`` (raveled if ``None``); what leaves comes in again."""
    x = operand(x)
    if axis is None:
        return _roll_raveled(x, shift=integer(shift, "roll: shift"))
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    shifts = tuple(shift) if isinstance(shift, (list, tuple)) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    return _roll(
        x,
        shifts=tuple(integer(s, "roll: shift") for s in shifts),
        axes=tuple(normalize_axis(a, len(x.shape), "roll") for a in axes),
    )


# Padding.


def _pad_gradient(y: Tensor, dy: Tensor, x: Tensor, *, paddings: tuple, value: float) -> Tensor:
    return take_ranges(dy, [range(low, low + d) for low, d in zip(paddings[::2], x.shape, strict=True)])  # type: ignore[operator]


def _padded(shape: Dims, paddings: tuple) -> Dims:
    return tuple(
        None if d is None else d + low + high
        for d, low, high in zip(shape, paddings[::2], paddings[1::2], strict=True)
    )


_pad = primitive(
    "pad",
    infer=lambda x, *, paddings, value: (_padded(x.shape, paddings), x.dtype),
    gradient=_pad_gradient,
)


def _infer_pad_by_index(x: Tensor, *, paddings: tuple, mode: str) -> tuple:
    return _padded(x.shape, paddings), x.dtype


@composite(deferred=True, infer=_infer_pad_by_index)
def _pad_by_index(x: Any, *, paddings: tuple, mode: str) -> Any:
    from kcore.ops.indexing import take

    for axis, (low, high) in enumerate(zip(paddings[::2], paddings[1::2], strict=True)):
        if low or high:
            places = np.arange(x.shape[axis], dtype="int32")
            x = take(x, np.pad(places, (low, high), mode=mode), axis)  # type: ignore[call-overload]
    return x


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float | None = None) -> Any:
    """``x`` with a border.

    Args:
        x: a tensor.
        pad_width: elements before and after: ``((before, after), ...)`` for each axis, one pair for all, or
            one number for all.
        mode: ``'constant'``; or ``'reflect'``, ``'symmetric'``, ``'edge'``, ``'wrap'``, as ``numpy.pad``.
        constant_values: the border's value (0 if ``None``); only for ``'constant'``.
    """
    x = operand(x)
    ndim = len(x.shape)
    widths = np.asarray(pad_width)
    if widths.dtype.kind not in "iu" and widths.size:
        raise TypeError(f"pad: pad_width must hold integers, got {pad_width!r}")
    try:
        widths = np.broadcast_to(widths.astype(int), (ndim, 2))
    except ValueError:
        raise ValueError(f"pad: pad_width {pad_width!r} does not fit shape {tuple(x.shape)}") from None
    if (widths < 0).any():
        raise ValueError(f"pad: pad_width must not be negative, got {pad_width!r}")
    paddings = tuple(int(w) for w in widths.reshape(-1))
    if mode == "constant":
        return _pad(x, paddings=paddings, value=float(constant_values or 0.0))
    if constant_values is not None:
        raise ValueError(f"pad: constant_values are of no use with mode={mode!r}")
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise ValueError(f"pad: unknown mode {mode!r}")
    return _pad_by_index(x, paddings=paddings, mode=mode)


# Blocks of pixels.


def _scaled(d: int | None, by: int, up: bool, op: str) -> int | None:
    if d is None:
        return None
    if not up and d % by:
        raise ValueError(f"{op}: an extent of {d} is not a multiple of {by}")
    return d * by if up else d // by


def _infer_blocks(x: Tensor, *, block: int, up: bool) -> tuple:
    op = "depth_to_space" if up else "space_to_depth"
    n, h, w, c = x.shape
    h, w, c = _scaled(h, block, up, op), _scaled(w, block, up, op), _scaled(c, block**2, not up, op)
    return (n, h, w, c), x.dtype


@composite(deferred=True, infer=_infer_blocks)
def _move_blocks(x: Any, *, block: int, up: bool) -> Any:
    n, h, w, c = x.shape
    _infer_blocks(x, block=block, up=up)
    if up:
        apart = reshape(x, (n, h, w, block, block, c // block**2))
        return reshape(transpose(apart, (0, 1, 3, 2, 4, 5)), (n, h * block, w * block, c // block**2))
    apart = reshape(x, (n, h // block, block, w // block, block, c))
    return reshape(transpose(apart, (0, 1, 3, 2, 4, 5)), (n, h // block, w // block, c * block**2))


def _with_blocks(x: Any, block_size: int, data_format: str, up: bool) -> Any:
    op = "depth_to_space" if up else "space_to_depth"
    x = operand(x)
    block = integer(block_size, f"{op}: block_size")
    if block < 1 or len(x.shape) != 4 or data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"{op}: needs images, a positive block_size and a data_format, "
            f"got shape {tuple(x.shape)}, {block_size!r} and {data_format!r}"
        )
    if data_format == "channels_first":
        return transpose(_move_blocks(transpose(x, (0, 2, 3, 1)), block=block, up=up), (0, 3, 1, 2))
    return _move_blocks(x, block=block, up=up)


def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Channels to blocks of pixels: ``(N, H, W, C)`` to ``(N, H * b, W * b, C / b**2)``."""
    return _with_blocks(x, block_size, data_format, True)


def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of pixels to channels: ``(N, H, W, C)`` to ``(N, H / b, W / b, C * b**2)``."""
    return _with_blocks(x, block_size, data_format, False)


Tensor.define_operators(stack=stack)
