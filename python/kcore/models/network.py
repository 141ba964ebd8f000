"""``Network``: a graph of layers that is itself a layer."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcore.graph import Tensor, Variable
from kcore.layers.base import Layer
from kcore.layers.input_layer import Input
from kcore.layers.node import Node, flatten, history, map_structure, unpack
from kcore.lookup import suggestion
from kcore.models.graph_network import Topology, build_from_config, call_nodes, network_config


class Network(Layer):
    """The layers between ``inputs`` and ``outputs``; the part of ``Model`` that doesn't train."""

    def __init__(self, *args: Any, **kwargs: Any):
        inputs, outputs, name, base = _split_arguments(args, kwargs)
        super().__init__(name=name, **base)
        self.supports_masking = True
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._topology: Topology | None = None
        if inputs is not None or outputs is not None:
            if inputs is None or outputs is None:
                raise ValueError(f"{type(self).__name__} takes inputs and outputs together, or neither")
            self._init_graph(inputs, outputs)

    def _init_graph(self, inputs: Any, outputs: Any) -> None:
        self.inputs = flatten(inputs)
        self.outputs = flatten(outputs)
        for what, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            for t in tensors:
                if not isinstance(t, Tensor):
                    raise TypeError(
                        f"Model {what} must be symbolic tensors (from Input or a layer), found {t!r}"
                    )
                if history(t) is None:
                    raise ValueError(
                        f"Model {what} must come from `Input` or from a layer, found {t!r}, which an op made. "
                        "Wrap the op in a Lambda layer."
                    )
        if len({id(t) for t in self.inputs}) != len(self.inputs):
            raise ValueError(
                "The list of inputs passed to the model is redundant. All inputs should only appear once."
            )
        self._input_structure, self._output_structure = inputs, outputs
        self._topology = Topology(self.inputs, self.outputs, self.name)
        names = [layer.name for layer in self._topology.layers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f'The name "{name}" is used {names.count(name)} times in the model. '
                    "All layer names should be unique."
                )
        self._layers = list(self._topology.layers)
        self.input_names = [history(t).layer.name for t in self.inputs]  # type: ignore[union-attr]
        self.output_names = _output_names(self.outputs)
        self.built = True
        if not self._inbound_nodes:
            self._record_own_call()

    def _init_subclassed(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """The computation of a model that is defined by its ``call``."""
        self.inputs, self.outputs = inputs, outputs
        self.input_names = [history(t).layer.name for t in inputs]  # type: ignore[union-attr]
        self.output_names = [f"output_{i + 1}" for i in range(len(outputs))]
        self.built = True

    def _record_own_call(self) -> None:
        """A model counts as called once on its own inputs."""
        masks_in = [getattr(t, "_keras_mask", None) for t in self.inputs]
        masks_out = [getattr(t, "_keras_mask", None) for t in self.outputs]
        shapes_in = [tuple(t.shape) for t in self.inputs]
        shapes_out = [tuple(t.shape) for t in self.outputs]
        Node(self, [], [], [], self.inputs, self.outputs, masks_in, masks_out, shapes_in, shapes_out)

    # Layers and weights.

    @property
    def layers(self) -> list[Layer]:
        return [layer for layer in self._layers if isinstance(layer, Layer)]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name or at that index. Raises ``ValueError`` if there is none."""
        if index is not None:
            if len(self.layers) <= index:
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(self.layers)} layers."
                )
            return self.layers[index]
        if name is None:
            raise ValueError("Provide either a layer name or layer index.")
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"No such layer: {name}{suggestion(name, {layer.name: layer for layer in self.layers})}"
        )

    @property
    def weights(self) -> list[Variable]:
        """All weights, layer by layer: the order of ``get_weights`` and of weight files."""
        found = [w for layer in self.layers for w in layer.weights]
        own = [*self._trainable_weights, *self._non_trainable_weights]
        return list({id(w): w for w in [*own, *found]}.values())

    variables = weights  # type: ignore[assignment]

    @property
    def stateful(self) -> bool:
        return any(getattr(layer, "stateful", False) for layer in self.__dict__.get("_layers", []))

    @stateful.setter
    def stateful(self, value: bool) -> None:
        if value:
            raise AttributeError("a model is stateful if one of its layers is")

    def reset_states(self) -> None:
        """Set the states of all stateful layers to zero."""
        for layer in self.layers:
            if hasattr(layer, "reset_states") and getattr(layer, "stateful", False):
                layer.reset_states()

    @property
    def state_updates(self) -> list[tuple[Variable, Tensor]]:
        """The assignments that prediction makes too: the states of stateful layers."""
        return [u for layer in self.layers if getattr(layer, "stateful", False) for u in layer.updates]

    @property
    def uses_learning_phase(self) -> bool:
        from kcore.graph.phase import LEARNING_PHASE
        from kcore.graph.tensor import ancestors

        return any(LEARNING_PHASE is t for node in ancestors(self.outputs) for t in node.outputs)

    def _relevant(self, collect: Callable[[Layer, Any], list]) -> list:
        """What layers hold for no particular call, and for the calls that this model makes of them."""
        assert self._topology is not None
        found: list = []
        seen: set[int] = set()
        for layer in self.layers:
            found += collect(layer, None)
        for node in self._topology.nodes:
            if node.inbound_layers:
                found += collect(node.outbound_layer, node.input_tensors)
        unique = []
        for item in found:
            key = id(item[1]) if isinstance(item, tuple) else id(item)
            if key not in seen:
                seen.add(key)
                unique.append(item)
        return unique

    @property
    def losses(self) -> list[Tensor]:
        if self._topology is None:
            return super().losses
        own = [loss() if callable(loss) else loss for _, loss in self._added_losses]
        return [*own, *self._relevant(lambda layer, inputs: layer.get_losses_for(inputs))]

    @property
    def updates(self) -> list[tuple[Variable, Tensor]]:
        if not self.trainable and not self.stateful:
            return []
        if self._topology is None:
            return super().updates
        own = [u for _, u in self._added_updates]
        return [*own, *self._relevant(lambda layer, inputs: layer.get_updates_for(inputs))]

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        found = super().get_losses_for(inputs)
        if inputs is not None:
            key = tuple(id(t) for t in flatten(inputs))
            found += self._losses_of_calls.get(key, [])
        return found

    def get_updates_for(self, inputs: Any) -> list[tuple[Variable, Tensor]]:
        if not self.trainable and not self.stateful:
            return []
        found = [u for k, u in self._added_updates if (inputs is None) == (k is None)]
        if inputs is not None:
            found += self._updates_of_calls.get(tuple(id(t) for t in flatten(inputs)), [])
        return found

    # Calling.

    @property
    def _losses_of_calls(self) -> dict[tuple, list]:
        return self.__dict__.setdefault("_losses_by_call", {})

    @property
    def _updates_of_calls(self) -> dict[tuple, list]:
        return self.__dict__.setdefault("_updates_by_call", {})

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Apply the layers to ``inputs``."""
        if self._topology is None:
            raise NotImplementedError(
                f"{type(self).__name__} has neither inputs and outputs nor a `call` method of its own"
            )
        values = self._match_inputs(inputs)
        masks = flatten(mask) if mask is not None else [None] * len(values)
        before = {id(layer): len(layer._inbound_nodes) for layer in self.layers}
        made = call_nodes(self._topology.nodes, self.inputs, values, masks)
        key = tuple(id(t) for t in flatten(inputs))
        for layer in self.layers:
            for node in layer._inbound_nodes[before[id(layer)] :]:
                self._losses_of_calls.setdefault(key, []).extend(layer.get_losses_for(node.input_tensors))
                self._updates_of_calls.setdefault(key, []).extend(layer.get_updates_for(node.input_tensors))
            self._forget_calls(layer, before[id(layer)])
        return map_structure(lambda t: made[id(t)], self._output_structure)

    def _forget_calls(self, layer: Layer, count: int) -> None:
        """A layer inside a model that is called again is not called by the outer graph: drop its nodes."""
        for node in layer._inbound_nodes[count:]:
            for source in node.inbound_layers:
                if node in source._outbound_nodes:
                    source._outbound_nodes.remove(node)
            for t in node.output_tensors:
                t.__dict__.pop("_keras_history", None)
        del layer._inbound_nodes[count:]

    def _match_inputs(self, inputs: Any) -> list[Tensor]:
        if isinstance(inputs, dict):
            missing = [n for n in self.input_names if n not in inputs]
            if missing:
                raise ValueError(f"model '{self.name}' was called without its inputs {missing}")
            values = [inputs[n] for n in self.input_names]
        else:
            values = flatten(inputs)
        if len(values) != len(self.inputs):
            raise ValueError(
                f"model '{self.name}' has {len(self.inputs)} inputs, but was called on {len(values)} tensors"
            )
        for own, given in zip(self.inputs, values, strict=True):
            if len(own.shape) != len(given.shape) or any(
                a is not None and b is not None and a != b
                for a, b in zip(own.shape[1:], given.shape[1:], strict=True)
            ):
                raise ValueError(
                    f"model '{self.name}' takes an input of shape {tuple(own.shape)}, "
                    f"but was called on {tuple(given.shape)}"
                )
        return [_as_dtype(v, t.dtype) for v, t in zip(values, self.inputs, strict=True)]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if self._topology is None:
            return super().compute_mask(inputs, mask)
        return None

    def _set_mask(self, inputs: Any, mask: Any, outputs: Any) -> None:
        """The masks were made with the outputs."""
        for t in flatten(outputs):
            if not hasattr(t, "_keras_mask"):
                t._keras_mask = None

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._topology is None:
            return super().compute_output_shape(input_shape)
        shapes = (
            [input_shape]
            if input_shape and not isinstance(input_shape[0], (tuple, list))
            else list(input_shape)
        )
        tensors = [Input(batch_shape=s, dtype=t.dtype) for s, t in zip(shapes, self.inputs, strict=True)]
        made = self.call(unpack(tensors))
        return map_structure(lambda t: tuple(t.shape), made)

    @property
    def input_spec(self) -> Any:
        return None

    @input_spec.setter
    def input_spec(self, value: Any) -> None:
        pass

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        """A functional model's layers and their calls, as plain values."""
        from kcore.layers.serialization import serialize

        if self._topology is None:
            raise NotImplementedError(f"{type(self).__name__} is defined by its code; it has no config")
        return copy.deepcopy(network_config(self, serialize))

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """The model that ``config`` describes, with new weights."""
        from kcore.layers.serialization import deserialize

        inputs, outputs = build_from_config(config, lambda entry: deserialize(entry, custom_objects))
        return cls(inputs=inputs, outputs=outputs, name=config.get("name"))

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON (no weights); ``kwargs`` go to ``json.dumps``."""
        from kcore.saving.config import model_description, plain

        return json.dumps(model_description(self), default=plain, **kwargs)

    def to_yaml(self, **kwargs: Any) -> str:
        raise RuntimeError("to_yaml is not supported, because loading YAML can run code; use to_json")

    def count_params(self) -> int:
        if not self.built:
            return super().count_params()
        return int(sum(np.prod(w.shape, dtype=np.int64) for w in self.weights))

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of parameters."""
        from kcore.utils.layer_utils import print_summary

        if not self.built:
            raise ValueError(
                "This model has not yet been built. Build the model first by calling build() or calling fit() "
                "with some data. Or specify input_shape or batch_input_shape in the first layer for automatic build."
            )
        print_summary(self, line_length=line_length, positions=positions, print_fn=print_fn)


def _split_arguments(args: tuple, kwargs: dict) -> tuple[Any, Any, str | None, dict]:
    """``Network(inputs, outputs, name)``, with ``input=``/``output=`` of older scripts as synonyms."""
    base = dict(kwargs)
    inputs = base.pop("inputs", base.pop("input", None))
    outputs = base.pop("outputs", base.pop("output", None))
    name = base.pop("name", None)
    positional = list(args)
    if positional and inputs is None:
        inputs = positional.pop(0)
    if positional and outputs is None:
        outputs = positional.pop(0)
    if positional and name is None:
        name = positional.pop(0)
    if positional:
        raise TypeError(f"a model takes inputs, outputs and a name; got {len(args)} positional arguments")
    return inputs, outputs, name, base


def _output_names(outputs: Sequence[Tensor]) -> list[str]:
    """The names of the layers that make the outputs; a second output of one layer gets a number."""
    names: list[str] = []
    for t in outputs:
        base = name = history(t).layer.name  # type: ignore[union-attr]
        number = 1
        while name in names:
            name = f"{base}_{number}"
            number += 1
        names.append(name)
    return names


def _as_dtype(tensor: Any, dtype: str) -> Tensor:
    from kcore.graph.primitives import cast

    if tensor.dtype == dtype:
        return tensor
    converted = cast(tensor, dtype)
    mask = getattr(tensor, "_keras_mask", None)
    if mask is not None:
        converted._keras_mask = mask
    return converted
