"""Layers that apply another layer: to each time step, or in both directions of time."""

from __future__ import annotations

from typing import Any

from kcore import ops
from kcore.graph import composite
from kcore.graph.primitives import identity
from kcore.layers.base import InputSpec, Layer, name_scope, name_scope_stack
from kcore.layers.node import flatten
from kcore.utils.serialization import (
    CustomObjectScope,
    deserialize_keras_object,
    serialize_keras_object,
)

__all__ = ["Bidirectional", "TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """A layer around another; the base of the two below.

    Args:
        layer: the wrapped layer.
    """

    def __init__(self, layer: Layer, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__} must be initialized with a Layer, got {layer!r}")
        super().__init__(**kwargs)
        self.layer: Any = layer

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def get_config(self) -> dict[str, Any]:
        return {**self._base_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        config = dict(config)
        layer = deserialize_keras_object(
            config.pop("layer"), custom_objects=custom_objects, printable_module_name="layer"
        )
        return cls(layer, **config)


class TimeDistributed(Wrapper):
    """Applies a layer to each time step of ``(batch, steps, ...)``.

    Args:
        layer: for inputs ``(batch, ...)``.

    The weights are the layer's. A mask ``(batch, steps)`` is passed on; one with more axes goes to the layer.
    """

    def __init__(self, layer: Layer, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.supports_masking = True
        self.input_spec = InputSpec(min_ndim=3)

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer._owner_name = self.name
            self.layer._build_once((input_shape[0], *input_shape[2:]))
        self.input_spec = InputSpec(shape=(None, None, *input_shape[2:]))
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        kwargs: dict[str, Any] = {}
        if training is not None and self.layer._call_takes("training"):
            kwargs["training"] = training
        if mask is not None and mask.ndim > 2 and self.layer._call_takes("mask"):
            kwargs["mask"] = _steps_as_batch(mask)
        y = self.layer(_steps_as_batch(inputs), **kwargs)
        return _batch_as_steps(y, inputs)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, *rest = self.layer.compute_output_shape((input_shape[0], *input_shape[2:]))
        return (batch, input_shape[1], *rest)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if mask is not None and mask.ndim == 2:
            return mask
        inner = None if mask is None else _steps_as_batch(mask)
        if inner is None and not self.layer.supports_masking:
            return None
        output_mask = self.layer.compute_mask(_steps_as_batch(inputs), inner)
        if output_mask is not None:
            return _batch_as_steps(output_mask, inputs)
        # What is left of the mask: the steps of which anything was unmasked.
        return mask if mask is None else ops.any(mask, axis=tuple(range(2, mask.ndim)))


def _merged_shape(x: Any) -> tuple:
    batch, steps, *rest = x.shape
    return ((None if batch is None or steps is None else batch * steps, *rest), x.dtype)


@composite(deferred=True, infer=_merged_shape)
def _steps_as_batch(x: Any) -> Any:
    return ops.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


@composite(deferred=True, infer=lambda y, x: ((*x.shape[:2], *y.shape[1:]), y.dtype))
def _batch_as_steps(y: Any, x: Any) -> Any:
    return ops.reshape(y, (*x.shape[:2], *y.shape[1:]))


class Bidirectional(Wrapper):
    """Runs a recurrent layer from the first step to the last, another from the last to the first.

    Args:
        layer: an RNN; the backward one is made from its config.
        merge_mode: how outputs are joined: ``"concat"``, ``"sum"``, ``"mul"``, ``"ave"``, or ``None`` for a
            list of both.
        weights: initial weights, those of the forward layer first.

    ``initial_state`` takes the forward states, then the backward ones; ``return_state`` gives them so.
    Schuster and Paliwal, 1997.
    """

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Any = None,
        **kwargs: Any,
    ):
        backward = kwargs.pop("backward_layer", None)
        if merge_mode not in ("sum", "mul", "ave", "concat", None):
            raise ValueError(
                'Invalid merge mode. Merge mode should be one of {"sum", "mul", "ave", "concat", None}, '
                f"got {merge_mode!r}"
            )
        if not hasattr(layer, "return_sequences"):
            raise ValueError(f"Bidirectional must be initialized with a recurrent layer, got {layer!r}")
        super().__init__(layer, weights=weights, **kwargs)
        self.layer: Any = layer
        self.merge_mode = merge_mode
        recurrent: Any = layer  # the isinstance above keeps only what Layer declares
        config = recurrent.get_config()
        plain_name = layer.name.removeprefix("forward_")
        self.forward_layer = _like(layer, {**config, "name": f"forward_{plain_name}"})
        if backward is None:
            backward_config = {**config, "name": f"backward_{plain_name}"}
            backward_config["go_backwards"] = not recurrent.go_backwards
            self.backward_layer = _like(layer, backward_config)
        else:
            self.backward_layer = backward
            self._check_backward()
        self._given_backward = backward
        self.stateful = recurrent.stateful
        self.return_sequences = recurrent.return_sequences
        self.return_state = recurrent.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec
        self._num_constants: int | None = None

    def _check_backward(self) -> None:
        for name in ("return_sequences", "return_state", "stateful"):
            if getattr(self.backward_layer, name) != getattr(self.layer, name):
                raise ValueError(f"Bidirectional: forward and backward layer differ in `{name}`")
        if self.backward_layer.go_backwards == self.layer.go_backwards:
            raise ValueError("Bidirectional: forward and backward layer must differ in `go_backwards`")

    def _nested(self) -> list[Layer]:
        return [self.forward_layer, self.backward_layer]

    def build(self, input_shape: Any = None) -> None:
        outer = [] if self.name in name_scope_stack() else [self.name]
        for layer in self._nested():
            scopes = [*outer, layer.name]
            _build_in(scopes, layer, input_shape)
        self.input_spec = None
        self.built = True

    def __call__(
        self, inputs: Any, *args: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any
    ) -> Any:
        if isinstance(inputs, (list, tuple)):
            extra = list(inputs[1:])
            if constants is None and self._num_constants:
                constants = extra[-self._num_constants :]
                extra = extra[: -self._num_constants]
            initial_state = extra or initial_state
            inputs = inputs[0]
        states, constants = flatten(initial_state or []), flatten(constants or [])
        if len(states) % 2:
            raise ValueError(
                "When passing `initial_state` to a Bidirectional RNN, the state should be a list containing "
                "the states of the underlying RNNs, forward ones first."
            )
        if constants:
            self._num_constants = len(constants)
        extra = [*states, *constants]
        if not extra:
            return super().__call__(inputs, *args, **kwargs)
        spec, self.input_spec = self.input_spec, None
        try:
            return super().__call__([inputs, *extra], *args, **kwargs)
        finally:
            self.input_spec = spec

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        x, *extra = [identity(t) for t in (inputs if isinstance(inputs, list) else [inputs])]
        constants = extra[len(extra) - (self._num_constants or 0) :]
        states = extra[: len(extra) - len(constants)]
        half = len(states) // 2
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        kwargs = {"mask": mask, "training": training, "constants": constants or None}
        forward = self.forward_layer(x, initial_state=states[:half] or None, **kwargs)
        backward = self.backward_layer(x, initial_state=states[half:] or None, **kwargs)
        new_states = []
        if self.return_state:
            new_states = [*forward[1:], *backward[1:]]
            forward, backward = forward[0], backward[0]
        if self.return_sequences:
            # Each in the order of the input's steps.
            if self.forward_layer.go_backwards:
                forward = ops.flip(forward, axis=1)
            else:
                backward = ops.flip(backward, axis=1)
        output = self._merged(forward, backward)
        if not self.return_state:
            return output
        return [*output, *new_states] if self.merge_mode is None else [output, *new_states]

    def _merged(self, forward: Any, backward: Any) -> Any:
        if self.merge_mode == "concat":
            return ops.concatenate([forward, backward], axis=-1)
        if self.merge_mode == "sum":
            return forward + backward
        if self.merge_mode == "ave":
            return (forward + backward) / 2
        if self.merge_mode == "mul":
            return forward * backward
        return [forward, backward]

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = self.forward_layer.compute_output_shape(input_shape)
        output, states = (shape[0], list(shape[1:])) if self.return_state else (shape, [])
        if self.merge_mode == "concat":
            output = (*output[:-1], output[-1] * 2)
        outputs = [output, output] if self.merge_mode is None else [output]
        result = [*outputs, *states, *states]
        return result if len(result) > 1 else output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if not self.return_sequences:
            mask = None
        outputs = [mask, mask] if self.merge_mode is None else [mask]
        states = [None] * (2 * len(self.layer.state_size)) if self.return_state else []
        result = [*outputs, *states]
        return result if len(result) > 1 else mask

    def reset_states(self, states: Any = None) -> None:
        """Set the states of both layers to zero, or to ``states``, the forward ones first."""
        half = None if states is None else len(states) // 2
        self.forward_layer.reset_states(None if half is None else states[:half])
        self.backward_layer.reset_states(None if half is None else states[half:])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["merge_mode"] = self.merge_mode
        if self._given_backward is not None:
            config["backward_layer"] = serialize_keras_object(self.backward_layer)
        if self._num_constants is not None:
            config["num_constants"] = self._num_constants
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        config = dict(config)
        num_constants = config.pop("num_constants", None)
        if isinstance(config.get("backward_layer"), dict):
            config["backward_layer"] = deserialize_keras_object(
                config["backward_layer"], custom_objects=custom_objects, printable_module_name="layer"
            )
        layer = super().from_config(config, custom_objects)
        layer._num_constants = num_constants
        return layer


def _build_in(scopes: list[str], layer: Layer, input_shape: Any) -> None:
    if not scopes:
        layer._build_once(input_shape)
        return
    with name_scope(scopes[0]):
        _build_in(scopes[1:], layer, input_shape)


def _like(layer: Any, config: dict[str, Any]) -> Any:
    """A new layer of the class of ``layer``, whose own classes need not be registered."""
    cells = [layer.cell, *getattr(layer.cell, "cells", [])] if hasattr(layer, "cell") else []
    with CustomObjectScope({type(c).__name__: type(c) for c in cells}):
        return type(layer).from_config(config)
