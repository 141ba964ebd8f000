"""Tensors from nothing: constants, ranges, and tensors shaped like others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore.graph import Tensor, constant_value, dtypes
from kcore.graph.op import Deferred
from kcore.graph.primitives import cast
from kcore.graph.primitives import full as filled
from kcore.graph.tensor import as_tensor
from kcore.ops.core import shape as extents_of
from kcore.ops.elementwise import where

__all__ = [
    "arange",
    "array",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "geomspace",
    "identity",
    "linspace",
    "logspace",
    "meshgrid",
    "ones",
    "ones_like",
    "tri",
    "zeros",
    "zeros_like",
]


def array(x: Any, dtype: Any = None) -> Any:
    """``x`` as an array, or itself (converted) if it is a tensor."""
    if isinstance(x, Tensor):
        return x if dtype is None else cast(x, dtype)
    return dtypes.as_array(x, None if dtype is None else dtypes.standardize(dtype))


def _full_of(*extents: Tensor, shape: tuple, value: float, dtype: str) -> Tensor:
    values = [constant_value(e) for e in extents]
    if any(v is None for v in values):
        raise ValueError("the shape of a tensor cannot depend on data, only on other shapes")
    known = iter(int(v) for v in values)  # type: ignore[arg-type]
    return filled(tuple(next(known) if d is None else d for d in shape), value, dtype)


_full_dynamic = Deferred(_full_of, lambda *extents, shape, value, dtype: (shape, dtype))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of ``shape`` whose elements are all ``fill_value``; extents may be tensors."""
    dims = list(shape) if isinstance(shape, (Tensor, np.ndarray, Sequence)) else [shape]
    if dtype is None:
        dtype = fill_value.dtype if isinstance(fill_value, Tensor) else dtypes.common([], [fill_value])
    dtype = dtypes.standardize(dtype)
    if isinstance(fill_value, Tensor) or np.ndim(fill_value):
        from kcore.ops.movement import broadcast_to

        return broadcast_to(array(fill_value, dtype), shape)
    if any(isinstance(d, Tensor) for d in dims):
        extents = [as_tensor(d) for d in dims if isinstance(d, Tensor)]
        known = tuple(None if isinstance(d, Tensor) else int(d) for d in dims)
        return _full_dynamic.node(extents, {"shape": known, "value": float(fill_value), "dtype": dtype})
    return np.full([int(d) for d in dims], fill_value, dtype)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """A tensor of zeros, of ``floatx()`` unless ``dtype`` is given."""
    return full(shape, 0, dtypes.standardize(dtype))


def ones(shape: Any, dtype: Any = None) -> Any:
    """A tensor of ones, of ``floatx()`` unless ``dtype`` is given."""
    return full(shape, 1, dtypes.standardize(dtype))


def empty(shape: Any, dtype: Any = None) -> Any:
    """A tensor of no particular content (zeros)."""
    return zeros(shape, dtype)


_full_like = Deferred(
    lambda x, *, value, dtype: filled(x.shape, value, dtype), lambda x, *, value, dtype: (x.shape, dtype)
)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """A tensor of the shape (and dtype) of ``x`` whose elements are all ``fill_value``."""
    if not isinstance(x, Tensor):
        x = dtypes.as_array(x)
    dtype = x.dtype if dtype is None else dtypes.standardize(dtype)
    if not isinstance(x, Tensor):
        return np.full_like(x, fill_value, dtype)
    if isinstance(fill_value, Tensor) or np.ndim(fill_value):
        return where(
            _full_like.node([x], {"value": 1.0, "dtype": "bool"}), cast(fill_value, dtype), zeros((), dtype)
        )
    return _full_like.node([as_tensor(x)], {"value": float(fill_value), "dtype": dtype})


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Zeros in the shape of ``x``."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Any:
    """Ones in the shape of ``x``."""
    return full_like(x, 1, dtype)


empty_like = zeros_like


def _known(value: Any, what: str) -> Any:
    known = constant_value(value) if isinstance(value, Tensor) else value
    if known is None:
        raise ValueError(f"{what} must be known when the model is built, got {value!r}")
    return known.item() if isinstance(known, np.ndarray) else known


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """``start, start + step, ...`` up to but without ``stop``; a bound may be a shape's extent."""
    bounds = [b for b in (start, stop, step) if b is not None]
    if dtype is None:
        dtype = dtypes.common(
            [b.dtype for b in bounds if isinstance(b, Tensor)],
            [b for b in bounds if not isinstance(b, Tensor)],
        )
    dtype = dtypes.standardize(dtype)
    if any(isinstance(b, Tensor) and constant_value(b) is None for b in bounds):
        return _arange_dynamic.node(
            [as_tensor(b) for b in bounds], {"dtype": dtype, "given": (stop is not None, step is not None)}
        )
    numbers: list[Any] = [None if b is None else _known(b, "arange") for b in (start, stop, step)]
    if numbers[1] is None:
        numbers[:2] = [0, numbers[0]]
    return np.arange(numbers[0], numbers[1], 1 if numbers[2] is None else numbers[2]).astype(dtype)


def _arange_known(*bounds: Tensor, dtype: str, given: tuple[bool, bool]) -> Tensor:
    rest = list(bounds)
    start = rest.pop(0)
    stop = rest.pop(0) if given[0] else None
    return as_tensor(
        arange(
            _known(start, "arange"),
            None if stop is None else _known(stop, "arange"),
            _known(rest[0], "arange") if rest else None,
            dtype,
        )
    )


_arange_dynamic = Deferred(_arange_known, lambda *bounds, dtype, given: ((None,), dtype))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``num`` evenly spaced values from ``start`` to ``stop``."""
    if isinstance(start, Tensor) or isinstance(stop, Tensor):
        raise TypeError("linspace needs numbers or arrays, not tensors")
    dtype = dtypes.standardize(dtype)
    values, step = np.linspace(start, stop, num, endpoint, retstep=True, axis=axis)
    values = values.astype(dtype)
    return (values, np.asarray(step, dtype)) if retstep else values


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: float = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """``base`` to the powers of ``linspace(start, stop, num)``."""
    return np.logspace(start, stop, num, endpoint, base, axis=axis).astype(dtypes.standardize(dtype))


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Any:
    """``num`` values from ``start`` to ``stop`` whose ratios are equal."""
    return np.geomspace(start, stop, num, endpoint, axis=axis).astype(dtypes.standardize(dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """An ``(N, M)`` matrix with ones on the ``k``-th diagonal and zeros elsewhere."""
    return np.eye(N, M, k, dtype=dtypes.standardize(dtype))


def identity(n: int, dtype: Any = None) -> Any:
    """The ``(n, n)`` identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """An ``(N, M)`` matrix with ones at and below the ``k``-th diagonal."""
    return np.tri(N, M, k, dtype=dtypes.standardize(dtype))


def meshgrid(*x: Any, indexing: str = "xy") -> list:
    """Coordinate matrices of coordinate vectors, as ``np.meshgrid``."""
    from kcore.ops.movement import broadcast_to

    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing must be 'xy' or 'ij', got {indexing!r}")
    from kcore.graph.primitives import reshape

    vectors = [reshape(array(v), (-1,)) for v in x]
    n = len(vectors)
    axes = list(range(n))
    if indexing == "xy" and n > 1:
        axes[0], axes[1] = 1, 0
    extents = [1] * n
    for v, axis in zip(vectors, axes, strict=True):
        extents[axis] = extents_of(v)[0]
    return [
        broadcast_to(reshape(v, [-1 if i == axis else 1 for i in range(n)]), extents)
        for v, axis in zip(vectors, axes, strict=True)
    ]
