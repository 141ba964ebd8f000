"""Penalties on weights and activations, added to the loss."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from kcore import ops
from kcore.lookup import lookup
from kcore.utils.serialization import serialize_keras_object


class Regularizer:
    """Base class: subclasses define ``__call__(x)``, a scalar, and ``get_config``."""

    def __call__(self, x: Any) -> Any:
        return 0.0

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} must define get_config() to be saved")


class L1L2(Regularizer):
    """``l1 * sum(abs(x)) + l2 * sum(x**2)``."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0):
        self.l1 = _factor("l1", l1)
        self.l2 = _factor("l2", l2)

    def __call__(self, x: Any) -> Any:
        penalty = 0.0
        if self.l1:
            penalty = self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(abs(x))``; ``l`` is another name for the factor."""

    def __init__(self, l1: float = 0.01, l: float | None = None):
        super().__init__(l1=l1 if l is None else l)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """``l2 * sum(x**2)``; ``l`` is another name for the factor."""

    def __init__(self, l2: float = 0.01, l: float | None = None):
        super().__init__(l2=l2 if l is None else l)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean absolute cosine between different rows (or columns) of a matrix.

    Args:
        factor: the weight of the penalty.
        mode: ``"rows"`` or ``"columns"``.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        if mode not in ("rows", "columns"):
            raise ValueError(f"OrthogonalRegularizer: mode must be 'rows' or 'columns', got {mode!r}")
        self.factor = _factor("factor", factor)
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        if len(x.shape) != 2:
            raise ValueError(f"OrthogonalRegularizer takes matrices, got shape {tuple(x.shape)}")
        axis = 1 if self.mode == "rows" else 0
        count = x.shape[1 - axis]
        if count < 2:
            return 0.0 * ops.sum(x)
        squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
        unit = x * ops.rsqrt(ops.maximum(squares, 1e-12))
        cosines = (
            ops.matmul(unit, ops.transpose(unit)) if axis == 1 else ops.matmul(ops.transpose(unit), unit)
        )
        others = ops.abs(cosines) * (1.0 - np.eye(count, dtype=str(x.dtype)))
        return self.factor * 0.5 * ops.sum(others) / (count * (count - 1.0) / 2.0)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def l1(l: float = 0.01, l1: float | None = None) -> L1L2:
    """``l * sum(abs(x))``; ``l1`` is another name for the factor."""
    return L1L2(l1=l if l1 is None else l1)


def l2(l: float = 0.01, l2: float | None = None) -> L1L2:
    """``l * sum(x**2)``; ``l2`` is another name for the factor."""
    return L1L2(l2=l if l2 is None else l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """``l1 * sum(abs(x)) + l2 * sum(x**2)``."""
    return L1L2(l1=l1, l2=l2)


def _factor(name: str, value: Any) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__") or not math.isfinite(float(value)):
        raise ValueError(f"the regularization factor {name} must be a finite number, got {value!r}")
    if float(value) < 0:
        raise ValueError(f"the regularization factor {name} must not be negative, got {value!r}")
    return float(value)


orthogonal_regularizer = OrthogonalRegularizer

_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if name in ("l1", "l2", "l1_l2") or (inspect.isclass(value) and issubclass(value, Regularizer))
}
_FUNCTIONS = (l1, l2, l1_l2)


def serialize(regularizer: Any) -> Any:
    """``{"class_name": ..., "config": ...}``, or a custom function's name."""
    return serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """The regularizer that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    found = lookup(config, _KNOWN, "regularizer", custom_objects)
    return found() if found in _FUNCTIONS else found


def get(identifier: Any) -> Any:
    """A regularizer from a name, a config, a class or a callable; ``None`` from ``None``."""
    return None if identifier is None else deserialize(identifier)
