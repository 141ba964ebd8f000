"""Convolutions, in one and two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore.config import image_data_format
from kcore.conv_arithmetic import conv_output_length, deconv_length, normalize_tuple
from kcore.graph import Tensor, as_tensor, composite, dtypes, primitive
from kcore.graph.primitives import cast, transpose

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv"]

Extents = tuple[int, ...]

# Images are (batch, *spatial, channels), kernels (*spatial, in / groups, out), or depthwise (*spatial, in,
# multiplier). Everywhere below `padding` is a pair for each spatial axis, one after another. The three
# passes are each other's gradients: all have the same strides, padding, dilation and groups.


def _spans(kernel_size: Sequence[int], dilation: Extents) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True)]


def _infer_conv(
    x: Tensor, kernel: Tensor, *, strides: Extents, padding: Extents, dilation: Extents, groups: int
) -> tuple:
    return (x.shape[0], *_output_size(x, kernel, strides, padding, dilation), kernel.shape[-1]), x.dtype


def _infer_depthwise(
    x: Tensor, kernel: Tensor, *, strides: Extents, padding: Extents, dilation: Extents
) -> tuple:
    channels, multiplier = kernel.shape[-2:]
    return (x.shape[0], *_output_size(x, kernel, strides, padding, dilation), channels * multiplier), x.dtype


def _output_size(
    x: Tensor, kernel: Tensor, strides: Extents, padding: Extents, dilation: Extents
) -> list[int | None]:
    size: list[int | None] = []
    spans = _spans(kernel.shape[:-2], dilation)  # type: ignore[arg-type]
    for n, span, stride, before, after in zip(
        x.shape[1:-1], spans, strides, padding[::2], padding[1::2], strict=True
    ):
        if n is not None and n + before + after < span:
            raise ValueError(
                f"the kernel is larger than the padded image: inputs {x.shape}, kernel {kernel.shape}, "
                f"dilation_rate {dilation}, padding {padding}"
            )
        size.append(None if n is None else (n + before + after - span) // stride + 1)
    return size


def _lower(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attrs.items() if name not in ("size", "kernel_size")}


_conv = primitive(
    "conv2d",
    infer=_infer_conv,
    gradient=lambda y, dy, x, kernel, **geometry: (
        _conv_data_gradient(dy, kernel, size=x.shape[1:-1], **geometry),
        _conv_weight_gradient(x, dy, kernel_size=kernel.shape[:-2], **geometry),
    ),
)

_conv_data_gradient = primitive(
    "conv2d_data_gradient",
    infer=lambda dy, kernel, *, size, groups, **geometry: (
        (dy.shape[0], *size, kernel.shape[-2] * groups),
        dy.dtype,
    ),
    gradient=lambda y, dx, dy, kernel, *, size, **geometry: (
        _conv(dx, kernel, **geometry),
        _conv_weight_gradient(dx, dy, kernel_size=kernel.shape[:-2], **geometry),
    ),
    lower=_lower,
)

_conv_weight_gradient = primitive(
    "conv2d_weight_gradient",
    infer=lambda x, dy, *, kernel_size, groups, **geometry: (
        (*kernel_size, x.shape[-1] // groups, dy.shape[-1]),
        x.dtype,
    ),
    gradient=lambda y, dkernel, x, dy, *, kernel_size, **geometry: (
        _conv_data_gradient(dy, dkernel, size=x.shape[1:-1], **geometry),
        _conv(x, dkernel, **geometry),
    ),
    lower=_lower,
)

_depthwise_conv = primitive(
    "depthwise_conv2d",
    infer=_infer_depthwise,
    gradient=lambda y, dy, x, kernel, **geometry: (
        _depthwise_data_gradient(dy, kernel, size=x.shape[1:-1], **geometry),
        _depthwise_weight_gradient(x, dy, kernel_size=kernel.shape[:-2], **geometry),
    ),
)

_depthwise_data_gradient = primitive(
    "depthwise_conv2d_data_gradient",
    infer=lambda dy, kernel, *, size, **geometry: ((dy.shape[0], *size, kernel.shape[-2]), dy.dtype),
    gradient=lambda y, dx, dy, kernel, *, size, **geometry: (
        _depthwise_conv(dx, kernel, **geometry),
        _depthwise_weight_gradient(dx, dy, kernel_size=kernel.shape[:-2], **geometry),
    ),
    lower=_lower,
)

_depthwise_weight_gradient = primitive(
    "depthwise_conv2d_weight_gradient",
    infer=lambda x, dy, *, kernel_size, **geometry: (
        (*kernel_size, x.shape[-1], dy.shape[-1] // x.shape[-1]),
        x.dtype,
    ),
    gradient=lambda y, dkernel, x, dy, *, kernel_size, **geometry: (
        _depthwise_data_gradient(dy, dkernel, size=x.shape[1:-1], **geometry),
        _depthwise_conv(x, dkernel, **geometry),
    ),
    lower=_lower,
)


def _same_padding(size: Sequence[int], spans: Sequence[int], strides: Extents) -> Extents:
    """What 'same' adds before and after each axis: the odd one out goes after."""
    padding: list[int] = []
    for n, span, stride in zip(size, spans, strides, strict=True):
        total = max((-(-n // stride) - 1) * stride + span - n, 0)
        padding += [total // 2, total - total // 2]
    return tuple(padding)


def _infer_same(x: Tensor, kernel: Tensor, *, strides: Extents, depthwise: bool, **geometry: Any) -> tuple:
    size = [conv_output_length(n, 1, "same", s) for n, s in zip(x.shape[1:-1], strides, strict=True)]
    filters = kernel.shape[-2] * kernel.shape[-1] if depthwise else kernel.shape[-1]
    return (x.shape[0], *size, filters), x.dtype


@composite(deferred=True, infer=_infer_same)
def _conv_same(
    x: Tensor, kernel: Tensor, *, strides: Extents, dilation: Extents, depthwise: bool, **groups: int
) -> Tensor:
    """'same' where it depends on the image's extents: with strides."""
    padding = _same_padding(x.shape[1:-1], _spans(kernel.shape[:-2], dilation), strides)  # type: ignore[arg-type]
    op = _depthwise_conv if depthwise else _conv
    return op(x, kernel, strides=strides, padding=padding, dilation=dilation, **groups)


