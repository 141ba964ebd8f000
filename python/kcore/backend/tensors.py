"""Making tensors and variables, reading and updating them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kcore import config, graph, ops
from kcore.graph import Tensor, UpdateScope, Variable, as_tensor, composite, dtypes, write_variables
from kcore.graph.op import Deferred
from kcore.graph.primitives import full, shape_of
from kcore.graph.primitives import identity as identity_op
from kcore.graph.tensor import constant_value

__all__ = [
    "batch_get_value",
    "batch_set_value",
    "cast",
    "cast_to_floatx",
    "constant",
    "count_params",
    "dtype",
    "eval",
    "eye",
    "get_value",
    "get_variable_shape",
    "identity",
    "int_shape",
    "is_keras_tensor",
    "is_placeholder",
    "is_sparse",
    "is_tensor",
    "is_variable",
    "moving_average_update",
    "ndim",
    "ones",
    "ones_for_batch",
    "ones_like",
    "placeholder",
    "print_tensor",
    "set_value",
    "shape",
    "size",
    "to_dense",
    "update",
    "update_add",
    "update_sub",
    "variable",
    "zeros",
    "zeros_for_batch",
    "zeros_like",
]


def variable(
    value: Any, dtype: str | None = None, name: str | None = None, constraint: Any = None
) -> Variable:
    """A variable that starts with ``value``; ``floatx()`` unless ``dtype`` says otherwise."""
    return Variable(value, dtypes.standardize(dtype), name=name, constraint=constraint)


def constant(
    value: Any, dtype: str | None = None, shape: Sequence[int] | None = None, name: str | None = None
) -> Tensor:
    """A tensor of a fixed value, broadcast to ``shape`` if given."""
    array = dtypes.as_array(value, dtypes.standardize(dtype))
    return graph.constant(array if shape is None else np.broadcast_to(array, tuple(shape)), name=name)


def placeholder(
    shape: Sequence[int | None] | None = None,
    ndim: int | None = None,
    dtype: str | None = None,
    sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """A tensor that ``function`` takes as input. ``ndim`` alone stands for that many unknown extents."""
    if sparse:
        raise ValueError("placeholder: sparse tensors are not supported")
    if shape is None:
        if ndim is None:
            raise ValueError("placeholder needs a shape or ndim")
        shape = (None,) * ndim
    return graph.placeholder(shape, dtypes.standardize(dtype), name)


def is_keras_tensor(x: Any) -> bool:
    """Whether a layer returned ``x``. Raises ``ValueError`` for anything but a tensor."""
    if not is_tensor(x):
        raise ValueError(
            f"Unexpectedly found an instance of type `{type(x)}`. Expected a symbolic tensor instance."
        )
    return getattr(x, "_keras_history", None) is not None


def is_tensor(x: Any) -> bool:
    return isinstance(x, Tensor)


def is_variable(x: Any) -> bool:
    return isinstance(x, Variable)


def is_placeholder(x: Any) -> bool:
    return isinstance(x, Tensor) and x.node is not None and x.node.op.name == "placeholder"


def is_sparse(tensor: Any) -> bool:
    """``False``: all tensors are dense."""
    return False


def to_dense(tensor: Any) -> Any:
    """``tensor``: all tensors are dense."""
    return tensor


def shape(x: Any) -> Any:
    """The shape as an integer vector, whose unknown extents are known when a program runs."""
    return shape_of.node([as_tensor(x)], {}) if isinstance(x, Tensor) else np.array(np.shape(x), "int32")


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape as a tuple, ``None`` for unknown extents."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def ndim(x: Any) -> int:
    return len(int_shape(x))


def size(x: Any, name: str | None = None) -> Any:
    """The number of elements."""
    extents = int_shape(x)
    return ops.prod(shape(x)) if None in extents else int(np.prod(extents))  # type: ignore[arg-type]


def dtype(x: Any) -> str:
    """The name of the dtype."""
    return x.dtype if isinstance(x, Tensor) else np.asarray(x).dtype.name


def eval(x: Any) -> np.ndarray:
    """The value of a tensor that depends on no placeholder."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def _extents_full(*extents: Tensor, shape: tuple, value: float, dtype: str) -> Tensor:
    """``shape`` holds a 1-tuple, an index into ``extents``, where an extent is itself a tensor."""
    dims = []
    for d in shape:
        known = constant_value(extents[d[0]]) if isinstance(d, tuple) else d
        if known is None:
            raise ValueError("an extent of the shape depends on data, not on shapes")
        dims.append(int(known))
    return full(tuple(dims), value, dtype)


_full_dynamic = Deferred(
    _extents_full,
    lambda *extents, shape, value, dtype: (tuple(None if isinstance(d, tuple) else d for d in shape), dtype),
)


