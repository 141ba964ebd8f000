"""Loops: an op that holds a traced sub-graph and runs it once a time step, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kcore.graph import dtypes, gradient, phase
from kcore.graph.op import CONSTANT, PLACEHOLDER, Op
from kcore.graph.primitives import full
from kcore.graph.tensor import Node, Tensor, ancestors, as_tensor, placeholder


@dataclass(eq=False)
class Body:
    """One step: placeholders for what it reads, and the tensors that it makes of them.

    ``captured`` are the tensors of the surrounding graph that the step reads, the same at every step;
    in a specialised body they are placeholders.
    """

    slices: list[Tensor]
    states: list[Tensor]
    captured: list[Tensor]
    outputs: list[Tensor]
    new_states: list[Tensor]
    random: bool = False
    residuals: dict[int, int] = field(default_factory=dict)  # tensor id -> index among outputs


def scan(
    step: Callable[[list[Tensor], list[Tensor]], tuple[Sequence[Any], Sequence[Any]]],
    sequences: Sequence[Any],
    initial_states: Sequence[Any],
    reverse: bool = False,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run ``step`` along the first axis of ``sequences``, handing states on.

    Args:
        step: ``step(slices, states)`` returns ``(outputs, new_states)``; a new state has the shape and dtype
            of the state that it replaces. It is traced once.
        sequences: tensors of one length along axis 0; at least one.
        initial_states: the states before the first step.
        reverse: whether to go from the last step to the first. Outputs keep the place of their step.

    Returns:
        ``(outputs, final_states)``; each output has the steps along axis 0.
    """
    sequences = [as_tensor(s) for s in sequences]
    states = [as_tensor(s) for s in initial_states]
    if not sequences:
        raise ValueError("scan needs at least one sequence, to know the number of steps")
    slices = [placeholder(s.shape[1:], s.dtype) for s in sequences]
    before = [placeholder(s.shape, s.dtype) for s in states]
    outputs, new_states = step(slices, before)
    body = Body(slices, before, [], [as_tensor(t) for t in outputs], [as_tensor(t) for t in new_states])
    if len(body.new_states) != len(states):
        raise ValueError(f"scan: the step returned {len(body.new_states)} states for {len(states)}")
    for old, new in zip(states, body.new_states, strict=True):
        if old.dtype != new.dtype or len(old.shape) != len(new.shape):
            raise ValueError(f"scan: a state begins as {old!r} and the step makes it {new!r}")
    body.captured = _captured(body)
    node = SCAN.node([*sequences, *states, *body.captured], {"body": body, "reverse": reverse})
    results = list(node) if isinstance(node, tuple) else [node]
    return results[len(states) :], results[: len(states)]


def _captured(body: Body) -> list[Tensor]:
    """What the step reads from outside: tensors that depend on neither slices, states nor chance."""
    inner = {id(t) for t in [*body.slices, *body.states]}
    results = [*body.outputs, *body.new_states]
    captured: dict[int, Tensor] = {}

    def capture(t: Tensor) -> None:
        is_constant = t.node is not None and t.node.op is CONSTANT
        if id(t) not in inner and t is not phase.LEARNING_PHASE and not is_constant:
            captured[id(t)] = t

    for node in ancestors(results):
        if node.op.random or any(id(t) in inner for t in node.inputs):
            body.random = body.random or node.op.random
            inner.update(id(t) for t in node.outputs)
            for t in node.inputs:
                capture(t)
        elif node.op.name == "switch" and node.inputs[0] is phase.LEARNING_PHASE:
            inner.update(id(t) for t in node.outputs)
            for t in node.inputs:
                capture(t)
    for t in results:
        capture(t)
    return list(captured.values())


