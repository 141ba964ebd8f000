"""Arithmetic, reductions, comparisons, products."""

from __future__ import annotations

from typing import Any

from kcore import ops

__all__ = [
    "abs",
    "all",
    "any",
    "argmax",
    "argmin",
    "batch_dot",
    "clip",
    "cos",
    "cumprod",
    "cumsum",
    "dot",
    "equal",
    "exp",
    "gather",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "not_equal",
    "pow",
    "prod",
    "round",
    "sign",
    "sin",
    "sqrt",
    "square",
    "std",
    "sum",
    "transpose",
    "var",
]


def dot(x: Any, y: Any) -> Any:
    """The product over the last axis of ``x`` and the last but one of ``y``, all other axes kept."""
    return ops.dot(x, y)


def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """Products batch element by batch element over ``axes``; ``(batch, 1)`` for two vectors."""
    return ops.batch_dot(x, y, axes)


def transpose(x: Any) -> Any:
    """All axes in reverse order."""
    return ops.transpose(x)


def gather(reference: Any, indices: Any) -> Any:
    """Rows of ``reference``."""
    return ops.take(reference, indices, axis=0)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.max(x, axis=axis, keepdims=keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.min(x, axis=axis, keepdims=keepdims)


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.sum(x, axis=axis, keepdims=keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.prod(x, axis=axis, keepdims=keepdims)


def cumsum(x: Any, axis: int = 0) -> Any:
    return ops.cumsum(x, axis=axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    return ops.cumprod(x, axis=axis)


def _float(x: Any) -> Any:
    return ops.cast(x, "float32") if str(getattr(x, "dtype", "")) == "bool" else x


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The mean squared distance from the mean."""
    return ops.var(_float(x), axis=axis, keepdims=keepdims)


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.sqrt(var(x, axis=axis, keepdims=keepdims))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.mean(_float(x), axis=axis, keepdims=keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.any(x, axis=axis, keepdims=keepdims)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.all(x, axis=axis, keepdims=keepdims)


def argmax(x: Any, axis: int = -1) -> Any:
    return ops.argmax(x, axis=axis)


def argmin(x: Any, axis: int = -1) -> Any:
    return ops.argmin(x, axis=axis)


def square(x: Any) -> Any:
    return ops.square(x)


def abs(x: Any) -> Any:
    return ops.absolute(x)


def sqrt(x: Any) -> Any:
    """The square root; 0 for negative numbers."""
    return ops.sqrt(ops.maximum(x, 0.0))


def exp(x: Any) -> Any:
    return ops.exp(x)


def log(x: Any) -> Any:
    return ops.log(x)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))``, without overflow."""
    return ops.logsumexp(x, axis=axis, keepdims=keepdims)


def round(x: Any) -> Any:
    """The nearest integer; halves go to the even one."""
    return ops.round(x)


def sign(x: Any) -> Any:
    return ops.sign(x)


def pow(x: Any, a: Any) -> Any:
    return ops.power(x, a)


def clip(x: Any, min_value: Any, max_value: Any) -> Any:
    """``x`` limited to ``[min_value, max_value]``; ``None`` is no limit."""
    numbers = isinstance(min_value, (int, float)) and isinstance(max_value, (int, float))
    if numbers and max_value < min_value:
        max_value = min_value
    if min_value is not None:
        x = ops.maximum(x, min_value)
    return x if max_value is None else ops.minimum(x, max_value)


def equal(x: Any, y: Any) -> Any:
    return ops.equal(x, y)


def not_equal(x: Any, y: Any) -> Any:
    return ops.not_equal(x, y)


def greater(x: Any, y: Any) -> Any:
    return ops.greater(x, y)


def greater_equal(x: Any, y: Any) -> Any:
    return ops.greater_equal(x, y)


def less(x: Any, y: Any) -> Any:
    return ops.less(x, y)


def less_equal(x: Any, y: Any) -> Any:
    return ops.less_equal(x, y)


def maximum(x: Any, y: Any) -> Any:
    return ops.maximum(x, y)


def minimum(x: Any, y: Any) -> Any:
    return ops.minimum(x, y)


def sin(x: Any) -> Any:
    return ops.sin(x)


def cos(x: Any) -> Any:
    return ops.cos(x)
