"""Inference speed against ONNX Runtime, OpenVINO, PyTorch and Keras on TensorFlow, in one run.

Every contender runs the same model with the same weights on the same data in a process of its own, and checks
its results against float64 NumPy first; the contenders take turns of a fraction of a second. The median turn
after the first counts. Each peer is called from Python in the way that costs it least; ``native`` is kcore's
compiled program alone, without what ``predict`` does around it.

    python benchmarks/infer.py                                   # contenders that this interpreter can import
    python benchmarks/infer.py --peers-python /path/to/python    # peers installed elsewhere
    python benchmarks/infer.py --models mnist_cnn --batches 1 --threads 2
    python benchmarks/infer.py --quick                           # a smoke run of kcore alone
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from contenders import Contender, interpreters, options_parser, take_turns
from kernels import limits_of
from train_models import MODELS

NAMES = ["kcore", "native", "onnxruntime", "openvino", "torch", "keras-tf"]
OURS = ("kcore", "native")
BATCHES = {"mlp_small": (1,), "mlp_mnist": (1, 128), "mnist_cnn": (1, 128), "vgg_cifar": (1, 64)}
WORKER = Path(__file__).with_name("infer_worker.py")


def measure(
    model: str, batch: int, pythons: dict[str, str], options: argparse.Namespace
) -> dict[str, float | None]:
    """Samples per second of each contender."""
    arguments = [model, str(batch), str(options.threads), str(options.seconds)]
    contenders = [
        Contender(name, python, options.threads, [str(WORKER), name, *arguments])
        for name, python in pythons.items()
    ]
    return take_turns(contenders, options.turns + 1)


def show(model: str, batch: int, rates: dict[str, float | None], limit: float | None) -> None:
    cells = "  ".join(f"{n} {1e6 * batch / r:,.1f} us" if r else f"{n} failed" for n, r in rates.items())
    print(f"{model} x {batch}: {cells}")
    peers = {n: r for n, r in rates.items() if n not in OURS and r}
    ours = rates.get("kcore")
    if not ours:
        return
    line = f"    {ours:,.0f} samples/s"
    if peers:
        best = max(peers, key=lambda n: peers[n])
        line += f", {ours / peers[best]:.2f}x the best peer ({best})"
        if native := rates.get("native"):
            line += f", native alone {native / peers[best]:.2f}x"
    if limit:
        line += f", {ours * sum(MODELS[model].products) / limit:.0%} of the FMA limit"
    print(line, flush=True)


def main() -> None:
    parser = options_parser(__doc__, list(BATCHES), NAMES)
    parser.add_argument("--batches", nargs="+", type=int, help="those of the models' own batches to run")
    parser.add_argument("--turns", type=int, default=7, help="turns that count, after one that doesn't")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="smoke run: kcore alone, short turns")
    options = parser.parse_args()
    if options.quick:
        options.contenders, options.turns, options.seconds = list(OURS), 1, 0.001
    pythons = interpreters(options)
    (limit,) = [None] if options.quick else limits_of("fma_limit", options.threads, [])
    figures: dict[str, dict] = {}
    for model in options.models:
        for batch in options.batches or BATCHES[model]:
            rates = figures[f"{model} x {batch}"] = measure(model, batch, pythons, options)
            show(model, batch, rates, limit and limit * options.threads)
            if not all(rates[n] for n in pythons if n in OURS):
                sys.exit(f"kcore could not run {model}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
