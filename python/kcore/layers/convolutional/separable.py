"""Convolutions that treat space and channels apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import constraints, initializers, ops, regularizers
from kcore.layers.convolutional.convolution import Convolution

__all__ = [
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
]


class DepthwiseConv2D(Convolution):
    """Convolves each channel with ``depth_multiplier`` kernels of its own.

    Input ``(batch, rows, columns, channels)``, output has ``channels * depth_multiplier`` channels. Weights:
    ``depthwise_kernel (*kernel_size, channels, depth_multiplier)``, ``bias``. The arguments are those of
    :class:`Convolution`.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            rank=2,
            filters=None,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.depth_multiplier = _multiplier(depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: tuple) -> None:
        channels = self.input_channels(input_shape)
        self.depthwise_kernel = self.add_kernel(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise"
        )
        self.bias = (
            self.add_kernel("bias", (channels * self.depth_multiplier,), "bias") if self.use_bias else None
        )
        self.built = True

    def convolve(self, inputs: Any) -> Any:
        return ops.depthwise_conv(
            inputs, self.depthwise_kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, *space = (
            input_shape[0],
            *map(self.output_length, self.spatial(input_shape), range(self.rank)),
        )
        channels = input_shape[self.channel_axis]
        return self.with_channels(
            batch, space, None if channels is None else channels * self.depth_multiplier
        )


class _SeparableConv(Convolution):
    """Depthwise convolution, then a pointwise one that mixes the channels."""

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: int | Sequence[int],
        depth_multiplier: int,
        depthwise: tuple,
        pointwise: tuple,
        **kwargs: Any,
    ):
        super().__init__(rank=rank, filters=filters, kernel_size=kernel_size, **kwargs)
        self.depth_multiplier = _multiplier(depth_multiplier)
        for role, (initializer, regularizer, constraint) in (
            ("depthwise", depthwise),
            ("pointwise", pointwise),
        ):
            setattr(self, f"{role}_initializer", initializers.get(initializer))
            setattr(self, f"{role}_regularizer", regularizers.get(regularizer))
            setattr(self, f"{role}_constraint", constraints.get(constraint))

    def build(self, input_shape: tuple) -> None:
        channels = self.input_channels(input_shape)
        depth = channels * self.depth_multiplier
        self.depthwise_kernel = self.add_kernel(
            "depthwise_kernel", (*self.kernel_size, channels, self.depth_multiplier), "depthwise"
        )
        self.pointwise_kernel = self.add_kernel(
            "pointwise_kernel", (*(1,) * self.rank, depth, self.filters), "pointwise"
        )
        self.bias = self.add_kernel("bias", (self.filters,), "bias") if self.use_bias else None
        self.built = True

    def convolve(self, inputs: Any) -> Any:
        return ops.separable_conv(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel,
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )


class SeparableConv1D(_SeparableConv):
    """Depthwise convolution over time, then a pointwise one that mixes the channels.

    Weights: ``depthwise_kernel (kernel_size, channels, depth_multiplier)``,
    ``pointwise_kernel (1, channels * depth_multiplier, filters)``, ``bias (filters,)``. The arguments are
    those of :class:`Convolution`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: int | Sequence[int] = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            1,
            filters,
            kernel_size,
            depth_multiplier,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            (pointwise_initializer, pointwise_regularizer, pointwise_constraint),
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )


class SeparableConv2D(_SeparableConv):
    """Depthwise convolution over images, then a pointwise one that mixes the channels.

    Weights: ``depthwise_kernel (*kernel_size, channels, depth_multiplier)``,
    ``pointwise_kernel (1, 1, channels * depth_multiplier, filters)``, ``bias (filters,)``. The arguments are
    those of :class:`Convolution`. Chollet, 2016, https://arxiv.org/abs/1610.02357
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            2,
            filters,
            kernel_size,
            depth_multiplier,
            (depthwise_initializer, depthwise_regularizer, depthwise_constraint),
            (pointwise_initializer, pointwise_regularizer, pointwise_constraint),
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )


SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D


def _multiplier(value: int) -> int:
    if int(value) != value or value < 1:
        raise ValueError(f"`depth_multiplier` must be a positive integer, got {value!r}")
    return int(value)
