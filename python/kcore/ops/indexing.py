"""Ops that choose and write elements by index.

Indices may be negative, counting from the end. Where one is out of range all the same, a float reads NaN, an
integer reads 0, and nothing is written or added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore.graph import Tensor, broadcast_shapes, composite, constant_value, dtypes, primitive
from kcore.graph.op import Deferred
from kcore.graph.primitives import cast, full, reduce_sum, reshape, where
from kcore.graph.tensor import as_tensor
from kcore.ops.elementwise import (
    floor_divide,
    greater,
    greater_equal,
    less,
    logical_and,
    maximum,
    minimum,
    mod,
)
from kcore.ops.movement import broadcast_to, expand_dims, moveaxis, ravel, take_ranges, transpose
from kcore.ops.operands import Dims, integer, merge_dims, normalize_axis, operand, promoted

__all__ = [
    "bincount",
    "get_item",
    "multi_hot",
    "one_hot",
    "scatter",
    "scatter_update",
    "segment_max",
    "segment_min",
    "segment_sum",
    "slice_update",
    "take",
    "take_along_axis",
    "unravel_index",
]


def integer_indices(x: Any, op: str) -> Any:
    """Indices as int32 or int64. Raises ``TypeError`` for floats."""
    x = operand(x)
    dtype = str(x.dtype)
    if dtypes.is_float(dtype):
        if math.prod(d or 1 for d in x.shape) == 0:
            return cast(x, "int32")  # [] is of no dtype in particular
        raise TypeError(f"{op}: indices must be integers, got {dtype}")
    return x if dtype in ("int32", "int64") else cast(x, "int32")


# Rows.


def _infer_gather(x: Tensor, indices: Tensor, *, axis: int, **missing: float) -> tuple:
    return (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype


gather = primitive(
    "gather",
    infer=_infer_gather,
    gradient=lambda y, dy, x, indices, *, axis, **missing: (
        scatter_add(indices, dy, shape=x.shape, axis=axis),
        None,
    ),
)

scatter_add = primitive(
    "scatter_add",
    infer=lambda indices, updates, *, shape, axis: (shape, updates.dtype),
    gradient=lambda y, dy, indices, updates, *, shape, axis: (
        None,
        gather(dy, indices, axis=axis, missing=0.0),
    ),
    lower=lambda attrs: {"axis": attrs["axis"]},
)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The slices of ``x`` along ``axis`` (of the raveled ``x`` if ``None``) that ``indices`` name.

    Args:
        x: a tensor; with ``axis=0`` and a matrix, this looks up embeddings.
        indices: integers of any shape, which takes the place of ``axis`` in the result's shape.
        axis: the axis that the indices count along.
    """
    x = operand(x)
    if axis is None:
        x, axis = ravel(x), 0
    return gather(x, integer_indices(indices, "take"), axis=normalize_axis(axis, len(x.shape), "take"))


_gather_along_axis = primitive(
    "take_along_axis",
    infer=lambda x, indices, *, axis, **missing: (indices.shape, x.dtype),
    gradient=lambda y, dy, x, indices, *, axis, **missing: (
        scatter_along_axis(indices, dy, shape=x.shape, axis=axis),
        None,
    ),
)

scatter_along_axis = primitive(
    "take_along_axis_gradient",
    infer=lambda indices, dy, *, shape, axis: (shape, dy.dtype),
    gradient=lambda y, d, indices, dy, *, shape, axis: (
        None,
        _gather_along_axis(d, indices, axis=axis, missing=0.0),
    ),
    lower=lambda attrs: {"axis": attrs["axis"]},
)


def _infer_take_along_axis(x: Tensor, indices: Tensor, *, axis: int) -> tuple:
    shape = list(broadcast_shapes(_without(x.shape, axis), _without(indices.shape, axis)))
    shape.insert(axis, indices.shape[axis])
    return tuple(shape), x.dtype


def _without(shape: Dims, axis: int) -> Dims:
    return (*shape[:axis], *shape[axis + 1 :])


