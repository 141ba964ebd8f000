"""Keras for CPU servers: ``Sequential``, ``Model``, ``fit``, on kcore's own OpenMP C++ kernels.

Submodules other than ``ops`` are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kcore import ops  # gives tensors their operators
from kcore.version import __version__

_SUBMODULES = {
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "graph",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "utils",
    "wrappers",
}
_NAMES = {
    "Input": "kcore.layers",
    "Layer": "kcore.layers",
    "Model": "kcore.models",
    "Sequential": "kcore.models",
    "Variable": "kcore.graph",
    "show_config": "kcore.config",
}

__all__ = ["__version__", "ops", *sorted(_SUBMODULES), *sorted(_NAMES)]

if TYPE_CHECKING:
    from kcore.config import show_config
    from kcore.graph import Variable
    from kcore.layers import Input, Layer
    from kcore.models import Model, Sequential


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"kcore.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'kcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
