"""How a model remembers which layer was called on which tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from kcore.graph import Tensor
from kcore.graph.structure import flatten, map_structure

__all__ = ["History", "Node", "flatten", "history", "map_structure", "unpack"]

if TYPE_CHECKING:
    from kcore.layers.base import Layer


class History(NamedTuple):
    """Where a tensor comes from: the layer, which of its calls, which output of that call."""

    layer: Layer
    node_index: int
    tensor_index: int


class Node:
    """One call of a layer: the tensors that went in and came out, and the layers they came from.

    Kept as ``_inbound_nodes`` of the layer that was called and as ``_outbound_nodes`` of those before it.
    """

    def __init__(
        self,
        outbound_layer: Layer,
        inbound_layers: list[Layer],
        node_indices: list[int],
        tensor_indices: list[int],
        input_tensors: list[Tensor],
        output_tensors: list[Tensor],
        input_masks: list[Tensor | None],
        output_masks: list[Tensor | None],
        input_shapes: list[tuple],
        output_shapes: list[tuple],
        arguments: dict[str, Any] | None = None,
    ):
        self.outbound_layer = outbound_layer
        self.inbound_layers = inbound_layers
        self.node_indices = node_indices
        self.tensor_indices = tensor_indices
        self.input_tensors = input_tensors
        self.output_tensors = output_tensors
        self.input_masks = input_masks
        self.output_masks = output_masks
        self.input_shapes = input_shapes
        self.output_shapes = output_shapes
        self.arguments = arguments or {}
        self.structure: Any = None  # the inputs as they were nested in the call
        for layer in inbound_layers:
            if layer is not None:
                layer._outbound_nodes.append(self)
        outbound_layer._inbound_nodes.append(self)

    def get_config(self) -> dict[str, Any]:
        return {
            "outbound_layer": self.outbound_layer.name,
            "inbound_layers": [layer.name for layer in self.inbound_layers],
            "node_indices": self.node_indices,
            "tensor_indices": self.tensor_indices,
        }


def history(tensor: Any) -> History | None:
    """The call that made ``tensor``; ``None`` if it isn't a layer's output."""
    return getattr(tensor, "_keras_history", None)


def unpack(items: Sequence) -> Any:
    """The one item of a sequence of length one, else the sequence as a list."""
    return items[0] if len(items) == 1 else list(items)
