"""What measures whole models against other libraries: each contender is a process, and they take turns."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Library:
    """The module that a contender imports, and its environment."""

    module: str
    environment: dict[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()


LIBRARIES = {
    "kcore": Library("kcore"),
    "native": Library("kcore"),
    "keras-tf": Library("tensorflow", {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}),
    "keras-jax": Library("jax", {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}, ("xla_threads",)),
    "torch": Library("torch"),
    "onnxruntime": Library("onnxruntime"),
    "openvino": Library("openvino"),
}


class Contender:
    """A worker process that answers each line on its standard input with a turn's figure."""

    def __init__(self, name: str, python: str, threads: int, command: list[str]):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "KCORE_BENCH_THREADS": str(threads)}
        environment.update(LIBRARIES[name].environment)
        if "xla_threads" in LIBRARIES[name].limits:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + ("true" if threads > 1 else "false")
        self.name = name
        self.rates: list[float] = []
        self.process = subprocess.Popen(
            [python, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def turn(self) -> float | None:
        """Samples per second of one more turn; ``None`` if the contender can't run here."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("turn\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        for line in self.process.stdout:
            if line.startswith("RATE "):
                return float(line.split()[1])
        return None

    def close(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(timeout=60)


def options_parser(
    description: str | None, models: Sequence[str], contenders: Sequence[str]
) -> argparse.ArgumentParser:
    """With the options that every such benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--contenders", nargs="+", choices=contenders, default=contenders)
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser


def interpreters(options: argparse.Namespace) -> dict[str, str]:
    """The interpreter of each contender that is installed; says which aren't."""
    found = {}
    for name in options.contenders:
        module = LIBRARIES[name].module
        python = sys.executable if module == "kcore" else options.peers_python
        if importable(python, module):
            found[name] = python
        else:
            print(f"({name} is not installed)")
    return found


def importable(python: str, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def take_turns(contenders: list[Contender], turns: int) -> dict[str, float | None]:
    """The median rate of each contender's turns after the first; ``None`` where it can't run."""
    for turn in range(turns):
        for contender in contenders:
            rate = contender.turn()
            if rate is not None and turn:
                contender.rates.append(rate)
    for contender in contenders:
        contender.close()
    return {c.name: statistics.median(c.rates) if c.rates else None for c in contenders}


def seconds_per_call(call: Callable[[], object], seconds: float) -> float:
    """Mean over a turn of about that length, after a warm-up of a third of it."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < seconds / 3:
        call()
        calls += 1
    calls = max(1, int(calls * seconds / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls
