"""The arithmetic of convolutions' extents, and the forms in which their arguments may come."""

from __future__ import annotations

import numpy as np

from kcore.conv_arithmetic import conv_input_length, conv_output_length, deconv_length, normalize_tuple

__all__ = [
    "conv_input_length",
    "conv_output_length",
    "convert_kernel",
    "deconv_length",
    "normalize_padding",
    "normalize_tuple",
]


def normalize_padding(value: str) -> str:
    """``value`` in lower case. Raises ``ValueError`` unless it is 'valid', 'same' or 'causal'."""
    padding = str(value).lower()
    if padding not in ("valid", "same", "causal"):
        raise ValueError(
            'The `padding` argument must be one of "valid", "same" (or "causal" for Conv1D). '
            f"Received: {value}"
        )
    return padding


def convert_kernel(kernel: np.ndarray) -> np.ndarray:
    """A copy of a kernel mirrored along its spatial axes: a correlation's kernel from a convolution's.

    Args:
        kernel: of 3 to 5 axes, the last two of which are channels.

    Raises:
        ValueError: if it has another number of axes.
    """
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"Invalid kernel shape: {kernel.shape}; a kernel has 3, 4 or 5 axes")
    return np.copy(np.flip(kernel, tuple(range(kernel.ndim - 2))))
