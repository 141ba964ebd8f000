"""Ops that choose elements by index, and those about order.

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
from kcore.ops.elementwise import greater, greater_equal, less, logical_and
from kcore.ops.movement import broadcast_to, expand_dims, moveaxis, ravel, take_ranges, transpose
from kcore.ops.operands import Dims, integer, merge_dims, normalize_axes, normalize_axis, operand, promoted

__all__ = [
    "argpartition",
    "argsort",
    "bincount",
    "diag",
    "diagflat",
    "diagonal",
    "digitize",
    "get_item",
    "in_top_k",
    "multi_hot",
    "nonzero",
    "one_hot",
    "scatter",
    "scatter_update",
    "searchsorted",
    "segment_sum",
    "slice_update",
    "sort",
    "take",
    "take_along_axis",
    "top_k",
    "tril",
    "triu",
    "unique",
]


def _indices(x: Any, op: str) -> Any:
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


_gather = primitive(
    "gather",
    infer=_infer_gather,
    gradient=lambda y, dy, x, indices, *, axis, **missing: (
        _scatter_add(indices, dy, shape=x.shape, axis=axis),
        None,
    ),
)

_scatter_add = primitive(
    "scatter_add",
    infer=lambda indices, updates, *, shape, axis: (shape, updates.dtype),
    gradient=lambda y, dy, indices, updates, *, shape, axis: (
        None,
        _gather(dy, indices, axis=axis, missing=0.0),
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
    return _gather(x, _indices(indices, "take"), axis=normalize_axis(axis, len(x.shape), "take"))


_gather_along_axis = primitive(
    "take_along_axis",
    infer=lambda x, indices, *, axis, **missing: (indices.shape, x.dtype),
    gradient=lambda y, dy, x, indices, *, axis, **missing: (
        _scatter_along_axis(indices, dy, shape=x.shape, axis=axis),
        None,
    ),
)

_scatter_along_axis = primitive(
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
    x, indices = operand(x), _indices(indices, "take_along_axis")
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
    return _gather(flat, _linear(indices, extents), axis=axis)


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
            indices.append(_indices(k, "indexing"))
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
    return _scatter_rows(dy, indices, zeros), None, _gather(dy, indices, axis=0, missing=0.0)


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
    return reshape(_scatter_add(rows, values, shape=flat, axis=0), shape)


def scatter(indices: Any, values: Any, shape: Sequence[int]) -> Any:
    """Zeros of ``shape`` to which ``values`` are added at ``indices``.

    Args:
        indices: integers of shape ``(..., k)``: places along the first ``k`` axes.
        values: of shape ``(..., *shape[k:])``; those of equal indices are summed.
        shape: the result's shape.
    """
    indices, values = _indices(indices, "scatter"), operand(values)
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
    indices = _indices(indices, "scatter_update")
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
    from kcore.ops.elementwise import maximum, minimum

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
    start = _indices(start_indices, "slice_update")
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
    data, ids = operand(data), _indices(segment_ids, "segment_sum")
    count = _known_count(ids, num_segments, "segment_sum", "num_segments")
    if len(ids.shape) != 1 or not data.shape:
        raise ValueError(
            f"segment_sum: ids of shape {tuple(ids.shape)} for data of shape {tuple(data.shape)}"
        )
    return _segment_sum(data, ids, count=count)


@composite(deferred=True, infer=lambda data, ids, *, count: ((count, *data.shape[1:]), data.dtype))
def _segment_sum(data: Any, ids: Any, *, count: int) -> Any:
    rows = where(less(ids, 0), count, ids)
    return _scatter_add(rows, data, shape=(count, *data.shape[1:]), axis=0)


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each integer occurs in ``x`` (or the sum of its weights), for each vector of the last axis.

    The result is as long as the largest integer needs, at least ``minlength``; for a symbolic ``x`` it has
    ``minlength`` elements and larger integers are left out.
    """
    if sparse:
        raise ValueError("bincount: sparse results are not supported")
    x = _indices(x, "bincount")
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


# Order.


_sort = primitive(
    "sort",
    infer=lambda x: (x.shape, x.dtype),
    gradient=lambda y, dy, x: _scatter_along_axis(_argsort(x), dy, shape=x.shape, axis=x.ndim - 1),
)

_argsort = primitive("argsort", infer=lambda x: (x.shape, "int32"))


