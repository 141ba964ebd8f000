"""Reverse-mode differentiation, expanded when shapes are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore.graph import dtypes
from kcore.graph.op import Op
from kcore.graph.primitives import full
from kcore.graph.tensor import Node, Tensor, ancestors, as_tensor


def gradients(
    ys: Tensor | Sequence[Tensor], xs: Sequence[Tensor], grad_ys: Sequence[Tensor | None] | None = None
) -> list[Tensor | None]:
    """The gradients of the sum of ``ys`` (weighted by ``grad_ys``) with respect to each of ``xs``.

    An entry is ``None`` where ``ys`` do not depend on the ``x``. Gradients of gradients are fine.
    """
    ys = [ys] if isinstance(ys, Tensor) else list(ys)
    seeds = list(grad_ys) if grad_ys is not None else [None] * len(ys)
    if len(seeds) != len(ys):
        raise ValueError(f"gradients: {len(ys)} tensors but {len(seeds)} initial gradients")
    reached = {id(t) for node in ancestors(ys) for t in node.inputs} | {id(y) for y in ys}
    wanted = [x for x in xs if id(x) in reached]
    if not wanted:
        return [None] * len(xs)
    given = [as_tensor(s) for s in seeds if s is not None]
    attrs = {"ys": len(ys), "seeded": tuple(s is not None for s in seeds)}
    node = Node(GRADIENTS, [*ys, *given, *wanted], attrs, [(x.shape, x.dtype) for x in wanted])
    results = iter(node.outputs)
    return [next(results) if id(x) in reached else None for x in xs]


GRADIENTS = Op("gradients")


def expand(inputs: Sequence[Tensor], *, ys: int, seeded: tuple[bool, ...]) -> list[Tensor]:
    """The gradients that a ``gradients`` node stands for; its ``inputs`` have known shapes."""
    outputs, rest = inputs[:ys], list(inputs[ys:])
    seeds: list[Any] = [rest.pop(0) if has_seed else None for has_seed in seeded]
    return backpropagate(outputs, seeds, rest)


def backpropagate(ys: Sequence[Tensor], seeds: Sequence[Tensor | None], xs: Sequence[Tensor]) -> list[Tensor]:
    """Gradients for ``xs``, zeros where there is none. All shapes must be known."""
    for y in ys:
        if not dtypes.is_float(y.dtype):
            raise TypeError(f"cannot differentiate {y!r}: its dtype is {y.dtype}")
    total: dict[int, Tensor] = {}

    def contribute(tensor: Tensor, grad: Tensor) -> None:
        key = id(tensor)
        total[key] = total[key] + grad if key in total else grad

    for y, seed in zip(ys, seeds, strict=True):
        contribute(y, full(y.shape, 1.0, y.dtype) if seed is None else seed)  # type: ignore[arg-type]
    nodes = ancestors(ys)
    useful = {id(x) for x in xs}
    path = []
    for node in nodes:
        if any(id(t) in useful for t in node.inputs):
            useful.update(id(t) for t in node.outputs)
            path.append(node)
    for node in reversed(path):
        dys = [total.get(id(t)) for t in node.outputs]
        if node.op.gradient is None or all(dy is None for dy in dys):
            continue
        made: Any = node.outputs
        upstream: Any = tuple(dys)
        if len(node.outputs) == 1:
            made, upstream = made[0], upstream[0]
        grads = node.op.gradient(made, upstream, *node.inputs, **node.attrs)
        if not isinstance(grads, (tuple, list)):
            grads = (grads,)
        if len(grads) != len(node.inputs):
            raise ValueError(f"{node.op.name}: {len(grads)} gradients for {len(node.inputs)} inputs")
        for x, grad in zip(node.inputs, grads, strict=True):
            if grad is not None and id(x) in useful:
                if grad.shape != x.shape:
                    raise ValueError(
                        f"{node.op.name}: gradient of shape {grad.shape} for input of shape {x.shape}"
                    )
                contribute(x, grad)
    return [total[id(x)] if id(x) in total else full(x.shape, 0.0, x.dtype) for x in xs]  # type: ignore[arg-type]
