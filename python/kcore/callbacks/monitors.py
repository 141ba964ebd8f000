"""Callbacks that act on a metric: stop, or lower the learning rate."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .callback import Callback
from .learning_rate import get_learning_rate, set_learning_rate

# A metric with one of these in its name is better the larger it is; any other, the smaller.
_LARGER_IS_BETTER = ("acc", "auc", "precision", "recall", "f1", "fmeasure", "fbeta", "r2", "iou")


class MonitorCallback(Callback):
    """Watches one value of the logs and knows when it has become better.

    Args:
        monitor: its name, e.g. ``"val_loss"``.
        mode: ``"min"``: smaller is better; ``"max"``: larger; ``"auto"``: larger for names with ``acc``,
            ``auc``, ``precision``, ``recall``, ``f1``, ``fmeasure``, ``fbeta``, ``r2`` or ``iou`` in them,
            else smaller.
        best: the value to improve on first, by default the worst possible.
        min_delta: by how much a value must be better to count.
    """

    def __init__(self, monitor: str, mode: str = "auto", best: float | None = None, min_delta: float = 0.0):
        super().__init__()
        self.monitor = monitor
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode {mode!r} is unknown; 'auto' is used.", stacklevel=3)
            mode = "auto"
        if mode == "auto":
            name = monitor.lower()
            mode = "max" if any(part in name for part in _LARGER_IS_BETTER) else "min"
        self.mode = mode
        self.min_delta = abs(min_delta)
        self._worst = math.inf if mode == "min" else -math.inf
        self.best: float = self._worst if best is None else best

    def is_better(self, value: float, than: float) -> bool:
        """Whether ``value`` is better than ``than`` by more than ``min_delta``. NaN never is."""
        if self.mode == "min":
            return bool(value < than - self.min_delta)
        return bool(value > than + self.min_delta)

    def get_monitor_value(self, logs) -> float | None:
        """The watched value, or ``None`` with a warning if the logs don't have it."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__} needs the metric {self.monitor!r}, which is not available. "
                f"Available metrics are: {','.join(logs or {})}",
                RuntimeWarning,
                stacklevel=3,
            )
        return value


class EarlyStopping(MonitorCallback):
    """Stops training when a metric has not improved for some epochs.

    Args:
        monitor, mode: see :class:`MonitorCallback`.
        min_delta: a smaller improvement doesn't count.
        patience: epochs without improvement until training is stopped.
        verbose: 1 prints when it stops.
        baseline: an improvement resets the patience only if it is better than this.
        restore_best_weights: at the end of training, stopped early or not, give the model the weights of the
            epoch with the best value.
        start_from_epoch: ignore the epochs before this one.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self._worst
        self.best_epoch = 0
        self.best_weights: Any = None

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        value = self.get_monitor_value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.is_better(value, self.best):
            self.best, self.best_epoch = value, epoch
            self._keep_weights()
            if self.baseline is None or self.is_better(value, self.baseline):
                self.wait = 0
            return
        if self.best_weights is None:
            self._keep_weights()  # the first epoch's value may be NaN
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep_weights(self) -> None:
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring the weights of the best epoch, {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(MonitorCallback):
    """Multiplies the learning rate by a factor when a metric has stopped improving.

    Args:
        monitor, mode: see :class:`MonitorCallback`.
        factor: below 1.
        patience: epochs without improvement until the rate is reduced.
        verbose: 1 prints each reduction.
        min_delta: a smaller improvement doesn't count (an older name of it is ``epsilon``).
        cooldown: epochs after a reduction in which nothing is counted.
        min_lr: the rate is never reduced below this.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **kwargs,
    ):
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau needs a `factor` below 1, got {factor}.")
        super().__init__(monitor, mode, min_delta=kwargs.pop("epsilon", min_delta))
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau got unknown arguments: {sorted(kwargs)}")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._reset()

    def _reset(self) -> None:
        self.best = self._worst
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        logs["lr"] = get_learning_rate(self.model.optimizer)
        value = self.get_monitor_value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_better(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch, logs["lr"])

    def _reduce(self, epoch: int, old: float) -> None:
        # The optimizer holds the rate as float32, in which it may lie a rounding above the limit.
        if old <= np.float32(self.min_lr):
            return
        new = max(old * self.factor, self.min_lr)
        set_learning_rate(self.model.optimizer, new)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new:g}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0

    def in_cooldown(self) -> bool:
        return self.cooldown_counter > 0


class TerminateOnNaN(Callback):
    """Stops training after a batch whose loss is NaN or infinite.

    Args:
        raise_error: raise a RuntimeError instead.
    """

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        message = f"Batch {batch}: Invalid loss, terminating training"
        if self.raise_error:
            raise RuntimeError(message)
        print(message)
        self.model.stop_training = True
