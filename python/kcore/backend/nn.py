"""Activations, losses, normalization, convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import activations, ops
from kcore.backend.configuration import normalize_data_format
from kcore.conv_arithmetic import deconv_length, normalize_tuple

__all__ = [
    "batch_normalization",
    "bias_add",
    "binary_crossentropy",
    "categorical_crossentropy",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "depthwise_conv2d",
    "elu",
    "hard_sigmoid",
    "in_top_k",
    "l2_normalize",
    "normalize_batch_in_training",
    "pool2d",
    "relu",
    "separable_conv1d",
    "separable_conv2d",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "sparse_categorical_crossentropy",
    "tanh",
]

sigmoid = activations.sigmoid
hard_sigmoid = activations.hard_sigmoid
tanh = activations.tanh
softplus = activations.softplus
softsign = activations.softsign


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """The rectifier, optionally leaky, saturating and shifted."""
    return activations.relu(x, alpha, max_value, threshold)


def elu(x: Any, alpha: float = 1.0) -> Any:
    return activations.elu(x, alpha)


def softmax(x: Any, axis: int = -1) -> Any:
    return ops.softmax(x, axis=axis)


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """The cross-entropy of one-hot targets and probabilities (or logits)."""
    return ops.categorical_crossentropy(target, output, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """The cross-entropy of integer targets and probabilities (or logits)."""
    return ops.sparse_categorical_crossentropy(target, output, from_logits=from_logits, axis=axis)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """The cross-entropy of each target in [0, 1] and probability (or logit)."""
    return ops.binary_crossentropy(target, output, from_logits=from_logits)


def l2_normalize(x: Any, axis: int | None = None) -> Any:
    """``x`` divided by its Euclidean length along ``axis``, which counts as at least 1e-6."""
    square_sum = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x / ops.sqrt(ops.maximum(square_sum, 1e-12))


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether each target is among the ``k`` largest predictions of its row."""
    return ops.in_top_k(targets, predictions, k)


def normalize_batch_in_training(
    x: Any, gamma: Any, beta: Any, reduction_axes: Sequence[int], epsilon: float = 1e-3
) -> tuple[Any, Any, Any]:
    """The batch normalized by its own statistics, its mean and its variance."""
    axes = tuple(sorted(reduction_axes))
    mean, variance = ops.moments(x, axes, keepdims=True)
    shape = [d if i not in axes else 1 for i, d in enumerate(x.shape)]
    y = (x - mean) / ops.sqrt(variance + epsilon)
    if gamma is not None:
        y = y * ops.reshape(gamma, shape)
    if beta is not None:
        y = y + ops.reshape(beta, shape)
    return y, ops.squeeze(mean, axes), ops.squeeze(variance, axes)


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """``gamma * (x - mean) / sqrt(var + epsilon) + beta``; the statistics are vectors or broadcast to ``x``."""
    ndim = len(x.shape)

    def aligned(t: Any) -> Any:
        if t is None or len(t.shape) != 1 or ndim == 1:
            return t
        return ops.reshape(t, [-1 if i == axis % ndim else 1 for i in range(ndim)])

    y = (x - aligned(mean)) / ops.sqrt(aligned(var) + epsilon)
    if gamma is not None:
        y = y * aligned(gamma)
    return y if beta is None else y + aligned(beta)


def conv1d(
    x: Any,
    kernel: Any,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int = 1,
) -> Any:
    """Convolution over time; ``padding`` may be ``"causal"``."""
    data_format = normalize_data_format(data_format)
    if padding == "causal":
        past = dilation_rate * (kernel.shape[0] - 1)
        widths = (
            [(0, 0), (0, 0), (past, 0)] if data_format == "channels_first" else [(0, 0), (past, 0), (0, 0)]
        )
        x, padding = ops.pad(x, widths), "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    return ops.conv(x, kernel, strides, padding, normalize_data_format(data_format), dilation_rate)


def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The gradient of ``conv2d`` for its input, of shape ``output_shape`` (whose batch doesn't matter)."""
    data_format = normalize_data_format(data_format)
    space = slice(2, 4) if data_format == "channels_first" else slice(1, 3)
    strides, dilation = (
        normalize_tuple(strides, 2, "strides"),
        normalize_tuple(dilation_rate, 2, "dilation_rate"),
    )

    def lengths(added: int | None) -> list[Any]:
        sizes = zip(x.shape[space], strides, kernel.shape[:2], dilation, strict=True)
        return [deconv_length(d, s, k, padding, added, rate) for d, s, k, rate in sizes]

    output_padding = None
    wanted = tuple(output_shape)[space]
    usual, least = lengths(None), lengths(0)
    if None not in usual and all(isinstance(w, (int, np.integer)) for w in wanted) and list(wanted) != usual:
        output_padding = [int(w) - d for w, d in zip(wanted, least, strict=True)]  # type: ignore[operator]
    return ops.conv_transpose(x, kernel, strides, padding, output_padding, data_format, dilation_rate)


def separable_conv1d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int = 1,
) -> Any:
    return ops.separable_conv(
        x,
        depthwise_kernel,
        pointwise_kernel,
        strides,
        padding,
        normalize_data_format(data_format),
        dilation_rate,
    )


def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    return ops.separable_conv(
        x,
        depthwise_kernel,
        pointwise_kernel,
        strides,
        padding,
        normalize_data_format(data_format),
        dilation_rate,
    )


def depthwise_conv2d(
    x: Any,
    depthwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    return ops.depthwise_conv(
        x, depthwise_kernel, strides, padding, normalize_data_format(data_format), dilation_rate
    )


def pool2d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """Pooling of images; ``pool_mode`` is ``"max"`` or ``"avg"``."""
    if pool_mode not in ("max", "avg"):
        raise ValueError(f"Invalid pooling mode: {pool_mode}")
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, normalize_data_format(data_format))


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """``x + bias``: one number for each channel, or a bias of the shape of one batch element, channels last."""
    data_format = normalize_data_format(data_format)
    if len(bias.shape) not in (1, len(x.shape) - 1):
        raise ValueError(
            f"Unexpected bias dimensions {len(bias.shape)}, expect to be 1 or {len(x.shape) - 1} dimensions"
        )
    if data_format == "channels_last" or len(x.shape) < 3:
        return x + bias
    if len(bias.shape) == 1:
        return x + ops.reshape(bias, (1, -1, *(1,) * (len(x.shape) - 2)))
    return x + ops.expand_dims(ops.moveaxis(bias, -1, 0), 0)
