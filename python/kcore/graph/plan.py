"""Lays a list of instructions out in memory and hands it to the native core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcore.graph import native
from kcore.graph.fold import Lasting
from kcore.graph.fuse import Instruction, copy, is_view
from kcore.graph.op import CONSTANT, PLACEHOLDER
from kcore.graph.tensor import Tensor, Variable

ALIGNMENT = 64
PREPARED_GROWTH = 2  # what is prepared may be so much larger than what it is made from


@dataclass(eq=False)
class Plan:
    """A program, and what is needed to print it."""

    program: native.Program
    instructions: list[Instruction]
    slots: dict[int, int]  # tensor id -> slot
    buffers: list[tuple]
    arena_bytes: int
    live_bytes: int  # of the arena at the most: no packing needs less
    commit: int
    prologue: int


def plan(
    instructions: list[Instruction],
    inputs: Sequence[Tensor],
    fetches: Sequence[Tensor],
    updates: Sequence[tuple[Variable, Tensor]],
) -> Plan:
    """A program that computes ``fetches`` from ``inputs`` and then sets each variable of ``updates``."""
    instructions = _sink_updates(instructions, fetches, updates)
    prologue = _find_prologue(instructions, fetches, updates)
    kept = set(map(id, prologue))
    layout = _Layout(prologue, [i for i in instructions if id(i) not in kept], inputs)
    layout.place_updates(updates, fetches)
    layout.place_fetches(fetches)
    return layout.finish()


def root(tensor: Tensor) -> Tensor:
    """The tensor whose memory ``tensor`` is a view of."""
    while tensor.node is not None and is_view(tensor.node):
        tensor = tensor.node.inputs[0]
    return tensor


def nbytes(tensor: Tensor) -> int:
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize  # type: ignore[arg-type]


def _sink_updates(
    instructions: list[Instruction], fetches: Sequence[Tensor], updates: Sequence[tuple[Variable, Tensor]]
) -> list[Instruction]:
    """Move what serves updates alone to the end, so that a run can be interrupted until then."""
    update_roots = {id(root(value)) for _, value in updates}
    read = {id(root(t)) for t in fetches}
    for instruction in instructions:
        read.update(id(root(t)) for t in instruction.inputs)
    late = [i for i in instructions if all(id(t) in update_roots and id(t) not in read for t in i.outputs)]
    late_ids = set(map(id, late))
    return [i for i in instructions if id(i) not in late_ids] + late


def _find_prologue(
    instructions: list[Instruction], fetches: Sequence[Tensor], updates: Sequence[tuple[Variable, Tensor]]
) -> list[Instruction]:
    """The instructions whose results last from run to run, and are worth keeping."""
    lasting = Lasting(variable for variable, _ in updates)
    leaving = {id(root(t)) for t in [*fetches, *(value for _, value in updates)]}
    made: set[int] = set()

    def at_hand(tensor: Tensor) -> bool:
        source = root(tensor)
        return source.node is None or source.node.op is CONSTANT or id(source) in made

    prologue = []
    for i in instructions:
        if (
            i.inputs
            and all(t in lasting and id(t) not in leaving for t in i.outputs)
            and all(map(at_hand, i.inputs))
            and sum(map(nbytes, i.outputs)) <= PREPARED_GROWTH * sum(map(nbytes, i.inputs))
        ):
            prologue.append(i)
            made.update(map(id, i.outputs))
    return prologue


class _Layout:
    """Decides where every tensor lives: the arena, a variable, a constant, or the caller's memory."""

    def __init__(
        self, prologue: list[Instruction], instructions: list[Instruction], inputs: Sequence[Tensor]
    ):
        self.prologue = prologue
        self.prepared: dict[int, int] = {}  # tensor id -> offset
        end = 0
        for t in (t for i in prologue for t in i.outputs):
            self.prepared[id(t)] = end
            end += _aligned(nbytes(t))
        self.instructions = list(instructions)
        self.inputs = list(inputs)
        self.position = {id(t): i for i, instruction in enumerate(instructions) for t in instruction.outputs}
        self.home: dict[int, Variable | int] = {}  # root id -> variable, or index of the output it is
        self.outputs: list[Tensor] = []
        self.copies: list[tuple[Tensor, Tensor]] = []  # at the end: source, variable or output
        self.first_snapshot: list[tuple[Tensor, Tensor]] = []

    def place_updates(self, updates: Sequence[tuple[Variable, Tensor]], fetches: Sequence[Tensor]) -> None:
        last_read: dict[int, int] = {}
        for i, instruction in enumerate(self.instructions):
            for t in instruction.inputs:
                last_read[id(root(t))] = i
        end = len(self.instructions)
        for t in [*fetches, *(value for _, value in updates)]:
            if isinstance(root(t), Variable):
                last_read[id(root(t))] = end
        written = {id(variable) for variable, _ in updates}
        for variable, value in updates:
            source = root(value)
            if source is variable:
                continue
            at = self.position.get(id(source))
            if (
                at is not None
                and id(source) not in self.home
                and self._writes_in_place(variable, source, at, last_read)
            ):
                self.home[id(source)] = variable
            elif isinstance(source, Variable) and id(source) in written:
                snapshot = Tensor(source.shape, source.dtype)
                self.first_snapshot.append((source, snapshot))
                self.copies.append((snapshot, variable))
            else:
                self.copies.append((value, variable))

    def _writes_in_place(
        self, variable: Variable, source: Tensor, at: int, last_read: dict[int, int]
    ) -> bool:
        """Whether the instruction at ``at`` may write the new value straight into the variable."""
        last = last_read.get(id(variable), -1)
        if last != at:
            return last < at
        reads = [t for t in self.instructions[at].inputs if root(t) is variable]
        overwritable = _overwritable(self.instructions[at])
        return all(t.shape == source.shape and any(t is o for o in overwritable) for t in reads)

    def place_fetches(self, fetches: Sequence[Tensor]) -> None:
        for index, tensor in enumerate(fetches):
            source = root(tensor)
            target = Tensor(tensor.shape, tensor.dtype)
            self.outputs.append(target)
            if id(source) in self.position and id(source) not in self.home:
                self.home[id(source)] = index
            else:
                self.copies.append((tensor, target))

    def finish(self) -> Plan:
        body = self.instructions
        before = [copy(s, t) for s, t in self.first_snapshot]
        to_outputs = [copy(s, t) for s, t in self.copies if not isinstance(t, Variable)]
        to_variables = [copy(s, t) for s, t in self.copies if isinstance(t, Variable)]
        self.instructions = [*before, *body, *to_outputs, *to_variables]
        writes = {id(v) for v in self.home.values() if isinstance(v, Variable)}
        commit = len(self.instructions)
        for i, instruction in enumerate(self.instructions):
            if any(
                isinstance(t, Variable) or (id(t) in self.home and id(self.home[id(t)]) in writes)
                for t in instruction.outputs
            ):
                commit = i
                break
        offsets, arena_bytes, live_bytes = self._allocate()
        return self._emit(offsets, arena_bytes, live_bytes, commit)

    def _in_arena(self, source: Tensor) -> bool:
        if isinstance(source, Variable) or id(source) in self.home:
            return False
        return not any(source is t for t in self.outputs)

    def _allocate(self) -> tuple[dict[int, int], int, int]:
        """Arena offsets by root id, in place where that is safe; the arena's bytes, and those that live at once."""
        last: dict[int, int] = {}
        for i, instruction in enumerate(self.instructions):
            for t in [*instruction.inputs, *instruction.outputs]:
                last[id(root(t))] = i
        alive: dict[int, Tensor] = {}  # by id: the owners of arena memory
        block: dict[int, int] = {}  # by root id
        blocks: list[list[int]] = []  # size, first and last instruction
        for i, instruction in enumerate(self.instructions):
            for t in instruction.outputs:
                if not self._in_arena(t):
                    continue
                reused = self._reusable(instruction, t, i, last, alive)
                if reused is not None:
                    block[id(t)] = block[id(reused)]
                    del alive[id(reused)]
                else:
                    block[id(t)] = len(blocks)
                    blocks.append([_aligned(nbytes(t)), i, i])
                alive[id(t)] = t
                blocks[block[id(t)]][2] = last[id(t)]
            for t in [*map(root, instruction.inputs), *instruction.outputs]:
                if id(t) in alive and last[id(t)] == i:
                    del alive[id(t)]
        offsets, arena_bytes, live_bytes = _pack(blocks)
        return {key: offsets[index] for key, index in block.items()}, arena_bytes, live_bytes

    def _reusable(
        self,
        instruction: Instruction,
        output: Tensor,
        at: int,
        last: dict[int, int],
        alive: dict[int, Tensor],
    ) -> Tensor | None:
        """An operand whose memory the output of an elementwise pass can take over."""
        for t in _overwritable(instruction):
            source = root(t)
            if (
                id(source) in alive
                and last[id(source)] == at
                and t.shape == output.shape
                and nbytes(source) == nbytes(output)
            ):
                return source
        return None

    def _emit(self, offsets: dict[int, int], arena_bytes: int, live_bytes: int, commit: int) -> Plan:
        buffers: list[tuple] = []
        slots: dict[int, int] = {}
        input_index = {id(t): i for i, t in enumerate(self.inputs)}

        def new(tensor: Tensor, residence: str, detail: object) -> int:
            buffers.append((residence, tensor.dtype, tensor.shape, detail))
            slots[id(tensor)] = len(buffers) - 1
            return slots[id(tensor)]

        input_slots = [new(t, "external", None) for t in self.inputs]
        output_slots = [new(t, "external", None) for t in self.outputs]

        def slot(tensor: Tensor) -> int:
            if id(tensor) in slots:
                return slots[id(tensor)]
            source = root(tensor)
            home = self.home.get(id(source))
            if isinstance(source, Variable):
                return new(tensor, "storage", source.storage)
            if isinstance(home, Variable):
                return new(tensor, "storage", home.storage)
            if isinstance(home, int):
                return new(tensor, "view", output_slots[home])
            if id(source) in self.prepared:
                return new(tensor, "prepared", self.prepared[id(source)])
            if id(source) in input_index:
                return new(tensor, "view", input_slots[input_index[id(source)]])
            if source.node is not None and source.node.op is CONSTANT:
                value = source.node.attrs["value"]
                storage = native.Storage(source.dtype, value.shape)
                storage.write(value)
                return new(tensor, "storage", storage)
            if source.node is not None and source.node.op is PLACEHOLDER:
                raise ValueError(f"the result depends on {source!r}, which is not among the inputs")
            return new(tensor, "arena", offsets[id(source)])

        instructions = [*self.prologue, *self.instructions]
        commit += len(self.prologue)
        specs = [
            (i.name, [slot(t) for t in i.inputs], [slot(t) for t in i.outputs], i.attrs) for i in instructions
        ]
        program = native.Program(
            buffers, specs, input_slots, output_slots, arena_bytes, commit, len(self.prologue)
        )
        return Plan(
            program, instructions, slots, buffers, arena_bytes, live_bytes, commit, len(self.prologue)
        )