@composite(deferred=True, infer=_infer_take_along_axis)
def _take_along_axis(x: Any, indices: Any, *, axis: int) -> Any:
    common = broadcast_shapes(_without(x.shape, axis), _without(indices.shape, axis))
    x = broadcast_to(x, (*common[:axis], x.shape[axis], *common[axis:]))
    indices = broadcast_to(indices, (*common[:axis], indices.shape[axis], *common[axis:]))
    return _gather_along_axis(x, indices, axis=axis)


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """For each vector of ``x`` along ``axis`` the elements that its own indices name.

    Args:
        x: a tensor.
        indices: integers of the same rank; the other axes broadcast.
        axis: the axis of the vectors; ``None`` for raveled operands.
    """
    x, indices = operand(x), integer_indices(indices, "take_along_axis")
    if axis is None:
        x, indices, axis = ravel(x), ravel(indices), 0
    if len(x.shape) != len(indices.shape):
        raise ValueError(
            f"take_along_axis: x has shape {tuple(x.shape)} and indices have shape {tuple(indices.shape)}"
        )
    return _take_along_axis(x, indices, axis=normalize_axis(axis, len(x.shape), "take_along_axis"))


# x[...]


def _ranges(shape: Dims, key: tuple) -> list[range | None]:
    """What each axis keeps under a key of integers, ``(start, stop, step)`` and ``None`` for new axes."""
    entries = [k for k in key if k is not None]
    result: list[range | None] = []
    for axis, (d, entry) in enumerate(zip(shape, entries, strict=True)):
        if d is None:
            result.append(None)
        elif isinstance(entry, int):
            if not -d <= entry < d:
                raise IndexError(f"index {entry} is out of range for axis {axis} of shape {tuple(shape)}")
            result.append(range(entry % d, entry % d + 1))
        else:
            result.append(range(*slice(*entry).indices(d)))
    return result


def _part_shape(shape: Dims, key: tuple) -> Dims:
    extents = iter(None if r is None else len(r) for r in _ranges(shape, key))
    result: list[int | None] = []
    for entry in key:
        if entry is None:
            result.append(1)
            continue
        extent = next(extents)
        if not isinstance(entry, int):
            result.append(extent)
    return tuple(result)


@composite(deferred=True, infer=lambda x, *, key: (_part_shape(x.shape, key), x.dtype))
def _part(x: Any, *, key: tuple) -> Any:
    return reshape(take_ranges(x, _ranges(x.shape, key)), _part_shape(x.shape, key))  # type: ignore[arg-type]


def _part_between(x: Tensor, *bounds: Tensor, key: tuple) -> Any:
    """``key`` holds, as ``[i]``, an index into ``bounds`` where a slice's bound is itself a tensor."""

    def number(bound: Any) -> Any:
        if not isinstance(bound, list):
            return bound
        value = constant_value(bounds[bound[0]])
        if value is None:
            raise ValueError("a slice's bound depends on data, not on shapes alone; use ops.slice")
        return int(value)

    return _part(x, key=tuple(tuple(map(number, k)) if isinstance(k, tuple) else k for k in key))


def _infer_part_between(x: Tensor, *bounds: Tensor, key: tuple) -> tuple:
    def moving(k: Any) -> bool:
        return isinstance(k, tuple) and any(isinstance(bound, list) for bound in k)

    shape = _part_shape(x.shape, tuple((None, None, None) if moving(k) else k for k in key))
    kept = [k for k in key if not isinstance(k, int)]
    return tuple(None if moving(k) else d for d, k in zip(shape, kept, strict=True)), x.dtype


_part_dynamic = Deferred(_part_between, _infer_part_between)


def _advanced(x: Any, axes: Sequence[int], indices: Sequence[Any]) -> Any:
    """Elements of ``x`` by broadcast index tensors for ``axes``, placed as NumPy does."""
    if len(axes) == 1:
        return take(x, indices[0], axes[0])
    first = axes[0]
    if list(axes) != list(range(first, first + len(axes))):
        rest = [a for a in range(len(x.shape)) if a not in axes]
        x, first = transpose(x, (*axes, *rest)), 0
    return _take_together(x, *indices, axis=first)


