"""Counting a model's parameters and printing its table of layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def count_params(weights) -> int:
    """Number of scalars in a list of weights; a weight that occurs twice counts once."""
    distinct = {id(weight): weight for weight in weights}
    return sum(math.prod(weight.shape) for weight in distinct.values())


def print_summary(
    model,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    print_fn: Callable[[str], object] | None = None,
) -> None:
    """Prints a table of a model's layers, output shapes, parameters and, where layers branch, connections.

    Args:
        model: a built model.
        line_length: width in characters; default 65, or 98 with the column of connections.
        positions: where the columns end, as fractions of the width or in characters.
        print_fn: takes each line instead of ``print``.
    """
    show = print_fn or print
    sequential = _is_sequential(model)
    line_length = line_length or (65 if sequential else 98)
    columns = list(positions or ((0.45, 0.85, 1.0) if sequential else (0.33, 0.55, 0.67, 1.0)))
    ends = [int(line_length * end) for end in columns] if columns[-1] <= 1 else [int(end) for end in columns]
    heads = ["Layer (type)", "Output Shape", "Param #"] + ([] if sequential else ["Connected to"])

    def row(fields: Sequence[object]) -> None:
        line = ""
        for field, end in zip(fields, ends, strict=False):
            line = (line[:-1] + " " if line else "") + str(field)
            line = line[:end].ljust(end)
        show(line)

    show(f'Model: "{model.name}"')
    show("_" * line_length)
    row(heads)
    show("=" * line_length)
    for number, layer in enumerate(model.layers, start=1):
        fields = [f"{layer.name} ({type(layer).__name__})", _output_shape(layer), layer.count_params()]
        connections = [] if sequential else _connections(layer, model)
        row([*fields, *connections[:1]])
        for connection in connections[1:]:
            row(["", "", "", connection])
        show(("=" if number == len(model.layers) else "_") * line_length)

    trainable = count_params(model.trainable_weights)
    frozen = count_params(model.non_trainable_weights)
    show(f"Total params: {trainable + frozen:,}")
    show(f"Trainable params: {trainable:,}")
    show(f"Non-trainable params: {frozen:,}")
    show("_" * line_length)


def _output_shape(layer) -> object:
    try:
        return layer.output_shape
    except AttributeError:
        return "multiple"
    except RuntimeError:  # a layer that has never been called
        return "?"


def _model_nodes(layer, model) -> list:
    """The layer's calls that belong to this model: a shared layer may have others elsewhere."""
    members = {id(member) for member in model.layers}
    return [
        node
        for node in layer._inbound_nodes
        if all(id(source) in members for source in _as_list(node.inbound_layers))
    ]


def _as_list(value) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _is_sequential(model) -> bool:
    """Whether every layer feeds just the next one, so that a column of connections would say nothing."""
    if any(base.__name__ == "Sequential" for base in type(model).__mro__):
        return True
    if not all(hasattr(layer, "_inbound_nodes") for layer in model.layers):
        return True
    previous = None
    for layer in model.layers:
        nodes = _model_nodes(layer, model)
        if len(nodes) > 1:
            return False
        sources = _as_list(nodes[0].inbound_layers) if nodes else []
        if previous is not None and (len(sources) != 1 or sources[0] is not previous):
            return False
        previous = layer
    return True


def _connections(layer, model) -> list[str]:
    return [
        f"{source.name}[{node_index}][{tensor_index}]"
        for node in _model_nodes(layer, model)
        for source, node_index, tensor_index in zip(
            _as_list(node.inbound_layers),
            _as_list(node.node_indices),
            _as_list(node.tensor_indices),
            strict=False,
        )
    ]
