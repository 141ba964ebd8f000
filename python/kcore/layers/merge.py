"""Layers that make one tensor of several."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kcore import backend, ops
from kcore.graph import broadcast_shapes
from kcore.layers.base import Layer

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Merge(Layer):
    """An elementwise function of a list of tensors.

    Inputs broadcast; one of lower rank has axes of extent 1 put in after its batch axis.
    """

    exactly: int | None = None

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def merge(self, inputs: list) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define merge(inputs)")

    def build(self, input_shape: Any) -> None:
        self._check_shapes(input_shape)
        self._merged_shape(input_shape)
        self.built = True

    def _check_shapes(self, shapes: Any) -> None:
        name = type(self).__name__
        if not isinstance(shapes, (list, tuple)) or not shapes or not isinstance(shapes[0], (list, tuple)):
            raise ValueError(f"A {name} layer should be called on a list of inputs.")
        if self.exactly is not None and len(shapes) != self.exactly:
            raise ValueError(
                f"A {name} layer should be called on exactly {self.exactly} inputs, got {len(shapes)}."
            )
        if len({shape[0] for shape in shapes if shape and shape[0] is not None} - {1}) > 1:
            raise ValueError(
                f"Can not merge tensors with different batch sizes. Got tensors with shapes: {list(shapes)}"
            )

    def _merged_shape(self, shapes: Sequence[tuple]) -> tuple:
        ndim = max(map(len, shapes))
        aligned = [(*s[:1], *(1,) * (ndim - len(s)), *s[1:]) for s in shapes]
        try:
            return broadcast_shapes(*aligned)
        except ValueError:
            raise ValueError(f"Operands could not be broadcast together with shapes {list(shapes)}") from None

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"A {type(self).__name__} layer should be called on a list of inputs.")
        ndim = max(x.ndim for x in inputs)
        aligned = []
        for x in inputs:
            for _ in range(ndim - x.ndim):
                x = ops.expand_dims(x, 1)
            aligned.append(x)
        return self.merge(aligned)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        self._check_shapes(input_shape)
        return self._merged_shape(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return None
        if not isinstance(mask, (list, tuple)) or len(mask) != len(inputs):
            raise ValueError(
                f"layer '{self.name}': `mask` must be a list of one mask for each input, got {mask!r}"
            )
        masks = [m for m in mask if m is not None]
        return functools.reduce(ops.logical_and, masks) if masks else None


class Add(_Merge):
    """The sum of its inputs."""

    def merge(self, inputs: list) -> Any:
        return functools.reduce(ops.add, inputs)


class Subtract(_Merge):
    """The first of its two inputs minus the second."""

    exactly = 2

    def merge(self, inputs: list) -> Any:
        return inputs[0] - inputs[1]


class Multiply(_Merge):
    """The product of its inputs, element by element."""

    def merge(self, inputs: list) -> Any:
        return functools.reduce(ops.multiply, inputs)


class Average(_Merge):
    """The mean of its inputs, element by element."""

    def merge(self, inputs: list) -> Any:
        return functools.reduce(ops.add, inputs) / len(inputs)


class Maximum(_Merge):
    """The largest of its inputs, element by element."""

    def merge(self, inputs: list) -> Any:
        return functools.reduce(ops.maximum, inputs)


class Minimum(_Merge):
    """The smallest of its inputs, element by element."""

    def merge(self, inputs: list) -> Any:
        return functools.reduce(ops.minimum, inputs)


class Concatenate(_Merge):
    """Joins its inputs along ``axis``; all other extents must agree."""

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def _check_shapes(self, shapes: Any) -> None:
        if not isinstance(shapes, (list, tuple)) or not shapes or not isinstance(shapes[0], (list, tuple)):
            raise ValueError("A Concatenate layer should be called on a list of inputs.")

    def _merged_shape(self, shapes: Sequence[tuple]) -> tuple:
        ndim = len(shapes[0])
        axis = self.axis % ndim
        rest = [[d for i, d in enumerate(s) if i != axis] for s in shapes]
        fits = -ndim <= self.axis < ndim and all(len(s) == ndim for s in shapes)
        if not fits or any(len({d for d in dims if d is not None}) > 1 for dims in zip(*rest, strict=True)):
            raise ValueError(
                "A Concatenate layer requires inputs with matching shapes except for the concat axis. "
                f"Got inputs shapes: {list(shapes)} and axis={self.axis}"
            )
        assert axis is not None
        known: list = [next((d for d in dims if d is not None), None) for dims in zip(*shapes, strict=True)]
        joined = [s[axis] for s in shapes]
        known[axis] = None if None in joined else sum(joined)
        return tuple(known)

    def call(self, inputs: Any) -> Any:
        return ops.concatenate(list(inputs), axis=self.axis)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None or all(m is None for m in mask):
            return None
        masks = []
        for x, m in zip(inputs, mask, strict=True):
            everywhere = ops.ones_like(x, dtype="bool")
            if m is None:
                masks.append(everywhere)
                continue
            for _ in range(x.ndim - m.ndim):
                m = ops.expand_dims(m, -1)
            masks.append(ops.logical_and(everywhere, m))
        return ops.all(ops.concatenate(masks, axis=self.axis), axis=-1)


class Dot(_Merge):
    """The products of two tensors' vectors along ``axes``, batch element by batch element.

    Args:
        axes: the axis of both inputs, or a pair of axes, that is summed over.
        normalize: whether to scale the vectors to length 1 first: cosine similarity.

    ``(b, i, j)`` and ``(b, j, k)`` with ``axes=(2, 1)`` give ``(b, i, k)``; two vectors give ``(b, 1)``.
    """

    exactly = 2

    def __init__(self, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        pair = isinstance(axes, (list, tuple)) and len(axes) == 2 and all(isinstance(a, int) for a in axes)
        if not isinstance(axes, int) and not pair:
            raise ValueError(f"Dot: `axes` must be an integer or a pair of integers, got {axes!r}")
        self.axes = axes if isinstance(axes, int) else tuple(axes)
        self.normalize = normalize
        self.supports_masking = True

    def _axes(self, shapes: Sequence[tuple]) -> tuple[int, ...]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return tuple(axis % len(shape) for axis, shape in zip(axes, shapes, strict=True))

    def _merged_shape(self, shapes: Sequence[tuple]) -> tuple:
        (a, b), (i, j) = shapes, self._axes(shapes)
        if 0 in (i, j):
            raise ValueError(f"layer '{self.name}': cannot contract the batch axis, got axes={self.axes}")
        if a[i] is not None and b[j] is not None and a[i] != b[j]:
            raise ValueError(
                f"Dimension incompatibility {a[i]} != {b[j]}. Layer shapes: {a}, {b}. Chosen axes: {i}, {j}"
            )
        shape = (*(d for k, d in enumerate(a) if k != i), *(d for k, d in enumerate(b) if k not in (0, j)))
        return shape if len(shape) > 1 else (*shape, 1)

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        i, j = self._axes([a.shape, b.shape])
        if self.normalize:
            a, b = backend.l2_normalize(a, axis=i), backend.l2_normalize(b, axis=j)
        return backend.batch_dot(a, b, axes=[i, j])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None


def add(inputs: list, **kwargs: Any) -> Any:
    """The sum of tensors; see :class:`Add`."""
    return Add(**kwargs)(inputs)


def subtract(inputs: list, **kwargs: Any) -> Any:
    """The difference of two tensors; see :class:`Subtract`."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: list, **kwargs: Any) -> Any:
    """The elementwise product of tensors; see :class:`Multiply`."""
    return Multiply(**kwargs)(inputs)


def average(inputs: list, **kwargs: Any) -> Any:
    """The elementwise mean of tensors; see :class:`Average`."""
    return Average(**kwargs)(inputs)


def maximum(inputs: list, **kwargs: Any) -> Any:
    """The elementwise maximum of tensors; see :class:`Maximum`."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: list, **kwargs: Any) -> Any:
    """The elementwise minimum of tensors; see :class:`Minimum`."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: list, axis: int = -1, **kwargs: Any) -> Any:
    """Tensors joined along ``axis``; see :class:`Concatenate`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: list, axes: int | Sequence[int], normalize: bool = False, **kwargs: Any) -> Any:
    """Batchwise products of two tensors' vectors; see :class:`Dot`."""
    return Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