def _along_last(op: Any, x: Any, axis: int | None, name: str) -> Any:
    x = operand(x)
    if axis is None:
        return op(ravel(x))
    axis = normalize_axis(axis, len(x.shape), name)
    return op(x) if axis == len(x.shape) - 1 else moveaxis(op(moveaxis(x, axis, -1)), -1, axis)


def sort(x: Any, axis: int | None = -1) -> Any:
    """``x`` in ascending order along ``axis`` (raveled if ``None``), NaN last."""
    return _along_last(_sort, x, axis, "sort")


def argsort(x: Any, axis: int | None = -1) -> Any:
    """The int32 indices that sort ``x`` along ``axis``; equal elements keep their order."""
    return _along_last(_argsort, x, axis, "argsort")


def argpartition(x: Any, kth: int, axis: int = -1) -> Any:
    """Indices that put the ``kth`` smallest in its place, the smaller before it, the greater after it."""
    x = operand(x)
    extent = x.shape[normalize_axis(axis, len(x.shape), "argpartition")]
    if extent is not None and not -extent <= kth < extent:
        raise ValueError(f"argpartition: kth={kth} for an axis of extent {extent}")
    return argsort(x, axis)


def _infer_top_k(x: Tensor, *, k: int) -> list[tuple]:
    if x.shape[-1] is not None and k > x.shape[-1]:
        raise ValueError(f"top_k: the greatest {k} of {x.shape[-1]} elements")
    shape = (*x.shape[:-1], k)
    return [(shape, x.dtype), (shape, "int32")]


def _top_k_gradient(y: tuple, dy: tuple, x: Tensor, *, k: int) -> Tensor | None:
    return None if dy[0] is None else _scatter_along_axis(y[1], dy[0], shape=x.shape, axis=x.ndim - 1)


_top_k = primitive("top_k", infer=_infer_top_k, gradient=_top_k_gradient, lower=lambda attrs: {})


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """The ``k`` greatest elements along the last axis, and their int32 indices.

    They come in descending order whatever ``sorted`` says; of equal ones the first comes first.
    """
    x = operand(x)
    count = integer(k, "top_k: k")
    if not x.shape or count < 0:
        raise ValueError(f"top_k: the greatest {k} of a tensor of shape {tuple(x.shape)}")
    values, indices = _top_k(x, k=count)
    return values, indices


_in_top_k = primitive("in_top_k", infer=lambda predictions, targets, *, k: (targets.shape, "bool"))


def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target's prediction is among the ``k`` greatest of its row.

    Args:
        targets: integers of shape ``(batch,)``.
        predictions: floats of shape ``(batch, classes)``.
        k: how many predictions count. Ties with the ``k``-th count as well.

    Returns:
        Booleans of shape ``(batch,)``; false where the target is no class or a prediction is not finite.
    """
    predictions, targets = operand(predictions), _indices(targets, "in_top_k")
    if len(predictions.shape) != 2 or len(targets.shape) != 1:
        shapes = f"{tuple(predictions.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"in_top_k: needs a matrix of predictions and a vector of targets, got {shapes}")
    merge_dims([tuple(predictions.shape[:1]), tuple(targets.shape)], "in_top_k")
    return _in_top_k(predictions, targets, k=integer(k, "in_top_k: k"))


_searchsorted = primitive("searchsorted", infer=lambda x, values, *, side: (values.shape, "int32"))


def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Where each of ``values`` would be inserted into the ascending vector: int32 places.

    Before equal elements with ``side='left'``, after them with ``'right'``.
    """
    x, values = promoted([operand(sorted_sequence), operand(values)])
    if len(x.shape) != 1 or side not in ("left", "right"):
        raise ValueError(f"searchsorted: got a sequence of shape {tuple(x.shape)} and side={side!r}")
    return _searchsorted(x, values, side=side)


def digitize(x: Any, bins: Any) -> Any:
    """The int32 number of each element's bin: how many of the ascending ``bins`` are not greater."""
    return searchsorted(bins, x, "right")


# Matrices.


@composite(deferred=True, infer=lambda x, *, k, lower: (x.shape, x.dtype))
def _triangle(x: Any, *, k: int, lower: bool) -> Any:
    kept = np.tri(x.shape[-2], x.shape[-1], k if lower else k - 1, dtype=bool)
    return where(kept if lower else ~kept, x, np.zeros((), str(x.dtype)))