def _infer(*inputs: Tensor, body: Body, reverse: bool) -> list[tuple]:
    n = len(body.slices)
    steps = None
    for t in inputs[:n]:
        if t.shape[0] is not None:
            if steps is not None and steps != t.shape[0]:
                raise ValueError(f"scan: sequences of {steps} and {t.shape[0]} steps")
            steps = t.shape[0]
    finals = [(s.shape, s.dtype) for s in inputs[n : n + len(body.states)]]
    return [*finals, *(((steps, *t.shape), t.dtype) for t in body.outputs)]


def specialize_scan(inputs: list[Tensor], attrs: dict[str, Any], phases: dict[Tensor, Tensor]) -> tuple:
    """The scan with its body rebuilt for the known shapes of ``inputs``."""
    from kcore.graph.specialize import specialize

    body: Body = attrs["body"]
    n, m = len(body.slices), len(body.states)
    slices = [placeholder(t.shape[1:], t.dtype) for t in inputs[:n]]
    states = [placeholder(t.shape, t.dtype) for t in inputs[n : n + m]]
    feeds: dict[Tensor, Tensor] = dict(phases)
    captured, outer = [], []
    for symbolic, t in zip(body.captured, inputs[n + m :], strict=True):
        if t.node is not None and t.node.op is CONSTANT:
            feeds[symbolic] = t
        else:
            feeds[symbolic] = placeholder(t.shape, t.dtype)
            captured.append(feeds[symbolic])
            outer.append(t)
    feeds.update(zip([*body.slices, *body.states], [*slices, *states], strict=True))
    results = specialize([*body.outputs, *body.new_states], feeds)
    outputs, new_states = results[: len(body.outputs)], results[len(body.outputs) :]
    for old, new in zip(states, new_states, strict=True):
        if old.shape != new.shape:
            raise ValueError(f"scan: a state of shape {old.shape} becomes one of shape {new.shape}")
    known = Body(slices, states, captured, outputs, new_states, body.random)
    return SCAN.node([*inputs[: n + m], *outer], {"body": known, "reverse": attrs["reverse"]})


def _gradient(y: Any, dy: Any, *inputs: Tensor, body: Body, reverse: bool) -> list[Tensor | None]:
    ys = y if isinstance(y, tuple) else (y,)
    dys = list(dy) if isinstance(dy, tuple) else [dy]
    node: Node = ys[0].node
    n, m, k = len(body.slices), len(body.states), len(body.captured)
    steps = inputs[0].shape[0]
    dys += [None] * (m + len(body.outputs) - len(dys))

    wanted = [i for i, t in enumerate(inputs) if dtypes.is_float(t.dtype)]
    leaves = [*body.slices, *body.states, *body.captured]
    carried = [i for i in range(m) if dtypes.is_float(body.states[i].dtype)]
    d_state = {i: placeholder(body.states[i].shape, body.states[i].dtype) for i in carried}
    given = [i for i in range(len(body.outputs)) if dys[m + i] is not None]
    d_output = {i: placeholder(body.outputs[i].shape, body.outputs[i].dtype) for i in given}
    first_backward = d_state[carried[0]].node.id if carried else d_output[given[0]].node.id  # type: ignore[union-attr]
    grads = dict(
        zip(
            wanted,
            gradient.backpropagate(
                [*(body.new_states[i] for i in carried), *(body.outputs[i] for i in given)],
                [*d_state.values(), *d_output.values()],
                [leaves[i] for i in wanted],
            ),
            strict=True,
        )
    )
    saved = _residuals(list(grads.values()), body, first_backward)
    residuals = [_residual_output(node, body, t, steps) for t in saved]

    total = [i for i in wanted if i >= n + m]
    accumulators = [placeholder(leaves[i].shape, leaves[i].dtype) for i in total]
    back = Body(
        slices=[*body.slices, *saved, *d_output.values()],
        states=[*d_state.values(), *accumulators],
        captured=list(body.captured),
        outputs=[grads[i] for i in wanted if i < n],
        new_states=[
            *(grads[n + i] for i in carried),
            *(a + grads[i] for a, i in zip(accumulators, total, strict=True)),
        ],
        random=False,
    )
    back = _detached(back)
    begin = [
        dys[i] if dys[i] is not None else full(body.states[i].shape, 0.0, body.states[i].dtype)  # type: ignore[arg-type]
        for i in carried
    ]
    zeros = [full(leaves[i].shape, 0.0, leaves[i].dtype) for i in total]  # type: ignore[arg-type]
    arguments = [
        *inputs[:n],
        *residuals,
        *(dys[m + i] for i in given),
        *begin,
        *zeros,
        *inputs[n + m : n + m + k],
    ]
    made = SCAN.node(arguments, {"body": back, "reverse": not reverse})
    results = list(made) if isinstance(made, tuple) else [made]
    finals, sequences = results[: len(back.states)], results[len(back.states) :]
    answer: list[Tensor | None] = [None] * len(inputs)
    for i, t in zip([i for i in wanted if i < n], sequences, strict=True):
        answer[i] = t
    for i, t in zip([*(n + i for i in carried), *total], finals, strict=True):
        answer[i] = t
    return answer


