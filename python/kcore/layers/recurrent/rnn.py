"""``RNN``: runs any cell over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import backend, ops
from kcore.graph import Variable
from kcore.layers.base import InputSpec, Layer
from kcore.layers.node import flatten, history
from kcore.layers.recurrent.cells import StackedRNNCells, accepted, cell_from_config, cell_output_size, takes
from kcore.utils.serialization import serialize_keras_object

__all__ = ["RNN"]


class RNN(Layer):
    """Runs a cell over the time steps of ``(batch, steps, features)``.

    Args:
        cell: an object with ``call(input_at_t, states_at_t)`` that returns ``(output_at_t, new_states)``, with
            ``state_size`` (an integer or a list of them) and, if the output differs from the first state,
            ``output_size``. ``call`` may take ``constants`` and ``training``. A list of cells is stacked.
        return_sequences: whether to return the output of every step or that of the last.
        return_state: whether to return the final states too.
        go_backwards: whether to go from the last step to the first; sequences are then returned in that order.
        stateful: whether each batch starts with the states that the last one ended with. The batch size must
            be known, from ``batch_input_shape``.
        unroll: accepted; the result is the same.
        zero_output_for_mask: whether the outputs of masked steps are zeros instead of the previous output.

    Called on a tensor, with ``initial_state`` (a tensor or list), ``constants``, ``mask (batch, steps)`` and
    ``training``. At a masked step the states stay and the previous output is repeated.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ):
        kwargs.pop("use_cudnn", None)
        if kwargs.pop("time_major", False):
            raise ValueError(
                f"{type(self).__name__}: time_major=True is not supported; the batch comes first"
            )
        zero_output_for_mask = bool(kwargs.pop("zero_output_for_mask", False))
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        if not hasattr(cell, "call"):
            raise ValueError(f"`cell` should have a `call` method. The RNN was passed: {cell}")
        if not hasattr(cell, "state_size"):
            raise ValueError(
                "The RNN cell should have an attribute `state_size` (tuple of integers, one integer per RNN state)."
            )
        super().__init__(**kwargs)
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.input_spec: Any = [InputSpec(ndim=3)]
        self._num_constants: int | None = None
        self._states: Any = None
        self._forget_states()

    # States.

    @property
    def state_size(self) -> list[int]:
        return flatten(self.cell.state_size)

    @property
    def states(self) -> list:
        """The variables that a stateful layer keeps; ``None`` for each state otherwise."""
        return list(self._states)

    @states.setter
    def states(self, states: Sequence[Any]) -> None:
        self._states = tuple(states)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("states", "_states"):  # are no weights, as other variables that become attributes are
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _forget_states(self) -> None:
        self.states = [None] * len(self.state_size)

    def get_initial_state(self, inputs: Any) -> list:
        """States of zeros for the batch of ``inputs``."""
        return [backend.zeros_for_batch(inputs, size) for size in self.state_size]

    def reset_states(self, states: Any = None) -> None:
        """Set the states of a stateful layer to zero, or to ``states`` (arrays, one for each state)."""
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        batch_size = self.input_spec[0].shape[0] if self.input_spec[0].shape else None
        if batch_size is None:
            raise ValueError(
                "If a RNN is stateful, it needs to know its batch size. Specify the batch size of your input tensors: "
                "in a Sequential model, pass `batch_input_shape` to the first layer; with the functional API, "
                "pass `batch_shape` to Input."
            )
        shapes = [(batch_size, size) for size in self.state_size]
        if self._states[0] is None:
            self.states = [
                Variable(np.zeros(shape, self.dtype), trainable=False, name=f"{self.name}/state_{i}:0")
                for i, shape in enumerate(shapes)
            ]
        values = [np.zeros(shape, self.dtype) for shape in shapes] if states is None else states
        values = values if isinstance(values, (list, tuple)) else [values]
        if len(values) != len(shapes):
            raise ValueError(
                f"Layer {self.name} expects {len(shapes)} states, but it received {len(values)} state values."
            )
        arrays = [np.asarray(v) for v in values]
        for i, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
            if array.shape != shape:
                raise ValueError(
                    f"State {i} is incompatible with layer {self.name}: expected shape={shape}, "
                    f"found shape={array.shape}"
                )
        for variable, array in zip(self._states, arrays, strict=True):
            variable.write(array)

    # Building and calling.

    def build(self, input_shape: Any) -> None:
        shapes = input_shape if isinstance(input_shape, list) else [input_shape]
        constants = shapes[-self._num_constants :] if self._num_constants else []
        batch, _, features = shapes[0]
        if features is None:
            raise ValueError(
                f"layer '{self.name}': the last dimension of the input must be known, got {shapes[0]}"
            )
        self.input_spec = [
            InputSpec(shape=(batch if self.stateful else None, None, features)),
            *self.input_spec[1:],
        ]
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell._owner_name = self.name
            step_shape = (batch, features)
            self.cell.build([step_shape, *constants] if constants else step_shape)
            self.cell.built = True
        if self.stateful and self._states[0] is None:
            self.reset_states()
        self.built = True

    def __call__(
        self, inputs: Any, *args: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any
    ) -> Any:
        inputs, initial_state, constants = self._separate(inputs, initial_state, constants)
        extra = [*(initial_state or ()), *(constants or ())]
        if constants is not None:
            self._num_constants = len(constants)
        if not extra:
            return super().__call__(inputs, *args, **kwargs)
        if history(inputs) is not None and any(history(t) is None for t in extra):
            # Tensors from outside the model: arguments of the call, not inputs of the layer.
            return super().__call__(inputs, *args, initial_state=initial_state, constants=constants, **kwargs)
        spec = self.input_spec
        self.input_spec = [spec[0], *[None] * len(extra)]
        try:
            return super().__call__([inputs, *extra], *args, **kwargs)
        finally:
            self.input_spec = self.input_spec[:1]

    def _separate(
        self, inputs: Any, initial_state: Any, constants: Any
    ) -> tuple[Any, list | None, list | None]:
        """The sequence, the initial states and the constants, which may all have come as one list."""
        if isinstance(inputs, (list, tuple)):
            if len(inputs) > 1 and (initial_state is not None or constants is not None):
                raise ValueError(f"layer '{self.name}': states and constants were given twice")
            extra = list(inputs[1:])
            if constants is None and self._num_constants:
                constants = extra[-self._num_constants :]
                extra = extra[: -self._num_constants]
            initial_state = extra or initial_state
            inputs = inputs[0]
        as_list = [
            x if x is None or isinstance(x, list) else list(x) if isinstance(x, tuple) else [x]
            for x in (initial_state, constants)
        ]
        return inputs, *as_list

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Any:
        inputs, initial_state, constants = self._separate(inputs, initial_state, constants)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if initial_state is None:
            initial_state = list(self._states) if self.stateful else self.get_initial_state(inputs)
        if len(initial_state) != len(self.state_size):
            raise ValueError(
                f"Layer {self.name} has {len(self.state_size)} states but was passed "
                f"{len(initial_state)} initial states."
            )
        if self.unroll and inputs.shape[1] is None:
            raise ValueError(
                "Cannot unroll a RNN if the time dimension is undefined: give the full shape of the input."
            )
        last, outputs, states = self._run(inputs, mask, training, initial_state, constants)
        if self.stateful:
            self.add_update(list(zip(self._states, states, strict=True)))
        output = outputs if self.return_sequences else last
        return [output, *states] if self.return_state else output

    def _run(
        self, inputs: Any, mask: Any, training: Any, initial_state: list, constants: list | None
    ) -> tuple:
        cell = self.cell
        by_time = ops.swapaxes(inputs, 0, 1)
        if mask is not None:
            mask = ops.swapaxes(mask, 0, 1)
        place = (self._owner_name or self.name, f"/{len(self._inbound_nodes)}")
        masks: Any = cell.masks(inputs, initial_state, training, place) if hasattr(cell, "masks") else None
        if hasattr(cell, "project"):
            by_time = cell.project(by_time, masks[0])

            def step(x: Any, states: list) -> tuple:
                return cell.step(x, states, masks[1])

        else:
            given = accepted(cell, {"constants": constants, "training": training, "masks": masks})
            if constants and not takes(cell, "constants"):
                raise ValueError(
                    "RNN cell does not support constants: its `call` takes no argument `constants`"
                )

            def step(x: Any, states: list) -> tuple:
                output, new_states = cell.call(x, states, **given)
                return output, flatten(new_states)

        last, outputs, states = backend.rnn(
            step,
            by_time,
            initial_state,
            go_backwards=self.go_backwards,
            mask=mask,
            time_major=True,
            zero_output_for_mask=self.zero_output_for_mask,
            return_all_outputs=self.return_sequences,
        )
        return last, ops.swapaxes(outputs, 0, 1) if self.return_sequences else None, states

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output_mask = mask if self.return_sequences else None
        return [output_mask, *[None] * len(self.state_size)] if self.return_state else output_mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        size = cell_output_size(self.cell)
        output = (shape[0], shape[1], size) if self.return_sequences else (shape[0], size)
        return [output, *((shape[0], s) for s in self.state_size)] if self.return_state else output

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if "cell" in config:
            config["cell"] = serialize_keras_object(self.cell)
        if self.zero_output_for_mask:
            config["zero_output_for_mask"] = True
        if self._num_constants is not None:
            config["num_constants"] = self._num_constants
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        config = dict(config)
        num_constants = config.pop("num_constants", None)
        if isinstance(config.get("cell"), dict):
            config["cell"] = cell_from_config(config["cell"], custom_objects)
        layer = cls(**config)
        layer._num_constants = num_constants
        return layer
