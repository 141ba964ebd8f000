"""The native core: programs, their storage, instruction set and threads."""

from __future__ import annotations

from kcore import _core
from kcore._core import Feed, Program, Storage, write_storages

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
