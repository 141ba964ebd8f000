"""Defaults that the whole package reads: float width, fuzz factor, image layout."""

from __future__ import annotations

from kcore.graph.dtypes import floatx, set_floatx

__all__ = ["epsilon", "floatx", "image_data_format", "set_epsilon", "set_floatx", "set_image_data_format"]

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