def _matrix(x: Any, op: str) -> Any:
    x = operand(x)
    if len(x.shape) < 2:
        raise ValueError(f"{op}: needs matrices, got shape {tuple(x.shape)}")
    return x


def tril(x: Any, k: int = 0) -> Any:
    """Matrices with zeros above the ``k``-th diagonal."""
    return _triangle(_matrix(x, "tril"), k=integer(k, "tril: k"), lower=True)


def triu(x: Any, k: int = 0) -> Any:
    """Matrices with zeros below the ``k``-th diagonal."""
    return _triangle(_matrix(x, "triu"), k=integer(k, "triu: k"), lower=False)


def _diagonal_extent(rows: int | None, columns: int | None, k: int) -> int | None:
    if rows is None or columns is None:
        return None
    return max(0, min(rows + min(k, 0), columns - max(k, 0)))


def _infer_diagonal(x: Tensor, *, k: int) -> tuple:
    return (*x.shape[:-2], _diagonal_extent(x.shape[-2], x.shape[-1], k)), x.dtype  # type: ignore[misc]


@composite(deferred=True, infer=_infer_diagonal)
def _diagonal(x: Any, *, k: int) -> Any:
    rows, columns = x.shape[-2:]
    extent = _diagonal_extent(rows, columns, k) or 0
    places = (np.arange(extent) + max(-k, 0)) * columns + np.arange(extent) + max(k, 0)
    return take(reshape(x, (*x.shape[:-2], rows * columns)), places.astype("int32"), -1)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The ``offset``-th diagonals of the matrices along two axes, as the last axis of the result."""
    x = _matrix(x, "diagonal")
    first, second = normalize_axes((axis1, axis2), len(x.shape), "diagonal")
    return _diagonal(moveaxis(x, (first, second), (-2, -1)), k=integer(offset, "diagonal: offset"))


def _infer_diag(x: Tensor, *, k: int) -> tuple:
    n = None if x.shape[0] is None else x.shape[0] + abs(k)
    return (n, n), x.dtype


@composite(deferred=True, infer=_infer_diag)
def _diag(x: Any, *, k: int) -> Any:
    n = x.shape[0] + abs(k)
    places = (np.arange(x.shape[0]) + max(-k, 0)) * n + np.arange(x.shape[0]) + max(k, 0)
    return reshape(scatter(places.astype("int32")[:, None], x, (n * n,)), (n, n))


def diag(x: Any, k: int = 0) -> Any:
    """A matrix with the vector ``x`` on its ``k``-th diagonal; or the ``k``-th diagonal of a matrix."""
    x = operand(x)
    if len(x.shape) == 2:
        return _diagonal(x, k=integer(k, "diag: k"))
    if len(x.shape) != 1:
        raise ValueError(f"diag: needs a vector or a matrix, got shape {tuple(x.shape)}")
    return _diag(x, k=integer(k, "diag: k"))


def diagflat(x: Any, k: int = 0) -> Any:
    """A matrix with the elements of ``x`` on its ``k``-th diagonal."""
    return _diag(ravel(operand(x)), k=integer(k, "diagflat: k"))


# Results whose shape depends on data: for arrays only.


def _array(x: Any, op: str) -> np.ndarray:
    value = constant_value(operand(x))
    if value is None:
        raise TypeError(f"{op}: the result's shape depends on data, so the argument cannot be symbolic")
    return value


def nonzero(x: Any) -> tuple[np.ndarray, ...]:
    """The int32 indices of the elements that are not zero, by axis; not for symbolic tensors."""
    return tuple(places.astype("int32") for places in np.nonzero(_array(x, "nonzero")))


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The different elements of ``x`` in ascending order, as ``numpy.unique``; not for symbolic tensors.

    With ``size`` the result is cut or filled up (with ``fill_value``, else its first element) to that length.
    """
    result: Any = np.unique(_array(x, "unique"), return_index, return_inverse, return_counts, axis)  # type: ignore[call-overload]
    values, *others = result if isinstance(result, tuple) else (result,)
    if size is not None:
        along = 0 if axis is None else axis
        missing = size - values.shape[along]
        if missing < 0:
            values = np.take(values, np.arange(size), along)
        elif missing > 0:
            filler = np.take(values, [0] * missing, along)
            if fill_value is not None:
                filler = np.full_like(filler, fill_value)
            values = np.concatenate([values, filler], along)
    return (values, *(o.astype("int32") for o in others)) if others else values


Tensor.define_operators(getitem=get_item)
