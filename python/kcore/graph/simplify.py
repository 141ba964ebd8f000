"""Rewrites a specialised graph into a smaller one of the same values."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore.graph.dtypes import is_float
from kcore.graph.op import CONSTANT, PLACEHOLDER, Op, broadcast_shapes
from kcore.graph.primitives import broadcast_to, full, reduce_sum, reshape, sum_of_squares, transpose
from kcore.graph.tensor import Node, Tensor, ancestors, constant


def simplify(fetches: Sequence[Tensor]) -> list[Tensor]:
    """``fetches`` with common subexpressions shared and needless ops removed."""
    made: dict[int, Tensor] = {}
    known: dict[Any, Sequence[Tensor]] = {}

    def get(tensor: Tensor) -> Tensor:
        return made.get(id(tensor), tensor)

    for node in ancestors(fetches):
        if node.op is PLACEHOLDER:
            continue
        inputs = [get(t) for t in node.inputs]
        rewritten = _rewrite(node, inputs)
        if rewritten is not None:
            made[id(node.outputs[0])] = rewritten
            continue
        if node.op.opcode is not None:
            inputs = [_narrow(i, inputs, node.outputs[0].shape) for i in range(len(inputs))]
        key = (id(node.op), tuple(map(id, inputs)), frozen(node.attrs))
        outputs = known.get(key)
        if outputs is None:
            if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
                outputs = node.outputs
            else:
                specs = [(t.shape, t.dtype) for t in node.outputs]
                outputs = Node(node.op, inputs, node.attrs, specs).outputs
            known[key] = outputs
        for old, new in zip(node.outputs, outputs, strict=True):
            made[id(old)] = new
    return [get(t) for t in fetches]


def frozen(value: Any) -> Any:
    """A hashable stand-in, equal for equal attribute values."""
    if isinstance(value, dict):
        return tuple((k, frozen(v)) for k, v in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(frozen(v) for v in value)
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.name, value.tobytes()) if value.size <= 64 else id(value)
    if isinstance(value, (str, int, float, bool, type(None))):
        return (type(value).__name__, value)
    return id(value)


def scalar_value(tensor: Tensor) -> Any:
    """The one value of a constant tensor whose elements are all equal, else ``None``."""
    node = tensor.node
    if node is None:
        return None
    if node.op.name == "fill":
        return node.attrs["value"]
    if node.op is CONSTANT:
        value: np.ndarray = node.attrs["value"]
        if value.size == 1 or (0 < value.size <= 4096 and (value == value.flat[0]).all()):
            return value.flat[0].item()
    return None


def _narrow(index: int, inputs: Sequence[Tensor], shape: tuple) -> Tensor:
    """An operand without the broadcasting that the elementwise op would do anyway."""
    tensor = inputs[index]
    value = scalar_value(tensor)
    if value is not None and tensor.shape != ():
        narrow = _scalar(value, tensor.dtype, math.copysign(1.0, value))
    elif tensor.node is not None and tensor.node.op is broadcast_to:
        narrow = tensor.node.inputs[0]
    else:
        return tensor
    others = [t.shape for i, t in enumerate(inputs) if i != index]
    return narrow if others and broadcast_shapes(narrow.shape, *others) == shape else tensor


@functools.lru_cache(maxsize=1024, typed=True)
def _scalar(value: Any, dtype: str, sign: float) -> Tensor:
    """The same tensor for the same value, so that what is computed from it is recognised as the same."""
    return constant(value, dtype)


_RULES: dict[str, Callable[[Node, list[Tensor]], Tensor | None]] = {}


def _rule(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        for name in names:
            _RULES[name] = function
        return function

    return register


def _rewrite(node: Node, inputs: list[Tensor]) -> Tensor | None:
    rule = _RULES.get(node.op.name)
    if rule is not None:
        result = rule(node, inputs)
        if result is not None:
            return result
    if node.op.opcode is not None and node.outputs[0].shape != ():
        return _fold_uniform(node, inputs)
    return None


def _fold_uniform(node: Node, inputs: list[Tensor]) -> Tensor | None:
    """An elementwise op on operands of one value each is that op on those values."""
    values = [scalar_value(t) for t in inputs]
    if any(v is None for v in values):
        return None
    arrays = [np.asarray(v, t.dtype) for v, t in zip(values, inputs, strict=True)]
    out = node.outputs[0]
    return full(out.shape, node.op.eager(arrays, {}).item(), out.dtype)


def _is_op(tensor: Tensor, op: Op) -> bool:
    return tensor.node is not None and tensor.node.op is op


@_rule("identity", "stop_gradient", "custom_gradient")
def _identity(node: Node, inputs: list[Tensor]) -> Tensor | None:
    return inputs[0]


@_rule("add")
def _add(node: Node, inputs: list[Tensor]) -> Tensor | None:
    return _drop_neutral(node, inputs, (0, 1), 0)


@_rule("subtract")
def _subtract(node: Node, inputs: list[Tensor]) -> Tensor | None:
    return _drop_neutral(node, inputs, (1,), 0)


@_rule("multiply")
def _multiply(node: Node, inputs: list[Tensor]) -> Tensor | None:
    return _drop_neutral(node, inputs, (0, 1), 1)


@_rule("divide", "power")
def _divide(node: Node, inputs: list[Tensor]) -> Tensor | None:
    return _drop_neutral(node, inputs, (1,), 1)


def _drop_neutral(
    node: Node, inputs: list[Tensor], candidates: tuple[int, ...], neutral: float
) -> Tensor | None:
    """The other operand, where one of the candidates is the op's neutral element."""
    for index in candidates:
        other = inputs[1 - index]
        # x + 0.0 differs from x only for x = -0.0, where the results compare equal.
        if scalar_value(inputs[index]) == neutral and other.shape == node.outputs[0].shape:
            return other
    return None


