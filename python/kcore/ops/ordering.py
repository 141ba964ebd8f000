"""Ops about order. NaN is greater than every number; equal elements keep their order."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcore.graph import Tensor, composite, constant_value, primitive
from kcore.ops.elementwise import equal, logical_not, minimum, not_equal
from kcore.ops.indexing import integer_indices, scatter_along_axis, take
from kcore.ops.movement import moveaxis, ravel
from kcore.ops.operands import integer, merge_dims, normalize_axis, operand, promoted

__all__ = [
    "argpartition",
    "argsort",
    "digitize",
    "in_top_k",
    "isin",
    "nonzero",
    "searchsorted",
    "sort",
    "top_k",
    "unique",
]

_sort = primitive(
    "sort",
    infer=lambda x: (x.shape, x.dtype),
    gradient=lambda y, dy, x: scatter_along_axis(_argsort(x), dy, shape=x.shape, axis=x.ndim - 1),
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
    return None if dy[0] is None else scatter_along_axis(y[1], dy[0], shape=x.shape, axis=x.ndim - 1)


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
    predictions, targets = operand(predictions), integer_indices(targets, "in_top_k")
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


@composite(deferred=True, infer=lambda x, values: (x.shape, "bool"))
def _isin(x: Any, values: Any) -> Any:
    if not values.shape[0]:
        return not_equal(x, x)
    values = sort(values)
    return equal(take(values, minimum(searchsorted(values, x), values.shape[0] - 1), 0), x)


def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of ``x1`` is one of the elements of ``x2`` (or, with ``invert``, none of them)."""
    x, values = promoted([operand(x1), operand(x2)])
    found = _isin(x, ravel(values))
    return logical_not(found) if invert else found


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
