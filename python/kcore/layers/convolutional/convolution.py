"""Conv1D, Conv2D and Conv2DTranspose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import activations, backend, constraints, initializers, ops, regularizers
from kcore.conv_arithmetic import conv_output_length, deconv_length, normalize_tuple
from kcore.layers.base import InputSpec, Layer

__all__ = ["Conv1D", "Conv2D", "Conv2DTranspose", "Convolution1D", "Convolution2D", "Convolution2DTranspose"]


class Convolution(Layer):
    """What all convolutions share: arguments, weights, bias and activation.

    Args:
        rank: 1 for sequences, 2 for images.
        filters: the number of output channels. kernel_size, strides, dilation_rate: one number or one for each
            spatial axis.
        padding: ``"valid"`` (none), ``"same"`` (the output has the input's extents divided by the strides,
            rounded up) or, in one dimension, ``"causal"`` (no output sees later inputs).
        data_format: ``"channels_last"`` or ``"channels_first"``.
        groups: the channels and filters are cut into this many groups that don't see each other.
    """

    _paddings: tuple[str, ...] = ("valid", "same")

    def __init__(
        self,
        rank: int,
        filters: int | None,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.rank = rank
        self.filters = filters
        self.kernel_size = extents(kernel_size, rank, "kernel_size")
        self.strides = extents(strides, rank, "strides")
        self.padding = one_of(padding.lower(), self._paddings, "padding")
        self.data_format = backend.normalize_data_format(data_format)
        self.dilation_rate = extents(dilation_rate, rank, "dilation_rate")
        self.groups = int(groups)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(ndim=rank + 2)
        if filters is not None and filters <= 0:
            raise ValueError(f"{type(self).__name__}: filters must be positive, got {filters}")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__}: strides > 1 cannot be used with dilation_rate > 1, "
                f"got strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        if self.groups < 1 or (filters is not None and filters % self.groups):
            raise ValueError(f"{type(self).__name__}: {filters} filters cannot be cut into {groups} groups")

    @property
    def channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def input_channels(self, input_shape: tuple) -> int:
        """The number of input channels, which from now on is demanded of inputs."""
        channels = input_shape[self.channel_axis]
        if channels is None:
            raise ValueError(
                f"layer '{self.name}': the channel dimension of the inputs should be defined, got {input_shape}"
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self.channel_axis: channels})
        return channels

    def add_kernel(self, name: str, shape: tuple, role: str = "kernel") -> Any:
        return self.add_weight(
            name,
            shape,
            initializer=getattr(self, f"{role}_initializer"),
            regularizer=getattr(self, f"{role}_regularizer"),
            constraint=getattr(self, f"{role}_constraint"),
        )

    def build(self, input_shape: tuple) -> None:
        channels = self.input_channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"layer '{self.name}': {channels} input channels cannot be cut into {self.groups} groups"
            )
        self.kernel = self.add_kernel("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = self.add_kernel("bias", (self.filters,), "bias") if self.use_bias else None
        self.built = True

    def convolve(self, inputs: Any) -> Any:
        return ops.conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)

    def call(self, inputs: Any) -> Any:
        y = self.convolve(inputs)
        return self.activation(backend.bias_add(y, self.bias, self.data_format) if self.use_bias else y)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        space = self.spatial(input_shape)
        return self.with_channels(
            input_shape[0], [self.output_length(d, i) for i, d in enumerate(space)], self.filters
        )

    def spatial(self, shape: tuple) -> tuple:
        return tuple(shape[2:] if self.data_format == "channels_first" else shape[1:-1])

    def with_channels(self, batch: int | None, space: Sequence[int | None], channels: int | None) -> tuple:
        if self.data_format == "channels_first":
            return (batch, channels, *space)
        return (batch, *space, channels)

    def output_length(self, extent: int | None, axis: int) -> int | None:
        return conv_output_length(
            extent, self.kernel_size[axis], self.padding, self.strides[axis], self.dilation_rate[axis]
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if config.get("groups") == 1:
            del config["groups"]
        return config


class Conv1D(Convolution):
    """``activation(x * kernel + bias)``: convolution over time.

    Input ``(batch, steps, channels)``, output ``(batch, new_steps, filters)``; channels before steps with
    ``data_format="channels_first"``. Weights: ``kernel (kernel_size, channels / groups, filters)``,
    ``bias (filters,)``. The arguments are those of :class:`Convolution`.
    """

    _paddings = ("valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: int | Sequence[int] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(
            rank=1,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )

    def convolve(self, inputs: Any) -> Any:
        if self.padding != "causal":
            return super().convolve(inputs)
        past = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        widths = (
            [(0, 0), (0, 0), (past, 0)]
            if self.data_format == "channels_first"
            else [(0, 0), (past, 0), (0, 0)]
        )
        padded = ops.pad(inputs, widths)
        return ops.conv(padded, self.kernel, self.strides, "valid", self.data_format, self.dilation_rate)


class Conv2D(Convolution):
    """``activation(x * kernel + bias)``: convolution over images.

    Input ``(batch, rows, columns, channels)``, output ``(batch, new_rows, new_columns, filters)``; channels
    before rows with ``data_format="channels_first"``. Weights:
    ``kernel (*kernel_size, channels / groups, filters)``, ``bias (filters,)``. The arguments are those of
    :class:`Convolution`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        groups: int = 1,
        **kwargs: Any,
    ):
        super().__init__(
            rank=2,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            groups=groups,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )


class Conv2DTranspose(Convolution):
    """The transpose of ``Conv2D`` (its gradient), with bias and activation: it enlarges images.

    Args:
        output_padding: rows and columns added to the output, less than the strides; if ``None`` the output
            is the largest that a ``Conv2D`` of the same arguments maps to the input's extents.

    Weights: ``kernel (*kernel_size, filters, channels)``, ``bias (filters,)``. The other arguments are those
    of :class:`Convolution`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = (1, 1),
        padding: str = "valid",
        output_padding: int | Sequence[int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | Sequence[int] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(
            rank=2,
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.output_padding = (
            None if output_padding is None else extents(output_padding, 2, "output_padding", 0)
        )
        for stride, padding_ in zip(self.strides, self.output_padding or (), strict=False):
            if stride <= padding_:
                raise ValueError(
                    f"Conv2DTranspose: strides {self.strides} must be greater than output_padding {self.output_padding}"
                )

    def build(self, input_shape: tuple) -> None:
        channels = self.input_channels(input_shape)
        self.kernel = self.add_kernel("kernel", (*self.kernel_size, self.filters, channels))
        self.bias = self.add_kernel("bias", (self.filters,), "bias") if self.use_bias else None
        self.built = True

    def convolve(self, inputs: Any) -> Any:
        return ops.conv_transpose(
            inputs,
            self.kernel,
            self.strides,
            self.padding,
            self.output_padding,
            self.data_format,
            self.dilation_rate,
        )

    def output_length(self, extent: int | None, axis: int) -> int | None:
        added = None if self.output_padding is None else self.output_padding[axis]
        return deconv_length(
            extent, self.strides[axis], self.kernel_size[axis], self.padding, added, self.dilation_rate[axis]
        )


Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose


def extents(value: int | Sequence[int], rank: int, name: str, least: int = 1) -> tuple[int, ...]:
    """``value`` for each of ``rank`` axes. Raises ``ValueError`` unless they are integers ``>= least``."""
    values = normalize_tuple(value, rank, name)
    if any(v < least for v in values):
        raise ValueError(f"`{name}` must be {rank} integer(s) of at least {least}, got {value!r}")
    return values


def one_of(value: str, allowed: tuple[str, ...], name: str) -> str:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value
