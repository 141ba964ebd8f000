"""Random tensors, drawn at each run of a program, and variables, drawn once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcore.backend.tensors import shape as shape_of
from kcore.graph import Tensor, UpdateScope, Variable, dtypes

__all__ = [
    "dropout",
    "keep_mask",
    "normal_like",
    "random_binomial",
    "random_normal",
    "random_normal_variable",
    "random_uniform",
    "random_uniform_variable",
    "truncated_normal",
]


class _Random:
    def __getattr__(self, name: str) -> Any:
        import importlib

        return getattr(importlib.import_module("kcore.ops.random"), name)


random = _Random()


def _drawn(distribution: Callable, *args: Any, **kwargs: Any) -> Any:
    """A tensor, never an array: a program that is being traced draws anew at each run."""
    with UpdateScope():
        return distribution(*args, **kwargs)


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """A tensor of normally distributed numbers."""
    return _drawn(random.normal, shape, mean, stddev, dtype=dtypes.standardize(dtype), seed=seed)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """A tensor of numbers spread evenly over ``[minval, maxval)``."""
    return _drawn(random.uniform, shape, minval, maxval, dtype=dtypes.standardize(dtype), seed=seed)


def random_binomial(shape: Any, p: float = 0.0, dtype: str | None = None, seed: int | None = None) -> Tensor:
    """A tensor of ones with probability ``p``, else zeros."""
    return _drawn(random.bernoulli, shape, p, dtype=dtypes.standardize(dtype), seed=seed)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """A tensor of normally distributed numbers, none further than two standard deviations from the mean."""
    return _drawn(random.truncated_normal, shape, mean, stddev, dtype=dtypes.standardize(dtype), seed=seed)


def random_uniform_variable(
    shape: Sequence[int],
    low: float,
    high: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """A variable that starts with numbers spread evenly over ``[low, high)``."""
    return Variable(random.uniform(shape, low, high, dtype=dtypes.standardize(dtype), seed=seed), name=name)


def random_normal_variable(
    shape: Sequence[int],
    mean: float,
    scale: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """A variable that starts with normally distributed numbers of standard deviation ``scale``."""
    return Variable(random.normal(shape, mean, scale, dtype=dtypes.standardize(dtype), seed=seed), name=name)


def dropout(x: Any, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None) -> Any:
    """``x`` with the fraction ``level`` of its elements zeroed, the others divided by ``1 - level``.

    Args:
        noise_shape: the shape of the mask, which broadcasts; ``None`` extents are those of ``x``.
    """
    return random.dropout(x, level, noise_shape, seed)


def _extents(x: Any, shape: Sequence[int | None] | None = None) -> list[Any]:
    """``shape``, or else that of ``x``, with tensors where an extent isn't known yet."""
    wanted = x.shape if shape is None else [d if s is None else s for s, d in zip(shape, x.shape, strict=True)]
    return [shape_of(x)[i] if d is None else d for i, d in enumerate(wanted)]


def keep_mask(x: Any, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None) -> Any:
    """Booleans that are false with probability ``level``, of ``noise_shape`` or else of the shape of ``x``."""
    return _drawn(random.bernoulli, _extents(x, noise_shape), 1.0 - level, dtype="bool", seed=seed)


def normal_like(x: Any, seed: int | None = None) -> Any:
    """Normally distributed numbers of the shape and dtype of ``x``."""
    return random_normal(_extents(x), dtype=x.dtype, seed=seed)
