"""Defaults that the whole package reads: float width, fuzz factor, image layout, threads."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from kcore.graph import native
from kcore.graph.dtypes import floatx, set_floatx
from kcore.graph.native import num_threads, set_num_threads

__all__ = [
    "epsilon",
    "floatx",
    "image_data_format",
    "num_threads",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_num_threads",
    "show_config",
]

_epsilon = 1e-7
_image_data_format = "channels_last"


def epsilon() -> float:
    """The fuzz factor that keeps divisions and logarithms finite; 1e-7 unless set."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set the fuzz factor of what is built from now on."""
    global _epsilon
    _epsilon = float(value)


def image_data_format() -> str:
    """``'channels_last'`` unless set: where layers that are told nothing else expect the channels."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default image layout. Raises ``ValueError`` for anything but the two known ones."""
    global _image_data_format
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}")
    _image_data_format = data_format


def show_config() -> dict[str, Any]:
    """Print, and return, what kcore is and runs on: versions, instruction set, threads."""
    from importlib import metadata

    from kcore.version import __version__

    facts = {
        "kcore": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": metadata.version("h5py"),
        "isa": native.isa(),
        "supported_isas": native.supported_isas(),
        "openmp": native.has_openmp(),
        "num_threads": native.num_threads(),
        "floatx": floatx(),
    }
    for name, value in facts.items():
        print(f"{name:15s} {', '.join(value) if isinstance(value, list) else value}")
    return facts
