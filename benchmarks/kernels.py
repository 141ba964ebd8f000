"""Times native kernels against NumPy and PyTorch (whichever is installed), convolutions against TensorFlow too.

A row is one kernel on one shape. Contenders take turns; before each there is a pause and a warm-up (the
threads of one library spin for a while after its work and would hinder the next), and a figure is the
best of its turns. Ours runs through ``kcore._core.Program`` on its caller's inputs, as in a training step.

Columns: GB/s counts what a call must read and write at least. "triad" is the share of the bandwidth of
STREAM's triad, on the same number of threads, that a row's traffic takes; here, as in the triad itself, bytes that
are written without having been read count twice, for a store fetches the line that it changes. What is
small enough for the caches, or is written past them, can exceed 100 %. Updates of optimizers are in place.

    python benchmarks/kernels.py [family ...] [--filter TEXT] [--threads N] [--peers NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType

import convolution
import elementwise
import memory
import numpy as np
from contenders import seconds_per_call

from kcore import _core

Peers = Mapping[str, ModuleType]


@dataclass
class Row:
    """One kernel on one shape: ``ours`` and each of ``peers`` do the same work once per call."""

    name: str
    ours: Callable[[], object]
    peers: dict[str, Callable[[], object]] = field(default_factory=dict)
    flops: float = 0  # of one call; 0 where memory is the limit
    bytes: float = 0  # that one call must read and write at least

    @property
    def traffic(self) -> float:
        """``bytes``, those twice that are written without having been read: a store fetches its line."""
        return self.bytes + getattr(self.ours, "fresh", 0)


def program(instruction: str, inputs: list[np.ndarray], outputs: list[tuple], **attributes) -> Callable:
    """One instruction whose outputs live in native storage; returns the call that runs it, with the bytes of its
    outputs as ``fresh``. The inputs are the caller's: nothing that is made of them is kept from one call to the
    next."""
    inputs = [np.ascontiguousarray(x) for x in inputs]
    buffers: list[tuple] = [("external", x.dtype.name, x.shape, None) for x in inputs]
    for shape, dtype in outputs:
        buffers.append(("storage", dtype, shape, _core.Storage(dtype, list(shape))))
    slots = list(range(len(buffers)))
    ins, outs = slots[: len(inputs)], slots[len(inputs) :]
    compiled = _core.Program(buffers, [(instruction, ins, outs, attributes)], ins, [], 0, 0)
    call = partial(compiled.run, inputs)
    call.fresh = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in outputs)
    return call


def load_peers(names: list[str], threads: int) -> dict[str, ModuleType]:
    """The modules of these names that are installed, told to work on so many threads."""
    peers = {}
    for name in names:
        try:
            peers[name] = importlib.import_module(name)
        except ImportError:
            continue
    if "torch" in peers:
        peers["torch"].set_num_threads(threads)
    if "tensorflow" in peers:
        peers["tensorflow"].config.threading.set_intra_op_parallelism_threads(threads)
        peers["tensorflow"].config.threading.set_inter_op_parallelism_threads(1)
    return peers


GEMM_SHAPES = [
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (128, 512, 784),
    (128, 512, 512),
    (128, 10, 512),
    (128, 64, 20),
    (128, 64, 64),
    (128, 10, 64),
    (32, 256, 30976),
    (256, 2048, 1024),
    (256, 2048, 2048),
    (256, 100, 2048),
    (1, 512, 784),
    (1, 64, 20),
]


def gemm_rows(quick: bool, peers: Peers) -> Iterator[Row]:
    """The three products of a Dense layer's training step, (M, N, K) being batch, units, features:
    NN the output, NT the gradient of its input, TN the gradient of its weights."""
    torch = peers.get("torch")
    rng = np.random.default_rng(0)
    for m, n, k in [(64, 48, 40), (1, 10, 20)] if quick else GEMM_SHAPES:
        x = rng.standard_normal((m, k), "float32")
        w = rng.standard_normal((k, n), "float32")
        dy = rng.standard_normal((m, n), "float32")
        for form, a, b, ta, tb in [("NN", x, w, 0, 0), ("NT", dy, w, 0, 1), ("TN", x, dy, 1, 0)]:
            left, right = (a.T if ta else a), (b.T if tb else b)
            shape = (left.shape[0], right.shape[1])
            out = np.empty(shape, "float32")
            calls = {"numpy": partial(np.matmul, left, right, out=out)}
            if torch is not None:
                l, r = torch.from_numpy(left), torch.from_numpy(right)
                calls["torch"] = partial(torch.mm, l, r, out=torch.empty(shape))
            yield Row(
                f"gemm {form} {shape[0]}x{shape[1]}x{left.shape[1]}",
                program("matmul", [a, b], [(shape, "float32")], transpose_a=bool(ta), transpose_b=bool(tb)),
                calls,
                flops=2.0 * m * n * k,
                bytes=4.0 * (a.size + b.size + m * n),
            )


def convolution_rows(quick: bool, peers: Peers) -> Iterator[Row]:
    layers = convolution.QUICK if quick else convolution.LAYERS
    return convolution.rows(layers, Row, program, peers)


def neighbour_rows(quick: bool, peers: Peers) -> Iterator[Row]:
    return convolution.rows([] if quick else convolution.NEIGHBOURS, Row, program, peers)


def memory_rows(quick: bool, peers: Peers) -> Iterator[Row]:
    return memory.rows(quick, Row, program, peers.get("torch"))


def elementwise_rows(quick: bool, peers: Peers) -> Iterator[Row]:
    return elementwise.rows(quick, Row, program, peers.get("torch"))


FAMILIES: dict[str, Callable[[bool, Peers], Iterator[Row]]] = {
    "gemm": gemm_rows,
    "convolution": convolution_rows,
    "neighbours": neighbour_rows,
    "memory": memory_rows,
    "elementwise": elementwise_rows,
}


# Of the instruction set that the kernels use, which KCORE_ISA may have chosen.
MACHINE_FLAGS = {"baseline": [], "avx2": ["-mavx2", "-mfma"]}


def limits_of(program: str, threads: int, *variants: list[str]) -> list[float | None]:
    """What fma_limit.cpp (of one thread) or triad.cpp (of all) measures, with each of these lists of further
    arguments; None without a compiler."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        return [None] * len(variants)
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / program
        source = Path(__file__).with_name(f"{program}.cpp")
        flags = ["-O3", "-ffp-contract=fast", "-fopenmp", *MACHINE_FLAGS.get(_core.isa(), ["-march=native"])]
        subprocess.run([compiler, *flags, source, "-o", binary], check=True)
        commands = [[binary, str(threads), *variant] for variant in variants]
        return [float(subprocess.run(c, check=True, capture_output=True).stdout) for c in commands]


