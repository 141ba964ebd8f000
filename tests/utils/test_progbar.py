import io
import re
from types import SimpleNamespace

import pytest

from kcore.utils import Progbar, progbar


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def screen(self):
        """The lines as a person sees them: what follows a carriage return overwrites."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progbar.time, "monotonic", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(progbar, "sys", SimpleNamespace(stdout=stream, modules={}))
    return stream


def test_a_bar_is_redrawn_in_place(terminal, clock):
    bar = Progbar(60, width=10)
    clock.now += 2
    bar.update(12, [("loss", 0.5), ("accuracy", 0.9)])
    assert terminal.screen() == ["12/60 [=>........] - ETA: 8s - loss: 0.5000 - accuracy: 0.9000"]
    clock.now += 8
    bar.update(60, [("loss", 0.5), ("accuracy", 0.9)])
    assert terminal.screen() == ["60/60 [==========] - 10s 167ms/step - loss: 0.5000 - accuracy: 0.9000", ""]


def test_a_shorter_line_wipes_the_longer_one(terminal, clock):
    bar = Progbar(None, stateful_metrics=["loss"])
    bar.update(1, [("loss", 1e-12)])
    clock.now += 1
    bar.update(2, [("loss", 0.25)])
    assert terminal.screen() == ["      2/Unknown - 1s 500ms/step - loss: 0.2500"]


def test_values_are_averaged_over_units_unless_stateful(terminal, clock):
    bar = Progbar(10, stateful_metrics=["accuracy"])
    bar.update(2, [("loss", 1.0), ("accuracy", 0.25)])
    clock.now += 1
    bar.update(10, [("loss", 0.0), ("accuracy", 0.75)])
    assert "loss: 0.2000 - accuracy: 0.7500" in terminal.screen()[0]


def test_stateless_metrics_name_the_averaged_ones(terminal, clock):
    bar = Progbar(2, stateless_metrics=["loss"])
    bar.add(1, [("loss", 1.0), ("auc", 1.0)])
    clock.now += 1
    bar.add(1, [("loss", 3.0), ("auc", 0.5)])
    assert "loss: 2.0000 - auc: 0.5000" in terminal.screen()[0]


def test_drawing_is_throttled_but_the_end_is_always_drawn(terminal, clock):
    bar = Progbar(1000, interval=0.05)
    for i in range(1, 1001):
        bar.update(i)
    assert len(re.findall("\r", terminal.getvalue())) == 2  # the first and the last


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.00005, "50us/step"), (0.005, "5ms/step"), (2, "2s/step"), (0, "0s/step")]
)
def test_time_per_step(terminal, clock, seconds, text):
    bar = Progbar(1)
    clock.now += seconds
    bar.update(1)
    assert terminal.screen()[0].endswith(text)


@pytest.mark.parametrize(("left", "text"), [(59, "59s"), (75, "1:15"), (3725, "1:02:05")])
def test_estimated_time(terminal, clock, left, text):
    bar = Progbar(left + 1)
    clock.now += 1
    bar.update(1)
    assert terminal.screen()[0].endswith(f"ETA: {text}")


def test_verbose_2_is_one_line_at_the_end(terminal, clock):
    bar = Progbar(3, verbose=2)
    for i in range(1, 4):
        clock.now += 1
        bar.update(i, [("loss", 0.00012)])
    assert terminal.getvalue() == "3/3 - 3s - loss: 1.2000e-04\n"


def test_silence(terminal, clock):
    bar = Progbar(1, verbose=0)
    bar.update(1, [("loss", 1.0)])
    assert terminal.getvalue() == ""


def test_a_log_file_gets_whole_lines_and_few(monkeypatch, clock):
    log = io.StringIO()
    monkeypatch.setattr("sys.stdout", log)
    bar = Progbar(300, width=10)
    for i in range(1, 301):
        clock.now += 0.5
        bar.update(i, [("loss", 2.0)])
    lines = log.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["120/300", "240/300", "300/300"]
    assert lines[-1] == "300/300 [==========] - 150s 500ms/step - loss: 2.0000"


def test_nothing_breaks_without_stdout(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    Progbar(1).update(1, [("loss", 1.0)])


def test_no_second_line_after_the_end(terminal, clock):
    bar = Progbar(2, width=10)
    bar.update(2)
    bar.update(2)
    assert len(terminal.screen()) == 2


def test_values_that_are_not_numbers_are_shown_as_they_are(terminal, clock):
    bar = Progbar(1, stateful_metrics=["matrix"])
    bar.update(1, [("matrix", [1, 2])])
    assert terminal.screen()[0].endswith("matrix: [1, 2]")


def test_zero_units(terminal, clock):
    Progbar(0, width=4).update(0)
    assert terminal.screen()[0] == "0/0 [====] - 0s 0s/step"
