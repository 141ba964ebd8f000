"""One step of a recurrent network: SimpleRNNCell, GRUCell, LSTMCell, and cells on top of each other."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import activations, backend, constraints, initializers, ops, regularizers
from kcore.graph import rng
from kcore.layers.base import Layer, name_scope
from kcore.layers.node import flatten
from kcore.utils.serialization import deserialize_keras_object, serialize_keras_object

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


class GatedCell(Layer):
    """What the three cells share: weights for ``gates`` gates side by side, and dropout.

    A step is split so that what doesn't depend on the state, ``project``, can be done for all time steps in one
    product, and ``step`` does the rest. ``call`` is one after the other.

    Args:
        units: the length of the state.
        activation: of the candidate. use_bias: whether to add a bias.
        dropout: the fraction of the inputs to drop. recurrent_dropout: of the previous state.
            Both masks are drawn once and stay the same for all time steps (https://arxiv.org/abs/1512.05287).
    """

    gates = 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **kwargs: Any,
    ):
        self.seed = kwargs.pop("seed", None)
        super().__init__(**kwargs)
        if int(units) != units or units <= 0:
            raise ValueError(f"{type(self).__name__}: `units` must be a positive integer, got {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.state_size: Any = self.units
        self.output_size = self.units

    def build(self, input_shape: tuple) -> None:
        width = self.gates * self.units
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], width),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel: Any = self.add_weight(
            "recurrent_kernel",
            (self.units, width),
            initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias: Any = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                self.bias_shape(),
                initializer=self.initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return self.bias_initializer(shape, dtype=dtype)

    def masks(
        self, inputs: Any, states: Sequence[Any], training: Any = None, place: tuple[str, str] | None = None
    ) -> tuple[Any, Any]:
        """The dropout masks of inputs ``(..., batch, features)`` and state, ``None`` where nothing is dropped.

        ``place``, the name of the layer that runs the cell and the number of its call, determines the random
        numbers where no seed does.
        """

        def mask(rate: float, like: Any, what: str) -> Any:
            if not 0 < rate < 1:
                return None
            layer, call = place or (self.name, "")
            offset = ("dropout", "recurrent_dropout").index(what)
            seed = rng.LayerKey(layer, f"{call}/{what}") if self.seed is None else self.seed + offset
            return backend.in_train_phase(lambda: backend.dropout(like, rate, seed=seed), like, training)

        features = backend.ones_for_batch(states[0], inputs.shape[-1])
        state = backend.ones_for_batch(states[0], self.units)
        return mask(self.dropout, features, "dropout"), mask(
            self.recurrent_dropout, state, "recurrent_dropout"
        )

    def project(self, inputs: Any, mask: Any = None) -> Any:
        """What the gates take from the inputs, of one time step or of many along the first axis."""
        y = ops.matmul(inputs if mask is None else inputs * mask, self.kernel)
        return y + self.bias if self.use_bias else y

    def step(self, projected: Any, states: Sequence[Any], mask: Any = None) -> tuple[Any, list]:
        """The output and the new states."""
        raise NotImplementedError

    def call(
        self, inputs: Any, states: Sequence[Any], training: Any = None, masks: tuple[Any, Any] | None = None
    ) -> tuple[Any, list]:
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        input_mask, state_mask = self.masks(inputs, states, training) if masks is None else masks
        return self.step(self.project(inputs, input_mask), states, state_mask)

    def get_initial_state(self, inputs: Any = None, batch_size: Any = None, dtype: Any = None) -> Any:
        """Zeros for the batch of ``inputs``."""
        sizes = flatten(self.state_size)
        return [backend.zeros_for_batch(inputs, size) for size in sizes]


class SimpleRNNCell(GatedCell):
    """``h' = activation(x @ kernel + bias + h @ recurrent_kernel)``.

    Weights: ``kernel (input_dim, units)``, ``recurrent_kernel (units, units)``, ``bias (units,)``. The arguments
    are those of :class:`GatedCell`.
    """

    def step(self, projected: Any, states: Sequence[Any], mask: Any = None) -> tuple[Any, list]:
        h = states[0] if mask is None else states[0] * mask
        h = self.activation(projected + ops.matmul(h, self.recurrent_kernel))
        return h, [h]


class GRUCell(GatedCell):
    """A gated recurrent unit, gates in the order z (update), r (reset), h (candidate).

    ``z, r = recurrent_activation(x @ W + b + h @ U)``, ``c = activation(x @ W + b + (r * h) @ U)``,
    ``h' = z * h + (1 - z) * c``.

    Args:
        recurrent_activation: of the gates.
        implementation: 1 or 2; both compute the same in the same way.
        reset_after: whether the reset gate is applied after the product, ``r * (h @ U + b2)``, with a second
            bias: the convention of cuDNN. The bias then has the shape ``(2, 3 * units)``.

    Weights: ``kernel (input_dim, 3 * units)``, ``recurrent_kernel (units, 3 * units)``,
    ``bias (3 * units,)``. Cho et al., 2014, https://arxiv.org/abs/1406.1078
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 2,
        reset_after: bool = False,
        **kwargs: Any,
    ):
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.implementation = implementation
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def project(self, inputs: Any, mask: Any = None) -> Any:
        y = ops.matmul(inputs if mask is None else inputs * mask, self.kernel)
        if not self.use_bias:
            return y
        return y + (self.bias[0] if self.reset_after else self.bias)

    def step(self, projected: Any, states: Sequence[Any], mask: Any = None) -> tuple[Any, list]:
        u, before = self.units, states[0]
        h = before if mask is None else before * mask
        if self.reset_after:
            recurrent = ops.matmul(h, self.recurrent_kernel)
            if self.use_bias:
                recurrent = recurrent + self.bias[1]
            gates = self.recurrent_activation(projected[:, : 2 * u] + recurrent[:, : 2 * u])
            z, r = gates[:, :u], gates[:, u:]
            inner = r * recurrent[:, 2 * u :]
        else:
            gates = self.recurrent_activation(
                projected[:, : 2 * u] + ops.matmul(h, self.recurrent_kernel[:, : 2 * u])
            )
            z, r = gates[:, :u], gates[:, u:]
            inner = ops.matmul(r * h, self.recurrent_kernel[:, 2 * u :])
        candidate = self.activation(projected[:, 2 * u :] + inner)
        h = z * before + (1.0 - z) * candidate
        return h, [h]


