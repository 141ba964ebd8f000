"""Reading and setting an optimizer's learning rate, and a schedule that does so."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable

import numpy as np

from .callback import Callback


def _attribute(optimizer) -> str:
    for name in ("learning_rate", "lr"):
        if hasattr(optimizer, name):
            return name
    raise ValueError(f'Optimizer {type(optimizer).__name__} must have a "learning_rate" attribute.')


def get_learning_rate(optimizer) -> float:
    """The learning rate as a number."""
    rate = getattr(optimizer, _attribute(optimizer))
    try:
        return float(rate.numpy() if hasattr(rate, "numpy") else np.asarray(rate))
    except (TypeError, ValueError):
        raise ValueError(
            f"The optimizer's learning rate is a {type(rate).__name__}, not a number that can be changed."
        ) from None


def set_learning_rate(optimizer, value: float) -> None:
    """Changes the learning rate, of a variable or a plain number."""
    name = _attribute(optimizer)
    rate = getattr(optimizer, name)
    if hasattr(rate, "assign"):
        rate.assign(value)
    else:
        setattr(optimizer, name, value)


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    Args:
        schedule: function of the epoch, or of the epoch and the current rate, that returns the rate.
        verbose: 1 prints it.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch, logs=None):
        if self._takes_rate:
            rate = self.schedule(epoch, get_learning_rate(self.model.optimizer))
        else:
            rate = self.schedule(epoch)
        if hasattr(rate, "numpy"):
            rate = rate.numpy()
        if not isinstance(rate, (numbers.Real, np.ndarray)) or np.ndim(rate) != 0:
            raise ValueError(f'The output of the "schedule" function should be float. Got: {rate!r}')
        rate = float(rate)
        set_learning_rate(self.model.optimizer, rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate:g}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["lr"] = get_learning_rate(self.model.optimizer)


def _takes_two(function: Callable) -> bool:
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return False
    return True
