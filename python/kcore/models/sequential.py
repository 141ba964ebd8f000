"""``Sequential``: a model that is a list of layers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from kcore.graph import Tensor
from kcore.layers.base import Layer, get_uid
from kcore.layers.input_layer import Input, InputLayer
from kcore.layers.node import flatten, history
from kcore.models.model import Model


class Sequential(Model):
    """Layers in a row, each reading what the one before it makes.

    Args:
        layers: the layers; more come with ``add``.
        name: the model's name.

    The shape of the input is given by the first layer's ``input_shape`` (or ``input_dim`` ...), by an
    ``Input``, or else by the first data that come.

    >>> model = Sequential([Dense(32, activation="relu", input_shape=(500,)), Dense(10)])
    """

    _UNTRACKED = Model._UNTRACKED | {"_stack"}

    def __init__(self, layers: Sequence[Layer] | None = None, name: str | None = None, **kwargs: Any):
        super().__init__(name=name or f"sequential_{get_uid('sequential')}", **kwargs)
        self._stack: list[Layer] = []
        self._input_tensor: Tensor | None = None
        for layer in layers or []:
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        return list(self.__dict__.get("_stack", []))

    def _nested(self) -> list[Layer]:
        return self.layers

    def add(self, layer: Any) -> None:
        """Append a layer (or ``Input``, at the beginning).

        Raises:
            TypeError: it isn't a layer. ValueError: it has several inputs or outputs, or its name is taken.
        """
        if isinstance(layer, Tensor):
            source = history(layer)
            if source is None or not isinstance(source.layer, InputLayer):
                raise TypeError(f"The added layer must be an instance of class Layer. Found: {layer!r}")
            layer = source.layer
        if not isinstance(layer, Layer):
            raise TypeError(f"The added layer must be an instance of class Layer. Found: {layer!r}")
        if any(layer.name == other.name for other in self._stack):
            raise ValueError(
                f'The name "{layer.name}" is used by another layer of this model. All layer names should be unique.'
            )
        if isinstance(layer, InputLayer):
            if self._stack or self._input_tensor is not None:
                raise ValueError("An Input must be the first layer of a Sequential model")
            self._input_tensor = layer._inbound_nodes[0].output_tensors[0]
            return
        if not self._stack and self._input_tensor is None:
            self._input_tensor = _input_of(layer)
        self._append(layer)

    def _append(self, layer: Layer) -> None:
        if self._input_tensor is None:
            self._stack.append(layer)
            return
        before = self.outputs[0] if self._stack else self._input_tensor
        output = layer(before)
        if len(flatten(output)) != 1:
            raise ValueError(
                "All layers in a Sequential model should have a single output tensor. For multi-output layers, "
                "use the functional API."
            )
        self._stack.append(layer)
        self._set_graph(output)

    def _set_graph(self, output: Tensor) -> None:
        self._inbound_nodes.clear()
        self._init_graph(self._input_tensor, output)

    def pop(self) -> None:
        """Remove the last layer. Raises ``TypeError`` if there is none."""
        if not self._stack:
            raise TypeError("There are no layers in the model.")
        layer = self._stack.pop()
        if self._input_tensor is None:
            return
        node = layer._inbound_nodes.pop()
        for source in node.inbound_layers:
            if node in source._outbound_nodes:
                source._outbound_nodes.remove(node)
        if self._stack:
            self._set_graph(node.input_tensors[0])
        else:
            self.inputs, self.outputs, self._topology, self.built = [], [], None, False
            self._inbound_nodes.clear()
            self._input_tensor = None

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of ``input_shape``, batch axis included."""
        if self._topology is not None or input_shape is None:
            return
        shape = tuple(input_shape)
        first = self._stack[0] if self._stack else None
        dtype = getattr(first, "_input_dtype", None)
        self._start(
            Input(batch_shape=shape, dtype=dtype, name=None if first is None else f"{first.name}_input")
        )

    def _build_on(self, tensors: list[Tensor]) -> None:
        if len(tensors) != 1:
            raise ValueError(f"A Sequential model takes one input, got {len(tensors)}")
        if not self._stack:
            raise ValueError(f"model '{self.name}' has no layers")
        self._start(tensors[0])

    def _start(self, tensor: Tensor) -> None:
        """Build a deferred model on its input."""
        pending, self._stack = self._stack, []
        self._input_tensor = tensor
        try:
            for layer in pending:
                self._append(layer)
        except Exception:
            self._stack, self._input_tensor = pending, None
            raise

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if self._topology is None:
            if not self._stack:
                return inputs
            self.build(inputs.shape)
        return super().call(inputs, training, mask)

    def get_config(self) -> dict[str, Any]:
        from kcore.layers.serialization import serialize

        layers = [serialize(layer) for layer in self.layers]
        config: dict[str, Any] = {"name": self.name, "layers": copy.deepcopy(layers)}
        if self._input_tensor is not None:
            shape = tuple(self._input_tensor.shape)
            config["build_input_shape"] = shape
            if (
                layers
                and "batch_input_shape" not in layers[0]["config"]
                and not isinstance(self.layers[0], Model)
            ):
                config["layers"][0]["config"]["batch_input_shape"] = shape
        return config

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """The model that ``config`` (from ``get_config``, or just the list of its layers) describes."""
        from kcore.layers.serialization import deserialize

        entries = config["layers"] if isinstance(config, dict) else config
        model = cls(name=config.get("name") if isinstance(config, dict) else None)
        for entry in entries:
            model.add(deserialize(entry, custom_objects))
        shape = config.get("build_input_shape") if isinstance(config, dict) else None
        if model._topology is None and shape and model._stack:
            model.build(shape)
        return model

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Any:
        """Class probabilities: ``predict``, with a warning where the outputs are no probabilities."""
        import warnings

        proba = self.predict(x, batch_size, verbose)
        if proba.size and (proba.min() < 0.0 or proba.max() > 1.0):
            warnings.warn(
                "Network returning invalid probability values. The last layer might not normalize predictions "
                "into probabilities (like softmax or sigmoid would).",
                stacklevel=2,
            )
        return proba

    def predict_classes(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> Any:
        """Class predictions: the index of the largest output, or whether a single output exceeds 0.5."""
        proba = self.predict(x, batch_size, verbose)
        return proba.argmax(axis=-1) if proba.shape[-1] > 1 else (proba > 0.5).astype("int32")


def _input_of(layer: Layer) -> Tensor | None:
    """A new input for a first layer that says its shape; ``None`` if it doesn't."""
    inner: Layer = layer
    while isinstance(inner, Sequential) and inner._topology is None and inner._stack:
        inner = inner._stack[0]
    if isinstance(inner, Model) and inner._topology is not None:
        if len(inner.inputs) != 1:
            raise ValueError("A Sequential model's first layer must have a single input")
        shape: Any = tuple(inner.inputs[0].shape)
        dtype: Any = inner.inputs[0].dtype
    else:
        shape = getattr(inner, "batch_input_shape", None)
        dtype = getattr(inner, "_input_dtype", None) or (inner.dtype if shape is not None else None)
    if shape is None:
        return None
    return Input(batch_shape=shape, dtype=dtype, name=f"{layer.name}_input")