def _residuals(grads: list[Tensor], body: Body, first_backward: int) -> list[Tensor]:
    """What the backward step reads of the forward step's own results, states included."""
    outside = {id(t) for t in [*body.slices, *body.captured]}
    saved: dict[int, Tensor] = {}

    def visit(t: Tensor) -> None:
        if t.node is None or id(t) in outside or t.node.id >= first_backward:
            return
        if t.node.op is not CONSTANT and t.node.op.name != "fill":
            saved[id(t)] = t

    for node in ancestors(grads):
        if node.id >= first_backward and node.op is not PLACEHOLDER:
            for t in node.inputs:
                visit(t)
    for t in grads:
        visit(t)
    return list(saved.values())


def _residual_output(node: Node, body: Body, tensor: Tensor, steps: Any) -> Tensor:
    """The stacked values of ``tensor`` as an output of the forward scan, added if it isn't one yet.

    The node is fresh from specialisation and belongs to the program being built, so it may still grow.
    """
    if id(tensor) not in body.residuals:
        for i, t in enumerate(body.outputs):
            if t is tensor:
                body.residuals[id(tensor)] = i
                break
        else:
            body.residuals[id(tensor)] = len(body.outputs)
            body.outputs.append(tensor)
            stacked = Tensor((steps, *tensor.shape), tensor.dtype, node, len(node.outputs))
            node.outputs = (*node.outputs, stacked)
    return node.outputs[len(body.states) + body.residuals[id(tensor)]]


def _detached(body: Body) -> Body:
    """The body rebuilt on fresh placeholders, so that saved tensors are inputs and nothing else."""
    from kcore.graph.specialize import specialize

    old = [*body.slices, *body.states, *body.captured]
    new = [placeholder(t.shape, t.dtype) for t in old]
    results = specialize([*body.outputs, *body.new_states], dict(zip(old, new, strict=True)))
    a, b = len(body.slices), len(body.slices) + len(body.states)
    count = len(body.outputs)
    return Body(new[:a], new[a:b], new[b:], results[:count], results[count:], body.random)


def _lower(attrs: dict[str, Any]) -> dict[str, Any]:
    from kcore.graph.fuse import fuse
    from kcore.graph.plan import plan
    from kcore.graph.simplify import simplify

    body: Body = attrs["body"]
    fetches = simplify([*body.new_states, *body.outputs])
    inputs = [*body.slices, *body.states, *body.captured]
    compiled = plan(fuse(fetches), inputs, fetches, [])
    return {
        "body": compiled.program,
        "sequences": len(body.slices),
        "states": len(body.states),
        "captured": len(body.captured),
        "outputs": len(body.outputs),
        "reverse": attrs["reverse"],
    }


SCAN = Op("scan", _infer, _gradient, lower=_lower)
