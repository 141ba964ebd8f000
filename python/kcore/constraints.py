"""Projections that an optimizer applies to a weight after each update."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from kcore import ops
from kcore.config import epsilon
from kcore.lookup import lookup
from kcore.utils.serialization import serialize_keras_object


class Constraint:
    """Base class: subclasses define ``__call__(w)``, the projected weight, and ``get_config``."""

    def __call__(self, w: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(w)")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        return cls(**config)


class NonNeg(Constraint):
    """Negative entries become 0."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0.0)


class _NormConstraint(Constraint):
    def __init__(self, axis: int | Sequence[int] = 0):
        self.axis = axis

    def norm(self, w: Any) -> Any:
        axis = tuple(self.axis) if isinstance(self.axis, (list, tuple)) else self.axis
        return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MaxNorm(_NormConstraint):
    """Scales vectors down to norm ``max_value`` where they are longer.

    Args:
        max_value: the longest norm.
        axis: the axis or axes of the norm: 0 for the ``(input, output)`` kernel of a dense layer,
            ``[0, 1, 2]`` for the ``(rows, columns, input, output)`` kernel of a 2-D convolution.
    """

    def __init__(self, max_value: float = 2, axis: int | Sequence[int] = 0):
        super().__init__(axis)
        self.max_value = max_value

    def __call__(self, w: Any) -> Any:
        norms = self.norm(w)
        return w * (ops.clip(norms, 0.0, self.max_value) / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(_NormConstraint):
    """Scales vectors to norm 1; ``axis`` as in ``MaxNorm``."""

    def __call__(self, w: Any) -> Any:
        return w / (epsilon() + self.norm(w))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(_NormConstraint):
    """Moves norms into ``[min_value, max_value]``.

    Args:
        min_value: the shortest norm.
        max_value: the longest norm.
        rate: how far to go at each update: 1 all the way, 0 not at all.
        axis: as in ``MaxNorm``.
    """

    def __init__(
        self,
        min_value: float = 0.0,
        max_value: float = 1.0,
        rate: float = 1.0,
        axis: int | Sequence[int] = 0,
    ):
        super().__init__(axis)
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate

    def __call__(self, w: Any) -> Any:
        norms = self.norm(w)
        desired = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm

_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if inspect.isclass(value) and issubclass(value, Constraint) and not name.startswith("_")
}


def serialize(constraint: Any) -> Any:
    """``{"class_name": ..., "config": ...}``, or a custom function's name."""
    return serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """The constraint that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    return lookup(config, _KNOWN, "constraint", custom_objects)


def get(identifier: Any) -> Any:
    """A constraint from a name, a config, a class or a callable; ``None`` from ``None``."""
    return None if identifier is None else deserialize(identifier)
