"""The arithmetic of the extents of convolutions and pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["conv_input_length", "conv_output_length", "deconv_length", "normalize_tuple"]


def normalize_tuple(value: Any, n: int, name: str) -> tuple[int, ...]:
    """``value`` as a tuple of ``n`` integers: an integer stands for ``n`` of them.

    Args:
        value: an integer, or an iterable of ``n`` integers.
        n: how many.
        name: of the argument, for the message.

    Raises:
        ValueError: if it is anything else.
    """
    if isinstance(value, (int, np.integer)):
        return (int(value),) * n
    wanted = f"The `{name}` argument must be an integer or a tuple of {n} integers. Received: {value}"
    try:
        values = tuple(value)
    except TypeError:
        raise ValueError(wanted) from None
    if len(values) != n:
        raise ValueError(f"{wanted}, which has {len(values)} elements")
    for element in values:
        if not isinstance(element, (int, np.integer)):
            raise ValueError(f"{wanted}, including the element {element!r} of type {type(element).__name__}")
    return tuple(int(element) for element in values)


def conv_output_length(
    input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1
) -> int | None:
    """The extent of a convolution's output along one axis.

    Args:
        input_length: of the input; ``None`` if unknown, and so is the result.
        filter_size: of the kernel.
        padding: 'same', 'valid', 'full' or 'causal'.
        stride, dilation: along that axis.
    """
    _check_padding(padding, "same", "valid", "full", "causal")
    if input_length is None:
        return None
    span = (filter_size - 1) * dilation + 1
    added = {"same": 0, "causal": 0, "valid": 1 - span, "full": span - 1}[padding]
    return (input_length + added + stride - 1) // stride


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int) -> int | None:
    """The extent of a convolution's input along one axis, from its output's: the inverse of
    ``conv_output_length``, up to what the stride leaves over."""
    _check_padding(padding, "same", "valid", "full")
    if output_length is None:
        return None
    pad = {"same": filter_size // 2, "valid": 0, "full": filter_size - 1}[padding]
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None,
    stride_size: int,
    kernel_size: int,
    padding: str,
    output_padding: int | None,
    dilation: int = 1,
) -> int | None:
    """The extent of a transposed convolution's output along one axis.

    Args:
        dim_size: of the input; ``None`` if unknown, and so is the result.
        stride_size, kernel_size, dilation: along that axis.
        padding: 'same', 'valid' or 'full'.
        output_padding: what to add at the end of the least extent that gives such an input; ``None`` for
            the extent that undoes the stride.
    """
    _check_padding(padding, "same", "valid", "full")
    if dim_size is None:
        return None
    span = (kernel_size - 1) * dilation + 1
    if output_padding is None:
        added = {"same": 0, "valid": max(span - stride_size, 0), "full": 2 - stride_size - span}[padding]
        return dim_size * stride_size + added
    pad = {"same": span // 2, "valid": 0, "full": span - 1}[padding]
    return (dim_size - 1) * stride_size + span - 2 * pad + output_padding


def _check_padding(padding: str, *known: str) -> None:
    if padding not in known:
        raise ValueError(f"padding must be one of {', '.join(known)}; got {padding!r}")
