"""Activations, softmax, and the cross-entropies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore.config import epsilon as default_epsilon
from kcore.graph import Tensor, composite, primitive
from kcore.graph.primitives import cast, reshape, transpose
from kcore.ops import elementwise as e
from kcore.ops import reduction as r
from kcore.ops.elementwise import as_float, dtype_of, of_floats
from kcore.ops.operands import normalize_axis, operand

__all__ = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "psnr",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
]

# --- Activations --------------------------------------------------------------------------------------

relu = e.elementwise("relu", lambda y, dy, x: e.where(e.greater(y, 0.0), dy, 0.0))
sigmoid = e._sigmoid
softplus = e._softplus

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``; the gradient is 0 at both ends, as that of ``relu`` at 0."""
    x = operand(x)
    return e.where(e.greater_equal(x, 6), 6, relu(x))


@of_floats
def softsign(x: Any) -> Any:
    """``x / (abs(x) + 1)``."""
    return e.divide(x, e.abs(x) + 1.0)


@of_floats
def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``."""
    return e.negative(softplus(e.negative(x)))


@of_floats
def hard_sigmoid(x: Any) -> Any:
    """``relu6(x + 3) / 6``. (The activation ``hard_sigmoid`` of Keras 2 is ``clip(0.2 * x + 0.5, 0, 1)``.)"""
    return e.multiply(relu6(e.add(x, 3.0)), 1.0 / 6.0)


@of_floats
def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``."""
    return e.multiply(x, hard_sigmoid(x))


@of_floats
def hard_tanh(x: Any) -> Any:
    """``x`` limited to [-1, 1]."""
    return e.clip(x, -1.0, 1.0)


@of_floats
def silu(x: Any) -> Any:
    """``x * sigmoid(x)``. https://arxiv.org/abs/1702.03118"""
    return e.multiply(x, sigmoid(x))


@of_floats
def gelu(x: Any, approximate: bool = True) -> Any:
    """``x * P(X <= x)`` for a normal X: by ``tanh`` if ``approximate``. https://arxiv.org/abs/1606.08415"""
    if approximate:
        inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * e.square(x))
        return e.multiply(0.5 * x, e.tanh(inner) + 1.0)
    return e.multiply(0.5 * x, e.erf(x * math.sqrt(0.5)) + 1.0)


@of_floats
def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``. https://arxiv.org/abs/1511.07289"""
    return e.where(e.greater(x, 0.0), x, alpha * e.expm1(e.minimum(x, 0.0)))


@of_floats
def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` if ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``. https://arxiv.org/abs/1704.07483"""
    return e.where(e.greater(x, 0.0), x, alpha * e.expm1(e.minimum(x, 0.0) / alpha))


@of_floats
def selu(x: Any) -> Any:
    """``elu`` with the scale and slope that keep mean 0 and variance 1. https://arxiv.org/abs/1706.02515

    The gradient at 0 is that of the right-hand side.
    """
    negative = (SELU_SCALE * SELU_ALPHA) * e.expm1(e.minimum(x, 0.0))
    return e.where(e.less(x, 0.0), negative, SELU_SCALE * x)


@of_floats
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` if ``x > 0``, else ``negative_slope * x``."""
    return e.where(e.greater(x, 0.0), x, negative_slope * x)


@of_floats
def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``. https://arxiv.org/abs/2112.11687"""
    return e.multiply(x + e.sqrt(e.square(x) + float(b)), 0.5)


@of_floats
def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    return e.subtract(x, e.tanh(x))


@of_floats
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` where ``abs(x) > threshold``, else 0."""
    return e.where(e.greater(e.abs(x), threshold), x, 0.0)


@of_floats
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` moved towards 0 by ``threshold``, 0 within it."""
    return e.where(e.greater(e.abs(x), threshold), x - threshold * e.sign(x), 0.0)


@of_floats
def sparse_plus(x: Any) -> Any:
    """0 up to -1, ``(x + 1)**2 / 4`` up to 1, ``x`` from there."""
    return e.where(e.less_equal(x, -1.0), 0.0, e.where(e.less(x, 1.0), 0.25 * e.square(x + 1.0), x))


@of_floats
def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, ``(x + 1) / 2`` up to 1, 1 from there."""
    return e.where(e.less_equal(x, -1.0), 0.0, e.where(e.less(x, 1.0), 0.5 * (x + 1.0), 1.0))


@of_floats
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """``x`` where it exceeds ``threshold``, else ``default_value``."""
    return e.where(e.greater(x, threshold), x, default_value)


swish, hard_swish = silu, hard_silu


def glu(x: Any, axis: int = -1) -> Any:
    """``a * sigmoid(b)`` for the halves a and b of ``x`` along ``axis``. https://arxiv.org/abs/1612.08083

    Raises:
        ValueError: if the extent of ``axis`` is odd or unknown.
    """
    x = as_float(x)
    axis = normalize_axis(axis, len(x.shape), "glu")
    extent = x.shape[axis]
    if extent is None or extent % 2:
        raise ValueError(f"glu: axis {axis} of shape {tuple(x.shape)} must have an even extent")
    halves = _halves(x, axis=axis)
    return e.multiply(halves[0], sigmoid(halves[1]))


