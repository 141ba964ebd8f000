"""``TensorBoard``: metrics and weights as event files that the TensorBoard program shows.

An event file is a sequence of records, each a length, the length's checksum, a protocol buffer ``Event`` and its
checksum. Sources: https://www.tensorflow.org/tutorials/load_data/tfrecord (records),
tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto (fields).
"""

from __future__ import annotations

import os
import socket
import struct
import time
import warnings
from typing import Any

import numpy as np

from .callback import Callback
from .learning_rate import get_learning_rate

_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reversed


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


# The fields of a protocol buffer: the number and how it is written, then the value.
def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _histogram(values: np.ndarray, bins: int = 30) -> bytes:
    """A ``HistogramProto``: smallest, largest, number, sum, sum of squares, limits and counts of the buckets."""
    values = values[np.isfinite(values)].astype(np.float64)
    if values.size:
        counts, limits = np.histogram(values, bins)
        low, high = values.min(), values.max()
    else:
        counts, limits, low, high = np.zeros(1), np.zeros(2), 0.0, 0.0
    summary = (low, high, values.size, values.sum(), np.square(values).sum())
    message = b"".join(_double(field, float(value)) for field, value in enumerate(summary, start=1))
    message += _bytes(6, limits[1:].astype("<f8").tobytes())
    return message + _bytes(7, counts.astype("<f8").tobytes())


class EventWriter:
    """Appends events to a new file in a directory."""

    def __init__(self, directory: str):
        os.makedirs(directory, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        path, number = os.path.join(directory, f"{name}.0"), 0
        while os.path.exists(path):
            number += 1
            path = os.path.join(directory, f"{name}.{number}")
        self._file = open(path, "wb")  # noqa: SIM115
        self._write(_bytes(3, b"brain.Event:2"))

    def _write(self, content: bytes) -> None:
        event = _double(1, time.time()) + content
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked(length) + event + _masked(event))

    def _summary(self, tag: str, step: int, value: bytes) -> None:
        entry = _bytes(1, tag.encode()) + value
        self._write(_varint(2 << 3) + _varint(step) + _bytes(5, _bytes(1, entry)))

    def scalar(self, tag: str, step: int, value: float) -> None:
        self._summary(tag, step, _varint(2 << 3 | 5) + struct.pack("<f", value))

    def histogram(self, tag: str, step: int, values: np.ndarray) -> None:
        self._summary(tag, step, _bytes(5, _histogram(values)))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard(Callback):
    """Writes metrics, the learning rate and weights for TensorBoard (``tensorboard --logdir logs``).

    Each epoch's metrics are called ``epoch_loss`` etc., in the subdirectories ``train`` and ``validation``.

    Args:
        log_dir: directory of the event files.
        histogram_freq: epochs between histograms of the weights; 0 for none.
        update_freq: ``"epoch"``; or ``"batch"`` or a number of batches, to write ``batch_loss`` etc. too.
        kwargs: Keras's other arguments (``write_graph``, ``write_images``, ``embeddings_freq``, ``profile_batch``
            ...) ask for what isn't written here; one that is set is answered by a warning.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike = "logs",
        histogram_freq: int = 0,
        update_freq: str | int = "epoch",
        **kwargs: Any,
    ):
        super().__init__()
        ignored = sorted(name for name, value in kwargs.items() if value and name != "write_graph")
        if ignored:
            warnings.warn(
                f"TensorBoard writes metrics and weights only; {ignored} are ignored.", stacklevel=2
            )
        if update_freq not in ("epoch", "batch") and (not isinstance(update_freq, int) or update_freq < 1):
            raise ValueError(
                f"`update_freq` must be 'epoch', 'batch' or a positive number, got {update_freq!r}."
            )
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = histogram_freq
        self.update_freq = update_freq
        self._every = update_freq if isinstance(update_freq, int) else 1
        self._writers: dict[str, EventWriter] = {}
        self._batches = 0
        if update_freq != "epoch":
            self.on_train_batch_end = self._batch_end  # type: ignore[method-assign]

    def _writer(self, part: str) -> EventWriter:
        if part not in self._writers:
            self._writers[part] = EventWriter(os.path.join(self.log_dir, part))
        return self._writers[part]

    def on_train_begin(self, logs=None):
        self._batches = 0

    def _batch_end(self, batch, logs=None):
        self._batches += 1
        if self._batches % self._every == 0:
            for name, value in (logs or {}).items():
                if name not in ("batch", "size"):
                    self._writer("train").scalar(f"batch_{name}", self._batches, float(value))

    def on_epoch_end(self, epoch, logs=None):
        values = dict(logs or {})
        if hasattr(self.model, "optimizer"):
            values.pop("lr", None)
            values["learning_rate"] = get_learning_rate(self.model.optimizer)
        for name, value in values.items():
            part = "validation" if name.startswith("val_") else "train"
            if np.ndim(value) == 0:
                self._writer(part).scalar(f"epoch_{name.removeprefix('val_')}", epoch, float(value))
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for layer in self.model.layers:
                for index, weight in enumerate(layer.get_weights()):
                    self._writer("train").histogram(f"{layer.name}/weight_{index}", epoch, weight)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs=None):
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
