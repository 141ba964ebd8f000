"""The native core: loaded once, with the threads' settings that it needs; instruction set and threads."""

from __future__ import annotations

import importlib
import os

# How long an idle thread of GCC's OpenMP runtime spins before it sleeps, in turns of its loop: some hundred
# microseconds, which is as far as the next parallel kernel of a program usually is. Waking a thread on a virtual
# machine takes tens of microseconds: with 1000 turns a step of a perceptron took up to half as long again. The
# runtime's own default, milliseconds, makes every parallel region wait for the operating system's next time
# slice as soon as another process wants the processor.
_SPIN_COUNT = "30000"


def _load_core() -> None:
    """Import the extension. The OpenMP runtime reads its settings once, while it is loaded."""
    given = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ)
    if not given:
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT
    try:
        importlib.import_module("kcore._core")
    finally:
        if not given:
            del os.environ["GOMP_SPINCOUNT"]


_load_core()

from kcore import _core  # noqa: E402
from kcore._core import Feed, Program, Storage, write_storages  # noqa: E402

__all__ = [
    "Feed",
    "Program",
    "Storage",
    "has_openmp",
    "isa",
    "num_threads",
    "set_num_threads",
    "supported_isas",
    "write_storages",
]


def isa() -> str:
    """The instruction set in use: ``'baseline'``, ``'avx2'`` or ``'avx512'``. ``KCORE_ISA`` forces one."""
    return _core.isa()


def supported_isas() -> list[str]:
    """The instruction sets that this processor runs, lowest first."""
    return _core.supported_isas()


def has_openmp() -> bool:
    return _core.has_openmp()


def num_threads() -> int:
    """The number of threads that kernels use."""
    return _core.num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that kernels use. Raises ``ValueError`` if it is less than 1."""
    _core.set_num_threads(n)