def _infer_transpose(x: Tensor, kernel: Tensor, *, strides, padding, output_padding, dilation) -> tuple:
    size = [
        deconv_length(n, s, k, padding, o, d)
        for n, s, k, o, d in zip(
            x.shape[1:-1], strides, kernel.shape[:-2], output_padding, dilation, strict=True
        )
    ]
    return (x.shape[0], *size, kernel.shape[-2]), x.dtype


def _transposed(
    x: Tensor, kernel: Tensor, *, strides: Extents, padding: str, output_padding: tuple, dilation: Extents
) -> Tensor:
    """The data gradient of the convolution that has ``x`` for its output."""
    (_, *size, _), _ = _infer_transpose(
        x, kernel, strides=strides, padding=padding, output_padding=output_padding, dilation=dilation
    )
    spans = _spans(kernel.shape[:-2], dilation)  # type: ignore[arg-type]
    for n, m, k, s in zip(x.shape[1:-1], size, spans, strides, strict=True):
        if n != conv_output_length(m, k, padding, s):
            raise ValueError(
                f"conv_transpose: no image of extent {m} gives inputs of extent {n} (kernel extent {k}, "
                f"stride {s}, padding {padding!r}); choose another output_padding than {output_padding}"
            )
    pads = _same_padding(size, spans, strides) if padding == "same" else (0,) * (2 * len(size))
    return _conv_data_gradient(
        x, kernel, size=tuple(size), strides=strides, padding=pads, dilation=dilation, groups=1
    )


_transposed_later = composite(_transposed, deferred=True, infer=_infer_transpose)


def _operands(name: str, inputs: Any, *kernels: Any) -> list[Any]:
    """All as tensors, or all as arrays, of one float dtype. Raises ``ValueError`` for a wrong rank."""
    values = [inputs, *kernels]
    strong = [v.dtype for v in values if isinstance(v, Tensor)]
    dtype = dtypes.common(strong, [v for v in values if not isinstance(v, Tensor)])
    if not dtypes.is_float(dtype):
        dtype = dtypes.floatx()
    if strong:
        values = [cast(as_tensor(v, None if isinstance(v, Tensor) else dtype), dtype) for v in values]
    else:
        values = [dtypes.as_array(v, dtype) for v in values]
    ndim = len(values[0].shape)
    if ndim not in (3, 4):
        raise ValueError(
            f"{name}: inputs must have 3 axes (batch, steps, channels) or 4 (batch, rows, cols, channels), "
            f"got the shape {tuple(values[0].shape)}"
        )
    for kernel in values[1:]:
        if len(kernel.shape) != ndim:
            raise ValueError(
                f"{name}: inputs of shape {tuple(values[0].shape)} need a kernel of {ndim} axes, "
                f"got the shape {tuple(kernel.shape)}"
            )
        if None in kernel.shape or 0 in kernel.shape[:-2]:
            raise ValueError(f"{name}: the kernel's shape {tuple(kernel.shape)} must be known and not empty")
    return values


