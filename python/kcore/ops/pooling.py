"""Pooling in one, two and three dimensions."""

from __future__ import annotations

import math
from typing import Any

from kcore.config import image_data_format
from kcore.conv_arithmetic import conv_output_length, normalize_tuple
from kcore.graph import Tensor, composite, dtypes, primitive
from kcore.graph.primitives import cast, reshape
from kcore.ops.movement import moveaxis
from kcore.ops.operands import operand

__all__ = ["average_pool", "max_pool"]

Extents = tuple[int, ...]

# The native ops pool images (batch, height, width, channels); `pads` are (top, bottom, left, right).


def _infer_pool2d(x: Tensor, *, pool: Extents, strides: Extents, pads: Extents) -> tuple:
    size = [
        (n + low + high - p) // s + 1  # type: ignore[operator]
        for n, p, s, low, high in zip(x.shape[1:3], pool, strides, pads[::2], pads[1::2], strict=True)
    ]
    return (x.shape[0], *size, x.shape[3]), x.dtype


def _geometry(attrs: dict[str, Any]) -> dict[str, Any]:
    return {name: attrs[name] for name in ("pool", "strides", "pads")}


def _infer_max_pool2d(x: Tensor, *, pool: Extents, strides: Extents, pads: Extents) -> list[tuple]:
    """The greatest elements, and their places in the windows: the first of each window's greatest."""
    shape, dtype = _infer_pool2d(x, pool=pool, strides=strides, pads=pads)
    return [(shape, dtype), (shape, "uint8" if math.prod(pool) <= 256 else "int32")]


_max_pool2d = primitive(
    "max_pool2d",
    infer=_infer_max_pool2d,
    gradient=lambda y, dy, x, **geometry: _max_pool2d_gradient(y[1], dy[0], shape=x.shape, **geometry),
)

# Places don't move with the elements: only what is taken from them has a gradient.
_max_pool2d_gradient = primitive(
    "max_pool2d_gradient",
    infer=lambda places, dy, *, shape, **geometry: (shape, dy.dtype),
    gradient=lambda dx, g, places, dy, *, shape, **geometry: (
        None,
        _max_pool2d_select(places, g, **geometry),
    ),
    lower=_geometry,
)

_max_pool2d_select = primitive(
    "max_pool2d_select",
    infer=lambda places, v, **geometry: (places.shape, v.dtype),
    gradient=lambda taken, g, places, v, **geometry: (
        None,
        _max_pool2d_gradient(places, g, shape=v.shape, **geometry),
    ),
)

_average_pool2d = primitive(
    "average_pool2d",
    infer=_infer_pool2d,
    gradient=lambda y, dy, x, **geometry: _average_pool2d_gradient(dy, shape=x.shape, **geometry),
)

_average_pool2d_gradient = primitive(
    "average_pool2d_gradient",
    infer=lambda dy, *, shape, **geometry: (shape, dy.dtype),
    gradient=lambda dx, g, dy, *, shape, **geometry: _average_pool2d(g, **geometry),
    lower=_geometry,
)


def _pads(n: int, pool: int, stride: int, padding: str) -> tuple[int, int]:
    """What 'same' adds before and after an axis: the odd one out goes after."""
    total = max((-(-n // stride) - 1) * stride + pool - n, 0) if padding == "same" else 0
    return total // 2, total - total // 2


def _infer_pool(x: Tensor, *, kind: str, pool: Extents, strides: Extents, padding: str) -> tuple:
    size = []
    for n, p, s in zip(x.shape[1:-1], pool, strides, strict=True):
        if n is not None and padding == "valid" and n < p:
            raise ValueError(f"{kind}_pool: pool_size {pool} is larger than the inputs of shape {x.shape}")
        size.append(conv_output_length(n, p, padding, s))
    return (x.shape[0], *size, x.shape[-1]), x.dtype


@composite(deferred=True, infer=_infer_pool)
def _pool(x: Any, *, kind: str, pool: Extents, strides: Extents, padding: str) -> Any:
    """Maxima and means are separable: the last two axes are pooled at once, then any before them."""
    op = (lambda x, **geometry: _max_pool2d(x, **geometry)[0]) if kind == "max" else _average_pool2d
    (batch, *size, channels), _ = _infer_pool(x, kind=kind, pool=pool, strides=strides, padding=padding)
    pads = [_pads(n, p, s, padding) for n, p, s in zip(x.shape[1:-1], pool, strides, strict=True)]
    spatial = x.shape[1:-1]
    if len(pool) == 1:
        image = reshape(x, (batch, 1, spatial[0], channels))
        y = op(image, pool=(1, *pool), strides=(1, *strides), pads=(0, 0, *pads[0]))
    else:
        outer = spatial[:-2]
        image = reshape(x, (batch * math.prod(outer), *spatial[-2:], channels))
        y = op(image, pool=pool[-2:], strides=strides[-2:], pads=(*pads[-2], *pads[-1]))
        if outer:
            planes = reshape(y, (batch, outer[0], size[1] * size[2], channels))
            y = op(planes, pool=(pool[0], 1), strides=(strides[0], 1), pads=(*pads[0], 0, 0))
    return reshape(y, (batch, *size, channels))


def _pooled(
    kind: str, inputs: Any, pool_size: Any, strides: Any, padding: str, data_format: str | None
) -> Any:
    x = operand(inputs)
    if not dtypes.is_float(str(x.dtype)):
        x = cast(x, dtypes.floatx())
    n = len(x.shape) - 2
    if n not in (1, 2, 3):
        raise ValueError(f"{kind}_pool: inputs must have 1, 2 or 3 spatial axes, got shape {tuple(x.shape)}")
    pool = normalize_tuple(pool_size, n, "pool_size")
    steps = pool if strides is None else normalize_tuple(strides, n, "strides")
    if min(*pool, *steps) < 1:
        raise ValueError(f"{kind}_pool: pool_size {pool_size} and strides {strides} must be positive")
    if padding not in ("valid", "same"):
        raise ValueError(f"{kind}_pool: padding must be 'valid' or 'same', got {padding!r}")
    data_format = data_format or image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"{kind}_pool: unknown data_format {data_format!r}")
    attrs = {"kind": kind, "pool": pool, "strides": steps, "padding": padding}
    if data_format == "channels_first":
        return moveaxis(_pool(moveaxis(x, 1, -1), **attrs), -1, 1)
    return _pool(x, **attrs)


def max_pool(
    inputs: Any,
    pool_size: int | tuple[int, ...],
    strides: int | tuple[int, ...] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The greatest element of every window.

    Args:
        inputs: ``(batch, *spatial, channels)``, or ``(batch, channels, *spatial)``, with one to three spatial
            axes.
        pool_size: the window's extents; one number for all axes.
        strides: the steps from window to window; ``pool_size`` if ``None``.
        padding: ``'valid'``, or ``'same'``: as many windows as strides fit into the inputs.
        data_format: ``'channels_last'`` or ``'channels_first'``; the configured one if ``None``.

    The gradient goes to the first of a window's greatest elements.
    """
    return _pooled("max", inputs, pool_size, strides, padding, data_format)


def average_pool(
    inputs: Any,
    pool_size: int | tuple[int, ...],
    strides: int | tuple[int, ...] | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The mean of every window, without what ``'same'`` adds. Arguments as for ``max_pool``."""
    return _pooled("average", inputs, pool_size, strides, padding, data_format)
