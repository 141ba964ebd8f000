"""Training speed against Keras on TensorFlow, Keras on JAX, and PyTorch, in one run.

Every contender trains the same model on the same random data in a process of its own; the contenders take
turns, one epoch each, so that a machine whose speed drifts treats them alike. The median epoch after the
first counts.

    python benchmarks/train.py                                   # contenders that this interpreter can import
    python benchmarks/train.py --peers-python /path/to/python    # peers installed elsewhere
    python benchmarks/train.py --models mnist_cnn --epochs 7 --threads 2
    python benchmarks/train.py --quick                           # a smoke run of kcore alone
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from train_models import CONTENDERS, MODELS

WORKER = Path(__file__).with_name("train_worker.py")


class Contender:
    """A worker process that trains one epoch each time it is asked to."""

    def __init__(self, name: str, model: str, python: str, threads: int, samples: int):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "KCORE_BENCH_THREADS": str(threads)}
        environment.update(CONTENDERS[name].environment)
        if "xla_threads" in CONTENDERS[name].limits:
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=" + ("true" if threads > 1 else "false")
        self.name = name
        self.rates: list[float] = []
        self.process = subprocess.Popen(
            [python, str(WORKER), name, model, str(threads), str(samples)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def epoch(self) -> float | None:
        """Samples per second of one more epoch; ``None`` if the contender can't run here."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write("epoch\n")
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


def importable(python: str, module: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def measure(
    model: str, names: list[str], pythons: dict[str, str], threads: int, epochs: int, samples: int
) -> dict:
    contenders = [Contender(n, model, pythons[n], threads, samples) for n in names]
    for epoch in range(epochs + 1):
        for contender in contenders:
            rate = contender.epoch()
            if rate is not None and epoch:  # the first epoch compiles
                contender.rates.append(rate)
    for contender in contenders:
        contender.close()
    return {c.name: statistics.median(c.rates) if c.rates else None for c in contenders}


def show(model: str, rates: dict[str, float | None]) -> None:
    ours = rates.get("kcore")
    peers = {n: r for n, r in rates.items() if n != "kcore" and r}
    cells = "  ".join(f"{n} {r:,.0f}/s" if r else f"{n} failed" for n, r in rates.items())
    line = f"{model:12s} {cells}"
    if ours and peers:
        best = max(peers, key=lambda n: peers[n])
        gflops = ours * MODELS[model].training_flops * 1e-9
        line += f"  | {ours / peers[best]:.2f}x the best peer ({best}), {gflops:.0f} GFLOP/s"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--epochs", type=int, default=5, help="epochs that count, after one that doesn't")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="smoke run: kcore alone, few samples")
    options = parser.parse_args()
    if options.quick:
        options.contenders, options.epochs = ["kcore"], 1
    pythons = {n: sys.executable if n == "kcore" else options.peers_python for n in options.contenders}
    names = [n for n in options.contenders if importable(pythons[n], CONTENDERS[n].module)]
    for absent in set(options.contenders) - set(names):
        print(f"({absent} is not installed)")
    figures = {}
    for model in options.models:
        batch = MODELS[model].batch
        samples = batch * 2 if options.quick else MODELS[model].samples
        figures[model] = measure(model, names, pythons, options.threads, options.epochs, samples)
        show(model, figures[model])
        if not figures[model].get("kcore"):
            sys.exit(f"kcore could not train {model}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
