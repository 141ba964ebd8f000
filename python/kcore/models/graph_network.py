"""Walks the calls between a model's inputs and outputs, and rebuilds them: on new tensors, from a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcore.graph import Tensor
from kcore.layers.base import Layer
from kcore.layers.node import Node, flatten, history, map_structure


class Topology:
    """The nodes and layers between ``inputs`` and ``outputs``, in the order in which Keras keeps them.

    ``layers``: by decreasing distance from the outputs, then in the order of a walk from the outputs
    (files list layers and weights in this order). ``nodes``: each after those it reads from.
    """

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], model_name: str):
        self.nodes: list[Node] = []
        self.layers: list[Layer] = []
        self._inputs = {id(t) for t in inputs}
        order: dict[int, int] = {}  # layer id -> index in the walk
        visited: dict[int, Node] = {}
        for tensor in outputs:
            self._walk(tensor, order, visited)
        self.nodes = list(visited.values())
        self._sort_layers(inputs, order)
        self._check_connected(inputs, model_name)

    def _walk(self, output: Tensor, order: dict[int, int], visited: dict[int, Node]) -> None:
        """Depth first, without recursion: a deep model must not overflow the stack."""
        active: set[int] = set()
        stack: list[tuple[Node, int]] = []

        def enter(tensor: Tensor) -> None:
            source = history(tensor)
            if source is None:
                return
            node = source.layer._inbound_nodes[source.node_index]
            if id(node) in active:
                raise ValueError(f"layer '{source.layer.name}' is part of a cycle")
            if id(node) in visited:
                return
            order.setdefault(id(source.layer), len(order))
            active.add(id(node))
            stack.append((node, 0))

        enter(output)
        while stack:
            node, index = stack.pop()
            is_entry = any(id(t) in self._inputs for t in node.output_tensors)
            sources = [] if is_entry else node.input_tensors
            if node.inbound_layers and index < len(sources):
                stack.append((node, index + 1))
                enter(sources[index])
            else:
                active.discard(id(node))
                visited[id(node)] = node

    def _sort_layers(self, inputs: Sequence[Tensor], order: dict[int, int]) -> None:
        depths: dict[int, int] = {}
        layer_depths: dict[int, int] = {}
        layers: dict[int, Layer] = {}
        by_output = {id(t): node for node in self.nodes for t in node.output_tensors}
        for node in reversed(self.nodes):
            layer = node.outbound_layer
            depth = max(depths.get(id(node), 0), layer_depths.get(id(layer), 0))
            depths[id(node)] = depth
            layer_depths[id(layer)] = depth
            layers[id(layer)] = layer
            for t in node.input_tensors if node.inbound_layers else []:
                before = by_output.get(id(t))
                if before is not None:
                    depths[id(before)] = max(depths.get(id(before), 0), depth + 1)
        for tensor in inputs:  # an input that no output depends on stands with the deepest
            source = history(tensor)
            if source is not None and id(source.layer) not in layers:
                layers[id(source.layer)] = source.layer
                layer_depths[id(source.layer)] = 0
                order[id(source.layer)] = -1
        self.layers = sorted(layers.values(), key=lambda layer: (-layer_depths[id(layer)], order[id(layer)]))

    def _check_connected(self, inputs: Sequence[Tensor], model_name: str) -> None:
        made = set(self._inputs)
        for node in self.nodes:
            for t in node.input_tensors if node.inbound_layers else []:
                if id(t) not in made:
                    raise ValueError(
                        f"Graph disconnected: cannot obtain value for tensor {t!r} at layer "
                        f'"{node.outbound_layer.name}" of model "{model_name}". '
                        "Is an Input missing from the model's inputs?"
                    )
            if not node.inbound_layers and not any(id(t) in self._inputs for t in node.output_tensors):
                raise ValueError(
                    f"Graph disconnected: layer '{node.outbound_layer.name}' is an input of the computation "
                    f'but not among the inputs of model "{model_name}".'
                )
            made.update(id(t) for t in node.output_tensors)


def call_nodes(
    nodes: Sequence[Node],
    inputs: Sequence[Tensor],
    values: Sequence[Tensor],
    masks: Sequence[Tensor | None],
    layer_of: Callable[[Layer], Layer] = lambda layer: layer,
) -> dict[int, Tensor]:
    """Repeat the calls of ``nodes`` with ``values`` in place of ``inputs``; the new tensors by old id.

    ``layer_of`` may give another layer to call in each one's place.
    """
    made: dict[int, Tensor] = {}
    for old, new, mask in zip(inputs, values, masks, strict=True):
        if mask is not None:
            new._keras_mask = mask  # type: ignore[attr-defined]
        made[id(old)] = new
    for node in nodes:
        if all(id(t) in made for t in node.output_tensors) or not node.inbound_layers:
            continue
        arguments = {
            k: map_structure(lambda v: made.get(id(v), v), v) if k != "mask" else v
            for k, v in node.arguments.items()
        }
        if "mask" in arguments and arguments["mask"] is not None:
            arguments.pop("mask")
        results = layer_of(node.outbound_layer)(
            map_structure(lambda t: made[id(t)], node.structure), **arguments
        )
        for old, new in zip(node.output_tensors, flatten(results), strict=True):
            made[id(old)] = new
    return made


def network_config(model: Any, serialize_layer: Callable[[Layer], dict]) -> dict[str, Any]:
    """The config of a functional model: its layers, each with the calls that this model makes of it."""
    own = {id(node) for node in model._topology.nodes}
    new_index: dict[tuple[int, int], int] = {}
    for layer in model.layers:
        kept = [i for i, node in enumerate(layer._inbound_nodes) if id(node) in own]
        for position, i in enumerate(kept):
            new_index[(id(layer), i)] = position

    def reference(tensor: Tensor) -> list:
        layer, node_index, tensor_index = tensor._keras_history  # type: ignore[attr-defined]
        return [layer.name, new_index.get((id(layer), node_index), 0), tensor_index]

    configs = []
    for layer in model.layers:
        calls = []
        for i, node in enumerate(layer._inbound_nodes):
            if (id(layer), i) not in new_index or not node.inbound_layers:
                continue
            arguments = {k: _plain_argument(v, reference) for k, v in node.arguments.items() if v is not None}
            calls.append([[*reference(t), arguments] for t in node.input_tensors])
        entry = serialize_layer(layer)
        configs.append({"name": layer.name, **entry, "inbound_nodes": calls})
    return {
        "name": model.name,
        "layers": configs,
        "input_layers": [reference(t) for t in model.inputs],
        "output_layers": [reference(t) for t in model.outputs],
    }


def _plain_argument(value: Any, reference: Callable[[Tensor], list]) -> Any:
    if isinstance(value, Tensor):
        return {"class_name": "__keras_tensor__", "config": {"keras_history": reference(value)}}
    if isinstance(value, (list, tuple)):
        return [_plain_argument(v, reference) for v in value]
    return value


def build_from_config(
    config: dict[str, Any], deserialize_layer: Callable[[dict], Layer]
) -> tuple[list, list]:
    """The inputs and outputs of the functional model that ``config`` describes."""
    layers: dict[str, Layer] = {}
    outputs_of: dict[tuple[str, int], list[Tensor]] = {}
    pending: list[tuple[str, int, Any]] = []
    for entry in config["layers"]:
        layer = deserialize_layer(entry)
        name = entry.get("name") or layer.name
        layers[name] = layer
        if layer._inbound_nodes and not entry["inbound_nodes"]:
            outputs_of[(name, 0)] = layer._inbound_nodes[0].output_tensors
        first = _first_call(name, config) if layer._inbound_nodes else 0
        pending += [(name, first + i, call) for i, call in enumerate(entry["inbound_nodes"])]

    while pending:
        waiting = []
        for name, index, call in pending:
            inputs, arguments = _call_arguments(call, outputs_of)
            if inputs is None:
                waiting.append((name, index, call))
                continue
            result = layers[name](inputs, **arguments)
            outputs_of[(name, index)] = flatten(result)
        if len(waiting) == len(pending):
            names = sorted({name for name, _, _ in waiting})
            raise ValueError(
                f"the config's layers {names} read from layers that it doesn't hold, or from each other"
            )
        pending = waiting

    def tensors(references: Any) -> list[Tensor]:
        if references and isinstance(references[0], str):
            references = [references]
        return [outputs_of[(name, node)][index] for name, node, index in references]

    return tensors(config["input_layers"]), tensors(config["output_layers"])


def _first_call(name: str, config: dict[str, Any]) -> int:
    """The number of a nested model's first call: tf.keras counts from 1, after the model's own making."""
    numbers = []

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                visit(item)
        elif isinstance(value, (list, tuple)):
            if len(value) >= 3 and value[0] == name and isinstance(value[1], int):
                numbers.append(value[1])
            for item in value:
                visit(item)

    for entry in config["layers"]:
        visit(entry["inbound_nodes"])
    visit(config["output_layers"])
    return min(numbers, default=0)


def _call_arguments(call: Any, outputs_of: dict[tuple[str, int], list[Tensor]]) -> tuple[Any, dict]:
    """The tensors and keyword arguments of one recorded call; ``None`` while an input isn't there yet."""
    if isinstance(call, dict):
        return _newer_call_arguments(call, outputs_of)
    inputs, arguments = [], {}
    for name, node, index, *rest in call:
        if (name, node) not in outputs_of:
            return None, {}
        inputs.append(outputs_of[(name, node)][index])
        if rest:
            arguments = dict(rest[0])
    resolved = {}
    for key, value in arguments.items():
        tensor = _resolve(value, outputs_of)
        if tensor is _MISSING:
            return None, {}
        resolved[key] = tensor
    return (inputs[0] if len(inputs) == 1 else inputs), resolved