def _pack(blocks: Sequence[Sequence[int]]) -> tuple[list[int], int, int]:
    """Offsets for blocks of memory ``(size, first, last)``, their end, and the bytes that live at once.

    The largest block first, each at the lowest place that is free as long as it lives.
    """
    if not blocks:
        return [], 0, 0
    sizes, first, last = np.array(blocks, "int64").T
    change = np.zeros(last.max() + 2, "int64")
    np.add.at(change, first, sizes)
    np.add.at(change, last + 1, -sizes)
    order = np.lexsort((first, -sizes))
    sizes, first, last = sizes[order], first[order], last[order]
    starts = np.zeros(len(blocks), "int64")
    ends = np.zeros(len(blocks), "int64")
    for i, size in enumerate(sizes):
        beside = np.flatnonzero((first[:i] <= last[i]) & (last[:i] >= first[i]))
        beside = beside[np.argsort(starts[beside], kind="stable")]
        reached = np.maximum.accumulate(np.concatenate(([0], ends[beside])))
        gaps = np.concatenate((starts[beside], [np.iinfo("int64").max])) - reached
        starts[i] = reached[np.argmax(gaps >= size)]
        ends[i] = starts[i] + size
    offsets = np.empty_like(starts)
    offsets[order] = starts
    return offsets.tolist(), int(ends.max()), int(np.cumsum(change).max())


def _overwritable(instruction: Instruction) -> list[Tensor]:
    """The inputs whose memory an output of the same shape may take over."""
    elementwise = instruction.elementwise_inputs
    others = {id(root(t)) for t in instruction.inputs[: len(instruction.inputs) - len(elementwise)]}
    return [t for t in elementwise if id(root(t)) not in others]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