def _infer_take_together(x: Tensor, *indices: Tensor, axis: int) -> tuple:
    common = broadcast_shapes(*(i.shape for i in indices))
    return (*x.shape[:axis], *common, *x.shape[axis + len(indices) :]), x.dtype


@composite(deferred=True, infer=_infer_take_together)
def _take_together(x: Any, *indices: Any, axis: int) -> Any:
    extents = x.shape[axis : axis + len(indices)]
    flat = reshape(x, (*x.shape[:axis], math.prod(extents), *x.shape[axis + len(indices) :]))
    return gather(flat, _linear(indices, extents), axis=axis)


def _linear(indices: Sequence[Any], extents: Sequence[int]) -> Any:
    """Row numbers of a tensor of these extents; one past the end if any index is out of range."""
    size = math.prod(extents)
    dtype = "int64" if size >= 2**31 else "int32"
    total, inside = None, None
    for index, extent in zip(indices, extents, strict=True):
        index = cast(index, dtype)
        index = where(less(index, 0), index + extent, index)
        fits = logical_and(greater_equal(index, 0), less(index, extent))
        total = index if total is None else total * extent + index
        inside = fits if inside is None else logical_and(inside, fits)
    return where(inside, total, size)


def _is_advanced(k: Any) -> bool:
    return isinstance(k, (Tensor, np.ndarray, list, tuple)) and not (
        isinstance(k, np.ndarray) and k.ndim == 0 and k.dtype.kind in "iu"
    )


def get_item(x: Any, key: Any) -> Any:
    """``x[key]``.

    Args:
        x: a tensor.
        key: integers, slices, ``None``, ``...``, and integer tensors or arrays, which broadcast together;
            boolean masks must be NumPy arrays, since they determine the result's shape.

    Raises:
        IndexError: for too many indices or an integer that is out of range.
    """
    x = operand(x)
    ndim = len(x.shape)
    entries: list[Any] = []
    for k in key if isinstance(key, tuple) else (key,):
        if isinstance(k, Tensor) and constant_value(k) is not None:
            k = constant_value(k)
        k = operand(k) if isinstance(k, (list, tuple)) else k
        if isinstance(k, Tensor) and k.dtype == "bool":
            raise TypeError("a boolean mask decides the shape of what it selects; use ops.where(mask, x, y)")
        if isinstance(k, np.ndarray) and k.dtype == bool:
            entries.extend(places.astype("int32") for places in np.nonzero(k))
        elif isinstance(k, np.ndarray) and not k.ndim:
            entries.append(int(k))
        else:
            entries.append(k)
    used = sum(k is not None and k is not Ellipsis for k in entries)
    if sum(k is Ellipsis for k in entries) > 1:
        raise IndexError("an index may hold one ellipsis")
    if used > ndim:
        raise IndexError(f"{used} indices for a tensor of {ndim} dimensions")
    if not any(k is Ellipsis for k in entries):
        entries.append(Ellipsis)
    at = next(i for i, k in enumerate(entries) if k is Ellipsis)
    entries[at : at + 1] = [slice(None)] * (ndim - used)

    gathering = any(_is_advanced(k) for k in entries)
    basic: list[Any] = []
    bounds: list[Tensor] = []
    axes: list[int] = []
    indices: list[Any] = []
    for k in entries:
        place = sum(not isinstance(b, int) for b in basic)
        if k is None:
            basic.append(None)
        elif isinstance(k, slice):
            basic.append(tuple(_bound(b, bounds) for b in (k.start, k.stop, k.step)))
        elif _is_advanced(k) or (gathering and x.shape[sum(b is not None for b in basic)] is not None):
            basic.append((None, None, None))
            axes.append(place)
            indices.append(integer_indices(k, "indexing"))
        else:
            basic.append(integer(k, "an index"))
    if bounds:
        x = _part_dynamic.node([as_tensor(x), *bounds], {"key": tuple(basic)})
    else:
        x = _part(x, key=tuple(basic))
    return _advanced(x, axes, indices) if axes else x