_MISSING = object()


def _resolve(value: Any, outputs_of: dict[tuple[str, int], list[Tensor]]) -> Any:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, node, index = value["config"]["keras_history"]
        made = outputs_of.get((name, node))
        return _MISSING if made is None else made[index]
    if isinstance(value, (list, tuple)):
        # tf.keras writes a tensor argument as [layer name, node index, tensor index]
        if len(value) == 3 and isinstance(value[0], str) and (value[0], value[1]) in outputs_of:
            return outputs_of[(value[0], value[1])][value[2]]
        items = [_resolve(v, outputs_of) for v in value]
        return _MISSING if any(v is _MISSING for v in items) else items
    return value


def _newer_call_arguments(call: dict, outputs_of: dict[tuple[str, int], list[Tensor]]) -> tuple[Any, dict]:
    """Keras 3 writes a call as ``{"args": [...], "kwargs": {...}}``."""
    args = _resolve(call["args"], outputs_of)
    if args is _MISSING:
        return None, {}
    kwargs = {}
    for key, value in call.get("kwargs", {}).items():
        resolved = _resolve(value, outputs_of)
        if resolved is _MISSING:
            return None, {}
        if not (key == "mask" or resolved is None):
            kwargs[key] = resolved
    return args[0] if len(args) == 1 else list(args), kwargs
