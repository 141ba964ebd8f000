"""Learning rates as functions of the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from kcore import ops
from kcore.graph import Tensor, dtypes
from kcore.lookup import lookup
from kcore.utils.serialization import serialize_keras_object


class LearningRateSchedule:
    """Base class: subclasses define ``__call__(step)``, a scalar written in ops, and ``get_config``."""

    name = "LearningRateSchedule"

    def __call__(self, step: Any) -> Any:
        """The learning rate at ``step`` (a number, or a tensor while a program is traced)."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{type(self).__name__} must define get_config() to be saved")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        return cls(**config)


class _Decay(LearningRateSchedule):
    """A schedule whose config is its constructor's arguments, kept as attributes."""

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; ``staircase`` floors the exponent."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        periods = _float(step) / self.decay_steps
        if self.staircase:
            periods = ops.floor(periods)
        return self.initial_learning_rate * ops.power(float(self.decay_rate), periods)


class InverseTimeDecay(_Decay):
    """``initial_learning_rate / (1 + decay_rate * (step / decay_steps))``.

    ``staircase`` floors the quotient.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        periods = _float(step) / self.decay_steps
        if self.staircase:
            periods = ops.floor(periods)
        return self.initial_learning_rate / (1.0 + self.decay_rate * periods)


class PiecewiseConstantDecay(_Decay):
    """``values[i]`` up to and including step ``boundaries[i]``, ``values[-1]`` after the last boundary."""

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                f"PiecewiseConstantDecay needs one value more than boundaries, got {len(values)} values and "
                f"{len(boundaries)} boundaries"
            )
        if list(boundaries) != sorted(boundaries):
            raise ValueError(f"PiecewiseConstantDecay: boundaries must increase, got {list(boundaries)}")
        self.boundaries = list(boundaries)
        self.values = list(values)
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        rate: Any = float(self.values[-1])
        for boundary, value in reversed(list(zip(self.boundaries, self.values[:-1], strict=True))):
            rate = ops.where(step <= boundary, float(value), rate)
        return rate if self.boundaries else rate + 0.0 * step


class PolynomialDecay(_Decay):
    """From ``initial_learning_rate`` to ``end_learning_rate`` as ``(1 - step / decay_steps) ** power``.

    After ``decay_steps`` the rate stays, or with ``cycle`` starts again with ``decay_steps`` doubled,
    tripled, and so on.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        if self.cycle:
            length = self.decay_steps * ops.maximum(ops.ceil(step / self.decay_steps), 1.0)
        else:
            length = self.decay_steps
            step = ops.minimum(step, length)
        left = ops.power(1.0 - step / length, float(self.power))
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


class CosineDecay(_Decay):
    """Half a cosine from ``initial_learning_rate`` to ``alpha`` times it in ``decay_steps``.

    With ``warmup_target`` the rate first rises to that in ``warmup_steps``, evenly, and decays from there.
    Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        start = self.initial_learning_rate
        peak = start if self.warmup_target is None else self.warmup_target
        warming = 0 if self.warmup_target is None else self.warmup_steps
        done = ops.clip((step - warming) / self.decay_steps, 0.0, 1.0)
        cosine = 0.5 * (1.0 + ops.cos(math.pi * done))
        rate = peak * ((1.0 - self.alpha) * cosine + self.alpha)
        if not warming:
            return rate
        return ops.where(step < warming, start + (peak - start) * (step / warming), rate)


class CosineDecayRestarts(_Decay):
    """Cosine decays one after another, each ``t_mul`` times as long and ``m_mul`` times as high as the last.

    Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        done = _float(step) / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = ops.floor(done)
            done = done - restarts
        else:
            restarts = ops.floor(ops.log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul))
            length = ops.power(float(self.t_mul), restarts)
            done = (done - (1.0 - length) / (1.0 - self.t_mul)) / length
        height = ops.power(float(self.m_mul), restarts)
        cosine = 0.5 * height * (1.0 + ops.cos(math.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


def _float(step: Any) -> Any:
    return (
        ops.cast(step, dtypes.floatx())
        if isinstance(step, Tensor)
        else dtypes.as_array(step, dtypes.floatx())
    )


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {value}")
    return value


_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if inspect.isclass(value) and issubclass(value, LearningRateSchedule) and not name.startswith("_")
}


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """``{"class_name": ..., "config": ...}``."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """The schedule that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    return lookup(config, _KNOWN, "learning rate schedule", custom_objects)
