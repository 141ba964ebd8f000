"""What ops take: values as tensors or arrays of one dtype, axes counted from the front."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from kcore.graph import Tensor, as_tensor, dtypes
from kcore.graph.primitives import cast

Dims = tuple["int | None", ...]


def operand(x: Any) -> Any:
    """``x`` if it is a tensor, the tensor or array that it stands for if not."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (list, tuple)) and any(isinstance(leaf, Tensor) for leaf in leaves(x)):
        return as_tensor(x)
    return dtypes.as_array(x)


def leaves(value: Any) -> list[Any]:
    """The elements of nested lists and tuples."""
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in leaves(v)]
    return [value]


def promoted(values: Sequence[Any]) -> list[Any]:
    """All as tensors, or all as arrays, of their common dtype."""
    values = [operand(v) if isinstance(v, (list, tuple)) else v for v in values]
    strong = [v.dtype for v in values if isinstance(v, Tensor)]
    dtype = dtypes.common(strong, [v for v in values if not isinstance(v, Tensor)])
    if strong:
        return [cast(v, dtype) if isinstance(v, Tensor) else as_tensor(v, dtype) for v in values]
    return [dtypes.as_array(v, dtype) for v in values]


def integer(value: Any, what: str) -> int:
    """A Python integer. Raises ``TypeError`` for anything that isn't one."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, got {value!r}") from None


def normalize_axis(axis: Any, ndim: int, op: str) -> int:
    """``axis`` counted from the front. Raises ``ValueError`` if there is no such axis."""
    number = integer(axis, f"{op}: axis")
    if not -ndim <= number < ndim:
        raise ValueError(f"{op}: axis {number} is out of range for a tensor of {ndim} dimensions")
    return number % ndim


def normalize_axes(axes: Any, ndim: int, op: str) -> tuple[int, ...]:
    """One axis or several, each counted from the front and given once."""
    result = tuple(normalize_axis(a, ndim, op) for a in (axes if isinstance(axes, (list, tuple)) else [axes]))
    if len(set(result)) != len(result):
        raise ValueError(f"{op}: an axis is given twice in {axes!r}")
    return result


def merge_dims(shapes: Sequence[Dims], op: str, free: int | None = None) -> list[int | None]:
    """The dimensions that all shapes agree on, but for axis ``free``, which stays the first one's."""
    first = shapes[0]
    result = list(first)
    for shape in shapes[1:]:
        if len(shape) != len(first):
            raise ValueError(f"{op}: shapes of different rank: {', '.join(map(str, shapes))}")
        for axis, d in enumerate(shape):
            if axis == free or d is None:
                continue
            if result[axis] is None:
                result[axis] = d
            elif result[axis] != d:
                raise ValueError(f"{op}: shapes differ on axis {axis}: {', '.join(map(str, shapes))}")
    return result