def _bound(bound: Any, bounds: list[Tensor]) -> Any:
    if bound is None:
        return None
    if isinstance(bound, Tensor):
        value = constant_value(bound)
        if value is None:
            bounds.append(bound)
            return [len(bounds) - 1]
        return int(value)
    return integer(bound, "a slice's bound")


# Writing.


def _infer_scatter_update(x: Tensor, indices: Tensor, updates: Tensor) -> tuple:
    return x.shape, x.dtype


def _scatter_update_gradient(y: Tensor, dy: Tensor, x: Tensor, indices: Tensor, updates: Tensor) -> tuple:
    zeros = full(updates.shape, 0.0, updates.dtype)  # type: ignore[arg-type]
    return _scatter_rows(dy, indices, zeros), None, gather(dy, indices, axis=0, missing=0.0)


_scatter_rows = primitive("scatter_update", infer=_infer_scatter_update, gradient=_scatter_update_gradient)


def _last_extent(indices: Any, op: str) -> int:
    if not indices.shape or indices.shape[-1] is None:
        raise ValueError(
            f"{op}: the last axis of the indices must be known, got shape {tuple(indices.shape)}"
        )
    return int(indices.shape[-1])


def _components(indices: Any) -> list[Any]:
    return [get_item(indices, (..., i)) for i in range(indices.shape[-1])]


@composite(deferred=True, infer=lambda indices, values, *, shape: (shape, values.dtype))
def _scatter(indices: Any, values: Any, *, shape: tuple[int, ...]) -> Any:
    depth = indices.shape[-1]
    rows = _linear(_components(indices), shape[:depth])
    flat = (math.prod(shape[:depth]), *shape[depth:])
    return reshape(scatter_add(rows, values, shape=flat, axis=0), shape)


def scatter(indices: Any, values: Any, shape: Sequence[int]) -> Any:
    """Zeros of ``shape`` to which ``values`` are added at ``indices``.

    Args:
        indices: integers of shape ``(..., k)``: places along the first ``k`` axes.
        values: of shape ``(..., *shape[k:])``; those of equal indices are summed.
        shape: the result's shape.
    """
    indices, values = integer_indices(indices, "scatter"), operand(values)
    target = tuple(integer(d, "scatter: an extent") for d in shape)
    if _last_extent(indices, "scatter") > len(target):
        raise ValueError(f"scatter: {indices.shape[-1]} indices for a tensor of {len(target)} dimensions")
    dtype = str(values.dtype)
    if dtype in ("bool", "uint8"):
        return cast(_scatter(indices, cast(values, "int32"), shape=target), dtype)
    return _scatter(indices, values, shape=target)


@composite(deferred=True, infer=lambda x, indices, updates: (x.shape, x.dtype))
def _scatter_update(x: Any, indices: Any, updates: Any) -> Any:
    depth = indices.shape[-1]
    rows = _linear(_components(indices), x.shape[:depth])
    flat = reshape(x, (math.prod(x.shape[:depth]), *x.shape[depth:]))
    return reshape(_scatter_rows(flat, rows, updates), x.shape)


def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """``inputs`` with ``updates`` written at ``indices``.

    Args:
        inputs: a tensor.
        indices: integers of shape ``(..., k)``: places along the first ``k`` axes.
        updates: of shape ``(..., *inputs.shape[k:])``; of equal indices the last one wins.
        reduction: ``'add'`` to add instead of replacing.
    """
    indices = integer_indices(indices, "scatter_update")
    x, updates = promoted([operand(inputs), operand(updates)])
    if reduction not in (None, "add"):
        raise ValueError(f"scatter_update: reduction must be None or 'add', got {reduction!r}")
    if _last_extent(indices, "scatter_update") > len(x.shape):
        raise ValueError(
            f"scatter_update: {indices.shape[-1]} indices for a tensor of {len(x.shape)} dimensions"
        )
    if reduction == "add":
        return _scatter_sum(x, indices, updates)
    return _scatter_update(x, indices, updates)


@composite(deferred=True, infer=lambda x, indices, updates: (x.shape, x.dtype))
def _scatter_sum(x: Any, indices: Any, updates: Any) -> Any:
    return x + scatter(indices, updates, x.shape)


