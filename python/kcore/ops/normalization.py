"""Normalisation: over the batch, over the features, over a vector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import config
from kcore.graph import Tensor, composite, dtypes, placeholder, primitive
from kcore.graph.gradient import backpropagate
from kcore.graph.primitives import cast, full, reduce_sum, reshape
from kcore.graph.specialize import specialize
from kcore.ops.elementwise import maximum, power, sqrt, square
from kcore.ops.movement import transpose
from kcore.ops.operands import Dims, normalize_axes, normalize_axis, operand, promoted

__all__ = [
    "batch_normalization",
    "batch_normalization_training",
    "layer_normalization",
    "normalize",
    "rms_normalization",
]


def _floats(*values: Any) -> list[Any]:
    values = tuple(promoted([operand(v) for v in values]))
    return [v if dtypes.is_float(str(v.dtype)) else cast(v, dtypes.floatx()) for v in values]


# The native ops normalise tensors whose last axis holds the features. Each formula below stands beside
# them as the way to differentiate them twice.


def _batch_norm_gradient_formula(
    dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, variance: Tensor, epsilon: float
) -> list[Tensor]:
    rows = tuple(range(x.ndim - 1))
    count = math.prod(x.shape[:-1])  # type: ignore[arg-type]
    centred = x - mean
    inverse = 1.0 / sqrt(variance + epsilon)
    dbeta = reduce_sum(dy, axes=rows)
    slope = reduce_sum(dy * centred, axes=rows) * inverse
    dx = gamma * inverse * (dy - dbeta / count - centred * (inverse * slope / count))
    return [dx, slope, dbeta]


def _twice(formula: Any) -> Any:
    """The gradient of a native gradient: that of the formula for the same thing.

    It is taken on placeholders, as the inputs depend on each other: the mean and what follows, on x.
    """

    def gradient(y: tuple, dy: tuple, *inputs: Tensor, **attrs: Any) -> list[Tensor]:
        given = [i for i, d in enumerate(dy) if d is not None]
        seeds = [dy[i] for i in given]
        own = [placeholder(t.shape, t.dtype) for t in (*inputs, *seeds)]
        leaves = own[: len(inputs)]
        results = formula(*leaves, **attrs)
        grads = backpropagate([results[i] for i in given], own[len(inputs) :], leaves)
        return specialize(grads, dict(zip(own, (*inputs, *seeds), strict=True)))

    return gradient


def _batch_norm_training_gradient(
    y: tuple, dy: tuple, x: Tensor, gamma: Tensor, beta: Tensor, *, epsilon: float
) -> tuple:
    _, mean, variance = y
    grad, dmean, dvariance = dy
    dx, dgamma, dbeta = None, None, None
    if grad is not None:
        dx, dgamma, dbeta = _batch_norm_gradient(grad, x, gamma, mean, variance, epsilon=epsilon)
    count = max(math.prod(x.shape[:-1]), 1)  # type: ignore[arg-type]
    zeros = full(x.shape, 0.0, x.dtype)  # type: ignore[arg-type]
    if dmean is not None:
        dx = (zeros if dx is None else dx) + dmean / count
    if dvariance is not None:
        dx = (zeros if dx is None else dx) + dvariance * (2.0 / count) * (x - mean)
    return dx, dgamma, dbeta


_batch_norm_training = primitive(
    "batch_norm_training",
    infer=lambda x, gamma, beta, *, epsilon: [
        (x.shape, x.dtype),
        (gamma.shape, x.dtype),
        (gamma.shape, x.dtype),
    ],
    gradient=_batch_norm_training_gradient,
)

_batch_norm_gradient = primitive(
    "batch_norm_gradient",
    infer=lambda dy, x, gamma, mean, variance, *, epsilon: [
        (x.shape, x.dtype),
        (gamma.shape, x.dtype),
        (gamma.shape, x.dtype),
    ],
    gradient=_twice(_batch_norm_gradient_formula),
)


def _layer_norm_gradient_formula(
    dy: Tensor, x: Tensor, gamma: Tensor, mean: Tensor, inverse: Tensor
) -> list[Tensor]:
    rows, last = tuple(range(x.ndim - 1)), x.ndim - 1
    column = (*x.shape[:-1], 1)
    normal = (x - reshape(mean, column)) * reshape(inverse, column)
    scaled = dy * gamma
    average = reshape(reduce_sum(scaled, axes=(last,)), column) / x.shape[-1]
    slope = reshape(reduce_sum(scaled * normal, axes=(last,)), column) / x.shape[-1]
    dx = (scaled - average - normal * slope) * reshape(inverse, column)
    return [dx, reduce_sum(dy * normal, axes=rows), reduce_sum(dy, axes=rows)]


def _layer_norm_backward(
    y: tuple, dy: tuple, x: Tensor, gamma: Tensor, beta: Tensor, *, epsilon: float
) -> tuple:
    _, mean, inverse = y
    grad, dmean, dinverse = dy
    column, count = (*x.shape[:-1], 1), x.shape[-1]
    dx, dgamma, dbeta = None, None, None
    if grad is not None:
        dx, dgamma, dbeta = _layer_norm_gradient(grad, x, gamma, mean, inverse)
    zeros = full(x.shape, 0.0, x.dtype)  # type: ignore[arg-type]
    if dmean is not None:
        dx = (zeros if dx is None else dx) + reshape(dmean, column) / count
    if dinverse is not None:
        # d(1 / s) = -(x - mean) / (n * s**3) dx
        slope = reshape(dinverse * inverse * inverse * inverse, column) / count
        dx = (zeros if dx is None else dx) - slope * (x - reshape(mean, column))
    return dx, dgamma, dbeta


_layer_norm = primitive(
    "layer_norm",
    infer=lambda x, gamma, beta, *, epsilon: [
        (x.shape, x.dtype),
        (x.shape[:-1], x.dtype),
        (x.shape[:-1], x.dtype),
    ],
    gradient=_layer_norm_backward,
)

_layer_norm_gradient = primitive(
    "layer_norm_gradient",
    infer=lambda dy, x, gamma, mean, inverse: [
        (x.shape, x.dtype),
        (gamma.shape, x.dtype),
        (gamma.shape, x.dtype),
    ],
    gradient=_twice(_layer_norm_gradient_formula),
)


def _last(x: Any, axes: Sequence[int]) -> tuple[Any, tuple[int, ...] | None]:
    """``x`` with ``axes`` at the end, and the order that moves them back (``None`` if nothing moved)."""
    ndim = len(x.shape)
    order = [a for a in range(ndim) if a not in axes] + list(axes)
    if order == list(range(ndim)):
        return x, None
    return transpose(x, order), tuple(order.index(a) for a in range(ndim))


def _vector(values: Any, extent: int, fill: float, like: Any) -> Any:
    """``values``, or a constant vector that stands for none."""
    return np.full(extent, fill, str(like.dtype)) if values is None else values


def batch_normalization_training(
    x: Any, gamma: Any = None, beta: Any = None, axis: int = -1, epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """Normalise every feature by its statistics in this batch.

    Args:
        x: a tensor; the extent of ``axis`` must be known.
        gamma: the scale of each feature; 1 if ``None``.
        beta: the offset of each feature; 0 if ``None``.
        axis: the axis of the features.
        epsilon: added to the variance.

    Returns:
        ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, the mean and the (biased) variance of each
        feature.

    Source: Ioffe & Szegedy, Batch Normalization (2015), https://arxiv.org/abs/1502.03167
    """
    given = [v for v in (x, gamma, beta) if v is not None]
    x, *rest = _floats(*given)
    axis = normalize_axis(axis, len(x.shape), "batch_normalization_training")
    extent = x.shape[axis]
    if extent is None:
        raise ValueError("batch_normalization_training: the number of features must be known")
    gamma = _vector(rest.pop(0) if gamma is not None else None, extent, 1.0, x)
    beta = _vector(rest.pop(0) if beta is not None else None, extent, 0.0, x)
    for name, v in (("gamma", gamma), ("beta", beta)):
        if tuple(v.shape) != (extent,):
            raise ValueError(f"batch_normalization_training: {name} of shape {v.shape} for {extent} features")
    moved, back = _last(x, (axis,))
    y, mean, variance = _batch_norm_training(moved, gamma, beta, epsilon=float(epsilon))
    return (y if back is None else transpose(y, back)), mean, variance


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    axis: int,
    offset: Any = None,
    scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` with vectors along ``axis``.

    Args:
        x: a tensor.
        mean, variance: the statistics of each feature.
        axis: the axis of the features.
        offset, scale: of each feature; 0 and 1 if ``None``.
        epsilon: added to the variance.
    """
    x, mean, variance = _floats(x, mean, variance)
    axis = normalize_axis(axis, len(x.shape), "batch_normalization")
    after = (1,) * (len(x.shape) - axis - 1)

    def along(v: Any) -> Any:
        v = operand(v)
        if len(v.shape) != 1:
            raise ValueError(
                f"batch_normalization: needs a vector for axis {axis}, got shape {tuple(v.shape)}"
            )
        return reshape(v, (-1, *after)) if after else v

    factor = 1.0 / sqrt(variance + epsilon)
    factor = factor if scale is None else factor * operand(scale)
    y = (x - along(mean)) * along(factor)
    return y if offset is None else y + along(offset)


