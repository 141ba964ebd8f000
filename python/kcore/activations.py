"""Activation functions: shape-preserving functions of one tensor, most of them element by element."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from kcore import ops
from kcore.lookup import lookup
from kcore.ops import (
    celu,
    elu,
    glu,
    hard_shrink,
    hard_silu,
    hard_tanh,
    log_sigmoid,
    log_softmax,
    relu6,
    selu,
    silu,
    soft_shrink,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    tanh_shrink,
    threshold,
)
from kcore.ops.nn import SELU_ALPHA, SELU_SCALE
from kcore.utils.serialization import get_registered_name, serialize_keras_object

__all__ = [
    "SELU_ALPHA",
    "SELU_SCALE",
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along ``axis``. Raises ``ValueError`` for tensors of rank 0 and 1."""
    if len(x.shape) < 2:
        raise ValueError(f"softmax needs a tensor of rank 2 or more, got shape {tuple(x.shape)}")
    return ops.softmax(x, axis=axis)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point of the probability simplex, which may hold exact zeros.

    Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068
    """
    count = x.shape[axis]
    if count is None:
        raise ValueError(f"sparsemax needs a known extent along axis {axis}, got shape {tuple(x.shape)}")
    fixed = ops.moveaxis(ops.stop_gradient(x), axis, -1)
    descending = -ops.sort(-fixed, axis=-1)
    ranks = np.arange(1, count + 1, dtype=str(x.dtype))
    inside = ops.cast(1.0 + ranks * descending > ops.cumsum(descending, axis=-1), x.dtype)
    size = ops.sum(inside, axis=-1, keepdims=True)
    limit = (ops.sum(inside * descending, axis=-1, keepdims=True) - 1.0) / size
    support = ops.moveaxis(ops.cast(fixed > limit, x.dtype), -1, axis)
    total = ops.sum(support * x, axis=axis, keepdims=True) - 1.0
    return support * (x - total / ops.sum(support, axis=axis, keepdims=True))


def softplus(x: Any) -> Any:
    """``log(exp(x) + 1)``."""
    return ops.softplus(x)


def relu(
    x: Any,
    alpha: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    negative_slope: float | None = None,
) -> Any:
    """The rectifier, optionally leaky, saturating and shifted.

    ``max_value`` where ``x >= max_value``, ``x`` where ``threshold < x < max_value``, else
    ``alpha * (x - threshold)``. ``negative_slope`` is another name for ``alpha``.
    """
    slope = alpha if negative_slope is None else negative_slope
    if not slope and not threshold:
        if max_value == 6:
            return ops.relu6(x)
        return ops.relu(x) if max_value is None else ops.minimum(ops.relu(x), float(max_value))
    above = x if max_value is None else ops.minimum(x, float(max_value))
    below = x - threshold if threshold else x
    if threshold or max_value is not None:
        below = ops.minimum(0.0, below)  # no slope at the kink itself
    return ops.where(x > threshold, above, slope * below if slope else 0.0)


def leaky_relu(x: Any, negative_slope: float = 0.2, alpha: float | None = None) -> Any:
    """``x`` if ``x > 0``, else ``negative_slope * x``; ``alpha`` is another name for the slope."""
    return relu(x, alpha=negative_slope if alpha is None else alpha)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(x)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return ops.sigmoid(x)


def hard_sigmoid(x: Any) -> Any:
    """``0.2 * x + 0.5`` clipped to [0, 1]."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x * P(X <= x)`` for a standard normal X; ``approximate`` uses tanh. https://arxiv.org/abs/1606.08415"""
    return ops.gelu(x, approximate=approximate)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``. https://arxiv.org/abs/1908.08681"""
    return x * ops.tanh(ops.softplus(x))


def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return ops.exp(x)


def linear(x: Any) -> Any:
    """``x``."""
    return x


swish = silu
hard_swish = hard_silu


_KNOWN = {
    name: globals()[name]
    for name in __all__
    if callable(globals().get(name)) and name not in ("deserialize", "get", "serialize")
}


def serialize(activation: Any) -> Any:
    """The name of an activation function, or the config of an activation object."""
    if inspect.isfunction(activation):
        return get_registered_name(activation)
    return serialize_keras_object(activation)


def deserialize(name: Any, custom_objects: dict | None = None) -> Any:
    """The activation that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    return lookup(name, _KNOWN, "activation", custom_objects)


def get(identifier: Any) -> Any:
    """An activation from a name, a config or a callable; ``linear`` from ``None``."""
    return linear if identifier is None else deserialize(identifier)