@composite(deferred=True, infer=lambda x, start, updates: (x.shape, x.dtype))
def _slice_update(x: Any, start: Any, updates: Any) -> Any:
    rows: Any = 0
    for axis, (d, n) in enumerate(zip(x.shape, updates.shape, strict=True)):
        if n > d:
            raise ValueError(
                f"slice_update: updates of shape {updates.shape} for a tensor of shape {x.shape}"
            )
        begin = maximum(minimum(start[axis], d - n), 0)
        places = (begin + np.arange(n, dtype="int32")) * math.prod(x.shape[axis + 1 :])
        rows = rows + reshape(places, (n, *(1,) * (len(x.shape) - axis - 1)))
    return reshape(_scatter_rows(ravel(x), cast(rows, "int32"), updates), x.shape)


def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """``inputs`` with ``updates``, of the same rank, written where they begin at ``start_indices``.

    Starts are clipped so that the updates lie within ``inputs``.
    """
    x, updates = promoted([operand(inputs), operand(updates)])
    start = integer_indices(start_indices, "slice_update")
    if len(updates.shape) != len(x.shape):
        raise ValueError(f"slice_update: updates of shape {updates.shape} for a tensor of shape {x.shape}")
    return _slice_update(x, start, updates) if len(x.shape) else updates


def _known_count(ids: Any, count: int | None, op: str, what: str) -> int:
    if count is not None:
        return integer(count, f"{op}: {what}")
    value = constant_value(ids)
    if value is None:
        raise ValueError(f"{op}: give {what}: it decides the result's shape")
    return int(value.max(initial=-1)) + 1


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """Sums of the slices of ``data`` (along axis 0) that have the same id.

    Args:
        data: a tensor.
        segment_ids: an integer for each slice; negative ones and those from ``num_segments`` on are left out.
        num_segments: the number of sums; found from the ids if they are not symbolic.
        sorted: whether the ids ascend; nothing depends on it.
    """
    data, ids = operand(data), integer_indices(segment_ids, "segment_sum")
    count = _known_count(ids, num_segments, "segment_sum", "num_segments")
    if len(ids.shape) != 1 or not data.shape:
        raise ValueError(
            f"segment_sum: ids of shape {tuple(ids.shape)} for data of shape {tuple(data.shape)}"
        )
    return _segment_sum(data, ids, count=count)


@composite(deferred=True, infer=lambda data, ids, *, count: ((count, *data.shape[1:]), data.dtype))
def _segment_sum(data: Any, ids: Any, *, count: int) -> Any:
    rows = where(less(ids, 0), count, ids)
    return scatter_add(rows, data, shape=(count, *data.shape[1:]), axis=0)


def _sorted_rows(data: Any, ids: Any) -> tuple[Any, Any]:
    """For each column of ``data`` its rows ordered by id, then by value; and the ids in their order."""
    from kcore.ops.ordering import argsort, sort

    by_value = argsort(data, 0)
    order = take_along_axis(by_value, argsort(take(ids, by_value, 0), 0), 0)
    return order, sort(ids, 0)


@composite(deferred=True, infer=lambda data, ids, *, count, greatest: ((count, *data.shape[1:]), data.dtype))
def _segment_extremum(data: Any, ids: Any, *, count: int, greatest: bool) -> Any:
    from kcore.ops.ordering import searchsorted

    order, ids = _sorted_rows(data, ids)
    segments = np.arange(count, dtype="int32")
    first, end = searchsorted(ids, segments, "left"), searchsorted(ids, segments, "right")
    values = take_along_axis(data, take(order, maximum(end - 1, 0) if greatest else first, 0), 0)
    dtype = np.dtype(str(data.dtype))
    if dtype.kind == "f":
        empty = -np.inf if greatest else np.inf
    else:
        empty = np.iinfo(dtype).min if greatest else np.iinfo(dtype).max
    held = reshape(greater(end, first), (count, *(1,) * (len(data.shape) - 1)))
    return where(held, values, np.asarray(empty, dtype))


