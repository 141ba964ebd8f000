"""Measures everything and writes the tables and plots of docs/performance.md, in one command.

    python benchmarks/report.py --peers-python /path/to/python/with/the/peers   # about twenty minutes
    python benchmarks/report.py --peers-python ... --brief                     # fewer turns: half the time
    python benchmarks/report.py --reuse                                        # from the figures kept before

The figures are kept in docs/performance.json. Tables stand in the page between lines
``<!-- table NAME -->`` and ``<!-- end -->``; the plots need matplotlib (``pip install 'kcore[plot]'``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import kcore

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
FIGURES, PAGE, IMAGES = DOCS / "performance.json", DOCS / "performance.md", DOCS / "images"
TITLES = {
    "mlp_small": "MLP 20-64-64-10, dropout, SGD nesterov, batch 128",
    "mlp_mnist": "MLP 784-512-512-10, dropout, RMSprop, batch 128",
    "mlp_wide": "MLP 1024-2048-2048-100, Adam, batch 256",
    "mnist_cnn": "Keras's MNIST CNN, Adadelta, batch 128",
    "vgg_100": "100x100x3 CNN, SGD nesterov, batch 32",
    "vgg_cifar": "CIFAR VGG, SGD nesterov, batch 64",
}


def processor() -> str:
    """The processor's name, as the operating system tells it."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def run(script: str, python: str, *options: str) -> dict:
    """The figures that a benchmark writes as JSON; its lines are shown as they come."""
    package = str(Path(kcore.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": package}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [python, str(HERE / script), *options, "--json", str(file)]
        subprocess.run(command, check=True, env=environment)
        return json.loads(file.read_text())


KERNELS = ("gemm", "convolution", "memory", "elementwise")


def measure(peers_python: str, threads: int, brief: bool) -> dict:
    """All figures. ``kernels.py`` runs where PyTorch is, the others start their peers there."""
    count = ("--threads", str(threads))
    peers = ("--peers-python", peers_python, *count)
    epochs = ("--epochs", "2") if brief else ()
    turns = ("--turns", "3") if brief else ()
    return {
        "machine": {"processor": processor(), "threads": threads, "kcore": kcore.__version__},
        "train": run("train.py", sys.executable, *peers, *epochs),
        "infer": run("infer.py", sys.executable, *peers, *turns),
        "kernels": run("kernels.py", peers_python, *KERNELS, *count, *turns),
        "kernels_one_thread": run("kernels.py", peers_python, "gemm", "--threads", "1", *turns),
    }


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    header = list(header)
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def best_peer(rates: dict[str, float | None]) -> float | None:
    """The greatest rate of a contender that isn't ours."""
    return max((r for n, r in rates.items() if n not in ("kcore", "native") and r), default=None)


def rate_table(figures: dict[str, dict[str, float | None]], title: Callable[[str], str]) -> str:
    names = list(dict.fromkeys(n for rates in figures.values() for n in rates))
    rows = []
    for key, rates in figures.items():
        cells = [f"{rates[n]:,.0f}" if rates.get(n) else "" for n in names]
        best, ours = best_peer(rates), rates.get("kcore")
        rows.append([title(key), *cells, f"{ours / best:.2f}" if ours and best else ""])
    return table(["samples/s", *names, "kcore / best peer"], rows)


def kernel_table(figures: dict) -> str:
    """Each row's time, share of the limit that applies, and time of each peer by ours."""
    names = list(dict.fromkeys(n for row in figures["rows"] for n in row["peers"]))
    rows = []
    for row in figures["rows"]:
        peers = [f"{row['peers'][n] / row['ours']:.2f}" if n in row["peers"] else "" for n in names]
        shares = [f"{row['share'][limit]:.0%}" if limit in row["share"] else "" for limit in ("fma", "triad")]
        rows.append([row["name"], f"{row['ours'] * 1e6:,.1f}", *shares, *peers])
    return table(["kernel", "us", "of FMA", "of triad", *(f"{n} / kcore" for n in names)], rows)


def machine_line(figures: dict) -> str:
    machine = figures["machine"]
    limits = figures["kernels"]
    return (
        f"{machine['processor']}, {machine['threads']} threads, {limits['isa']}; "
        f"{limits['fma'] / 1e9:.0f} GFLOP/s of FMA a thread ({limits['fed'] / 1e9:.0f} with factors "
        f"from the first-level cache), {limits['triad'] / 1e9:.0f} GB/s of memory (triad); "
        f"kcore {machine['kcore']}, float32."
    )


def tables(figures: dict) -> dict[str, str]:
    kernels = {n: kernel_table(figures[n]) for n in ("kernels", "kernels_one_thread") if n in figures}
    return {
        "machine": machine_line(figures),
        "train": rate_table(figures["train"], lambda key: TITLES[key]),
        "infer": rate_table(figures["infer"], str),
        **kernels,
    }


def write_page(texts: dict[str, str]) -> None:
    page = PAGE.read_text()
    for name, text in texts.items():
        pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, found = pattern.subn(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)
        if not found:
            sys.exit(f"{PAGE.name} has no place for the table {name}")
    PAGE.write_text(page)


def plotting() -> Any:
    """matplotlib's pyplot, writing the same file for the same figures."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "kcore"
    from matplotlib import pyplot

    return pyplot


def plot_rates(figures: dict[str, dict[str, float | None]], title: str, file: Path) -> None:
    """Bars of every contender's rate by the best peer's."""
    pyplot = plotting()
    names = list(dict.fromkeys(n for rates in figures.values() for n in rates))
    width = 0.8 / len(names)
    figure, axes = pyplot.subplots(figsize=(9, 0.55 * len(figures) * max(1, len(names) / 4) + 1.2))
    for i, name in enumerate(names):
        places = [place + i * width for place in range(len(figures))]
        values = [(rates.get(name) or 0) / (best_peer(rates) or 1) for rates in figures.values()]
        axes.barh(places, values, width, label=name, color="black" if name == "kcore" else f"C{i}")
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.set_yticks([place + 0.4 - width / 2 for place in range(len(figures))], list(figures))
    axes.invert_yaxis()
    axes.set_xlabel("rate / rate of the best peer")
    axes.set_title(title)
    axes.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def plot_kernels(rows: list[dict], title: str, file: Path) -> None:
    """Each kernel's best peer's time by ours."""
    pyplot = plotting()
    compared = [row for row in rows if row["peers"]]
    ratios = [min(row["peers"].values()) / row["ours"] for row in compared]
    figure, axes = pyplot.subplots(figsize=(9, 0.17 * len(compared) + 1.2))
    colours = ["black" if ratio >= 1 else "C3" for ratio in ratios]
    axes.barh(range(len(compared)), ratios, color=colours)
    axes.axvline(1, color="gray", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(compared)), [row["name"] for row in compared], fontsize=6)
    axes.set_ylim(len(compared), -1)
    axes.set_xlabel("time of the best peer / time of kcore")
    axes.set_title(f"{title} (geometric mean {statistics.geometric_mean(ratios):.2f})")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def plot(figures: dict) -> None:
    IMAGES.mkdir(exist_ok=True)
    plot_rates(figures["train"], "Training", IMAGES / "training.svg")
    plot_rates(figures["infer"], "Inference", IMAGES / "inference.svg")
    plot_kernels(figures["kernels"]["rows"], "Kernels", IMAGES / "kernels.svg")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--brief", action="store_true", help="fewer turns of each contender")
    parser.add_argument("--reuse", action="store_true", help="don't measure: use docs/performance.json")
    options = parser.parse_args()
    if not options.reuse:
        figures = measure(options.peers_python, options.threads, options.brief)
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    figures = json.loads(FIGURES.read_text())
    write_page(tables(figures))
    plot(figures)


if __name__ == "__main__":
    main()
