"""Turns a symbolic graph into one of known shapes, phase and gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcore.graph import gradient, phase
from kcore.graph.op import CONSTANT, PLACEHOLDER, Deferred
from kcore.graph.primitives import where
from kcore.graph.scan import SCAN, specialize_scan
from kcore.graph.tensor import Tensor, as_tensor, constant

FOLDED_SIZE = 4096  # constant expressions of at most this many elements are computed at once


def specialize(fetches: Sequence[Tensor], feeds: Mapping[Tensor, Tensor]) -> list[Tensor]:
    """``fetches`` rebuilt on ``feeds``, which gives a tensor of known shape for each placeholder.

    Deferred composites and gradients are expanded, shapes become constants, and a switch whose condition
    is then constant keeps one branch. Raises ``ValueError`` for a placeholder that has no feed.
    """
    made: dict[int, Tensor] = {id(old): new for old, new in feeds.items()}

    def get(tensor: Tensor) -> Tensor:
        return made.get(id(tensor), tensor)

    phases = {t: feeds[t] for t in (phase.LEARNING_PHASE,) if t in feeds}
    for node in _required(fetches, feeds, get):
        op = node.op
        if op is PLACEHOLDER:
            raise ValueError(f"the result depends on {node.outputs[0]!r}, which is not among the inputs")
        if op is CONSTANT:
            continue
        inputs = [get(t) for t in node.inputs]
        results = _rebuild(node, op, inputs, phases)
        for old, new in zip(node.outputs, results, strict=True):
            if (new.dtype != old.dtype) or len(new.shape) != len(old.shape):
                raise ValueError(f"{op.name}: {new!r} does not fit its symbolic form {old!r}")
            made[id(old)] = new
    return [get(t) for t in fetches]


def _required(fetches: Sequence[Tensor], feeds: Mapping[Tensor, Tensor], get: Any) -> list:
    """The nodes to rebuild in order, without those behind fed tensors or behind unused branches."""
    fed = {id(t) for t in feeds}
    seen = {}
    stack = [t for t in fetches]
    while stack:
        tensor = stack.pop()
        node = tensor.node
        if node is None or id(tensor) in fed or node.id in seen:
            continue
        seen[node.id] = node
        if node.op.name == "switch":
            branch = _branch(get(node.inputs[0]))
            if branch is not None:
                stack.append(node.inputs[0])
                stack.append(node.inputs[branch])
                continue
        stack.extend(node.inputs)
    return [seen[i] for i in sorted(seen)]


def _branch(condition: Tensor) -> int | None:
    """The index of the input that a switch with this condition keeps."""
    if condition.node is not None and condition.node.op is CONSTANT:
        return 1 if bool(condition.node.attrs["value"]) else 2
    return None


def _rebuild(node: Any, op: Any, inputs: list[Tensor], phases: dict[Tensor, Tensor]) -> Sequence[Tensor]:
    if op.name == "switch":
        branch = _branch(inputs[0])
        if branch is None:
            return [where(inputs[0], inputs[1], inputs[2])]
        return [inputs[branch]]
    if op.name == "shape":
        return [constant(np.array(inputs[0].shape, "int32"))]
    if op is gradient.GRADIENTS:
        return gradient.expand(inputs, **node.attrs)
    if op is SCAN:
        result = specialize_scan(inputs, node.attrs, phases)
        return result if isinstance(result, tuple) else [result]
    if isinstance(op, Deferred):
        result = op.function(*inputs, **node.attrs)
        results = result if isinstance(result, (tuple, list)) else [result]
        return [as_tensor(r) for r in results]
    if inputs and all(t.node is not None and t.node.op is CONSTANT for t in inputs) and not op.random:
        size = max(int(np.prod(t.shape)) for t in inputs)  # type: ignore[arg-type]
        if size <= FOLDED_SIZE:
            value = op.eager([t.node.attrs["value"] for t in inputs], node.attrs)  # type: ignore[union-attr]
            values = value if isinstance(value, (tuple, list)) else [value]
            if sum(v.size for v in values) <= FOLDED_SIZE:
                return [constant(v, v.dtype.name) for v in values]
    result = op.node(inputs, node.attrs)
    return result if isinstance(result, tuple) else [result]