def _normalized_axes(x: Any, axis: int | Sequence[int], op: str) -> tuple[int, ...]:
    return tuple(sorted(normalize_axes(axis, len(x.shape), op)))


def layer_normalization(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> Any:
    """Normalise every example by its own mean and variance over ``axis``.

    Args:
        x: a tensor; the extents of ``axis`` must be known.
        gamma, beta: scale and offset, of the shape of those axes; 1 and 0 if ``None``.
        axis: one axis or several.
        epsilon: added to the variance; ``kcore.config.epsilon()`` if ``None``.

    Source: Ba, Kiros & Hinton, Layer Normalization (2016), https://arxiv.org/abs/1607.06450
    """
    given = [v for v in (x, gamma, beta) if v is not None]
    x, *rest = _floats(*given)
    axes = _normalized_axes(x, axis, "layer_normalization")
    extents = [x.shape[a] for a in axes]
    if None in extents:
        raise ValueError(
            f"layer_normalization: the extents of axes {axes} must be known, got shape {x.shape}"
        )
    size = math.prod(extents)
    for v in rest:
        if math.prod(v.shape) != size:
            raise ValueError(f"layer_normalization: gamma or beta of shape {v.shape} for axes of {extents}")
    gamma = _vector(reshape(rest.pop(0), (size,)) if gamma is not None else None, size, 1.0, x)
    beta = _vector(reshape(rest.pop(0), (size,)) if beta is not None else None, size, 0.0, x)
    moved, back = _last(x, axes)
    y = _flat_layer_norm(moved, gamma, beta, axes=len(axes), epsilon=_epsilon(epsilon))
    return y if back is None else transpose(y, back)


def _epsilon(value: float | None) -> float:
    return config.epsilon() if value is None else float(value)


@composite(deferred=True, infer=lambda x, gamma, beta, *, axes, epsilon: (x.shape, x.dtype))
def _flat_layer_norm(x: Any, gamma: Any, beta: Any, *, axes: int, epsilon: float) -> Any:
    if axes == 1:
        return _layer_norm(x, gamma, beta, epsilon=epsilon)[0]
    flat = reshape(x, (*x.shape[:-axes], math.prod(x.shape[-axes:])))
    return reshape(_layer_norm(flat, gamma, beta, epsilon=epsilon)[0], x.shape)


def _kept(shape: Dims, axes: Sequence[int]) -> Dims:
    return tuple(1 if a in axes else d for a, d in enumerate(shape))


@composite(deferred=True, infer=lambda x, *, axes: (_kept(x.shape, axes), x.dtype))
def _sum_kept(x: Any, *, axes: tuple[int, ...]) -> Any:
    return reshape(reduce_sum(x, axes=axes), _kept(x.shape, axes))


@composite(deferred=True, infer=lambda x, *, axes: (_kept(x.shape, axes), x.dtype))
def _mean_kept(x: Any, *, axes: tuple[int, ...]) -> Any:
    return _sum_kept(x, axes=axes) / math.prod(x.shape[a] for a in axes)


def rms_normalization(
    x: Any, scale: Any = None, axis: int | Sequence[int] = -1, epsilon: float | None = None
) -> Any:
    """``x / sqrt(mean(x**2) + epsilon) * scale``, the mean being over ``axis``.

    Source: Zhang & Sennrich, Root Mean Square Layer Normalization (2019), https://arxiv.org/abs/1910.07467
    """
    (x,) = _floats(x)
    axes = _normalized_axes(x, axis, "rms_normalization")
    y = x / sqrt(_mean_kept(square(x), axes=axes) + _epsilon(epsilon))
    return y if scale is None else y * operand(scale)


def normalize(x: Any, axis: int | Sequence[int] = -1, order: float = 2, epsilon: float | None = None) -> Any:
    """``x`` divided by its norm of the given order over ``axis``, or by ``epsilon`` where that is greater."""
    (x,) = _floats(x)
    axes = _normalized_axes(x, axis, "normalize")
    least = _epsilon(epsilon)
    if order == 2:
        return x / sqrt(maximum(_sum_kept(square(x), axes=axes), least * least))
    norm = power(_sum_kept(power(maximum(x, -x), float(order)), axes=axes), 1.0 / order)
    return x / maximum(norm, least)