def measure(row: Row, turns: int, seconds: float) -> dict[str, float]:
    """Best seconds a call of each contender."""
    contenders = {"ours": row.ours, **row.peers}
    times = {name: float("inf") for name in contenders}
    for _ in range(turns):
        for name, call in contenders.items():
            time.sleep(0.8 * seconds)  # OpenBLAS's threads spin for 2**26 ticks of the clock: 20 ms or 30
            times[name] = min(times[name], seconds_per_call(call, seconds))
    return times


def shares(row: Row, ours: float, flops: float | None, triad: float | None) -> dict[str, float]:
    """The shares of the limits, all threads' FMA and memory, that a call in ``ours`` seconds reaches."""
    result = {}
    if flops and row.flops:
        result["fma"] = row.flops / ours / flops
    if triad:
        result["triad"] = row.traffic / ours / triad
    return result


def show(row: Row, ours: float, peers: dict[str, float], share: dict[str, float]) -> None:
    figures = f"{ours * 1e6:8.1f} us{row.flops / ours / 1e9:8.1f}"
    figures += f"{share['fma']:7.0%}" if "fma" in share else " " * 7
    figures += f"{row.bytes / ours / 1e9:7.1f}"
    figures += f"{share['triad']:7.0%}" if "triad" in share else " " * 7
    ratios = "".join(f"   {name} {t * 1e6:9.1f} us {t / ours:5.2f}" for name, t in peers.items())
    print(f"{row.name:42}{figures}{ratios}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", help=f"which of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--filter", default="", help="only rows whose name contains this")
    parser.add_argument("--threads", type=int, default=_core.num_threads())
    parser.add_argument("--peers", nargs="*", default=["torch"], help="besides NumPy: torch, tensorflow")
    parser.add_argument("--turns", type=int, default=7, help="of each contender")
    parser.add_argument("--seconds", type=float, default=0.05, help="length of a turn")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="a few small shapes, to see that it works")
    options = parser.parse_args()
    unknown = set(options.families) - set(FAMILIES)
    if unknown:
        parser.error(f"no family {', '.join(sorted(unknown))}; choose from {', '.join(FAMILIES)}")
    if options.quick:
        options.turns, options.seconds = 1, 0.001
    return options


def main() -> None:
    options = parse()
    # OpenBLAS, inside NumPy, reads its number of threads once, when it is loaded. PyTorch allocates its
    # results; unless malloc keeps what they leave, large ones cost more in page faults than in work.
    settings = {
        "OPENBLAS_NUM_THREADS": str(options.threads),
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    }
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.environ.update(settings)
        os.execv(sys.executable, [sys.executable, *sys.argv])
    _core.set_num_threads(options.threads)
    peers = load_peers(options.peers, options.threads)
    fma = fed = triad = None
    if not options.quick:
        fma, fed = limits_of("fma_limit", options.threads, [], ["fed"])
        (triad,) = limits_of("triad", options.threads, [])
    print(f"{_core.isa()}, {options.threads} threads", end="")
    print(f", {fma / 1e9:.0f} GF/s a thread" if fma else "", end="")
    print(f" ({fed / 1e9:.0f} with factors from the first-level cache)" if fed else "", end="")
    print(f", triad {triad / 1e9:.1f} GB/s" if triad else "")
    print(
        f"{'':42}{'ours':>11}{'GF/s':>8}{'limit':>7}{'GB/s':>7}{'triad':>7}   each peer: time, and its time / ours"
    )
    rows = []
    for family in options.families or FAMILIES:
        for row in FAMILIES[family](options.quick, peers):
            if options.filter not in row.name:
                continue
            times = measure(row, options.turns, options.seconds)
            ours = times.pop("ours")
            share = shares(row, ours, fma and fma * options.threads, triad)
            show(row, ours, times, share)
            rows.append({"family": family, "name": row.name, "ours": ours, "peers": times, "share": share})
    if options.json:
        head = {"isa": _core.isa(), "threads": options.threads, "fma": fma, "fed": fed, "triad": triad}
        options.json.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
