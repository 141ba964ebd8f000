"""Copies of a model with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcore.graph import Tensor
from kcore.layers.base import Layer
from kcore.layers.input_layer import Input, InputLayer
from kcore.layers.node import flatten, history, map_structure
from kcore.models.graph_network import call_nodes
from kcore.models.model import Model
from kcore.models.sequential import Sequential


def clone_model(
    model: Model, input_tensors: Any = None, clone_function: Callable[[Layer], Layer] | None = None
) -> Model:
    """A model of the same architecture with newly initialised weights.

    Args:
        model: a ``Sequential`` or a functional ``Model``.
        input_tensors: tensors to build the copy on; new inputs if ``None``.
        clone_function: makes each layer's copy; from its config if ``None``.

    Raises:
        ValueError: ``model`` is neither, or ``input_tensors`` don't fit it.
    """
    copy_layer = clone_function or (lambda layer: type(layer).from_config(layer.get_config()))
    if type(model) is Sequential and input_tensors is None and model._topology is None:
        return Sequential([copy_layer(layer) for layer in model.layers], name=model.name)
    if model._topology is None:
        raise ValueError(f"clone_model needs a Sequential or functional model, got {type(model).__name__}")
    given = flatten(input_tensors) if input_tensors is not None else [None] * len(model.inputs)
    if len(given) != len(model.inputs):
        raise ValueError(
            f"clone_model: the model has {len(model.inputs)} inputs, but {len(given)} tensors were given"
        )
    inputs = [_as_input(t, original) for t, original in zip(given, model.inputs, strict=True)]
    copies: dict[int, Layer] = {}

    def copy_of(layer: Layer) -> Layer:
        if id(layer) not in copies:
            copies[id(layer)] = (
                clone_model(layer, clone_function=clone_function)
                if isinstance(layer, Model) and layer._topology is not None
                else copy_layer(layer)
            )
        return copies[id(layer)]

    if type(model) is Sequential:
        clone = Sequential(name=model.name)
        clone._input_tensor = inputs[0]
        for layer in model.layers:
            clone.add(copy_of(layer))
        return clone
    made = call_nodes(model._topology.nodes, model.inputs, inputs, [None] * len(inputs), copy_of)
    by_input = iter(inputs)
    return type(model)(
        inputs=map_structure(lambda _: next(by_input), model._input_structure),
        outputs=map_structure(lambda t: made[id(t)], model._output_structure),
        name=model.name,
    )


def _as_input(given: Tensor | None, original: Tensor) -> Tensor:
    name = history(original).layer.name  # type: ignore[union-attr]
    if given is None:
        return Input(batch_shape=original.shape, dtype=original.dtype, name=name)
    source = history(given)
    if source is not None and isinstance(source.layer, InputLayer):
        return given
    return Input(tensor=given, name=f"input_wrapper_for_{name}")
