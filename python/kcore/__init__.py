"""Keras for CPU servers: ``Sequential``, ``Model``, ``fit``, on kcore's own OpenMP C++ kernels."""

from kcore import ops

__version__ = "0.1.0"
__all__ = ["__version__", "ops"]
