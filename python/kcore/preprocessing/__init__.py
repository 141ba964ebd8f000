"""Preparing data: sequences of different lengths, time series, text."""

from . import sequence, text

__all__ = ["sequence", "text"]
