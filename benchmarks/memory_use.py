"""Peak memory of training: kcore, PyTorch and Keras on TensorFlow, and what kcore's planner says of its own.

Each contender trains in a process of its own. What counts is the peak of its resident memory over three epochs of
two batches, less what is resident with the data there and no model yet, after it has trained a tiny one: the code of
its library is loaded then, which no plan of a model's memory can know (2 MB of kcore's and NumPy's). The tiny model
stays, so that nothing of the other lies where it lay. Python's objects, some 100 kB, are in the figure and not in
the plan.

    python benchmarks/memory_use.py --peers-python /path/to/python
    python benchmarks/memory_use.py --models mlp_wide vgg_100 --threads 1
"""

from __future__ import annotations

import argparse
import inspect
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from contenders import LIBRARIES, interpreters, options_parser
from train_models import MODELS, BenchmarkModel

BATCHES, EPOCHS = 2, 3
TINY = (
    (9, 9, 3),
    (
        *(("conv", 2, 3, "relu", padding) for padding in ("valid", "same")),
        ("pool", 2),
        ("dropout", 0.2),
        ("flatten",),
        ("dense", 4, "relu"),
        ("dense", 10, "softmax"),
    ),
)


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at the most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def maker_of(contender: str, threads: int) -> Callable[..., Callable[[], None]]:
    """Imports the library; returns what makes, of a model and its data, a function that trains an epoch."""
    import train_worker

    if contender == "torch":
        import torch  # noqa: F401

        return partial(train_worker.torch_epoch, threads=threads)
    if contender == "kcore":
        import kcore
        import kcore.layers
        import kcore.models
        import kcore.optimizers

        kcore.config.set_num_threads(threads)
        return partial(train_worker.keras_like, kcore)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    import keras

    return partial(train_worker.keras_like, keras)


def work(contender: str, name: str, threads: int) -> None:
    from train_worker import data

    make, model = maker_of(contender, threads), MODELS[name]
    tiny = BenchmarkModel(*TINY, model.optimizer, batch=4, samples=4 * BATCHES)
    trained = make(tiny, *data(tiny, tiny.samples))
    trained()
    x, y = data(model, model.batch * BATCHES)
    before = resident()
    forget_peak()
    epoch = make(model, x, y)
    for _ in range(EPOCHS):
        epoch()
    print(f"PEAK {resident('VmHWM') - before}")
    if contender == "kcore":
        print("PLAN", planned(inspect.getclosurevars(epoch).nonlocals["net"]))


def planned(net) -> str:
    """What the planner says that the model's training takes."""
    (step,) = net._steps.values()
    parts = step.function.memory()
    cells = ", ".join(f"{name} {size / 1e6:.2f}" for name, size in parts.items())
    return f"{sum(parts.values()) / 1e6:.2f} MB ({cells})"


def measure(contender: str, name: str, python: str, threads: int) -> tuple[float | None, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), **LIBRARIES[contender].environment}
    done = subprocess.run(
        [python, __file__, "--work", contender, "--models", name, "--threads", str(threads)],
        capture_output=True,
        text=True,
        env=environment,
    )
    lines = dict(
        line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("PEAK ", "PLAN "))
    )
    peak = float(lines["PEAK"]) if "PEAK" in lines else None
    return peak, lines.get("PLAN", "")


def main() -> None:
    parser = options_parser(__doc__, list(MODELS), ["kcore", "torch", "keras-tf"])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.models[0], options.threads)
        return
    pythons = interpreters(options)
    for name in options.models:
        peaks, plan = {}, ""
        for contender, python in pythons.items():
            peaks[contender], said = measure(contender, name, python, options.threads)
            plan = plan or said
        cells = "  ".join(f"{n} {p / 1e6:.2f} MB" if p else f"{n} failed" for n, p in peaks.items())
        ours, torch = peaks.get("kcore"), peaks.get("torch")
        ratio = f"  | {ours / torch:.2f} of torch's" if ours and torch else ""
        print(f"{name:10s} {cells}{ratio}\n           planned: {plan}", flush=True)


if __name__ == "__main__":
    main()
