"""The progress bar of ``fit``, ``evaluate``, ``predict`` and downloads."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

# Where lines can't be overwritten (a log file, a pipe), a line is added at most this often.
_LOG_INTERVAL = 60.0


def _is_dynamic(stream) -> bool:
    """Whether a carriage return on the stream overwrites the line: a terminal, or a notebook's cell."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) or ("ipykernel" in sys.modules and type(stream).__name__ == "OutStream")


def _format_eta(seconds: float) -> str:
    whole = int(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    if whole > 60:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole}s"


def _format_rate(seconds: float, unit: str) -> str:
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit}"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/{unit}"
    return f"{seconds * 1e6:.0f}us/{unit}"


def _format_number(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"


class Progbar:
    """Shows ``12/60 [====>.....] - ETA: 3s - loss: 0.5000`` and keeps the averages it shows.

    Args:
        target: number of units to come, ``None`` if unknown.
        width: of the bar, in characters.
        verbose: 0 silent, 1 a bar, 2 one line when the target is reached.
        interval: seconds that pass at least between two drawings.
        stateful_metrics: names whose values are shown as they come; all others are averaged over the units.
        unit_name: what one unit is called in ``5ms/step``.
        stateless_metrics: names that are averaged; if given, all others are stateful.

    On a terminal and in a notebook the line is redrawn in place. Elsewhere a bar is written once when it is
    full, and once a minute before that.
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
        stateless_metrics: Iterable[str] | None = None,
    ):
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self._stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._stream = sys.stdout
        self._dynamic = _is_dynamic(self._stream)
        self._shortest_pause = interval if self._dynamic else max(interval, _LOG_INTERVAL)
        self._shown: dict[str, float] = {}
        self._sums: dict[str, list[float]] = {}
        self._seen_so_far = 0
        self._start = time.monotonic()
        # A terminal gets its first line at once; a log only when a minute has passed.
        self._last_update = float("-inf") if self._dynamic else self._start
        self._line_length = 0
        self._finished = False

    def update(self, current: int, values=None, finalize: bool | None = None) -> None:
        """Goes to unit ``current``; ``values`` are ``(name, value)`` pairs for the units since the last call.

        ``finalize`` says that this is the last call; by default it is when ``current`` reaches the target.
        """
        step = max(current - self._seen_so_far, 1)
        for name, value in values or ():
            if name in self.stateful_metrics or (
                self._stateless_metrics is not None and name not in self._stateless_metrics
            ):
                self._shown[name] = value
                self._sums.pop(name, None)
                continue
            total = self._sums.get(name)
            if total is None:
                self._sums[name] = [value * step, step]
                self._shown[name] = value
            else:
                total[0] += value * step
                total[1] += step
        self._seen_so_far = current

        if finalize is None:
            finalize = self.target is not None and current >= self.target
        if self.verbose == 0 or self._finished or (self.verbose != 1 and not finalize):
            return
        now = time.monotonic()
        if not finalize and now - self._last_update < self._shortest_pause:
            return
        self._last_update = now
        self._finished = bool(finalize)
        self._draw(current, now - self._start)

    def add(self, n: int, values=None) -> None:
        """Goes ``n`` units further."""
        self.update(self._seen_so_far + n, values)

    def _draw(self, current: int, elapsed: float) -> None:
        per_unit = elapsed / current if current else 0.0
        if self.verbose == 1:
            line = self._bar(current)
            if self._finished or self.target is None:
                line += f" - {elapsed:.0f}s {_format_rate(per_unit, self.unit_name)}"
            else:
                line += f" - ETA: {_format_eta(per_unit * (self.target - current))}"
        else:
            line = f" - {elapsed:.0f}s"
            if current:
                line = f"{current}/{self.target or current}" + line
        for name, value in self._shown.items():
            total = self._sums.get(name)
            if total is not None:
                value = total[0] / total[1]
            try:
                line += f" - {name}: {_format_number(float(value))}"
            except (TypeError, ValueError):
                line += f" - {name}: {value}"

        if self._stream is None or getattr(self._stream, "closed", False):
            return
        if self.verbose == 1 and self._dynamic:
            padding = " " * (self._line_length - len(line))
            self._line_length = len(line)
            self._stream.write("\r" + line + padding)
        else:
            self._stream.write(line)
        if self._finished or not (self.verbose == 1 and self._dynamic):
            self._stream.write("\n")
        self._stream.flush()

    def _bar(self, current: int) -> str:
        if self.target is None:
            return f"{current:7d}/Unknown"
        digits = len(str(self.target))
        filled = int(self.width * min(1.0, current / self.target)) if self.target else self.width
        bar = ""
        if filled > 0:
            bar = "=" * (filled - 1) + (">" if current < self.target else "=")
        return f"{current:{digits}d}/{self.target} [{bar}{'.' * (self.width - filled)}]"