def _positive(value: Any, n: int, name: str) -> Extents:
    values = normalize_tuple(value, n, name)
    if min(values) < 1:
        raise ValueError(f"The `{name}` argument must be positive. Received: {value}")
    return values


def _channels_first(data_format: str | None) -> bool:
    data_format = image_data_format() if data_format is None else data_format
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}")
    return data_format == "channels_first"


def _to_channels_last(x: Any) -> Any:
    n = len(x.shape)
    return transpose(x, perm=(0, *range(2, n), 1))


def _to_channels_first(x: Any) -> Any:
    n = len(x.shape)
    return transpose(x, perm=(0, n - 1, *range(1, n - 1)))


def _convolve(
    name: str,
    inputs: Any,
    kernel: Any,
    strides: Any,
    padding: str,
    data_format: str | None,
    dilation_rate: Any,
    depthwise: bool,
) -> Any:
    x, kernel = _operands(name, inputs, kernel)
    n = len(kernel.shape) - 2
    steps = _positive(strides, n, "strides")
    dilation = _positive(dilation_rate, n, "dilation_rate")
    mode = str(padding).lower()
    if mode not in ("valid", "same", "causal") or (mode == "causal" and n != 1):
        raise ValueError(
            f"{name}: padding must be 'valid' or 'same' (or 'causal' in one dimension), got {padding!r}"
        )
    first = _channels_first(data_format)
    x = _to_channels_last(x) if first else x
    channels, of_kernel = x.shape[-1], kernel.shape[-2]
    if channels is None:
        # A kernel for all channels, unless the graph knows better.
        channels = of_kernel
    groups = 1 if depthwise or of_kernel == 0 else channels // of_kernel
    if depthwise or of_kernel == 0:
        fits = channels == of_kernel
    else:
        fits = channels % of_kernel == 0 and groups > 0 and kernel.shape[-1] % groups == 0
    if not fits:
        raise ValueError(
            f"{name}: inputs of {channels} channels don't fit a kernel of shape {tuple(kernel.shape)}"
        )
    geometry: dict[str, Any] = {"strides": steps, "dilation": dilation}
    if not depthwise:
        geometry["groups"] = groups
    spans = _spans(kernel.shape[:-2], dilation)
    size = x.shape[1:-1]
    if mode == "same" and None in size and max(steps) > 1:
        y = _conv_same(x, kernel, depthwise=depthwise, **geometry)
    else:
        if mode == "same":
            # With a stride of 1 the extents don't matter.
            pads = _same_padding([s if s is not None else 1 for s in size], spans, steps)
        else:
            pads = (spans[0] - 1, 0) if mode == "causal" else (0,) * (2 * n)
        y = (_depthwise_conv if depthwise else _conv)(x, kernel, padding=pads, **geometry)
    return _to_channels_first(y) if first else y


def conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """A convolution (strictly, a correlation: the kernel isn't mirrored) in one or two dimensions.

    Args:
        inputs: ``(batch, steps, channels)`` or ``(batch, rows, cols, channels)``; the channels come second
            with ``'channels_first'``.
        kernel: ``(*kernel_size, channels / groups, filters)``. The channels fall into as many groups as its
            shape implies; each group of filters reads one.
        strides: an integer, or one for each spatial axis.
        padding: ``'valid'``; ``'same'``, which adds zeros on both sides, so that ``ceil(n / stride)`` outputs
            come of ``n`` inputs; ``'causal'`` (one dimension), which adds them before the first step.
        data_format: ``'channels_last'`` or ``'channels_first'``; ``image_data_format()`` by default.
        dilation_rate: an integer, or one for each spatial axis.

    Returns:
        ``(batch, *spatial, filters)``, or with the filters second.

    Raises:
        ValueError: if shapes don't fit, or the kernel is larger than the padded inputs.
    """
    return _convolve("conv", inputs, kernel, strides, padding, data_format, dilation_rate, depthwise=False)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """A convolution of every channel on its own.

    Args:
        inputs, strides, padding, data_format, dilation_rate: see ``conv``.
        kernel: ``(*kernel_size, channels, multiplier)``.

    Returns:
        ``(batch, *spatial, channels * multiplier)``: the results of the first channel, of the second, ...

    Raises:
        ValueError: if shapes don't fit, or the kernel is larger than the padded inputs.
    """
    return _convolve(
        "depthwise_conv", inputs, kernel, strides, padding, data_format, dilation_rate, depthwise=True
    )


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """A depthwise convolution, then one of size 1 that mixes the channels.

    Args:
        inputs, strides, padding, data_format, dilation_rate: see ``conv``.
        depthwise_kernel: ``(*kernel_size, channels, multiplier)``.
        pointwise_kernel: ``(1, channels * multiplier, filters)``, with another 1 in two dimensions.

    Returns:
        ``(batch, *spatial, filters)``, or with the filters second.

    Raises:
        ValueError: if shapes don't fit, or the kernel is larger than the padded inputs.
    """
    x, depthwise_kernel, pointwise_kernel = _operands(
        "separable_conv", inputs, depthwise_kernel, pointwise_kernel
    )
    if any(extent != 1 for extent in pointwise_kernel.shape[:-2]):
        raise ValueError(
            "separable_conv: the pointwise kernel must be of size 1, "
            f"got the shape {tuple(pointwise_kernel.shape)}"
        )
    first = _channels_first(data_format)
    x = _to_channels_last(x) if first else x
    x = depthwise_conv(x, depthwise_kernel, strides, padding, "channels_last", dilation_rate)
    x = conv(x, pointwise_kernel, data_format="channels_last")
    return _to_channels_first(x) if first else x


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: int | Sequence[int] = 1,
    padding: str = "valid",
    output_padding: int | Sequence[int] | None = None,
    data_format: str | None = None,
    dilation_rate: int | Sequence[int] = 1,
) -> Any:
    """A transposed convolution: the gradient of the convolution with this kernel, for its inputs.

    Args:
        inputs, strides, data_format, dilation_rate: see ``conv``.
        kernel: ``(*kernel_size, filters, channels)``.
        padding: of that convolution, ``'valid'`` or ``'same'``.
        output_padding: an integer less than the stride, or one for each spatial axis, that chooses among the
            extents whose convolution gives the inputs' extent (see ``conv_utils.deconv_length``); ``None``
            for ``n * stride`` with ``'same'``, and ``n * stride + max(span - stride, 0)`` with ``'valid'``,
            where span is the dilated kernel's extent.

    Returns:
        ``(batch, *spatial, filters)``, or with the filters second.

    Raises:
        ValueError: if shapes don't fit, or no image of the chosen extent gives the inputs' extent.
    """
    x, kernel = _operands("conv_transpose", inputs, kernel)
    n = len(kernel.shape) - 2
    steps = _positive(strides, n, "strides")
    dilation = _positive(dilation_rate, n, "dilation_rate")
    mode = str(padding).lower()
    if mode not in ("valid", "same"):
        raise ValueError(f"conv_transpose: padding must be 'valid' or 'same', got {padding!r}")
    extra: tuple[int | None, ...] = (None,) * n
    if output_padding is not None:
        extra = normalize_tuple(output_padding, n, "output_padding")
        if any(not 0 <= o < s for o, s in zip(extra, steps, strict=True)):
            raise ValueError(
                f"conv_transpose: output_padding must be less than the strides {steps}, got {output_padding}"
            )
    first = _channels_first(data_format)
    x = _to_channels_last(x) if first else x
    if x.shape[-1] is not None and x.shape[-1] != kernel.shape[-1]:
        raise ValueError(
            f"conv_transpose: inputs of {x.shape[-1]} channels don't fit "
            f"a kernel of shape {tuple(kernel.shape)}"
        )
    attrs: Any = {"strides": steps, "padding": mode, "output_padding": extra, "dilation": dilation}
    y = (_transposed_later if None in x.shape[1:-1] else _transposed)(x, kernel, **attrs)
    return _to_channels_first(y) if first else y
