"""Training speed against Keras on TensorFlow, Keras on JAX, and PyTorch, in one run.

Every contender trains the same model on the same random data in a process of its own; the contenders take
turns, one epoch each, so that a machine whose speed drifts treats them alike. The median epoch after the
first counts.

    python benchmarks/train.py                                   # contenders that this interpreter can import
    python benchmarks/train.py --peers-python /path/to/python    # peers installed elsewhere
    python benchmarks/train.py --models mnist_cnn --epochs 7 --threads 2
    python benchmarks/train.py --scaling                         # kcore alone, one thread against all
    python benchmarks/train.py --quick                           # a smoke run of kcore alone
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contenders import Contender, interpreters, options_parser, take_turns
from train_models import MODELS

NAMES = ["kcore", "keras-tf", "keras-jax", "torch"]
WORKER = Path(__file__).with_name("train_worker.py")


def measure(model: str, pythons: dict[str, str], threads: int, epochs: int, samples: int) -> dict:
    arguments = [model, str(threads), str(samples)]
    contenders = [
        Contender(name, python, threads, [str(WORKER), name, *arguments]) for name, python in pythons.items()
    ]
    return take_turns(contenders, epochs + 1)  # the first epoch compiles


def show_scaling(model: str, threads: int, epochs: int, samples: int) -> None:
    """Ours on one thread and on all of them."""
    contenders = []
    for team in (1, threads):
        command = [str(WORKER), "kcore", model, str(team), str(samples)]
        contenders.append(Contender("kcore", sys.executable, team, command))
        contenders[-1].name = str(team)
    one, all_of_them = take_turns(contenders, epochs + 1).values()
    if not one or not all_of_them:
        sys.exit(f"kcore could not train {model}")
    print(
        f"{model:12s} {one:,.0f}/s  {threads} threads {all_of_them:,.0f}/s  {all_of_them / one:.2f}x",
        flush=True,
    )


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
    parser = options_parser(__doc__, list(MODELS), NAMES)
    parser.add_argument("--epochs", type=int, default=5, help="epochs that count, after one that doesn't")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="smoke run: kcore alone, few samples")
    parser.add_argument("--scaling", action="store_true", help="kcore alone, on one thread and on all")
    options = parser.parse_args()
    if options.scaling:
        for model in options.models:
            show_scaling(model, options.threads, options.epochs, MODELS[model].samples)
        return
    if options.quick:
        options.contenders, options.epochs = ["kcore"], 1
    pythons = interpreters(options)
    figures = {}
    for model in options.models:
        batch = MODELS[model].batch
        samples = batch * 2 if options.quick else MODELS[model].samples
        figures[model] = measure(model, pythons, options.threads, options.epochs, samples)
        show(model, figures[model])
        if not figures[model].get("kcore"):
            sys.exit(f"kcore could not train {model}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
