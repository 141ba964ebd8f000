"""Callbacks that save the model during training."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import numpy as np

from .callback import Callback
from .monitors import MonitorCallback


def _batches_between(save_freq: str | int) -> int | None:
    """``None`` for ``"epoch"``."""
    if save_freq == "epoch":
        return None
    if isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1:
        raise ValueError(f"`save_freq` must be 'epoch' or a positive integer, got {save_freq!r}.")
    return save_freq


class ModelCheckpoint(MonitorCallback):
    """Saves the model, or its weights, every few epochs or batches.

    Args:
        filepath: may hold names in braces that are filled from the logs, as in
            ``"w.{epoch:02d}-{val_loss:.2f}.h5"``; epochs count from 1, and ``{batch}`` too.
        monitor, mode: see :class:`MonitorCallback`; only ``save_best_only`` needs them.
        verbose: 1 prints each save.
        save_best_only: save only when the monitored value has become better.
        save_weights_only: ``model.save_weights`` instead of ``model.save``.
        period: epochs between saves.
        save_freq: ``"epoch"``, or a number of batches between saves.
        initial_value_threshold: the value to be better than at first.
    """

    def __init__(
        self,
        filepath: str | os.PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: int = 1,
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.period = period
        self.save_freq = _batches_between(save_freq)
        self.epochs_since_last_save = 0
        self._batches = 0
        self._epoch = 0
        if self.save_freq is not None:
            self.on_train_batch_end = self._count_batch  # type: ignore[method-assign]

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def _count_batch(self, batch, logs=None):
        self._batches += 1
        assert self.save_freq is not None
        if self._batches % self.save_freq == 0:
            self._save(self._epoch, {**(logs or {}), "batch": batch + 1})

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq is not None:
            return
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save >= self.period:
            self.epochs_since_last_save = 0
            self._save(epoch, logs or {})

    def _path(self, epoch: int, logs) -> str:
        try:
            return self.filepath.format(**{**logs, "epoch": epoch + 1})
        except KeyError as error:
            raise KeyError(
                f"filepath={self.filepath!r} names {error}, which the logs don't have; they have: "
                f"{', '.join(['epoch', *logs])}"
            ) from None

    def _save(self, epoch: int, logs) -> None:
        where = f"\nEpoch {epoch + 1}: "
        if self.save_best_only:
            value = self.get_monitor_value(logs)
            if value is None:
                return
            if not self.is_better(value, self.best):
                if self.verbose > 0:
                    print(f"{where}{self.monitor} did not improve from {self.best:.5f}")
                return
            where += f"{self.monitor} improved from {self.best:.5f} to {value:.5f}, "
            self.best = value
        path = self._path(epoch, logs)
        if self.verbose > 0:
            print(f"{where}saving model to {path}")
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)


class BackupAndRestore(Callback):
    """Lets a training that was killed go on where it was, when the same ``fit`` is called again.

    The weights, the optimizer's state and the epoch are kept in a file that is replaced as a whole after each
    epoch, and removed when training ends. ``fit`` starts at ``model._initial_epoch``, which is set here.

    Args:
        backup_dir: a directory for this training alone.
        save_freq: ``"epoch"``, or a number of batches between backups; such a backup's epoch is repeated.
        double_checkpoint: with a number of batches, back up after each epoch too.
        delete_checkpoint: remove the backup when training ends.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike,
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ):
        super().__init__()
        if not os.fspath(backup_dir):
            raise ValueError("BackupAndRestore needs a `backup_dir`.")
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = _batches_between(save_freq)
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._path = os.path.join(self.backup_dir, "training.npz")
        self._batches = 0
        self._epoch = 0
        if self.save_freq is not None:
            self.on_train_batch_end = self._count_batch  # type: ignore[method-assign]

    def on_train_begin(self, logs=None):
        if not os.path.exists(self._path):
            return
        with np.load(self._path, allow_pickle=False) as saved:
            weights = [saved[f"weight_{i}"] for i in range(int(saved["weights"]))]
            state = [saved[f"state_{i}"] for i in range(int(saved["states"]))]
            epoch = int(saved["epoch"])
        self.model.set_weights(weights)
        optimizer = getattr(self.model, "optimizer", None)
        if state and optimizer is not None:
            if hasattr(optimizer, "build"):
                optimizer.build(self.model.trainable_weights)
            optimizer.set_weights(state)
        self.model._initial_epoch = epoch

    def _backup(self, next_epoch: int) -> None:
        optimizer: Any = getattr(self.model, "optimizer", None)
        weights = self.model.get_weights()
        states = optimizer.get_weights() if hasattr(optimizer, "get_weights") else []
        arrays = {f"weight_{i}": weight for i, weight in enumerate(weights)}
        arrays |= {f"state_{i}": state for i, state in enumerate(states)}
        os.makedirs(self.backup_dir, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=self.backup_dir, suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, epoch=next_epoch, weights=len(weights), states=len(states), **arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._path)
        except BaseException:
            os.remove(partial)
            raise

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def _count_batch(self, batch, logs=None):
        self._batches += 1
        assert self.save_freq is not None
        if self._batches % self.save_freq == 0:
            self._backup(self._epoch)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq is None or self.double_checkpoint:
            self._backup(epoch + 1)

    def on_train_end(self, logs=None):
        if self.delete_checkpoint and os.path.exists(self._path):
            os.remove(self._path)
            if not os.listdir(self.backup_dir):
                os.rmdir(self.backup_dir)