def _halves(x: Any, axis: int) -> tuple[Any, Any]:
    half = x.shape[axis] // 2
    before = (slice(None),) * axis
    first, second = (*before, slice(0, half)), (*before, slice(half, None))
    return x[first], x[second]


# --- Softmax ------------------------------------------------------------------------------------------


def _like_first(x: Tensor, *others: Tensor) -> tuple:
    return x.shape, x.dtype


def _softmax_gradient_gradient(dx: Tensor, g: Tensor, y: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
    def row_sum(v: Tensor) -> Tensor:
        return r.sum(v, axis=-1, keepdims=True)

    return g * (dy - row_sum(y * dy)) - dy * row_sum(g * y), _softmax_gradient(y, g)


_softmax_gradient = primitive("softmax_gradient", infer=_like_first, gradient=_softmax_gradient_gradient)
_softmax = primitive("softmax", infer=_like_first, gradient=lambda y, dy, x: _softmax_gradient(y, dy))

_log_softmax_gradient = primitive(
    "log_softmax_gradient",
    infer=_like_first,
    gradient=lambda dx, g, y, dy: (
        -e.exp(y) * g * r.sum(dy, axis=-1, keepdims=True),
        g - r.sum(g * e.exp(y), axis=-1, keepdims=True),
    ),
)
_log_softmax = primitive(
    "log_softmax", infer=_like_first, gradient=lambda y, dy, x: _log_softmax_gradient(y, dy)
)


def softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along ``axis`` (or over several axes together)."""
    return _along(_softmax, as_float(x), axis, "softmax")


def log_softmax(x: Any, axis: int | Sequence[int] = -1) -> Any:
    """``x - log(sum(exp(x)))`` along ``axis`` (or over several axes together)."""
    return _along(_log_softmax, as_float(x), axis, "log_softmax")


def _along(op: Any, x: Any, axis: int | Sequence[int], what: str) -> Any:
    """Apply an op of the last axis along another, or over several as if they were one."""
    rank = len(x.shape)
    axes = r.axes_of(axis, rank, what)
    if axes == (rank - 1,):
        return op(x)
    perm = (*(i for i in range(rank) if i not in axes), *axes)
    moved = transpose(x, perm=perm)
    result = op(moved) if len(axes) == 1 else _over_last(moved, op=op, count=len(axes))
    return transpose(result, perm=tuple(int(i) for i in np.argsort(perm)))


@composite(deferred=True, infer=lambda x, *, op, count: (x.shape, x.dtype))
def _over_last(x: Any, *, op: Any, count: int) -> Any:
    flat = reshape(x, (*x.shape[:-count], math.prod(x.shape[-count:])))
    return reshape(op(flat), x.shape)


# --- Cross-entropies ----------------------------------------------------------------------------------


def _cross_entropy_gradient(y: tuple, dy: tuple, logits: Tensor, labels: Tensor) -> tuple:
    loss, log_sum = y
    dloss, dlog_sum = dy
    if dloss is None:
        dloss = e.multiply(loss, 0.0)
    dlogits = _softmax_cross_entropy_gradient(logits, labels, log_sum, dloss)
    if dlog_sum is not None:
        dlogits = dlogits + r.expand_axes(dlog_sum, [logits.ndim - 1]) * _softmax(logits)
    if labels.ndim < logits.ndim:
        return dlogits, None
    last = [logits.ndim - 1]
    return dlogits, r.expand_axes(dloss, last) * (r.expand_axes(log_sum, last) - logits)


_softmax_cross_entropy = primitive(
    "softmax_cross_entropy",
    infer=lambda logits, labels: [(logits.shape[:-1], logits.dtype)] * 2,
    gradient=_cross_entropy_gradient,
)


def _second_cross_entropy_gradient(
    dlogits: Tensor, g: Tensor, logits: Tensor, labels: Tensor, log_sum: Tensor, dloss: Tensor
) -> tuple:
    last = [logits.ndim - 1]
    p = e.exp(logits - r.expand_axes(log_sum, last))
    dense = labels.ndim == logits.ndim
    targets = labels if dense else _one_hot_like(labels, logits)
    weight = r.sum(targets, axis=-1)
    inner = r.sum(g * p, axis=-1)
    dlogits_again = g * p * r.expand_axes(dloss * weight, last)
    dlabels = r.expand_axes(dloss, last) * (r.expand_axes(inner, last) - g) if dense else None
    return dlogits_again, dlabels, -dloss * weight * inner, weight * inner - r.sum(g * targets, axis=-1)


_softmax_cross_entropy_gradient = primitive(
    "softmax_cross_entropy_gradient",
    infer=lambda logits, labels, log_sum, dloss: (logits.shape, logits.dtype),
    gradient=_second_cross_entropy_gradient,
)


def _one_hot_like(labels: Tensor, logits: Tensor) -> Tensor:
    """One-hot rows of the shape and dtype of ``logits``."""
    classes = np.arange(logits.shape[-1], dtype=labels.dtype)
    return cast(e.equal(r.expand_axes(labels, [logits.ndim - 1]), classes), logits.dtype)


def _normalized(target: Any, output: Any, what: str) -> tuple[Any, Any]:
    """Both as floats of the output's dtype, after a look at their shapes."""
    target, output = operand(target), as_float(output)
    if len(target.shape) != len(output.shape) or any(
        a != b for a, b in zip(target.shape, output.shape, strict=True) if None not in (a, b)
    ):
        raise ValueError(
            f"{what}: target and output must have one shape, got "
            f"{tuple(target.shape)} and {tuple(output.shape)}"
        )
    return cast(target, dtype_of(output)), output


def logits_of(p: Any, op: str) -> Any:
    """What the op (softmax over the last axis, or sigmoid) that made ``p`` was applied to, else ``None``."""
    node = p.node if isinstance(p, Tensor) else None
    return node.inputs[0] if node is not None and node.op.name == op else None


def _to_last(x: Any, axis: int) -> Any:
    rank = len(x.shape)
    if axis == rank - 1:
        return x
    return transpose(x, perm=(*(i for i in range(rank) if i != axis), axis))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """``-sum(target * log(p))`` along ``axis``, the classes.

    Args:
        target: probabilities, most often one-hot.
        output: probabilities of the same shape: they are divided by their sum and clipped to
            [epsilon, 1 - epsilon]; where they come straight from a softmax, its logits are used instead.
        from_logits: whether ``output`` are logits, to which softmax is applied.

    Raises:
        ValueError: if the shapes differ, or for scalars.
    """
    target, output = _normalized(target, output, "categorical_crossentropy")
    axis = normalize_axis(axis, len(output.shape), "categorical_crossentropy")
    if not from_logits:
        logits = logits_of(output, "softmax") if axis == len(output.shape) - 1 else None
        if logits is None:
            p = output / r.sum(output, axis=axis, keepdims=True)
            p = e.clip(p, default_epsilon(), 1.0 - default_epsilon())
            return e.negative(r.sum(target * e.log(p), axis=axis))
        output = logits
    return _softmax_cross_entropy(_to_last(output, axis), _to_last(target, axis))[0]


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """``categorical_crossentropy`` for class indices.

    Args:
        target: integers, of the shape of ``output`` without ``axis``, or with extent 1 there. An index
            that is no class gives NaN.
        output: probabilities, clipped to [epsilon, 1 - epsilon] and then divided by their sum; where they
            come straight from a softmax, its logits are used instead.
        from_logits: whether ``output`` are logits, to which softmax is applied.

    Raises:
        ValueError: if the shapes do not fit.
    """
    target, output = operand(target), as_float(output)
    rank = len(output.shape)
    axis = normalize_axis(axis, rank, "sparse_categorical_crossentropy")
    if len(target.shape) == rank and target.shape[axis] in (1, None):
        target = r._drop_axes(target, [axis])
    wanted = r.without(output.shape, [axis])
    if len(target.shape) != len(wanted) or any(
        a != b for a, b in zip(target.shape, wanted, strict=True) if None not in (a, b)
    ):
        raise ValueError(
            f"sparse_categorical_crossentropy: targets of shape {tuple(target.shape)} do not fit an output "
            f"of shape {tuple(output.shape)}: expected one class index for each of {wanted}"
        )
    if dtype_of(target) not in ("int32", "int64"):
        target = cast(target, "int32")
    if not from_logits:
        logits = logits_of(output, "softmax") if axis == rank - 1 else None
        if logits is None:
            logits = e.log(e.clip(output, default_epsilon(), 1.0 - default_epsilon()))
        output = logits
    return _softmax_cross_entropy(_to_last(output, axis), target)[0]


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """``-target * log(p) - (1 - target) * log(1 - p)`` of each element.

    Args:
        target: probabilities, most often 0 or 1.
        output: probabilities of the same shape, clipped to [epsilon, 1 - epsilon]; where they come
            straight from a sigmoid, its logits are used instead.
        from_logits: whether ``output`` are logits, to which sigmoid is applied.

    Raises:
        ValueError: if the shapes differ.
    """
    target, output = _normalized(target, output, "binary_crossentropy")
    logits = output if from_logits else logits_of(output, "sigmoid")
    if logits is None:
        p = e.clip(output, default_epsilon(), 1.0 - default_epsilon())
        return e.negative(e.add(target * e.log(p), (1.0 - target) * e.log(1.0 - p)))
    # log(1 + exp(x)) - target * x, without overflow for large x.
    return e.subtract(softplus(logits), logits * target)


def psnr(x1: Any, x2: Any, max_val: float) -> Any:
    """The peak signal-to-noise ratio in decibels: ``20 log10(max_val) - 10 log10(mean((x1 - x2)**2))``."""
    error = r.mean(e.square(e.subtract(as_float(x1), as_float(x2))))
    return e.subtract(20.0 * math.log10(max_val), e.multiply(e.log10(error), 10.0))
