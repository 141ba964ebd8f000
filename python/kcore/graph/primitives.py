"""The ops that the graph itself needs: to expand gradients, to resolve shapes and phases, to simplify."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcore.graph import dtypes
from kcore.graph.op import Deferred, Op, elementwise, primitive, sum_to_shape
from kcore.graph.tensor import Tensor, as_tensor, constant_value

add = elementwise("add", lambda y, dy, a, b: (dy, dy))
multiply = elementwise("multiply", lambda y, dy, a, b: (dy * b, dy * a))
identity = elementwise("identity", lambda y, dy, x: dy)
where = elementwise(
    "where", lambda y, dy, condition, a, b: (None, where(condition, dy, 0.0), where(condition, 0.0, dy))
)

stop_gradient = elementwise("stop_gradient", opcode="identity")

fill = primitive(
    "fill", infer=lambda *, shape, dtype, value: (tuple(shape), dtype), lower=lambda a: {"value": a["value"]}
)


def full(shape: tuple[int, ...], value: float, dtype: str) -> Tensor:
    """A tensor of one value and known shape, always symbolic."""
    return fill.node([], {"shape": tuple(shape), "dtype": dtype, "value": value})


_casts = {d: elementwise(f"cast_{d}", result=d) for d in dtypes.DTYPES}
for _op in _casts.values():
    _op.gradient = lambda y, dy, x: (cast(dy, x.dtype) if dtypes.is_float(x.dtype) else None,)


def cast(x: Any, dtype: Any) -> Any:
    """Convert to ``dtype``. The gradient passes through conversions between floats."""
    dtype = dtypes.standardize(dtype)
    if not isinstance(x, Tensor):
        return dtypes.as_array(x).astype(dtype)
    return x if x.dtype == dtype else _casts[dtype].node([as_tensor(x)], {})


def resolve_shape(shape: tuple[int | None, ...], target: tuple[int, ...]) -> tuple[int | None, ...]:
    """``target`` with its -1, if any, worked out from ``shape``. Raises ``ValueError`` if it can't be."""
    known = math.prod(d for d in target if d != -1)
    if -1 not in target:
        size = None if None in shape else math.prod(shape)  # type: ignore[arg-type]
        if size is not None and size != known:
            raise ValueError(
                f"cannot reshape a tensor of shape {shape} to {target}: {size} elements, not {known}"
            )
        return target
    if target.count(-1) > 1:
        raise ValueError(f"a target shape may hold one -1, got {target}")
    if None in shape:
        return tuple(None if d == -1 else d for d in target)
    size = math.prod(shape)  # type: ignore[arg-type]
    if known == 0 or size % known:
        raise ValueError(f"cannot reshape a tensor of shape {shape} to {target}")
    return tuple(size // known if d == -1 else d for d in target)


_reshape = primitive(
    "reshape",
    infer=lambda x, *, shape: (resolve_shape(x.shape, shape), x.dtype),
    gradient=lambda y, dy, x, *, shape: _reshape(dy, shape=x.shape),
)


def _reshape_to(x: Tensor, *extents: Tensor, shape: tuple) -> Tensor:
    """``shape`` holds an index into ``extents`` (as a 1-tuple) where a dimension is itself a tensor."""
    dims = []
    for d in shape:
        if isinstance(d, tuple):
            value = constant_value(extents[d[0]])
            if value is None:
                raise ValueError("reshape: a dimension of the target shape depends on data, not on shapes")
            dims.append(int(value))
        else:
            dims.append(d)
    return _reshape(x, shape=tuple(dims))


_reshape_dynamic = Deferred(
    _reshape_to,
    lambda x, *extents, shape: (
        tuple(None if isinstance(d, tuple) or d == -1 else d for d in shape),
        x.dtype,
    ),
)


def reshape(x: Any, shape: Any) -> Any:
    """``x`` with another shape of as many elements; one extent may be -1 (or ``None``), any a tensor."""
    if isinstance(shape, Tensor):
        value = constant_value(shape)
        shape = list(shape) if value is None else [int(d) for d in value]
    target: list[Any] = []
    extents: list[Tensor] = []
    for d in shape:
        if isinstance(d, Tensor) and constant_value(d) is None:
            target.append((len(extents),))
            extents.append(d)
        else:
            target.append(-1 if d is None else int(d if not isinstance(d, Tensor) else constant_value(d)))  # type: ignore[arg-type]
    if extents:
        return _reshape_dynamic.node(
            [as_tensor(x), *(as_tensor(e) for e in extents)], {"shape": tuple(target)}
        )
    if isinstance(x, Tensor):
        return _reshape(x, shape=tuple(target))
    x = dtypes.as_array(x)
    return x.reshape(resolve_shape(x.shape, tuple(target)))


broadcast_to = primitive(
    "broadcast_to",
    infer=lambda x, *, shape: (tuple(shape), x.dtype),
    gradient=lambda y, dy, x, *, shape: sum_to_shape(dy, x.shape),
    kernel="elementwise",
)

transpose = primitive(
    "transpose",
    infer=lambda x, *, perm: (tuple(x.shape[p] for p in perm), x.dtype),
    gradient=lambda y, dy, x, *, perm: transpose(dy, perm=tuple(int(i) for i in np.argsort(perm))),
)

reduce_sum = primitive(
    "reduce_sum",
    infer=lambda x, *, axes: (tuple(d for i, d in enumerate(x.shape) if i not in axes), x.dtype),
    gradient=lambda y, dy, x, *, axes: broadcast_to(
        reshape(dy, tuple(1 if i in axes else d for i, d in enumerate(x.shape))), shape=x.shape
    ),
    kernel="reduce",
    lower=lambda attrs: {"kind": "sum", "axes": attrs["axes"]},
)

sum_of_squares = primitive(
    "sum_of_squares",
    infer=lambda x, *, axes: (tuple(d for i, d in enumerate(x.shape) if i not in axes), x.dtype),
    kernel="reduce",
    lower=lambda attrs: {"kind": "sum_of_squares", "axes": attrs["axes"]},
)
"""``reduce_sum`` of squares, which the simplifier puts in place of the two."""

shape_of = Op("shape", infer=lambda x: ((len(x.shape),), "int32"))
"""The shape as an int32 vector; a constant once shapes are known."""

switch = Op("switch", infer=lambda condition, a, b: (_merge(a.shape, b.shape), a.dtype))
"""``a`` if the scalar ``condition`` holds, else ``b``; a condition known when a program is specialised
(the learning phase) leaves only its branch."""


def _merge(a: tuple, b: tuple) -> tuple:
    if len(a) != len(b):
        return a
    return tuple(
        m if m == n else (m if n is None else n if m is None else None) for m, n in zip(a, b, strict=True)
    )
