"""Activation functions: shape-preserving functions of one tensor, most of them element by element."""

from __future__ import annotations

import inspect
from typing import Any

from kcore import ops
from kcore.lookup import lookup
from kcore.utils.serialization import get_registered_name, serialize_keras_object

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def softmax(x: Any, axis: int = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along ``axis``. Raises ``ValueError`` for tensors of rank 0 and 1."""
    if len(x.shape) < 2:
        raise ValueError(f"softmax needs a tensor of rank 2 or more, got shape {tuple(x.shape)}")
    return ops.softmax(x, axis=axis)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """``x - log(sum(exp(x)))`` along ``axis``."""
    return ops.log_softmax(x, axis=axis)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point of the probability simplex, which may hold exact zeros.

    Martins and Astudillo, 2016, https://arxiv.org/abs/1602.02068
    """
    return ops.sparsemax(x, axis=axis)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``. https://arxiv.org/abs/1511.07289"""
    return ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0.0)))


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` if ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``. https://arxiv.org/abs/1704.07483"""
    return ops.where(x > 0, x, alpha * ops.expm1(ops.minimum(x, 0.0) / alpha))


def selu(x: Any) -> Any:
    """``scale * elu(x, alpha)`` with the constants that keep mean 0 and variance 1 through layers.

    Goes with ``lecun_normal`` weights and ``AlphaDropout``. https://arxiv.org/abs/1706.02515
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def softplus(x: Any) -> Any:
    """``log(exp(x) + 1)``."""
    return ops.softplus(x)


def softsign(x: Any) -> Any:
    """``x / (abs(x) + 1)``."""
    return x / (ops.abs(x) + 1.0)


def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x * x + b)) / 2``."""
    return (x + ops.sqrt(ops.square(x) + b)) * 0.5


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
        y = ops.relu(x)
        return y if max_value is None else ops.minimum(y, float(max_value))
    above = x if max_value is None else ops.minimum(x, float(max_value))
    return ops.where(x > threshold, above, slope * (x - threshold) if slope else 0.0)


def leaky_relu(x: Any, negative_slope: float = 0.2, alpha: float | None = None) -> Any:
    """``x`` if ``x > 0``, else ``negative_slope * x``; ``alpha`` is another name for the slope."""
    return relu(x, alpha=negative_slope if alpha is None else alpha)


def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return relu(x, max_value=6.0)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return ops.tanh(x)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return ops.sigmoid(x)


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``."""
    return -ops.softplus(-x)


def hard_sigmoid(x: Any) -> Any:
    """``0.2 * x + 0.5`` clipped to [0, 1]."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def hard_silu(x: Any) -> Any:
    """``x * relu6(x + 3) / 6``. https://arxiv.org/abs/1905.02244"""
    return x * relu6(x + 3.0) / 6.0


def hard_tanh(x: Any) -> Any:
    """``x`` clipped to [-1, 1]."""
    return ops.clip(x, -1.0, 1.0)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` where ``abs(x) > threshold``, else 0."""
    return ops.where(ops.abs(x) > threshold, x, 0.0)


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """``x`` moved towards 0 by ``threshold``, and 0 where it would cross it."""
    return ops.maximum(x - threshold, 0.0) + ops.minimum(x + threshold, 0.0)


def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    return x - ops.tanh(x)


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """``x`` where ``x > threshold``, else ``default_value``."""
    return ops.where(x > threshold, x, float(default_value))


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x * P(X <= x)`` for a standard normal X; ``approximate`` uses tanh. https://arxiv.org/abs/1606.08415"""
    return ops.gelu(x, approximate=approximate)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``. https://arxiv.org/abs/1710.05941"""
    return x * ops.sigmoid(x)


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))``. https://arxiv.org/abs/1908.08681"""
    return x * ops.tanh(ops.softplus(x))


def glu(x: Any, axis: int = -1) -> Any:
    """One half of ``x`` times the sigmoid of the other half. https://arxiv.org/abs/1612.08083"""
    value, gate = ops.split(x, 2, axis=axis)
    return value * ops.sigmoid(gate)


def sparse_plus(x: Any) -> Any:
    """0 for ``x <= -1``, ``(x + 1)**2 / 4`` for ``-1 < x < 1``, ``x`` for ``x >= 1``."""
    return ops.where(x <= -1.0, 0.0, ops.where(x < 1.0, ops.square(x + 1.0) * 0.25, x))


def sparse_sigmoid(x: Any) -> Any:
    """``(x + 1) / 2`` clipped to [0, 1]."""
    return ops.clip(0.5 * x + 0.5, 0.0, 1.0)


def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return ops.exp(x)


def linear(x: Any) -> Any:
    """``x``."""
    return x


swish = silu
hard_swish = hard_silu

_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if inspect.isfunction(value) and value.__module__ == __name__
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
