"""What concerns tensors as such: conversion, shapes, gradients, branches and loops."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kcore.graph import Tensor, dtypes
from kcore.graph import scan as scan_op
from kcore.graph.op import Op
from kcore.graph.primitives import cast, shape_of
from kcore.graph.primitives import stop_gradient as _stop_gradient
from kcore.graph.primitives import switch as _switch
from kcore.graph.structure import flatten, map_structure, rebuild
from kcore.graph.tensor import as_tensor, constant_value, depends_on_placeholder

__all__ = [
    "cond",
    "convert_to_numpy",
    "convert_to_tensor",
    "custom_gradient",
    "dtype",
    "fori_loop",
    "is_tensor",
    "map",
    "ndim",
    "saturate_cast",
    "scan",
    "shape",
    "size",
    "stop_gradient",
    "switch",
    "vectorized_map",
]


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a symbolic tensor or a variable."""
    return isinstance(x, Tensor)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """``x`` as something that ops take: a tensor as it is, anything else as an array."""
    if sparse or ragged:
        raise ValueError("sparse and ragged tensors are not supported")
    if isinstance(x, Tensor):
        return x if dtype is None else cast(x, dtype)
    if any(isinstance(leaf, Tensor) for leaf in flatten(x)):
        return as_tensor(x) if dtype is None else cast(as_tensor(x), dtype)
    return dtypes.as_array(x, None if dtype is None else dtypes.standardize(dtype))


def convert_to_numpy(x: Any) -> np.ndarray:
    """The value of ``x``. Raises ``ValueError`` if it depends on a model's input."""
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


def dtype(x: Any) -> str:
    """The name of the dtype."""
    return x.dtype if isinstance(x, Tensor) else dtypes.as_array(x).dtype.name


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(x.shape) if hasattr(x, "shape") else np.ndim(x)


def shape(x: Any) -> tuple:
    """The extents: integers, and scalar tensors where they are not known before data come."""
    if not isinstance(x, Tensor):
        return np.shape(x)
    if None not in x.shape:
        return tuple(x.shape)
    extents = shape_of(x)
    return tuple(extents[i] if d is None else d for i, d in enumerate(x.shape))


def size(x: Any) -> Any:
    """The number of elements; a tensor where it is not known before data come."""
    return math.prod(shape(x))


def saturate_cast(x: Any, dtype: Any) -> Any:
    """``cast`` after clipping to the range of an integer ``dtype``."""
    from kcore.ops.elementwise import maximum, minimum

    name = dtypes.standardize(dtype)
    if name in ("uint8", "int32", "int64"):
        info = np.iinfo(name)
        x = minimum(maximum(x, float(info.min)), float(info.max))
    return cast(x, name)


def stop_gradient(x: Any) -> Any:
    """``x``, through which no gradient passes."""
    return map_structure(_stop_gradient, x)


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """The result of ``true_fn`` if ``pred`` holds, else that of ``false_fn``.

    Where ``pred`` is a tensor, both are part of the program and their results must have equal shapes.
    """
    if not isinstance(pred, Tensor):
        return true_fn() if bool(np.asarray(pred)) else false_fn()
    yes, no = true_fn(), false_fn()
    if yes is None and no is None:
        return None
    pairs = zip(flatten(yes), flatten(no), strict=True)
    return rebuild(yes, [_chosen(pred, a, b) for a, b in pairs])


def _chosen(pred: Tensor, a: Any, b: Any) -> Any:
    a, b = as_tensor(a), as_tensor(b)
    common = dtypes.promote(a.dtype, b.dtype)
    return _switch(cast(pred, "bool"), cast(a, common), cast(b, common))


def _same(x: Any) -> Any:
    return x


def switch(index: Any, branches: list[Callable], *operands: Any) -> Any:
    """The result of ``branches[index](*operands)``; the index is clamped to the list."""
    if not branches:
        raise ValueError("switch needs at least one branch")
    if not isinstance(index, Tensor):
        return branches[int(np.clip(index, 0, len(branches) - 1))](*operands)
    result = branches[-1](*operands)
    for i in reversed(range(len(branches) - 1)):
        branch, later = functools.partial(branches[i], *operands), functools.partial(_same, result)
        result = cond(index <= i, branch, later)
    return result


def scan(
    f: Callable, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False, unroll: Any = 1
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` along the first axis of ``xs``.

    Args:
        f: takes the carry and one slice of ``xs`` (``None`` without ``xs``), both nested as ``init`` and ``xs``.
        init: the first carry. xs: tensors, nested in lists, tuples or dicts. length: steps, without ``xs``.
        reverse: whether to go from the last slice to the first. unroll: accepted; loops are not unrolled.

    Returns:
        The last carry and the stacked ``y``.
    """
    sequences = [] if xs is None else flatten(xs)
    eager = not any(isinstance(t, Tensor) and depends_on_placeholder(t) for t in [*sequences, *flatten(init)])
    counting = not sequences
    if counting:
        if length is None:
            raise ValueError("scan: give xs or length")
        sequences = [np.arange(length, dtype="int32")]
    nested: list[Any] = []

    def step(slices: list[Tensor], states: list[Tensor]) -> tuple[list, list]:
        carry, y = f(rebuild(init, states), None if counting else rebuild(xs, slices))
        nested[:] = [carry, y]
        leaves = [] if y is None else flatten(y)
        new = [cast(as_tensor(t), s.dtype) for t, s in zip(flatten(carry), states, strict=True)]
        return leaves, new

    outputs, finals = scan_op(step, sequences, flatten(init), reverse)
    carry, y = nested
    result = rebuild(carry, finals), None if y is None else rebuild(y, outputs)
    return map_structure(lambda t: None if t is None else t.numpy(), result) if eager else result


def map(f: Callable, xs: Any) -> Any:
    """``f`` applied to each slice of ``xs`` along its first axis, the results stacked."""
    return scan(lambda _, x: ((), f(x)), (), xs)[1]


def vectorized_map(function: Callable, elements: Any) -> Any:
    """See ``map``."""
    return map(function, elements)


def fori_loop(lower: Any, upper: Any, body_fun: Callable, init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for ``i`` from ``lower`` to ``upper - 1``, which must be known numbers."""
    first, last = constant_value(lower), constant_value(upper)
    if first is None or last is None:
        raise ValueError("fori_loop: the bounds must be known when the program is built")
    indices = np.arange(int(first), int(last), dtype="int32")
    return scan(lambda carry, i: (body_fun(i, carry), None), init_val, indices)[0]


def custom_gradient(f: Callable) -> Callable:
    """Give a function its own gradient.

    ``f(*args)`` returns ``(output, grad)``, where ``grad(upstream)`` gives the gradient for each argument.
    """

    def call(*args: Any) -> Any:
        output, grad = f(*args)
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            return output

        def gradient(y: Tensor, dy: Tensor, value: Tensor, *inputs: Tensor) -> list:
            grads = grad(dy)
            each = list(grads) if isinstance(grads, (list, tuple)) else [grads]
            given = [g for g, a in zip(each, args, strict=True) if isinstance(a, Tensor)]
            return [None, *given]

        # The gradient is asked for before the op is simplified away, and never afterwards.
        op = Op("custom_gradient", lambda value, *inputs: (value.shape, value.dtype), gradient)
        return op.node([_stop_gradient(output), *tensors], {})

    return call
