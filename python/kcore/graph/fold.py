"""Folds what scales and shifts a product's outputs into its kernel and bias, where those last from run to run.

So a batch normalisation behind a convolution costs nothing at inference: the program's prologue computes
the folded kernel anew when a weight has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kcore.graph.op import CONSTANT, PLACEHOLDER
from kcore.graph.primitives import add, multiply, reshape
from kcore.graph.scan import SCAN
from kcore.graph.tensor import Node, Tensor, Variable, ancestors, constant

# How a product's kernel takes a factor for each channel of the output.
_SCALED: dict[str, Callable[[Tensor, Tensor, dict], Tensor]] = {
    "matmul": lambda kernel, scale, attrs: multiply(
        kernel, reshape(scale, (-1, 1)) if attrs.get("transpose_b") else scale
    ),
    "conv2d": lambda kernel, scale, attrs: multiply(kernel, scale),
    "conv2d_data_gradient": lambda kernel, scale, attrs: multiply(kernel, reshape(scale, (-1, 1))),
    "depthwise_conv2d": lambda kernel, scale, attrs: multiply(kernel, reshape(scale, kernel.shape[-2:])),
}
_AFFINE = {"add", "subtract", "multiply", "divide"}


@dataclass(frozen=True)
class _Affine:
    """``product * scale + shift``, the two being vectors over the last axis, ``None`` for 1 and 0."""

    product: Node
    scale: Tensor | None = None
    shift: Tensor | None = None

    def tensor(self) -> Tensor:
        node = self.product
        assert self.scale is not None
        x, kernel = node.inputs
        y = node.op.node([x, _SCALED[node.op.name](kernel, self.scale, node.attrs)], node.attrs)
        return y if self.shift is None else add(y, self.shift)


class Lasting:
    """Tells which tensors stay the same until a variable is written by somebody else than the program."""

    def __init__(self, written: Iterable[Variable]):
        self._written = {id(variable) for variable in written}
        self._known: dict[int, bool] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        node = tensor.node
        if node is None:
            return isinstance(tensor, Variable) and id(tensor) not in self._written
        if node.id not in self._known:
            for each in ancestors([tensor]):
                if each.id not in self._known:
                    self._known[each.id] = self._lasts(each)
        return self._known[node.id]

    def _lasts(self, node: Node) -> bool:
        if node.op is CONSTANT:
            return True
        if node.op is PLACEHOLDER or node.op is SCAN or node.op.random:
            return False
        return all(t in self for t in node.inputs)


def fold(fetches: Sequence[Tensor], written: Iterable[Variable]) -> list[Tensor]:
    """``fetches`` of a program that writes those variables."""
    lasting = Lasting(written)
    nodes = ancestors(fetches)
    readers: dict[int, int] = {id(t): 1 for t in fetches}
    for node in nodes:
        for t in node.inputs:
            readers[id(t)] = readers.get(id(t), 0) + 1
    affine: dict[int, _Affine] = {}
    made: dict[int, Tensor] = {}
    for node in nodes:
        if node.op is PLACEHOLDER or node.op is CONSTANT:
            continue
        inputs = [made.get(id(t), t) for t in node.inputs]
        found = _extended(node, affine, readers, lasting)
        if found is not None:
            affine[id(node.outputs[0])] = found
            if found.scale is not None:
                made[id(node.outputs[0])] = found.tensor()
                continue
        outputs = node.outputs
        if any(a is not b for a, b in zip(inputs, node.inputs, strict=True)):
            outputs = Node(node.op, inputs, node.attrs, [(t.shape, t.dtype) for t in node.outputs]).outputs
            made.update({id(old): new for old, new in zip(node.outputs, outputs, strict=True)})
        product = outputs[0].node
        if product is not None and product.op.name in _SCALED and _has_kernel(product, lasting):
            affine[id(node.outputs[0])] = _Affine(product)
    return [made.get(id(t), t) for t in fetches]


def _has_kernel(node: Node, lasting: Lasting) -> bool:
    if len(node.inputs) != 2 or node.inputs[1] not in lasting:
        return False
    return node.op.name != "matmul" or len(node.inputs[1].shape) == 2


def _extended(
    node: Node, affine: dict[int, _Affine], readers: dict[int, int], lasting: Lasting
) -> _Affine | None:
    """What ``node`` makes of an affine function of a product that nothing else reads."""
    if node.op.name not in _AFFINE:
        return None
    first, second = node.inputs
    if id(first) not in affine and node.op.name in ("add", "multiply"):
        first, second = second, first
    base, out = affine.get(id(first)), node.outputs[0]
    if base is None or readers[id(first)] > 1 or first.shape != out.shape or second not in lasting:
        return None
    if second.shape not in ((), (1,), out.shape[-1:]):
        return None
    operate = node.op.node
    one = constant([1.0] * out.shape[-1], out.dtype)
    if node.op.name in ("multiply", "divide"):
        scale = operate([one if base.scale is None else base.scale, second], {})
        shift = None if base.shift is None else operate([base.shift, second], {})
        return _Affine(base.product, scale, shift)
    zero = multiply(one, 0.0)
    return _Affine(
        base.product, base.scale, operate([zero if base.shift is None else base.shift, second], {})
    )
