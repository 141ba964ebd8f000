"""Callbacks that record or show what happens."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..utils.progbar import Progbar
from .callback import Callback, takes_several

# The network's modules are imported by the one callback that needs them.

# In a batch's logs, but not metrics.
_COUNTS = ("batch", "size", "num_steps")


class BaseLogger(Callback):
    """Averages the batches' metrics, weighted by their sizes, and puts the averages into the epoch's logs.

    Args:
        stateful_metrics: names whose last value is taken instead.
    """

    def __init__(self, stateful_metrics: Iterable[str] | None = None):
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())

    def on_epoch_begin(self, epoch, logs=None):
        self.seen = 0
        self.totals: dict[str, float] = {}

    def on_batch_end(self, batch, logs=None):
        logs = logs or {}
        size = logs.get("size", 1)
        self.seen += size * logs.get("num_steps", 1)
        for name, value in logs.items():
            if name in self.stateful_metrics:
                self.totals[name] = value
            elif name not in _COUNTS:
                self.totals[name] = self.totals.get(name, 0) + value * size

    def on_epoch_end(self, epoch, logs=None):
        if logs is None:
            return
        for name in self.params.get("metrics", self.totals):
            if name in self.totals:
                total = self.totals[name]
                logs[name] = total if name in self.stateful_metrics else total / max(1, self.seen)


class History(Callback):
    """Keeps each epoch's logs; ``fit`` returns it.

    Attributes:
        epoch: the epochs' numbers.
        history: for each name in the logs, the list of its values.
    """

    def __init__(self):
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list] = {}

    def on_train_begin(self, logs=None):
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class ProgbarLogger(Callback):
    """Prints the progress and the metrics, as loudly as ``params["verbose"]`` says.

    Args:
        count_mode: the bar counts ``"samples"`` (the sum of the logs' ``"size"``) or ``"steps"`` (batches).
        stateful_metrics: names whose values are shown as they come, rather than averaged over the epoch.
    """

    def __init__(self, count_mode: str = "samples", stateful_metrics: Iterable[str] | None = None):
        super().__init__()
        if count_mode not in ("samples", "steps"):
            raise ValueError(f"`count_mode` must be 'samples' or 'steps', got {count_mode!r}.")
        self.use_steps = count_mode == "steps"
        self.stateful_metrics = set(stateful_metrics or ())
        self.progbar: Progbar | None = None
        self._in_fit = False

    @property
    def verbose(self) -> int:
        return self.params.get("verbose", 1)

    def _begin(self) -> None:
        self.seen = 0
        self.target = self.params.get("steps" if self.use_steps else "samples")
        self.progbar = Progbar(self.target, verbose=self.verbose, stateful_metrics=self.stateful_metrics)

    def _values(self, logs) -> list[tuple[str, Any]]:
        names = self.params.get("metrics")
        if names is None:
            return [(name, value) for name, value in logs.items() if name not in _COUNTS]
        return [(name, logs[name]) for name in names if name in logs]

    def _batch_end(self, logs) -> None:
        if self.progbar is None:
            return
        steps = logs.get("num_steps", 1)
        self.seen += steps if self.use_steps else steps * logs.get("size", 0)
        # The last batch waits for the epoch's end, whose logs have the final values and those of validation.
        if self.verbose and (self.target is None or self.seen < self.target):
            self.progbar.update(self.seen, self._values(logs), finalize=False)

    def _end(self, logs) -> None:
        if self.progbar is None:
            return
        values = self._values(logs or {})
        self.progbar.stateful_metrics.update(name for name, _ in values)
        if self.progbar.target is None or self.seen > self.progbar.target:
            self.progbar.target = self.seen
        self.progbar.update(self.seen, values, finalize=True)
        self.progbar = None

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_train_end(self, logs=None):
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        epochs = self.params.get("epochs") or 1
        if self.verbose and epochs > 1:
            print(f"Epoch {epoch + 1}/{epochs}")
        self._begin()

    @takes_several
    def on_train_batch_end(self, batch, logs=None):
        self._batch_end(logs or {})

    def on_epoch_end(self, epoch, logs=None):
        self._end(logs)

    def on_test_begin(self, logs=None):
        if not self._in_fit:
            self._begin()

    @takes_several
    def on_test_batch_end(self, batch, logs=None):
        if not self._in_fit:
            self._batch_end(logs or {})

    def on_test_end(self, logs=None):
        if not self._in_fit:
            self._end(logs)

    def on_predict_begin(self, logs=None):
        self._begin()

    def on_predict_batch_end(self, batch, logs=None):
        if self.progbar is not None:
            # Outputs are no metrics; only the count is shown.
            counts = {name: value for name, value in (logs or {}).items() if name in _COUNTS}
            self._batch_end(counts)

    def on_predict_end(self, logs=None):
        self._end({})


class CSVLogger(Callback):
    """Writes each epoch's logs as a line of a CSV file.

    Args:
        filename: the file.
        separator: between its columns.
        append: go on with an existing file instead of replacing it.
    """

    def __init__(self, filename: str | os.PathLike, separator: str = ",", append: bool = False):
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self._file: Any = None

    def on_train_begin(self, logs=None):
        self.keys = None
        self._needs_header = not (
            self.append and os.path.exists(self.filename) and os.path.getsize(self.filename)
        )
        self._file = open(self.filename, "a" if self.append else "w", newline="", encoding="utf-8")  # noqa: SIM115

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            keys = set(logs)
            if self.params.get("do_validation"):  # epochs without validation (validation_freq) come first
                keys |= {
                    f"val_{name}" for name in self.params.get("metrics", ()) if not name.startswith("val_")
                }
            self.keys = sorted(keys)
            self._writer = csv.DictWriter(
                self._file,
                ["epoch", *self.keys],
                restval="NA",
                delimiter=self.separator,
                lineterminator="\n",
                extrasaction="ignore",
            )
            if self._needs_header:
                self._writer.writeheader()
        row = {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in logs.items()
        }
        self._writer.writerow({**row, "epoch": epoch})
        self._file.flush()

    def on_train_end(self, logs=None):
        if self._file is not None:
            self._file.close()
            self._file = None


class RemoteMonitor(Callback):
    """Sends each epoch's logs as JSON to a server, by HTTP POST to ``root + path``.

    Args:
        root: the server's URL.
        path: on it.
        field: of the form that the JSON is sent in.
        headers: further HTTP headers.
        send_as_json: send JSON as the request's body rather than in a form.

    A server that can't be reached is a warning.
    """

    timeout = 10.0

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ):
        super().__init__()
        if not root.startswith(("http://", "https://")):
            raise ValueError(f"`root` must be an http or https URL, got {root!r}.")
        self.root, self.path, self.field = root, path, field
        self.headers = headers
        self.send_as_json = send_as_json

    def on_epoch_end(self, epoch, logs=None):
        from urllib.parse import urlencode
        from urllib.request import Request, urlopen

        report = {"epoch": epoch}
        for name, value in (logs or {}).items():
            report[name] = value.item() if isinstance(value, np.generic) else value
        text = json.dumps(report, default=str)
        if self.send_as_json:
            body, kind = text.encode(), "application/json"
        else:
            body, kind = (
                urlencode({self.field: text}).encode(),
                "application/x-www-form-urlencoded",
            )
        headers = {"Content-Type": kind, **(self.headers or {})}
        try:
            request = Request(self.root + self.path, body, headers)
            with urlopen(request, timeout=self.timeout):
                pass
        except OSError as error:
            warnings.warn(f"Could not reach RemoteMonitor's server at {self.root}: {error}", stacklevel=2)


class LambdaCallback(Callback):
    """A callback made of functions, e.g. ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``.

    Any hook of :class:`Callback` may be given by its name.
    """

    def __init__(
        self,
        on_epoch_begin=None,
        on_epoch_end=None,
        on_batch_begin=None,
        on_batch_end=None,
        on_train_begin=None,
        on_train_end=None,
        **kwargs,
    ):
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            **kwargs,
        }
        for name, function in hooks.items():
            if not hasattr(Callback, name) or not name.startswith("on_"):
                raise TypeError(f"LambdaCallback got {name!r}, which is no hook of a callback.")
            if function is not None:
                setattr(self, name, function)
