"""Groups the nodes of a graph into instructions: elementwise chains, and epilogues of products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kcore.graph import rng
from kcore.graph.op import CONSTANT, PLACEHOLDER
from kcore.graph.primitives import broadcast_to
from kcore.graph.simplify import scalar_value
from kcore.graph.tensor import Node, Tensor, Variable, ancestors

LONGEST_CHAIN = 48  # ops in one elementwise pass: its blocks must stay in the L1 cache
EPILOGUE_ACTIVATIONS = {"relu", "sigmoid", "tanh"}  # done on a product's tile before it leaves the cache
UNREAD_LEFT_OUT = {"max_pool2d"}  # whose outputs but the first are made only where something reads them
PRODUCTS = {"matmul", "conv2d", "conv2d_data_gradient", "depthwise_conv2d"}
SMALLEST_TAKEN = 1 << 16  # elements of a product that a chain takes piece by piece


@dataclass(eq=False)
class Instruction:
    """One native instruction, its operands still tensors."""

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    attrs: dict[str, Any] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    @property
    def elementwise_inputs(self) -> list[Tensor]:
        """Those of which each element is read before that element of an output is written."""
        if self.name == "elementwise":
            return self.inputs
        return self.inputs[self.attrs["matmul_inputs"] :] if "matmul_inputs" in self.attrs else []

    def __str__(self) -> str:
        return "+".join(n.op.opcode or n.op.name for n in self.nodes) or self.name


def is_elementwise(node: Node) -> bool:
    return node.op.opcode is not None or node.op is broadcast_to


def is_view(node: Node) -> bool:
    """Whether the output is the input's memory under another shape."""
    return node.op.name == "reshape"


