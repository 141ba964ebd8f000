"""Functions, gradients, branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore import graph, ops
from kcore.backend.tensors import identity, zeros_for_batch
from kcore.graph import Tensor, as_tensor, learning_phase, scan
from kcore.graph.primitives import switch as scalar_switch

__all__ = [
    "foldl",
    "foldr",
    "function",
    "gradients",
    "in_test_phase",
    "in_train_phase",
    "map_fn",
    "rnn",
    "stop_gradient",
    "switch",
]


class Function:
    """What :func:`function` returns: called with one array for each input, it computes the outputs."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Any, updates: Any = None, name: str | None = None):
        single = isinstance(outputs, Tensor)
        self.inputs = list(inputs)
        self.outputs = [outputs] if single else list(outputs)
        self._single = single
        pairs = [(variable, as_tensor(value, variable.dtype)) for variable, value in updates or ()]
        self._function = graph.Function(
            self.inputs, [as_tensor(t) for t in self.outputs], pairs, name=name or "function"
        )

    def __call__(self, inputs: Any = ()) -> Any:
        arrays = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        results = self._function(arrays)
        return results[0] if self._single else results


def function(inputs: Sequence[Tensor], outputs: Any, updates: Any = None, **kwargs: Any) -> Function:
    """A callable from arrays to arrays.

    Args:
        inputs: placeholders; ``learning_phase()`` may be one of them, otherwise it counts as 0.
        outputs: a list of tensors, or one. updates: ``(variable, new value)`` pairs.

    Raises:
        ValueError: for arguments that only other backends know.
    """
    unknown = set(kwargs) - {"name"}
    if unknown:
        raise ValueError(f'Invalid argument "{sorted(unknown)[0]}" passed to K.function')
    return Function(inputs, outputs, updates, **kwargs)


def gradients(loss: Any, variables: Any) -> list[Tensor | None]:
    """The gradient of ``loss`` for each of ``variables``, ``None`` where it doesn't depend on it."""
    return graph.gradients(loss, [variables] if isinstance(variables, Tensor) else list(variables))


def stop_gradient(variables: Any) -> Any:
    """``variables`` as constants to gradients: a tensor or a list."""
    if isinstance(variables, (list, tuple)):
        return type(variables)(ops.stop_gradient(v) for v in variables)
    return ops.stop_gradient(variables)