class LSTMCell(GatedCell):
    """Long short-term memory, gates in the order i (input), f (forget), c (candidate), o (output).

    ``i, f, o = recurrent_activation(x @ W + b + h @ U)``, ``c' = f * c + i * activation(x @ W + b + h @ U)``,
    ``h' = o * activation(c')``; the states are ``[h, c]``.

    Args:
        recurrent_activation: of the gates.
        unit_forget_bias: whether the forget gate's bias starts at 1 (Jozefowicz et al., 2015,
            http://proceedings.mlr.press/v37/jozefowicz15.pdf).
        implementation: 1 or 2; both compute the same in the same way.

    Weights: ``kernel (input_dim, 4 * units)``, ``recurrent_kernel (units, 4 * units)``,
    ``bias (4 * units,)``. Hochreiter and Schmidhuber, 1997.
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 2,
        **kwargs: Any,
    ):
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.implementation = implementation
        self.state_size = [self.units, self.units]

    def initial_bias(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        if not self.unit_forget_bias:
            return super().initial_bias(shape, dtype)
        u = self.units
        return np.concatenate(
            [
                np.asarray(self.bias_initializer((u,), dtype=dtype)),
                np.ones(u, dtype),
                np.asarray(self.bias_initializer((2 * u,), dtype=dtype)),
            ]
        )

    def step(self, projected: Any, states: Sequence[Any], mask: Any = None) -> tuple[Any, list]:
        (h, c), u = states, self.units
        gates = projected + ops.matmul(h if mask is None else h * mask, self.recurrent_kernel)
        i = self.recurrent_activation(gates[:, :u])
        f = self.recurrent_activation(gates[:, u : 2 * u])
        c = f * c + i * self.activation(gates[:, 2 * u : 3 * u])
        o = self.recurrent_activation(gates[:, 3 * u :])
        h = o * self.activation(c)
        return h, [h, c]


class StackedRNNCells(Layer):
    """Cells that each feed the next, as one cell.

    Args:
        cells: the cells, the first takes the inputs.
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any):
        reverse = kwargs.pop("reverse_state_order", False)
        super().__init__(**kwargs)
        for cell in cells:
            if not hasattr(cell, "call"):
                raise ValueError(f"All cells must have a `call` method. received cells: {list(cells)}")
            if not hasattr(cell, "state_size"):
                raise ValueError(
                    f"All cells must have a `state_size` attribute. received cells: {list(cells)}"
                )
        self.cells = list(cells)
        self.reverse_state_order = reverse

    @property
    def _ordered(self) -> list:
        return self.cells[::-1] if self.reverse_state_order else self.cells

    @property
    def state_size(self) -> list[int]:
        """The sizes of all states, those of the first cell first."""
        return [size for cell in self._ordered for size in flatten(cell.state_size)]

    @property
    def output_size(self) -> int:
        return cell_output_size(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        constants = list(input_shape[1:]) if isinstance(input_shape, list) else []
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                with name_scope(cell.name):
                    cell.build([shape, *constants] if takes(cell, "constants") and constants else shape)
                cell.built = True
            shape = (shape[0], cell_output_size(cell))
        self.built = True

    def _states_by_cell(self, states: Sequence[Any]) -> list[list]:
        groups, position = {}, 0
        for cell in self._ordered:
            count = len(flatten(cell.state_size))
            groups[id(cell)] = list(states[position : position + count])
            position += count
        return [groups[id(cell)] for cell in self.cells]

    def masks(
        self, inputs: Any, states: Sequence[Any], training: Any = None, place: tuple[str, str] | None = None
    ) -> list:
        """The dropout masks of each cell."""
        layer, call = place or (self.name, "")
        masks, x = [], inputs
        for i, (cell, mine) in enumerate(zip(self.cells, self._states_by_cell(states), strict=True)):
            masks.append(
                cell.masks(x, mine, training, (layer, f"{call}/{i}")) if hasattr(cell, "masks") else None
            )
            x = backend.ones_for_batch(states[0], cell_output_size(cell))
        return masks

    def call(
        self,
        inputs: Any,
        states: Sequence[Any],
        constants: Any = None,
        training: Any = None,
        masks: Any = None,
    ) -> tuple[Any, list]:
        if masks is None:
            masks = self.masks(inputs, states, training)
        x, new = inputs, {}
        for cell, mine, mask in zip(self.cells, self._states_by_cell(states), masks, strict=True):
            given = {"constants": constants, "training": training, "masks": mask}
            x, made = cell.call(x, mine, **accepted(cell, given))
            new[id(cell)] = flatten(made)
        return x, [state for cell in self._ordered for state in new[id(cell)]]

    def get_config(self) -> dict[str, Any]:
        config = self._base_config()
        config["cells"] = [serialize_keras_object(cell) for cell in self.cells]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> StackedRNNCells:
        config = dict(config)
        cells = config.pop("cells")
        return cls([cell_from_config(cell, custom_objects) for cell in cells], **config)


def cell_from_config(config: dict, custom_objects: dict | None = None) -> Any:
    """The cell that a config describes: one of this module's or the user's."""
    own = {c.__name__: c for c in (SimpleRNNCell, GRUCell, LSTMCell, StackedRNNCells)}
    return deserialize_keras_object(config, own, custom_objects, "cell")


def cell_output_size(cell: Any) -> int:
    """The length of a cell's output: ``output_size``, or else that of its first state."""
    size = getattr(cell, "output_size", None)
    return flatten(cell.state_size)[0] if size is None else flatten(size)[-1]


def takes(cell: Any, argument: str) -> bool:
    """Whether the cell's ``call``, or that of any of stacked cells, has an argument of that name."""
    if argument == "constants" and isinstance(cell, StackedRNNCells):
        return any(takes(c, argument) for c in cell.cells)
    return argument in inspect.signature(cell.call).parameters


def accepted(cell: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of ``arguments`` that the cell's ``call`` takes and that are not ``None``."""
    return {k: v for k, v in arguments.items() if v is not None and takes(cell, k)}
