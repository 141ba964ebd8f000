"""Sums, means, extrema and the like over axes; running sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore.graph import Op, Tensor, composite, dtypes, primitive
from kcore.graph import primitives as graph
from kcore.graph.primitives import cast, reshape, transpose
from kcore.ops import elementwise as e
from kcore.ops.elementwise import as_float, dtype_of
from kcore.ops.operands import normalize_axes, normalize_axis, operand

__all__ = [
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "average",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "moments",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "prod",
    "ptp",
    "std",
    "sum",
    "var",
]

Axis = int | Sequence[int] | None


# --- Axes ---------------------------------------------------------------------------------------------


def axes_of(axis: Axis, ndim: int, op: str) -> tuple[int, ...]:
    """``axis`` as sorted axes counted from the front; all of them for ``None``."""
    return tuple(range(ndim)) if axis is None else tuple(sorted(normalize_axes(axis, ndim, op)))


def without(shape: Sequence, axes: Sequence[int]) -> tuple:
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def _with_ones(shape: Sequence, axes: Sequence[int]) -> tuple:
    """``shape`` with extents of 1 put in, so that they are at ``axes``."""
    result = list(shape)
    for a in axes:
        result.insert(a, 1)
    return tuple(result)


@composite(deferred=True, infer=lambda x, *, axes: (_with_ones(x.shape, axes), x.dtype))
def _expand_known(x: Any, *, axes: tuple[int, ...]) -> Any:
    return reshape(x, _with_ones(x.shape, axes))


def expand_axes(x: Any, axes: Sequence[int]) -> Any:
    """``x`` with axes of extent 1 put in, so that they are at ``axes`` of the result."""
    return _expand_known(x, axes=tuple(axes))


def _spread(dy: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """``dy``, which lacks ``axes``, in the shape of ``x``."""
    return graph.broadcast_to(reshape(dy, _with_ones(dy.shape, axes)), shape=x.shape)


# --- Primitives ---------------------------------------------------------------------------------------


def _reduction(name: str, kind: str, gradient: Callable | None = None) -> Op:
    return primitive(
        name,
        infer=lambda x, *, axes: (without(x.shape, axes), x.dtype),
        gradient=gradient,
        kernel="reduce",
        lower=lambda attrs: {"kind": kind, "axes": list(attrs["axes"])},
    )


def _extremum_gradient(y: Tensor, dy: Tensor, x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """Split evenly among ties."""
    ties = cast(e.equal(x, _spread(y, x, axes)), x.dtype)
    return ties * _spread(dy / _sum(ties, axes=axes), x, axes)


def _prod_gradient(y: Tensor, dy: Tensor, x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    """The product of all other elements, which a division would not give where one is zero."""
    kept = [i for i in range(x.ndim) if i not in axes]
    perm = (*kept, *axes)
    moved = transpose(x, perm=perm)
    count = math.prod(x.shape[a] for a in axes)  # type: ignore[misc]
    rows = reshape(moved, (*dy.shape, count))
    axis = dy.ndim
    others = _cumprod(rows, axis=axis, exclusive=True, reverse=False) * _cumprod(
        rows, axis=axis, exclusive=True, reverse=True
    )
    grads = reshape(others * reshape(dy, (*dy.shape, 1)), moved.shape)
    return transpose(grads, perm=tuple(int(i) for i in np.argsort(perm)))


_sum = graph.reduce_sum
_mean = _reduction(
    "reduce_mean",
    "mean",
    lambda y, dy, x, *, axes: _spread(dy, x, axes) * (1.0 / math.prod(x.shape[a] for a in axes)),
)
_prod = _reduction("reduce_prod", "prod", _prod_gradient)
_max = _reduction("reduce_max", "max", _extremum_gradient)
_min = _reduction("reduce_min", "min", _extremum_gradient)
_any = _reduction("reduce_any", "any")
_all = _reduction("reduce_all", "all")

_argmax = primitive("argmax", infer=lambda x, *, axis: (without(x.shape, [axis]), "int32"))
_argmin = primitive("argmin", infer=lambda x, *, axis: (without(x.shape, [axis]), "int32"))

_cumsum = primitive(
    "cumsum",
    infer=lambda x, *, axis, reverse, exclusive: (x.shape, x.dtype),
    gradient=lambda y, dy, x, *, axis, reverse, exclusive: _cumsum(
        dy, axis=axis, reverse=not reverse, exclusive=exclusive
    ),
)
_cumprod = primitive(
    "cumprod",
    infer=lambda x, *, axis, reverse, exclusive: (x.shape, x.dtype),
    gradient=lambda y, dy, x, *, axis, reverse, exclusive: e.divide_no_nan(
        _cumsum(y * dy, axis=axis, reverse=not reverse, exclusive=exclusive), x
    ),
)


# --- Reductions ---------------------------------------------------------------------------------------


def _reduce(op: Op, x: Any, axis: Axis, keepdims: bool) -> Any:
    axes = axes_of(axis, len(x.shape), op.name.removeprefix("reduce_"))
    if not axes:
        return x
    y = op(x, axes=axes)
    return expand_axes(y, axes) if keepdims else y


def _whole(x: Any) -> Any:
    """Narrow integers as int32, in which they are added up."""
    x = operand(x)
    return cast(x, "int32") if dtype_of(x) in ("bool", "uint8") else x


def _as_bool(x: Any) -> Any:
    x = operand(x)
    return x if dtype_of(x) == "bool" else e.not_equal(x, 0)


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over ``axis`` (an integer, several, or ``None`` for all). Booleans and uint8 give int32."""
    return _reduce(_sum, _whole(x), axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The arithmetic mean; of integers as ``floatx()``. Of no elements it is NaN."""
    return _reduce(_mean, as_float(x), axis, keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """The product. Booleans and uint8 give int32 unless ``dtype`` says otherwise."""
    x = _whole(x) if dtype is None else cast(operand(x), dtype)
    return _reduce(_prod, x, axis, keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The largest element, NaN if there is one; the gradient is split evenly among ties.

    Args:
        initial: a lower bound of the result, and the result of no elements.

    Raises:
        ValueError: for no elements, unless ``initial`` is given.
    """
    return _extremum(_max, e.maximum, x, axis, keepdims, initial)


def min(x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The smallest element, NaN if there is one; the gradient is split evenly among ties.

    Args:
        initial: an upper bound of the result, and the result of no elements.

    Raises:
        ValueError: for no elements, unless ``initial`` is given.
    """
    return _extremum(_min, e.minimum, x, axis, keepdims, initial)


def _extremum(op: Op, pair: Callable, x: Any, axis: Axis, keepdims: bool, initial: Any) -> Any:
    x = operand(x)
    if initial is None:
        return _reduce(op, x, axis, keepdims)
    axes = axes_of(axis, len(x.shape), op.name)
    return pair(_extremum_or_neutral(x, op=op, axes=axes, keepdims=bool(keepdims)), initial)


def _infer_reduced(x: Any, *, axes: tuple[int, ...], keepdims: bool, **attrs: Any) -> tuple:
    kept = without(x.shape, axes)
    return (_with_ones(kept, axes) if keepdims else kept), x.dtype


@composite(deferred=True, infer=_infer_reduced)
def _extremum_or_neutral(x: Any, *, op: Op, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The extremum; of no elements, what no other number loses to."""
    if 0 not in [x.shape[a] for a in axes]:
        return _reduce(op, x, axes, keepdims)
    dtype = dtype_of(x)
    if dtypes.is_float(dtype):
        lowest, highest = -math.inf, math.inf
    else:
        lowest, highest = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    neutral = np.array(lowest if op is _max else highest, dtype)
    return e.add(_reduce(_sum, x, axes, keepdims), neutral)


amax, amin = max, min


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether any element is true (not 0)."""
    return _reduce(_any, _as_bool(x), axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Whether all elements are true (not 0)."""
    return _reduce(_all, _as_bool(x), axis, keepdims)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean."""
    x = as_float(x)
    return mean(e.square(e.subtract(x, mean(x, axis, keepdims=True))), axis, keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The square root of the variance."""
    return e.sqrt(var(x, axis, keepdims))


def moments(x: Any, axes: Axis, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """Mean and variance over ``axes``; there is one process, so ``synchronized`` changes nothing."""
    x = as_float(x)
    centre = mean(x, axes, keepdims=True)
    variance = mean(e.square(e.subtract(x, centre)), axes, keepdims)
    return (centre if keepdims else mean(x, axes)), variance


def average(x: Any, axis: Axis = None, weights: Any = None) -> Any:
    """The mean weighted by ``weights``, which have the shape of ``x`` or its extent along ``axis``."""
    x = as_float(x)
    if weights is None:
        return mean(x, axis)
    weights = as_float(weights)
    if len(weights.shape) != len(x.shape):
        if axis is None or len(weights.shape) != 1:
            raise ValueError(
                f"average: weights of shape {tuple(weights.shape)} need one axis to lie along, got {axis}"
            )
        at = axes_of(axis, len(x.shape), "average")
        if len(at) != 1:
            raise ValueError(f"average: one-dimensional weights cannot lie along the axes {axis}")
        total = sum(weights)
        weights = expand_axes(weights, [i for i in range(len(x.shape)) if i != at[0]])
    else:
        total = sum(weights, axis)
    return e.divide(sum(e.multiply(x, weights), axis), total)


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` without overflow."""
    x = as_float(x)
    top = graph.stop_gradient(max(x, axis, keepdims=True))
    top = e.where(e.isfinite(top), top, 0.0)
    total = e.log(sum(e.exp(e.subtract(x, top)), axis, keepdims=True))
    result = e.add(total, top)
    axes = axes_of(axis, len(x.shape), "logsumexp")
    return result if keepdims else _drop_axes(result, axes)


@composite(deferred=True, infer=lambda x, *, axes: (without(x.shape, axes), x.dtype))
def _drop_known(x: Any, *, axes: tuple[int, ...]) -> Any:
    return reshape(x, without(x.shape, axes))


def _drop_axes(x: Any, axes: Sequence[int]) -> Any:
    return _drop_known(x, axes=tuple(axes))


def count_nonzero(x: Any, axis: Axis = None) -> Any:
    """How many elements are not 0, as int32."""
    return sum(_as_bool(x), axis)


def ptp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest minus the smallest."""
    return e.subtract(max(x, axis, keepdims), min(x, axis, keepdims))


def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether ``isclose`` holds for all elements."""
    return all(e.isclose(x1, x2, rtol, atol, equal_nan))


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place (int32) of the first largest element along ``axis``, of the flat tensor for ``None``."""
    return _arg(_argmax, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place (int32) of the first smallest element along ``axis``, of the flat tensor for ``None``."""
    return _arg(_argmin, x, axis, keepdims)


def _arg(op: Op, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = operand(x)
    rank = len(x.shape)
    if axis is None:
        place = op(reshape(x, (-1,)), axis=0)
        return reshape(place, (1,) * rank) if keepdims else place
    at = normalize_axis(axis, rank, op.name)
    place = op(x, axis=at)
    return expand_axes(place, [at]) if keepdims else place


# --- Running sums -------------------------------------------------------------------------------------


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The sums of the first 1, 2, ... elements along ``axis``, of the flat tensor for ``None``."""
    return _cumulate(_cumsum, x, axis, dtype)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """The products of the first 1, 2, ... elements along ``axis``, of the flat tensor for ``None``."""
    return _cumulate(_cumprod, x, axis, dtype)


def _cumulate(op: Op, x: Any, axis: int | None, dtype: Any) -> Any:
    x = _whole(x) if dtype is None else cast(operand(x), dtype)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return op(x, axis=normalize_axis(axis, len(x.shape), op.name), reverse=False, exclusive=False)


# --- Leaving out NaN ----------------------------------------------------------------------------------


def _instead(x: Any, value: float) -> Any:
    x = operand(x)
    return e.where(e.isnan(x), value, x) if dtypes.is_float(dtype_of(x)) else x


def nansum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum of the elements that are not NaN."""
    return sum(_instead(x, 0.0), axis, keepdims)


def nanprod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The product of the elements that are not NaN."""
    return prod(_instead(x, 1.0), axis, keepdims)


def nanmax(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest element that is not NaN; NaN if all are."""
    return _nan_extremum(max, -math.inf, x, axis, keepdims)


def nanmin(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest element that is not NaN; NaN if all are."""
    return _nan_extremum(min, math.inf, x, axis, keepdims)


def _nan_extremum(reduce: Callable, neutral: float, x: Any, axis: Axis, keepdims: bool) -> Any:
    x = operand(x)
    if not dtypes.is_float(dtype_of(x)):
        return reduce(x, axis, keepdims)
    return e.where(all(e.isnan(x), axis, keepdims), math.nan, reduce(_instead(x, neutral), axis, keepdims))


def nanmean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean of the elements that are not NaN; NaN if all are."""
    x = as_float(x)
    count = sum(cast(e.logical_not(e.isnan(x)), dtype_of(x)), axis, keepdims)
    return e.divide(nansum(x, axis, keepdims), count)


def nanvar(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The variance of the elements that are not NaN; NaN if all are."""
    x = as_float(x)
    return nanmean(e.square(e.subtract(x, nanmean(x, axis, keepdims=True))), axis, keepdims)


def nanstd(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The standard deviation of the elements that are not NaN; NaN if all are."""
    return e.sqrt(nanvar(x, axis, keepdims))


def nanargmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the first largest element that is not NaN; -1 if all are."""
    return _nan_arg(argmax, -math.inf, x, axis, keepdims)


def nanargmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the first smallest element that is not NaN; -1 if all are."""
    return _nan_arg(argmin, math.inf, x, axis, keepdims)


def _nan_arg(place: Callable, neutral: float, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = operand(x)
    if not dtypes.is_float(dtype_of(x)):
        return place(x, axis, keepdims)
    return e.where(all(e.isnan(x), axis, keepdims), -1, place(_instead(x, neutral), axis, keepdims))


def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """``cumsum`` with NaN counted as 0."""
    return cumsum(_instead(x, 0.0), axis, dtype)


def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """``cumprod`` with NaN counted as 1."""
    return cumprod(_instead(x, 1.0), axis, dtype)
