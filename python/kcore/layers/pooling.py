"""Pooling over windows, and over the whole of a sequence or an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import backend, ops
from kcore.conv_arithmetic import conv_output_length
from kcore.layers.base import InputSpec, Layer
from kcore.layers.convolutional.convolution import extents, one_of

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
]


class _Pooling(Layer):
    rank: int

    def __init__(
        self,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None,
        padding: str,
        data_format: str | None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.pool_size = extents(pool_size, self.rank, "pool_size")
        self.strides = self.pool_size if strides is None else extents(strides, self.rank, "strides")
        self.padding = one_of(padding.lower(), ("valid", "same"), "padding")
        self.data_format = backend.normalize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def pool(self, *args: Any) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        return self.pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        shape = list(input_shape)
        first = 2 if self.data_format == "channels_first" else 1
        for i, (size, stride) in enumerate(zip(self.pool_size, self.strides, strict=True)):
            shape[first + i] = conv_output_length(shape[first + i], size, self.padding, stride)
        return tuple(shape)


class _Pooling1D(_Pooling):
    rank = 1

    def __init__(
        self,
        pool_size: int | Sequence[int] = 2,
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)


class _Pooling2D(_Pooling):
    rank = 2

    def __init__(
        self,
        pool_size: int | Sequence[int] = (2, 2),
        strides: int | Sequence[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, **kwargs)


class MaxPooling1D(_Pooling1D):
    """The maximum of each window over time.

    Args:
        pool_size: the window. strides: between windows; the window's size if ``None``.
        padding: ``"valid"`` or ``"same"``. data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def pool(self, *args: Any) -> Any:
        return ops.max_pool(*args)


class AveragePooling1D(_Pooling1D):
    """The mean of each window over time; padding doesn't count. The arguments are those of ``MaxPooling1D``."""

    def pool(self, *args: Any) -> Any:
        return ops.average_pool(*args)


class MaxPooling2D(_Pooling2D):
    """The maximum of each window of an image.

    Args:
        pool_size: the window. strides: between windows; the window's size if ``None``.
        padding: ``"valid"`` or ``"same"``. data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    def pool(self, *args: Any) -> Any:
        return ops.max_pool(*args)


class AveragePooling2D(_Pooling2D):
    """The mean of each window of an image; padding doesn't count. The arguments are those of ``MaxPooling2D``."""

    def pool(self, *args: Any) -> Any:
        return ops.average_pool(*args)


class _GlobalPooling(Layer):
    rank: int

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        self.keepdims = bool(kwargs.pop("keepdims", False))
        super().__init__(**kwargs)
        self.data_format = backend.normalize_data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _axes(self) -> tuple[int, ...]:
        first = 2 if self.data_format == "channels_first" else 1
        return tuple(range(first, first + self.rank))

    def reduce(self, inputs: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def call(self, inputs: Any) -> Any:
        return self.reduce(inputs, axis=self._axes, keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        if self.keepdims:
            return tuple(1 if i in self._axes else d for i, d in enumerate(input_shape))
        return tuple(d for i, d in enumerate(input_shape) if i not in self._axes)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "keepdims": True} if self.keepdims else config


class _GlobalPooling1D(_GlobalPooling):
    rank = 1

    def __init__(self, data_format: str | None = "channels_last", **kwargs: Any):
        super().__init__(data_format, **kwargs)


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The maximum over time: ``(batch, steps, features)`` to ``(batch, features)``."""

    def reduce(self, inputs: Any, **kwargs: Any) -> Any:
        return ops.max(inputs, **kwargs)


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over time: ``(batch, steps, features)`` to ``(batch, features)``; masked steps don't count."""

    def reduce(self, inputs: Any, **kwargs: Any) -> Any:
        return ops.mean(inputs, **kwargs)

    def __init__(self, data_format: str | None = "channels_last", **kwargs: Any):
        super().__init__(data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        (time,) = self._axes
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 3 - time)
        return ops.sum(inputs * weights, axis=time, keepdims=self.keepdims) / ops.sum(
            weights, axis=time, keepdims=self.keepdims
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


class GlobalMaxPooling2D(_GlobalPooling):
    """The maximum over each image: ``(batch, rows, columns, channels)`` to ``(batch, channels)``."""

    rank = 2

    def reduce(self, inputs: Any, **kwargs: Any) -> Any:
        return ops.max(inputs, **kwargs)


class GlobalAveragePooling2D(_GlobalPooling):
    """The mean over each image: ``(batch, rows, columns, channels)`` to ``(batch, channels)``."""

    rank = 2

    def reduce(self, inputs: Any, **kwargs: Any) -> Any:
        return ops.mean(inputs, **kwargs)


MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
