"""Prints a program: what each instruction does, where its operands lie, what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kcore.graph.plan import Plan


def describe(plan: Plan, seconds: np.ndarray | None = None) -> str:
    """One line an instruction, marked ``=`` in the prologue and ``*`` where it may write variables; with
    ``seconds``, its time, its share, GFLOP/s and GB/s as well."""
    flops = plan.program.flops
    total = float(seconds.sum()) if seconds is not None else 0.0
    lines = []
    for i, instruction in enumerate(plan.instructions):
        ins = ", ".join(_operand(plan, t) for t in instruction.inputs)
        outs = ", ".join(_operand(plan, t) for t in instruction.outputs)
        moved = sum(_bytes(plan, t) for t in [*instruction.inputs, *instruction.outputs])
        cost = f"{_scaled(moved)}B {_scaled(flops[i])}FLOP"
        if seconds is not None:
            time = max(float(seconds[i]), 1e-9)
            cost += (
                f"  {time * 1e6:9.1f} us {100 * time / max(total, 1e-9):5.1f} %"
                f" {flops[i] / time * 1e-9:7.1f} GFLOP/s {moved / time * 1e-9:6.1f} GB/s"
            )
        mark = "*" if i >= plan.commit else "=" if i < plan.prologue else " "
        lines.append(
            f"{i:4d}{mark} {instruction.name} [{instruction}]  {cost}\n        {ins or '-'} -> {outs}"
        )
    sizes = ", ".join(f"{kind} {_scaled(size)}B" for kind, size in memory([plan]).items())
    summary = f"{len(lines)} instructions, {_scaled(sum(flops))}FLOP, memory: {sizes}"
    if seconds is not None:
        summary += f", {total * 1e6:.1f} us"
    return "\n".join([summary, *lines])


def memory(plans: Sequence[Plan]) -> dict[str, int]:
    """The bytes that these programs take, one run at a time: of the arenas, of kernels' workspaces, of what is
    prepared, of all threads' scratch memory, and of variables and constants."""
    programs = [plan.program for plan in plans]
    parts = [program.memory for program in programs]
    storages = {id(s): s for program in programs for s in program.storages}.values()
    return {
        "arena": sum(part["arena"] for part in parts),
        "workspace": sum(part["workspace"] for part in parts),
        "prepared": sum(part["prepared"] for part in parts),
        "scratch": max((part["scratch"] for part in parts), default=0),
        "variables": sum(math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in storages),
    }


def _operand(plan: Plan, tensor: object) -> str:
    slot = plan.slots[id(tensor)]
    residence, dtype, shape, detail = plan.buffers[slot]
    place = f"@{detail}" if residence in ("arena", "view") else ""
    return f"%{slot}:{dtype}{list(shape)} {residence}{place}"


def _bytes(plan: Plan, tensor: object) -> int:
    _, dtype, shape, _ = plan.buffers[plan.slots[id(tensor)]]
    return math.prod(shape) * np.dtype(dtype).itemsize


def _scaled(value: float) -> str:
    for unit in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} T"
