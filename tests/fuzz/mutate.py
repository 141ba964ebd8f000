"""Small changes to valid instructions and programs: most are wrong in one place, some are valid again."""

import random
from dataclasses import replace
from typing import Any

from corpus import Call, Corpus, Recorded

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
LARGE = [2**31 - 1, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, -(2**63), 2**64]
EXTENTS = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 65]


class Mutator:
    """Draws from a corpus. The same seed gives the same mutants."""

    def __init__(self, corpus: Corpus, seed: int):
        self.corpus = corpus
        self.random = random.Random(seed)

    def rarely(self, one_in: int = 8) -> bool:
        return self.random.randrange(one_in) == 0

    def call(self) -> Call:
        names = sorted({c.name for c in self.corpus.calls})
        name = self.random.choice(names)
        call = self.random.choice([c for c in self.corpus.calls if c.name == name])
        call = Call(call.name, list(call.inputs), list(call.outputs), dict(call.attributes))
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3])):
            change = self.random.choice(
                [
                    self.resize_everywhere,
                    self.resize_everywhere,
                    self.retype_everywhere,
                    self.change_operand,
                    self.change_operands,
                    self.change_attribute,
                    self.change_attribute,
                ]
            )
            change(call)
        if self.rarely(20):
            call.name = self.random.choice(names)
        return call

    # Shapes and dtypes.

    def extent(self, old: int) -> int:
        if self.rarely(12):
            return self.random.choice(LARGE[:6])
        return self.random.choice([*EXTENTS, old + 1, old * 2, max(old - 1, 0)])

    def resize_everywhere(self, call: Call) -> None:
        """Another number wherever this one is an extent, and sometimes where it is in attributes."""
        extents = sorted({n for shape, _ in [*call.inputs, *call.outputs] for n in shape})
        if not extents:
            return
        old = self.random.choice(extents)
        new = self.extent(old)

        def renamed(operands):
            return [(tuple(new if n == old else n for n in shape), dtype) for shape, dtype in operands]

        call.inputs, call.outputs = renamed(call.inputs), renamed(call.outputs)
        if self.rarely(3):
            for name, value in call.attributes.items():
                if isinstance(value, (list, tuple)):
                    call.attributes[name] = [new if n == old and n is not False else n for n in value]
                elif value == old and type(value) is int:
                    call.attributes[name] = new

    def retype_everywhere(self, call: Call) -> None:
        dtypes = sorted({dtype for _, dtype in [*call.inputs, *call.outputs]})
        if not dtypes:
            return
        old, new = self.random.choice(dtypes), self.random.choice(DTYPES)
        call.inputs = [(shape, new if dtype == old else dtype) for shape, dtype in call.inputs]
        call.outputs = [(shape, new if dtype == old else dtype) for shape, dtype in call.outputs]

    def change_operand(self, call: Call) -> None:
        operands = self.random.choice([call.inputs, call.outputs])
        if not operands:
            return
        at = self.random.randrange(len(operands))
        shape, dtype = list(operands[at][0]), operands[at][1]
        match self.random.randrange(5):
            case 0:
                dtype = self.random.choice(DTYPES)
            case 1:
                shape.insert(self.random.randint(0, len(shape)), self.extent(1))
            case 2:
                self.random.shuffle(shape)
            case 3 if shape:
                del shape[self.random.randrange(len(shape))]
            case _ if shape:
                axis = self.random.randrange(len(shape))
                shape[axis] = self.extent(shape[axis])
        operands[at] = (tuple(shape), dtype)

    def change_operands(self, call: Call) -> None:
        operands = self.random.choice([call.inputs, call.inputs, call.outputs])
        match self.random.randrange(3):
            case 0 if operands:
                del operands[self.random.randrange(len(operands))]
            case 1:
                operands.append(self.random.choice([*call.inputs, *call.outputs, ((2, 3), "float32")]))
            case _:
                self.random.shuffle(operands)

    # Attributes.

    def change_attribute(self, call: Call) -> None:
        if not call.attributes or self.rarely():
            name = self.random.choice(sorted(self.corpus.spare))
            call.attributes[name] = self.random.choice(self.corpus.spare[name])
            return
        name = self.random.choice(sorted(call.attributes))
        if self.rarely():
            del call.attributes[name]
        elif self.rarely(4):
            call.attributes[name] = self.random.choice(self.corpus.spare[name])
        else:
            call.attributes[name] = self.value(call.attributes[name])

    def value(self, old: Any) -> Any:
        if self.rarely(10):
            return self.random.choice([0, -1, 2.5, "other", [], [1], ["other"], None, True])
        if isinstance(old, bool):
            return not old
        if isinstance(old, int):
            near = [old + 1, old - 1, -old, 0, 1, old * 2]
            return self.random.choice(LARGE if self.rarely(4) else near)
        if isinstance(old, float):
            return self.random.choice([0.0, -old, 1e-30, 1e308, 1e30, float("inf"), float("nan"), old + 1])
        if isinstance(old, (list, tuple)):
            new = list(old)
            match self.random.randrange(5):
                case 0 if new:
                    del new[self.random.randrange(len(new))]
                case 1:
                    new.insert(self.random.randint(0, len(new)), self.random.choice([*new, 0, 1]))
                case 2:
                    self.random.shuffle(new)
                case _ if new:
                    at = self.random.randrange(len(new))
                    new[at] = self.value(new[at])
            return new
        if isinstance(old, str):
            texts = [v for values in self.corpus.spare.values() for v in values]
            flat = [t for v in texts for t in (v if isinstance(v, (list, tuple)) else [v])]
            return self.random.choice([t for t in flat if isinstance(t, str)])
        return old

    # Whole programs.

    def program(self) -> Recorded:
        old = self.random.choice(self.corpus.programs)
        program = replace(
            old,
            buffers=list(old.buffers),
            instructions=[(n, list(i), list(o), dict(a)) for n, i, o, a in old.instructions],
            inputs=list(old.inputs),
            outputs=list(old.outputs),
        )
        for _ in range(self.random.choice([0, 1, 1, 1, 2, 2, 3])):
            change = self.random.choice(
                [self.change_buffer, self.change_slot, self.change_slot, self.change_order, self.change_frame]
            )
            change(program)
        return program

    def slot(self, program: Recorded) -> int:
        if self.rarely(12):
            return self.random.choice([-1, len(program.buffers), 2**31 - 1, -(2**31)])
        return self.random.randrange(len(program.buffers)) if program.buffers else 0

    def change_buffer(self, program: Recorded) -> None:
        if not program.buffers:
            return
        at = self.random.randrange(len(program.buffers))
        residence, dtype, shape, detail = program.buffers[at]
        others = [b for b in program.buffers if b[0] == "storage"]
        match self.random.randrange(5):
            case 0:
                shape = tuple(self.extent(n) if self.rarely(3) else n for n in shape)
            case 1:
                dtype = self.random.choice(DTYPES)
            case 2:
                residence = self.random.choice(["arena", "external", "view", "storage", "prepared"])
                offset = 8 * self.random.randrange(64)
                spare = {"arena": offset, "prepared": offset, "view": self.slot(program)}
                detail = self.random.choice(others)[3] if residence == "storage" and others else None
                detail = spare.get(residence, detail)
            case 3 if residence == "arena":
                spare = [0, 4, 8, 64, -8, program.arena_bytes, 2**62, 2**63 - 8]
                detail = self.random.choice([*spare, detail + 8, detail - 8])
            case _ if residence == "view":
                detail = self.slot(program)
            case _:
                residence, dtype, shape, detail = self.random.choice(program.buffers)
        program.buffers[at] = (residence, dtype, shape, detail)

    def change_slot(self, program: Recorded) -> None:
        """Another operand of an instruction: often one that overlaps, or that fits."""
        if not program.instructions:
            return
        _, inputs, outputs, _ = self.random.choice(program.instructions)
        slots = self.random.choice([inputs, outputs])
        if not slots:
            return
        at = self.random.randrange(len(slots))
        old = slots[at]
        fits = [
            i
            for i, buffer in enumerate(program.buffers)
            if 0 <= old < len(program.buffers) and buffer[1:3] == program.buffers[old][1:3]
        ]
        slots[at] = self.random.choice(fits) if fits and not self.rarely(4) else self.slot(program)

    def change_order(self, program: Recorded) -> None:
        instructions = program.instructions
        if not instructions:
            return
        at = self.random.randrange(len(instructions))
        match self.random.randrange(3):
            case 0:
                del instructions[at]
            case 1:
                instructions.insert(at, self.random.choice(instructions))
            case _:
                self.random.shuffle(instructions)

    def change_frame(self, program: Recorded) -> None:
        match self.random.randrange(5):
            case 0:
                program.arena_bytes = self.random.choice([0, 8, -1, program.arena_bytes // 2, 2**63 - 1])
            case 1:
                program.commit = self.random.choice([-1, 0, 1, len(program.instructions), 2**62])
            case 2:
                program.prologue = self.random.choice([-1, 0, 1, len(program.instructions), 2**62])
            case 3:
                slots = self.random.choice([program.inputs, program.outputs])
                slots.append(self.slot(program))
            case _:
                slots = self.random.choice([program.inputs, program.outputs])
                if slots:
                    slots.pop(self.random.randrange(len(slots)))
