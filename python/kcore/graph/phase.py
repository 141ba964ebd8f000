"""The learning phase: whether a program trains or infers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kcore.graph.tensor import Tensor, placeholder

LEARNING_PHASE = placeholder((), "bool", name="keras_learning_phase")
"""The symbolic phase; each program is specialised to one value of it."""

_local = threading.local()


def learning_phase() -> Tensor | bool:
    """The phase of what is being built: symbolic, unless a scope or ``set_learning_phase`` fixed it."""
    stack = getattr(_local, "stack", None)
    return stack[-1] if stack else _fixed[0] if _fixed else LEARNING_PHASE


_fixed: list[bool] = []


def set_learning_phase(value: Any) -> None:
    """Fix the phase (0: inference, 1: training) of everything that is built from now on."""
    if value not in (0, 1):
        raise ValueError(f"the learning phase must be 0 or 1, got {value!r}")
    _fixed[:] = [bool(value)]


def clear_learning_phase() -> None:
    _fixed.clear()


@contextmanager
def learning_phase_scope(value: Any) -> Iterator[None]:
    """Fix the phase of what is built inside the ``with`` block."""
    if not hasattr(_local, "stack"):
        _local.stack = []
    _local.stack.append(value if isinstance(value, Tensor) else bool(value))
    try:
        yield
    finally:
        _local.stack.pop()
