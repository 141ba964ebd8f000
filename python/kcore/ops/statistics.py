"""Order statistics, integrals and choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore.graph import Tensor, composite
from kcore.graph.primitives import cast, reshape, transpose
from kcore.ops import elementwise as e
from kcore.ops import reduction as r
from kcore.ops.elementwise import as_float, dtype_of
from kcore.ops.operands import normalize_axis
from kcore.ops.ordering import sort
from kcore.ops.windows import diff

__all__ = ["median", "percentile", "quantile", "select", "sparsemax", "trapezoid"]

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _slice(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    index = (*(slice(None),) * axis, slice(start, stop))
    return x[index]


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of ``y`` along ``axis`` by the trapezoidal rule, between points ``x``, or ``dx`` apart."""
    y = as_float(y)
    axis = normalize_axis(axis, len(y.shape), "trapezoid")
    means = e.multiply(e.add(_slice(y, axis, 1, None), _slice(y, axis, None, -1)), 0.5)
    if x is None:
        return r.sum(e.multiply(means, dx), axis)
    x = as_float(x)
    if len(x.shape) == 1:
        steps = r.expand_axes(diff(x), [i for i in range(len(y.shape)) if i != axis])
    else:
        steps = diff(x, axis=axis)
    return r.sum(e.multiply(means, steps), axis)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each element the first of ``choicelist`` whose condition holds, else ``default``."""
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"select: needs as many choices as conditions, got {len(choicelist)} and {len(condlist)}"
        )
    result = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        result = e.where(condition, choice, result)
    return result


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point of the probability simplex to ``x`` along ``axis``: it may hold exact zeros.

    Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068
    """
    x = as_float(x)
    rank = len(x.shape)
    axis = normalize_axis(axis, rank, "sparsemax")
    perm = (*(i for i in range(rank) if i not in (axis, rank - 1)), *({axis, rank - 1} - {axis}), axis)
    inverse = tuple(int(i) for i in np.argsort(perm))
    return transpose(_sparsemax(transpose(x, perm=perm)), perm=inverse)


@composite(deferred=True, infer=lambda x: (x.shape, x.dtype))
def _sparsemax(x: Any) -> Any:
    ordered = e.negative(sort(e.negative(x)))
    ranks = np.arange(1, x.shape[-1] + 1, dtype=dtype_of(x))
    # The support is the longest prefix whose elements exceed what its mean leaves for the rest.
    inside = e.greater(e.add(e.multiply(ordered, ranks), 1.0), r.cumsum(ordered, axis=-1))
    count = r.sum(cast(inside, dtype_of(x)), axis=-1, keepdims=True)
    total = r.sum(e.where(inside, ordered, 0.0), axis=-1, keepdims=True)
    return e.maximum(e.subtract(x, e.divide(e.subtract(total, 1.0), count)), 0.0)


def median(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The middle of the sorted elements, or the mean of the two in the middle; NaN if one is NaN."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


def percentile(
    x: Any,
    q: Any,
    axis: int | Sequence[int] | None = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """``quantile`` of ``q / 100``."""
    return quantile(x, np.asarray(q, "float64") / 100.0, axis, method, keepdims)


def quantile(
    x: Any,
    q: Any,
    axis: int | Sequence[int] | None = None,
    method: str = "linear",
    keepdims: bool = False,
) -> Any:
    """What the fraction ``q`` of the elements does not exceed.

    Args:
        x: a tensor; a NaN among the elements gives NaN.
        q: numbers in [0, 1]; several give a leading axis.
        axis: one axis, several, or ``None`` for all.
        method: between two elements: ``"linear"`` interpolation, ``"lower"``, ``"higher"``, ``"nearest"``
            or ``"midpoint"``.
        keepdims: whether reduced axes stay, with extent 1.

    Raises:
        ValueError: if ``q`` lies outside [0, 1], or the method is unknown.
    """
    fractions = np.asarray(q, "float64")
    if fractions.ndim > 1 or not ((fractions >= 0) & (fractions <= 1)).all():
        raise ValueError(f"quantile: q must be one number or several in [0, 1], got {q!r}")
    if method not in METHODS:
        raise ValueError(f"quantile: unknown method {method!r}; use one of {', '.join(METHODS)}")
    x = as_float(x)
    axes = r.axes_of(axis, len(x.shape), "quantile")
    return _quantile(
        x, q=tuple(fractions.ravel().tolist()), many=fractions.ndim == 1, axes=axes, method=method,
        keepdims=bool(keepdims),
    )  # fmt: skip


def _infer_quantile(
    x: Tensor, *, q: tuple[float, ...], many: bool, axes: tuple[int, ...], method: str, keepdims: bool
) -> tuple:
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape))
    shape = kept if keepdims else r.without(x.shape, axes)
    return ((len(q), *shape) if many else shape), x.dtype


@composite(deferred=True, infer=_infer_quantile)
def _quantile(
    x: Any, *, q: tuple[float, ...], many: bool, axes: tuple[int, ...], method: str, keepdims: bool
) -> Any:
    rank = len(x.shape)
    kept = tuple(x.shape[i] for i in range(rank) if i not in axes)
    count = math.prod(x.shape[i] for i in axes)
    if count == 0:
        raise ValueError(f"quantile: no elements along axes {axes} of shape {tuple(x.shape)}")
    moved = transpose(x, perm=(*(i for i in range(rank) if i not in axes), *axes))
    ordered = sort(reshape(moved, (*kept, count)))
    last = len(kept)
    holds_nan = r.any(e.isnan(ordered), axis=-1)
    shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape)) if keepdims else kept
    results = []
    for fraction in q:
        place = fraction * (count - 1)
        low, weight = _neighbours(place, method)
        below = reshape(_slice(ordered, last, low, low + 1), kept)
        value = below
        if weight:
            above = reshape(_slice(ordered, last, low + 1, low + 2), kept)
            value = e.add(e.multiply(below, 1.0 - weight), e.multiply(above, weight))
        value = reshape(e.where(holds_nan, math.nan, value), shape)
        results.append(r.expand_axes(value, [0]) if many else value)
    if not many:
        return results[0]
    from kcore.ops.movement import concatenate

    return concatenate(results, axis=0) if results else reshape(x, (0, *shape))


def _neighbours(place: float, method: str) -> tuple[int, float]:
    """The element below, and the weight of the one above."""
    low = math.floor(place)
    weight = place - low
    if weight < 1e-12 or weight > 1 - 1e-12:
        return round(place), 0.0
    if method == "linear":
        return low, weight
    if method == "midpoint":
        return low, 0.5
    if method == "lower":
        return low, 0.0
    return (low + 1, 0.0) if method == "higher" else (int(np.round(place)), 0.0)
