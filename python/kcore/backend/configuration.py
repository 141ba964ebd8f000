"""Defaults, names, and the learning phase."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from kcore.config import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kcore.graph import Tensor, learning_phase, set_learning_phase
from kcore.graph.phase import clear_learning_phase, learning_phase_scope

__all__ = [
    "backend",
    "clear_session",
    "control_dependencies",
    "eager",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_symbolic",
    "learning_phase",
    "learning_phase_scope",
    "manual_variable_initialization",
    "name_scope",
    "name_scope_stack",
    "normalize_data_format",
    "reset_uids",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_learning_phase",
    "symbolic",
    "v1_variable_initialization",
]

_local = threading.local()
_uids: dict[str, int] = {}


def backend() -> str:
    """``"kcore"``."""
    return "kcore"


def normalize_data_format(value: str | None) -> str:
    """``value``, or the default where it is ``None``. Raises ``ValueError`` for anything but the two known ones."""
    data_format = image_data_format() if value is None else str(value).lower()
    if data_format not in ("channels_first", "channels_last"):
        raise ValueError(
            f'The `data_format` argument must be one of "channels_first", "channels_last". Received: {value}'
        )
    return data_format


def name_scope_stack() -> list[str]:
    """The names of the open scopes of this thread, the outermost first."""
    if not hasattr(_local, "names"):
        _local.names = []
    return _local.names


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Prefix the names of weights that are made inside the ``with`` block."""
    stack = name_scope_stack()
    stack.append(name)
    try:
        yield
    finally:
        stack.pop()


def get_uid(prefix: str = "") -> int:
    """1, 2, 3, ... for each prefix, as in the names ``dense_1``, ``dense_2``."""
    _uids[prefix] = _uids.get(prefix, 0) + 1
    return _uids[prefix]


def reset_uids() -> None:
    """Start the numbers of automatic layer names from 1 again."""
    _uids.clear()


def clear_session() -> None:
    """Forget automatic names and a fixed learning phase; models that exist go on working."""
    reset_uids()
    clear_learning_phase()


def manual_variable_initialization(value: bool) -> None:
    """Accepted for scripts written for TensorFlow; variables have their values from the start."""


def v1_variable_initialization() -> None:
    """Accepted for scripts written for TensorFlow; variables have their values from the start."""


def symbolic(func: Callable) -> Callable:
    """``func``: everything here is symbolic already."""
    return func


def eager(func: Callable) -> Callable:
    """``func``: on arrays it computes at once already."""
    return func


def is_symbolic(x: Any) -> bool:
    """Whether ``x`` is a tensor of a graph rather than an array."""
    return isinstance(x, Tensor)


def control_dependencies(control_inputs: Any) -> contextlib.AbstractContextManager:
    """Accepted for scripts written for TensorFlow; an update always happens after what it reads."""
    return contextlib.nullcontext(control_inputs)