def _segment(op: str, data: Any, segment_ids: Any, num_segments: int | None) -> tuple[Any, Any, int]:
    data, ids = operand(data), integer_indices(segment_ids, op)
    count = _known_count(ids, num_segments, op, "num_segments")
    if len(ids.shape) != 1 or not data.shape:
        raise ValueError(f"{op}: ids of shape {tuple(ids.shape)} for data of shape {tuple(data.shape)}")
    merge_dims([tuple(data.shape[:1]), tuple(ids.shape)], op)
    return data, ids, count


def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The greatest of the slices of ``data`` that have the same id; arguments as for ``segment_sum``.

    A segment without slices has the least value of the dtype. Of equal elements one has the gradient.
    """
    data, ids, count = _segment("segment_max", data, segment_ids, num_segments)
    return _segment_extremum(data, ids, count=count, greatest=True)


def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
    """The least of the slices of ``data`` that have the same id; arguments as for ``segment_sum``.

    A segment without slices has the greatest value of the dtype. Of equal elements one has the gradient.
    """
    data, ids, count = _segment("segment_min", data, segment_ids, num_segments)
    return _segment_extremum(data, ids, count=count, greatest=False)


def unravel_index(indices: Any, shape: Sequence[int]) -> tuple[Any, ...]:
    """The index along each axis of a tensor of ``shape`` that each place of the raveled tensor has."""
    places = integer_indices(indices, "unravel_index")
    extents = [integer(d, "unravel_index: an extent") for d in shape]
    inner = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    places = where(less(places, 0), places + math.prod(extents), places)
    return tuple(mod(floor_divide(places, n), d) for n, d in zip(inner, extents, strict=True))


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each integer occurs in ``x`` (or the sum of its weights), for each vector of the last axis.

    The result is as long as the largest integer needs, at least ``minlength``; for a symbolic ``x`` it has
    ``minlength`` elements and larger integers are left out.
    """
    if sparse:
        raise ValueError("bincount: sparse results are not supported")
    x = integer_indices(x, "bincount")
    value = constant_value(x)
    if value is None and minlength < 1:
        raise ValueError("bincount: give minlength: it decides the result's shape")
    count = max(minlength, 0 if value is None else int(value.max(initial=-1)) + 1)
    hot = one_hot(x, count, dtype="int32" if weights is None else str(operand(weights).dtype))
    if weights is not None:
        hot = hot * expand_dims(operand(weights), -1)
    return reduce_sum(hot, axes=(len(x.shape) - 1,))


# Classes.


_one_hot = primitive(
    "one_hot",
    infer=lambda indices, *, depth, dtype: ((*indices.shape, depth), dtype),
    lower=lambda attrs: {},
)


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """Vectors that are 1 at the place that each element of ``x`` names, and 0 elsewhere.

    Args:
        x: integers (floats are truncated); those outside ``[0, num_classes)`` give zeros.
        num_classes: the length of the vectors.
        axis: where their axis stands in the result.
        dtype: the result's dtype; ``floatx()`` if ``None``.
        sparse: must be false.
    """
    if sparse:
        raise ValueError("one_hot: sparse results are not supported")
    x = operand(x)
    indices = x if str(x.dtype) in ("int32", "int64") else cast(x, "int32")
    hot = _one_hot(
        indices, depth=integer(num_classes, "one_hot: num_classes"), dtype=dtypes.standardize(dtype)
    )
    place = normalize_axis(axis, len(hot.shape), "one_hot")
    return hot if place == len(hot.shape) - 1 else moveaxis(hot, -1, place)


def multi_hot(
    inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Any:
    """Vectors that are 1 at all places that a row (axis 1 of a batch, axis 0 of a vector) names."""
    if num_classes is None:
        raise ValueError("multi_hot: num_classes must be given")
    hot = one_hot(inputs, num_classes, axis, "int32", sparse)
    named = 1 if len(hot.shape) > 2 else 0
    return cast(greater(reduce_sum(hot, axes=(named,)), 0), dtypes.standardize(dtype))


Tensor.define_operators(getitem=get_item)