class _Chain:
    """Elementwise nodes of one shape that may still grow: nothing outside has read from them yet."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.open = True


def fuse(fetches: Sequence[Tensor]) -> list[Instruction]:
    """The instructions that compute ``fetches``, in an order that respects their operands.

    A chain runs at the place of its last member. That is sound because a chain is closed as soon as
    something outside it reads one of its members.
    """
    nodes = [n for n in ancestors(fetches) if n.op is not PLACEHOLDER and n.op is not CONSTANT]
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for t in node.inputs:
            readers.setdefault(id(t), []).append(node)
    fetched = {id(t) for t in fetches}
    absorbed, epilogues = _find_epilogues(nodes, readers, fetched)

    chains: dict[int, _Chain] = {}  # by node id
    placed: list[tuple[int, Instruction | _Chain]] = []
    for node in nodes:
        if node.id in absorbed:
            continue
        members = epilogues.get(node.id, [node])
        shape = node.outputs[0].shape
        mine = None
        if len(members) == 1 and is_elementwise(node):
            mine = _joined(node, chains, shape)
            mine.nodes.append(node)
            chains[node.id] = mine
        inputs = {id(t.node): t.node for m in members for t in m.inputs if t.node is not None}
        for source in inputs.values():
            chain = chains.get(source.id)
            if chain is not None and chain is not mine:
                chain.open = False
        if mine is None and not is_view(node):
            instruction = _product(members) if len(members) > 1 else _single(node)
            if node.op.name in UNREAD_LEFT_OUT:
                first, *others = instruction.outputs
                read = [t for t in others if id(t) in readers or id(t) in fetched]
                instruction.outputs = [first, *read]
            placed.append((node.id, instruction))
    for chain in {id(c): c for c in chains.values()}.values():
        placed.append((chain.nodes[-1].id, chain))
    placed.sort(key=lambda item: item[0])
    made_by = {id(item.outputs[0]): item for _, item in placed if isinstance(item, Instruction)}
    instructions: list[Instruction] = []
    for _, item in placed:
        if isinstance(item, Instruction):
            instructions.append(item)
            continue
        taken = _taken_product(item.nodes, made_by, readers, fetched)
        if taken is None:
            instructions.append(_elementwise(item.nodes, readers, fetched))
        else:
            instructions.remove(taken)
            instructions.append(_over_product(taken, item.nodes, readers, fetched))
    return instructions


def _taken_product(
    chain: list[Node], made_by: dict[int, Instruction], readers: dict[int, list[Node]], fetched: set[int]
) -> Instruction | None:
    """A product that only the chain reads, element by element, and that it does better to take piece by piece."""
    inside = {n.id for n in chain}
    for t in (t for n in chain for t in n.inputs if id(t) in made_by):
        product = made_by[id(t)]
        private = id(t) not in fetched and all(r.id in inside for r in readers[id(t)])
        floating = t.dtype in ("float32", "float64")
        like_chain = t.shape == chain[-1].outputs[0].shape
        if product.name == "matmul" and private and floating and like_chain and _is_large(product):
            return product
    return None


def _is_large(product: Instruction) -> bool:
    """Whether to write the product and read it again is no small part of the work: the gradient of many weights."""
    size, *operands = (math.prod(t.shape) for t in (*product.outputs, *product.inputs))  # type: ignore[arg-type]
    return size >= max(SMALLEST_TAKEN, *operands)


def _over_product(
    product: Instruction, chain: list[Node], readers: dict[int, list[Node]], fetched: set[int]
) -> Instruction:
    """The chain, done on one piece of the product after another."""
    pass_ = _elementwise(chain, readers, fetched, product.outputs[0])
    return Instruction(
        "matmul_elementwise",
        [*product.inputs, *pass_.inputs[1:]],
        pass_.outputs,
        {**product.attrs, **pass_.attrs, "matmul_inputs": len(product.inputs)},
        [*product.nodes, *pass_.nodes],
    )


def _joined(node: Node, chains: dict[int, _Chain], shape: tuple) -> _Chain:
    """The chain that ``node`` extends: those of its operands merged, as far as they are open."""
    joined: _Chain | None = None
    for t in node.inputs:
        chain = chains.get(t.node.id) if t.node is not None else None
        if chain is None or chain is joined or not chain.open or t.shape != shape:
            continue
        if joined is None:
            if len(chain.nodes) < LONGEST_CHAIN:
                joined = chain
        elif len(joined.nodes) + len(chain.nodes) < LONGEST_CHAIN:
            joined.nodes = sorted(joined.nodes + chain.nodes, key=lambda n: n.id)
            for member in chain.nodes:
                chains[member.id] = joined
    return joined or _Chain()


def _single(node: Node) -> Instruction:
    attrs = dict(node.op.lower(node.attrs) if node.op.lower else node.attrs)
    if "key" in attrs:
        attrs["key"] = rng.resolved(attrs["key"])
    return Instruction(node.op.kernel, list(node.inputs), list(node.outputs), attrs, [node])


def _find_epilogues(
    nodes: list[Node], readers: dict[int, list[Node]], fetched: set[int]
) -> tuple[set[int], dict[int, list[Node]]]:
    """Products followed by a bias over the last axis, a tensor added (to a matmul), an activation, or all.

    Also the mask of relu's gradient after a convolution's data gradient, a max pool of 2 x 2 after a
    convolution, and relu after a normalisation, which runs at that node's place: its statistics may have
    readers before the relu. Returns the ids of the nodes that become part of another's instruction, and for
    the node at whose place an instruction runs the nodes that it is made of.
    """
    absorbed: set[int] = set()
    epilogues: dict[int, list[Node]] = {}

    def only_reader(node: Node) -> Node | None:
        out = node.outputs[0]
        found = readers.get(id(out), [])
        return found[0] if len(found) == 1 and id(out) not in fetched else None

    def pays(before: Node, add: Node) -> bool:
        """Whether the addition would else be a pass of its own: no chain could take it along."""
        other = _other(before, add)
        if other is not None and other.node is not None and is_elementwise(other.node):
            return False

        def follows(reader: Node) -> bool:
            bias = reader.op.name == "add" and _place(add, reader) == "bias"
            return bias or reader.op.opcode in EPILOGUE_ACTIVATIONS or not is_elementwise(reader)

        return all(map(follows, readers.get(id(add.outputs[0]), [])))

    for node in nodes:
        if node.op.name == "batch_norm_training":
            after = only_reader(node)
            if after is not None and after.op.opcode == "relu":
                absorbed.add(after.id)
                epilogues[node.id] = [node, after]
            continue
        if node.op.name not in PRODUCTS or node.outputs[0].dtype not in ("float32", "float64"):
            continue
        members = [node]
        after = only_reader(node)
        places = {"bias", "addend"} if node.op.name == "matmul" else {"bias"}
        while after is not None and after.op.name == "add" and after.id not in absorbed | epilogues.keys():
            place = _place(members[-1], after)
            if place not in places or (place == "addend" and not pays(members[-1], after)):
                break
            places.remove(place)
            members.append(after)
            after = only_reader(after)
        if (
            after is not None
            and after.op.opcode in EPILOGUE_ACTIVATIONS
            and after.outputs[0].shape == node.outputs[0].shape
        ):
            members.append(after)
        elif after is not None and node.op.name == "conv2d_data_gradient":
            mask = _relu_mask(members[-1], after)
            if mask is not None and only_reader(mask) is after:
                members += [mask, after]
        pool = only_reader(members[-1])
        if pool is not None and _pools_by_two(members, pool):
            members.append(pool)
        if len(members) > 1:
            absorbed.update(m.id for m in members[:-1])
            epilogues[members[-1].id] = members
    return absorbed, epilogues


def _relu_mask(before: Node, where: Node) -> Node | None:
    """The node ``y > 0`` if ``where`` keeps the output of ``before`` where that holds and else makes it 0."""
    if where.op.name != "where" or where.inputs[1] is not before.outputs[0]:
        return None
    mask, out = where.inputs[0].node, before.outputs[0]
    if mask is None or mask.op.name != "greater" or scalar_value(where.inputs[2]) != 0:
        return None
    y, threshold = mask.inputs
    like = y.shape == out.shape == where.outputs[0].shape and y.dtype == out.dtype
    return mask if like and scalar_value(threshold) == 0 else None


def _pools_by_two(members: list[Node], pool: Node) -> bool:
    """Whether ``pool`` takes the greatest of every 2 x 2 pixels of what ``members`` convolve."""
    if members[0].op.name != "conv2d" or pool.op.name != "max_pool2d":
        return False
    attrs = {name: tuple(pool.attrs[name]) for name in ("pool", "strides", "pads")}
    by_two = attrs == {"pool": (2, 2), "strides": (2, 2), "pads": (0, 0, 0, 0)}
    return by_two and members[-1].op.opcode in (None, "add", "relu")


def _other(before: Node, add: Node) -> Tensor | None:
    """What ``add`` adds to the output of ``before``."""
    others = [t for t in add.inputs if t is not before.outputs[0]]
    return others[0] if len(others) == 1 else None


def _place(before: Node, add: Node) -> str | None:
    """Whether ``add`` adds a bias to the output of ``before``, or another tensor of its shape, or neither."""
    other, shape = _other(before, add), before.outputs[0].shape
    if other is None or add.outputs[0].shape != shape:
        return None
    return "bias" if other.shape == shape[-1:] else "addend" if other.shape == shape else None


def _product(members: list[Node]) -> Instruction:
    product, *rest = members
    instruction = _single(product)
    operands: dict[str, Tensor] = {}
    for before, node in zip(members, rest, strict=False):
        if node.op.name == "add":
            operands[_place(before, node)] = _other(before, node)  # type: ignore[index, assignment]
        elif node.op.name == "greater":
            operands["gate"] = node.inputs[0]
        elif node.op.name == "max_pool2d":
            instruction.attrs["pool"] = True
        elif node.op.name != "where":
            instruction.attrs["activation"] = node.op.opcode
    for place in ("addend", "gate"):
        if place in operands:
            instruction.attrs[place] = True
    instruction.inputs += [operands[place] for place in ("addend", "bias", "gate") if place in operands]
    instruction.outputs = [*members[-1].outputs, *product.outputs[1:]]
    instruction.nodes = list(members)
    return instruction


def _elementwise(
    nodes: list[Node], readers: dict[int, list[Node]], fetched: set[int], first: Tensor | None = None
) -> Instruction:
    """One pass over memory for a chain of elementwise nodes; ``first`` is to be its first input."""
    inside = {n.id for n in nodes}
    inputs: dict[int, Tensor] = {} if first is None else {id(first): first}
    constants: list[tuple[float, str]] = []
    constant_of: dict[int, int] = {}
    for node in nodes:
        for t in node.inputs:
            if t.node is not None and t.node.id in inside:
                continue
            value = None if isinstance(t, Variable) else scalar_value(t)
            if value is None:
                inputs[id(t)] = t
            else:
                pair = (float(value), t.dtype)
                if pair not in constants:
                    constants.append(pair)
                constant_of[id(t)] = constants.index(pair)
    register = {key: i for i, key in enumerate(inputs)}
    for tensor_id, index in constant_of.items():
        register[tensor_id] = len(inputs) + index
    ops: list[str] = []
    args: list[int] = []
    next_register = len(inputs) + len(constants)
    for node in nodes:
        opcode = node.op.opcode or "identity"
        operands = [register[id(t)] for t in node.inputs]
        ops.append(opcode)
        args += operands + [-1] * (3 - len(operands))
        register[id(node.outputs[0])] = next_register
        next_register += 1
    outputs = [
        n.outputs[0]
        for n in nodes
        if id(n.outputs[0]) in fetched or any(r.id not in inside for r in readers.get(id(n.outputs[0]), []))
    ]
    attrs = {
        "ops": ops,
        "args": args,
        "constants": [value for value, _ in constants],
        "constant_dtypes": [dtype for _, dtype in constants],
        "stores": [register[id(t)] for t in outputs],
    }
    return Instruction("elementwise", list(inputs.values()), outputs, attrs, nodes)


def copy(source: Tensor, target: Tensor) -> Instruction:
    """An instruction that copies ``source`` to ``target``."""
    attrs = {"ops": ["identity"], "args": [0, -1, -1], "constants": [], "constant_dtypes": [], "stores": [1]}
    return Instruction("elementwise", [source], [target], attrs)