def _value(branch: Any) -> Any:
    return branch() if callable(branch) else branch


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """``then_expression`` where ``condition`` holds, else ``else_expression``.

    Args:
        condition: a scalar, or a tensor of no higher rank than the expressions.
        then_expression, else_expression: tensors, or functions that return one.
    """
    if not isinstance(condition, Tensor) and np.ndim(condition) == 0:
        return _value(then_expression if condition else else_expression)
    yes, no = _value(then_expression), _value(else_expression)
    if condition.dtype != "bool":
        condition = ops.not_equal(condition, 0)
    rank = len(getattr(yes, "shape", ()))
    if len(condition.shape) == 0:
        return scalar_switch(condition, as_tensor(yes), as_tensor(no))
    if len(condition.shape) > rank:
        raise ValueError(
            f"Rank of `condition` should be less than or equal to rank of `then_expression` and `else_expression`: "
            f"{len(condition.shape)} > {rank}"
        )
    for _ in range(rank - len(condition.shape)):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, yes, no)


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """``x`` in training, ``alt`` otherwise: tensors, or functions that return one.

    A program holds only the branch of its phase.
    """
    phase = learning_phase() if training is None else training
    if not isinstance(phase, Tensor):
        return _value(x if phase else alt)
    return switch(phase, x, alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """``x`` at inference, ``alt`` in training."""
    return in_train_phase(alt, x, training)


def rnn(
    step_function: Callable,
    inputs: Any,
    initial_states: Sequence[Any],
    go_backwards: bool = False,
    mask: Any = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: int | None = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
    return_all_outputs: bool = True,
) -> tuple[Any, Any, list]:
    """Run a step function over time.

    Args:
        step_function: takes a slice ``(batch, ...)`` and a list of states followed by ``constants``; returns the
            output and the new states.
        inputs: ``(batch, steps, ...)``, or ``(steps, batch, ...)`` if ``time_major``.
        initial_states: the states before the first step.
        go_backwards: whether to go from the last step to the first; outputs are then in that order.
        mask: ``(batch, steps)`` (time first if ``time_major``). At a masked step the states stay and the
            previous output is repeated, zeros at the beginning.
        constants: tensors that every step reads.
        unroll, input_length: accepted; the result is the same.
        zero_output_for_mask: whether all outputs has zeros at masked steps instead.
        return_all_outputs: whether the outputs of all steps are wanted; ``None`` is returned for them if not.

    Returns:
        The last output, all outputs ``(batch, steps, ...)``, and the final states.
    """
    if len(inputs.shape) < 3 and not time_major:
        raise ValueError(f"Input should be at least 3D, got shape {tuple(inputs.shape)}")
    by_time = inputs if time_major else ops.swapaxes(inputs, 0, 1)
    constants = list(constants or ())
    states = [as_tensor(s) for s in initial_states]
    state_of_output: list[int | None] = [None]

    def step(x: Any, before: list) -> tuple[Any, list]:
        output, after = step_function(x, [*before, *constants])
        after = list(after)
        matches = [i for i, state in enumerate(after) if state is output]
        state_of_output[0] = matches[0] if matches else None
        return output, after

    if mask is None:

        def unmasked(slices: list, before: list) -> tuple[list, list]:
            output, after = step(slices[0], before)
            return [output] if return_all_outputs or state_of_output[0] is None else [], after

        outputs, final = scan(unmasked, [by_time], states, reverse=go_backwards)
        if state_of_output[0] is None:
            last = outputs[0][0 if go_backwards else -1]
        else:
            last = final[state_of_output[0]]
    else:
        mask = mask if time_major else ops.swapaxes(mask, 0, 1)
        mask = ops.cast(mask, "bool")
        if len(mask.shape) == 2:
            mask = ops.expand_dims(mask, -1)
        example, _ = step(graph.placeholder(by_time.shape[1:], by_time.dtype), states)
        nothing = zeros_for_batch(by_time, *example.shape[1:], dtype=example.dtype, axis=1)

        def masked(slices: list, before: list) -> tuple[list, list]:
            x, keep = slices
            output, after = step(x, before[1:])
            last = _where_step(keep, output, before[0])
            shown = _where_step(keep, output, 0.0) if zero_output_for_mask else last
            after = [_where_step(keep, new, old) for new, old in zip(after, before[1:], strict=True)]
            return [shown] if return_all_outputs else [], [last, *after]

        outputs, final = scan(masked, [by_time, mask], [nothing, *states], reverse=go_backwards)
        last, final = final[0], final[1:]
    if not return_all_outputs:
        return last, None, final
    sequence = ops.flip(outputs[0], axis=0) if go_backwards else outputs[0]
    return last, sequence if time_major else ops.swapaxes(sequence, 0, 1), final


def _where_step(keep: Any, new: Any, old: Any) -> Any:
    """``keep (batch, 1)`` for tensors of any rank."""
    for _ in range(len(new.shape) - len(keep.shape)):
        keep = ops.expand_dims(keep, -1)
    return ops.where(keep, new, old)


def map_fn(fn: Callable, elems: Any, name: str | None = None, dtype: str | None = None) -> Any:
    """``fn`` applied to each element along the first axis (of each tensor of a list), stacked."""
    sequences = list(elems) if isinstance(elems, (list, tuple)) else [elems]

    def step(slices: list, _: list) -> tuple[list, list]:
        result = fn(slices if isinstance(elems, (list, tuple)) else slices[0])
        result = [identity(r) for r in (result if isinstance(result, (list, tuple)) else [result])]
        return [r if dtype is None else ops.cast(r, dtype) for r in result], []

    outputs, _ = scan(step, sequences, [])
    return outputs[0] if len(outputs) == 1 else outputs


def foldl(fn: Callable, elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """``fn(fn(fn(initializer, x0), x1), ...)`` along the first axis; begins with ``x0`` if there is no initializer."""
    return _fold(fn, elems, initializer, False)


def foldr(fn: Callable, elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """As :func:`foldl`, from the last element to the first."""
    return _fold(fn, elems, initializer, True)


def _fold(fn: Callable, elems: Any, initializer: Any, reverse: bool) -> Any:
    elems = as_tensor(elems)
    if initializer is None:
        initializer, elems = (elems[-1], elems[:-1]) if reverse else (elems[0], elems[1:])
    _, (final,) = scan(
        lambda slices, states: ([], [fn(states[0], slices[0])]), [elems], [initializer], reverse
    )
    return final