def _filled(shape: Any, value: float, dtype: str | None, name: str | None) -> Tensor:
    """A variable, or a plain tensor where extents are known only when a program runs."""
    dtype = dtypes.standardize(dtype)
    dims = list(shape) if not isinstance(shape, Tensor) else [shape[i] for i in range(shape.shape[0])]  # type: ignore[arg-type]
    target: list[Any] = []
    extents: list[Tensor] = []
    for d in dims:
        if isinstance(d, Tensor):
            target.append((len(extents),))
            extents.append(d)
        else:
            target.append(int(d))
    if not extents:
        return Variable(np.full(tuple(target), value, dtype), dtype, name=name)
    return _full_dynamic.node(extents, {"shape": tuple(target), "value": value, "dtype": dtype})


def zeros(shape: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A variable of zeros; a plain tensor if an extent is itself a tensor, such as ``K.shape(x)[0]``."""
    return _filled(shape, 0.0, dtype, name)


def ones(shape: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A variable of ones; a plain tensor if an extent is itself a tensor, such as ``K.shape(x)[0]``."""
    return _filled(shape, 1.0, dtype, name)


def eye(size: int | Sequence[int], dtype: str | None = None, name: str | None = None) -> Variable:
    """A variable: the identity matrix, or ``(rows, columns)`` of it."""
    rows, columns = (size, size) if isinstance(size, int) else size
    return Variable(np.eye(rows, columns, dtype=dtypes.standardize(dtype)), name=name)


def zeros_like(x: Any, dtype: str | None = None, name: str | None = None) -> Any:
    return ops.zeros_like(x, dtype=dtype)


def ones_like(x: Any, dtype: str | None = None, name: str | None = None) -> Any:
    return ops.ones_like(x, dtype=dtype)


@composite(deferred=True, infer=lambda x, *, sizes, value, dtype, axis: ((x.shape[axis], *sizes), dtype))
def _batch_filled(x: Any, *, sizes: tuple, value: float, dtype: str, axis: int) -> Any:
    return full((x.shape[axis], *sizes), value, dtype)


def _float_dtype(x: Any, dtype: str | None) -> str:
    return dtypes.standardize(dtype or (x.dtype if dtypes.is_float(str(x.dtype)) else None))


def zeros_for_batch(x: Any, *sizes: int, dtype: str | None = None, axis: int = 0) -> Any:
    """Zeros of shape ``(batch, *sizes)`` for the batch that is ``axis`` of ``x``."""
    return _batch_filled(x, sizes=sizes, value=0.0, dtype=_float_dtype(x, dtype), axis=axis)


def ones_for_batch(x: Any, *sizes: int, dtype: str | None = None, axis: int = 0) -> Any:
    """Ones of shape ``(batch, *sizes)`` for the batch that is ``axis`` of ``x``."""
    return _batch_filled(x, sizes=sizes, value=1.0, dtype=_float_dtype(x, dtype), axis=axis)


def identity(x: Any, name: str | None = None) -> Any:
    """``x`` as another tensor."""
    return identity_op(x)


def count_params(x: Any) -> int:
    """The number of scalars in a variable."""
    return int(np.prod(int_shape(x), dtype=np.int64))  # type: ignore[arg-type]


def cast(x: Any, dtype: str) -> Any:
    return ops.cast(x, dtype)


def cast_to_floatx(x: Any) -> Any:
    """``x`` as ``floatx()``."""
    return ops.cast(x, config.floatx())


def update(x: Variable, new_x: Any) -> tuple[Variable, Tensor]:
    """The update ``x <- new_x``, for ``add_update`` or ``function(updates=...)``."""
    scope = UpdateScope.current()
    return x, as_tensor(new_x, x.dtype) if scope is None else scope.assign(x, new_x)


def update_add(x: Variable, increment: Any) -> tuple[Variable, Tensor]:
    """The update ``x <- x + increment``."""
    return update(x, x + increment)


def update_sub(x: Variable, decrement: Any) -> tuple[Variable, Tensor]:
    """The update ``x <- x - decrement``."""
    return update(x, x - decrement)


def moving_average_update(x: Variable, value: Any, momentum: Any) -> tuple[Variable, Tensor]:
    """The update ``x <- x * momentum + value * (1 - momentum)``."""
    return update(x, x * momentum + value * (1.0 - momentum))


def get_value(x: Any) -> np.ndarray:
    """The value of a variable."""
    return eval(x)


def batch_get_value(ops: Iterable[Any]) -> list[np.ndarray]:
    """The values of variables."""
    return [get_value(x) for x in ops]


def set_value(x: Variable, value: Any) -> None:
    """Replace the value of a variable. Raises ``ValueError`` if the shapes differ."""
    x.write(value)


def batch_set_value(tuples: Iterable[tuple[Variable, Any]]) -> None:
    """Replace the values of variables: pairs of variable and value."""
    write_variables(tuples)


def get_variable_shape(x: Any) -> tuple[int | None, ...]:
    return int_shape(x)


def print_tensor(x: Any, message: str = "") -> Any:
    """``x``. Prints its description while the graph is built; its values too, if it is an array."""
    print(message, x)
    return identity(x) if isinstance(x, Tensor) else x
