"""Layers that enlarge, pad and crop the spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import backend, ops
from kcore.layers.base import InputSpec, Layer
from kcore.layers.convolutional.convolution import extents, one_of

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
]


class UpSampling1D(Layer):
    """Repeats each time step ``size`` times: ``(batch, steps, features)`` to ``(batch, steps * size, features)``."""

    def __init__(self, size: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        (self.size,) = extents(size, 1, "size")
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(inputs, self.size, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, steps, features = input_shape
        return (batch, None if steps is None else steps * self.size, features)


class UpSampling2D(Layer):
    """Enlarges images by whole factors.

    Args:
        size: the factors of rows and columns. data_format: ``"channels_last"`` or ``"channels_first"``.
        interpolation: ``"nearest"`` or ``"bilinear"`` (between pixel centres).
    """

    def __init__(
        self,
        size: int | Sequence[int] = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.size = extents(size, 2, "size")
        self.data_format = backend.normalize_data_format(data_format)
        self.interpolation = one_of(interpolation, ("nearest", "bilinear"), "interpolation")
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        rows, columns = self.size
        return backend.resize_images(inputs, rows, columns, self.data_format, self.interpolation)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        scale = [1, 1, *self.size] if self.data_format == "channels_first" else [1, *self.size, 1]
        return tuple(None if d is None else d * s for d, s in zip(input_shape, scale, strict=True))


class _Border(Layer):
    """Padding and cropping: a pair of widths for each spatial axis."""

    rank: int
    data_format: str

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def pairs(self, widths: Any) -> list[tuple[int, int]]:
        """``widths`` with (0, 0) for batch and channels."""
        space = [widths] if self.rank == 1 else list(widths)
        return [(0, 0), (0, 0), *space] if self.data_format == "channels_first" else [(0, 0), *space, (0, 0)]


class _ZeroPadding(_Border):
    padding: Any

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, self.pairs(self.padding))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        widths = self.pairs(self.padding)
        return tuple(None if d is None else d + a + b for d, (a, b) in zip(input_shape, widths, strict=True))


class _Cropping(_Border):
    cropping: Any

    def call(self, inputs: Any) -> Any:
        self.compute_output_shape(inputs.shape)
        return inputs[tuple(slice(a or None, -b or None) for a, b in self.pairs(self.cropping))]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        widths = self.pairs(self.cropping)
        shape = tuple(None if d is None else d - a - b for d, (a, b) in zip(input_shape, widths, strict=True))
        if any(s is not None and s <= 0 and a + b for s, (a, b) in zip(shape, widths, strict=True)):
            raise ValueError(
                f"layer '{self.name}': cropping {self.cropping} leaves nothing of an input of shape {input_shape}"
            )
        return shape


class ZeroPadding1D(_ZeroPadding):
    """Adds zeros before and after the time steps of ``(batch, steps, features)``.

    Args:
        padding: how many: one number, or a pair for before and after.
    """

    rank = 1

    def __init__(self, padding: int | Sequence[int] = 1, **kwargs: Any):
        self.data_format = backend.normalize_data_format(kwargs.pop("data_format", "channels_last"))
        super().__init__(**kwargs)
        self.padding = extents(padding, 2, "padding", 0)


class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros around images.

    Args:
        padding: one number; ``(rows, columns)``; or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = backend.normalize_data_format(data_format)
        self.padding = _border(padding, "padding")


class Cropping1D(_Cropping):
    """Removes time steps from both ends of ``(batch, steps, features)``.

    Args:
        cropping: how many: one number, or a pair for start and end.
    """

    rank = 1
    data_format = "channels_last"

    def __init__(self, cropping: int | Sequence[int] = (1, 1), **kwargs: Any):
        super().__init__(**kwargs)
        self.cropping = extents(cropping, 2, "cropping", 0)


class Cropping2D(_Cropping):
    """Removes rows and columns from the border of images.

    Args:
        cropping: one number; ``(rows, columns)``; or ``((top, bottom), (left, right))``.
        data_format: ``"channels_last"`` or ``"channels_first"``.
    """

    rank = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = backend.normalize_data_format(data_format)
        self.cropping = _border(cropping, "cropping")


def _border(value: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """A pair for rows and a pair for columns."""
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2:
        raise ValueError(f"`{name}` must be an integer, a pair, or a pair of pairs, got {value!r}")
    return tuple(extents(side, 2, name, 0) for side in sides)
