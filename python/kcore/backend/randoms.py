"""Random tensors, drawn at each run of a program, and variables, drawn once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcore.graph import Tensor, UpdateScope, Variable, composite, dtypes
from kcore.ops import random

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


def _drawn(distribution: Callable, *args: Any, **kwargs: Any) -> Any:
    """A tensor, never an array, so that a program draws anew at each run."""
    with UpdateScope():  # where ops take it that a program is being traced
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


def dropout(
    x: Any, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None
) -> Any:
    """``x`` with the fraction ``level`` of its elements zeroed, the others divided by ``1 - level``.

    Args:
        noise_shape: the shape of the mask, which broadcasts; ``None`` extents are those of ``x``.
    """
    return random.dropout(x, level, noise_shape, seed)


def _mask_shape(x: Any, noise_shape: tuple | None) -> tuple:
    return (
        tuple(x.shape)
        if noise_shape is None
        else tuple(d if s is None else s for s, d in zip(noise_shape, x.shape, strict=True))
    )


@composite(deferred=True, infer=lambda x, *, level, noise_shape, seed: (_mask_shape(x, noise_shape), "bool"))
def _keep_mask(x: Any, *, level: float, noise_shape: tuple | None, seed: int | None) -> Any:
    return random_binomial(_mask_shape(x, noise_shape), 1.0 - level, dtype="bool", seed=seed)


def keep_mask(
    x: Any, level: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None
) -> Any:
    """Booleans that are false with probability ``level``, of ``noise_shape`` or else of the shape of ``x``."""
    shape = None if noise_shape is None else tuple(noise_shape)
    return _keep_mask(x, level=level, noise_shape=shape, seed=seed)


@composite(deferred=True, infer=lambda x, *, seed: (x.shape, x.dtype))
def _normal_like(x: Any, *, seed: int | None) -> Any:
    return random_normal(x.shape, dtype=x.dtype, seed=seed)


def normal_like(x: Any, seed: int | None = None) -> Any:
    """Normally distributed numbers of the shape and dtype of ``x``."""
    return _normal_like(x, seed=seed)