@_rule("broadcast_to")
def _broadcast_to(node: Node, inputs: list[Tensor]) -> Tensor | None:
    (x,) = inputs
    if x.shape == node.outputs[0].shape:
        return x
    value = scalar_value(x)
    if value is not None:
        return full(node.outputs[0].shape, value, x.dtype)
    if _is_op(x, broadcast_to):
        return broadcast_to(x.node.inputs[0], shape=node.attrs["shape"])  # type: ignore[union-attr]
    return None


@_rule("reshape")
def _reshape(node: Node, inputs: list[Tensor]) -> Tensor | None:
    (x,), shape = inputs, node.outputs[0].shape
    if x.shape == shape:
        return x
    if x.node is not None and x.node.op.name == "reshape":
        return reshape(x.node.inputs[0], shape)
    if x.node is not None and x.node.op.name == "fill":
        return full(shape, x.node.attrs["value"], x.dtype)  # type: ignore[arg-type]
    return None


@_rule("transpose")
def _transpose(node: Node, inputs: list[Tensor]) -> Tensor | None:
    (x,), perm = inputs, node.attrs["perm"]
    if _is_op(x, transpose):
        inner = x.node.attrs["perm"]  # type: ignore[union-attr]
        source, both = x.node.inputs[0], tuple(inner[p] for p in perm)  # type: ignore[union-attr]
        cheaper = _cheaper_transposition(source, both)
        return transpose(source, perm=both) if cheaper is None else cheaper
    return _cheaper_transposition(x, perm)


def _cheaper_transposition(x: Tensor, perm: tuple[int, ...]) -> Tensor | None:
    """The transposed ``x`` where it takes no moving of elements, else ``None``."""
    moved = [p for p in perm if x.shape[p] != 1]
    if moved == sorted(moved):  # only axes of extent 1 change places
        shape = tuple(x.shape[p] for p in perm)
        return x if shape == x.shape else reshape(x, shape)
    if x.node is not None and x.node.op.name == "fill":
        return full(tuple(x.shape[p] for p in perm), x.node.attrs["value"], x.dtype)  # type: ignore[misc]
    return None


@_rule("reduce_sum")
def _reduce_sum(node: Node, inputs: list[Tensor]) -> Tensor | None:
    (x,), axes = inputs, node.attrs["axes"]
    if all(x.shape[a] == 1 for a in axes):
        return reshape(x, node.outputs[0].shape)
    if _is_op(x, reduce_sum):
        inner = x.node.attrs["axes"]  # type: ignore[union-attr]
        source = x.node.inputs[0]  # type: ignore[union-attr]
        kept = [i for i in range(len(source.shape)) if i not in inner]
        return reduce_sum(source, axes=tuple(sorted((*inner, *(kept[a] for a in axes)))))
    if x.node is not None and x.node.op.opcode == "square" and is_float(x.dtype):
        return sum_of_squares(x.node.inputs[0], axes=axes)
    if _is_max_pool_gradient(x) and {1, 2} <= set(axes):  # a window's gradient goes to one element of it
        return reduce_sum(x.node.inputs[1], axes=axes)  # type: ignore[union-attr]
    return None


@_rule("where")
def _where(node: Node, inputs: list[Tensor]) -> Tensor | None:
    """The gradient of relu and then max pooling, masked after the pooling: on fewer elements.

    A window's gradient goes to its greatest element, which relu let through if that is positive.
    """
    mask, gradient, zero = inputs
    shape = node.outputs[0].shape
    if mask.node is None or mask.node.op.name != "greater" or gradient.shape != shape:
        return None
    x, threshold = mask.node.inputs
    if scalar_value(threshold) != 0 or scalar_value(zero) != 0:
        return None
    image, pooled = _before_reshape(x), _before_reshape(gradient)
    if not _is_max_pool_gradient(pooled):
        return None
    places, dy = pooled.node.inputs  # type: ignore[union-attr]
    if places.node is None or _before_reshape(places.node.inputs[0]) is not image:
        return None
    y = places.node.outputs[0]
    positive = mask.node.op.node([y, constant(0, y.dtype)], {})
    passed = node.op.node([positive, dy, constant(0, dy.dtype)], node.attrs)
    masked = pooled.node.op.node([places, passed], pooled.node.attrs)  # type: ignore[union-attr]
    return masked if masked.shape == shape else reshape(masked, shape)


def _is_max_pool_gradient(x: Tensor) -> bool:
    return x.node is not None and x.node.op.name == "max_pool2d_gradient"


def _before_reshape(x: Tensor) -> Tensor:
    """What ``x`` is another shape of."""
    return x.node.inputs[0] if x.node is not None and x.node.op.name == "reshape" else x


@_rule("matmul")
def _matmul(node: Node, inputs: list[Tensor]) -> Tensor | None:
    """A transposition of the last two axes is a flag of the product."""
    attrs = dict(node.attrs)
    sources = list(inputs)
    for i, flag in enumerate(("transpose_a", "transpose_b")):
        x = inputs[i]
        if _is_op(x, transpose):
            perm = x.node.attrs["perm"]  # type: ignore[union-attr]
            n = len(perm)
            if perm == (*range(n - 2), n - 1, n - 2):
                sources[i] = x.node.inputs[0]  # type: ignore[union-attr]
                attrs[flag] = not attrs.get(flag, False)
    if sources == inputs:
        return None
    return node.op.node(sources, attrs)
