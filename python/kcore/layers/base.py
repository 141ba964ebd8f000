"""``Layer``: weights, calls on tensors, masks, losses, and configuration."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from kcore import constraints, initializers, regularizers
from kcore.backend.configuration import get_uid, name_scope, name_scope_stack
from kcore.graph import (
    Tensor,
    UpdateScope,
    Variable,
    constant,
    dtypes,
    evaluate,
    learning_phase,
    placeholder,
    rng,
    write_variables,
)
from kcore.graph.phase import learning_phase_scope
from kcore.graph.primitives import identity, switch
from kcore.layers.node import History, Node, flatten, history, map_structure, unpack
from kcore.utils.serialization import serialize_keras_object

_BASE_ARGUMENTS = {
    "activity_regularizer",
    "autocast",
    "batch_input_shape",
    "batch_shape",
    "batch_size",
    "dtype",
    "dynamic",
    "input_dim",
    "input_dtype",
    "input_length",
    "input_shape",
    "name",
    "trainable",
    "weights",
}

# Keras 3 writes these into configs, as None where they aren't used.
_NOT_WANTED = {"lora_alpha", "lora_rank", "quantization_config"}


def snake_case(name: str) -> str:
    """``Conv2DTranspose`` -> ``conv2d_transpose``, as Keras names layers."""
    partial = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    result = re.sub(r"([a-z])([A-Z])", r"\1_\2", partial).lower()
    return "private" + result if result.startswith("_") else result


class InputSpec:
    """What a layer demands of an input: rank, dtype, or the extents of some axes.

    Args:
        dtype: a dtype name. shape: a full shape, ``None`` for any extent. ndim, max_ndim, min_ndim: ranks.
        axes: maps an axis to its extent.
    """

    def __init__(
        self,
        dtype: str | None = None,
        shape: Sequence[int | None] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
    ):
        self.dtype = dtype
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        self.axes = axes or {}

    def __repr__(self) -> str:
        fields = {k: v for k, v in vars(self).items() if v}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in fields.items())})"


class Layer:
    """A function with weights.

    Subclasses make weights in ``build(input_shape)`` with ``add_weight``, and compute in
    ``call(inputs)`` with ``kcore.ops`` or ``kcore.backend``. ``call`` may take ``mask`` and ``training``.

    Args:
        input_shape, batch_input_shape, input_dim, input_length, batch_size: the shape of the input, where
            the layer is the first of a ``Sequential``.
        name: unique within a model; made from the class name if not given.
        dtype: of the weights; ``floatx()`` if not given.
        trainable: whether ``trainable_weights`` lists any.
        weights: a list of arrays, the initial weights.
        activity_regularizer: a function of the output whose result is added to the loss.
    """

    # Attributes that hold layers or weights which are not the layer's own for that.
    _UNTRACKED = frozenset(
        {"_layers", "_trainable_weights", "_non_trainable_weights", "_inbound_nodes", "_outbound_nodes"}
    )
    _owner_name: str | None = None  # the layer whose name this one's weights bear, if not its own

    def __init__(self, **kwargs: Any):
        self._layers: list[Layer] = []
        self._trainable_weights: list[Variable] = []
        self._non_trainable_weights: list[Variable] = []
        kwargs = {k: v for k, v in kwargs.items() if v is not None or k not in _NOT_WANTED}
        unknown = set(kwargs) - _BASE_ARGUMENTS
        if unknown:
            raise TypeError(
                f"{type(self).__name__} got an unexpected keyword argument '{sorted(unknown)[0]}'"
            )
        self.name = (
            kwargs.get("name")
            or f"{snake_case(type(self).__name__)}_{get_uid(snake_case(type(self).__name__))}"
        )
        if not isinstance(self.name, str):
            raise TypeError(f"a layer's name must be a string, got {self.name!r}")
        self.trainable = bool(kwargs.get("trainable", True))
        self.dtype = dtypes.standardize(_dtype_name(kwargs.get("dtype") or kwargs.get("input_dtype")))
        self.built = False
        self.input_spec: Any = None
        self.supports_masking = False
        self.stateful = False
        self.activity_regularizer = regularizers.get(kwargs.get("activity_regularizer"))
        self._initial_weights = kwargs.get("weights")
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []
        self._added_losses: list[tuple[tuple[int, ...] | None, Any]] = []
        self._added_updates: list[tuple[tuple[int, ...] | None, tuple[Variable, Tensor]]] = []
        self._added_metrics: list[Any] = []
        shape = _batch_input_shape(kwargs)
        if shape is not None:
            self.batch_input_shape = shape

    # Tracking of weights and layers that are set as attributes.

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in self._UNTRACKED or "_layers" not in self.__dict__:
            return
        for item in flatten(value) if isinstance(value, (list, tuple, dict)) else (value,):
            self._track(item)

    def _track(self, item: Any) -> None:
        if isinstance(item, Layer):
            if item is not self and not any(item is layer for layer in self._layers):
                self._layers.append(item)
        elif isinstance(item, Variable):
            known = [*self._trainable_weights, *self._non_trainable_weights]
            if not any(item is w for w in known):
                (self._trainable_weights if item.trainable else self._non_trainable_weights).append(item)

    def _nested(self) -> list[Layer]:
        """Layers that this one owns, whose weights and losses count as its own."""
        return self._layers

    # Weights.

    def add_weight(
        self,
        name: Any = None,
        shape: Any = None,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool = True,
        constraint: Any = None,
        **kwargs: Any,
    ) -> Variable:
        """Make a weight and return it.

        Takes ``(name, shape)`` in that order, or ``(shape,)`` first as newer scripts write it.

        Args:
            name: unique within the layer. shape: a tuple of integers.
            dtype: the layer's if ``None``. initializer: a name, an initializer or a function of the shape;
                Glorot uniform for floats and zeros for the rest if ``None``.
            regularizer: a function of the weight whose result is added to the loss.
            trainable: whether an optimizer changes it. constraint: applied after each update.
        """
        if name is not None and not isinstance(name, str):
            name, shape = (shape if isinstance(shape, str) else None), name
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(d is None for d in shape):
            raise ValueError(
                f"layer '{self.name}': weight '{name}' would have shape {shape}; all extents must be known"
            )
        dtype = self.dtype if dtype is None else dtypes.standardize(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtypes.is_float(dtype) else "zeros"
        init = initializers.get(initializer)
        value = init(shape, dtype=dtype) if _takes(init, "dtype") else init(shape)
        scope = name_scope_stack()
        owner = self._owner_name or self.name
        prefix = "/".join(scope) if owner in scope else owner
        base = name or f"weight_{len(self._trainable_weights) + len(self._non_trainable_weights)}"
        weight = Variable(
            np.asarray(value.numpy() if isinstance(value, Tensor) else value, dtype),
            dtype,
            trainable=trainable,
            name=f"{prefix}/{base}:0",
            constraint=constraints.get(constraint),
            regularizer=regularizers.get(regularizer),
        )
        if weight.shape != shape:
            raise ValueError(
                f"layer '{self.name}': initializer made shape {weight.shape} for a weight of shape {shape}"
            )
        (self._trainable_weights if trainable else self._non_trainable_weights).append(weight)
        return weight

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that an optimizer changes: none if the layer is not ``trainable``."""
        if not self.trainable:
            return []
        return _unique(
            [*self._trainable_weights, *(w for layer in self._nested() for w in layer.trainable_weights)]
        )

    @trainable_weights.setter
    def trainable_weights(self, weights: list[Variable]) -> None:
        self._trainable_weights = list(weights)

    @property
    def non_trainable_weights(self) -> list[Variable]:
        nested = self._nested()
        if self.trainable:
            own = self._non_trainable_weights
            return _unique([*own, *(w for layer in nested for w in layer.non_trainable_weights)])
        return _unique(
            [
                *self._trainable_weights,
                *self._non_trainable_weights,
                *(w for layer in nested for w in layer.weights),
            ]
        )

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: list[Variable]) -> None:
        self._non_trainable_weights = list(weights)

    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def weights(self) -> list[Variable]:
        """All weights, trainable ones first."""
        return [*self.trainable_weights, *self.non_trainable_weights]

    variables = weights

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights, in the order of ``weights``."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights. Raises ``ValueError``, changing nothing, if number or shapes differ."""
        weights = list(weights)
        params = self.weights
        if len(weights) != len(params):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a list of {len(weights)} "
                f"weights, but the layer was expecting {len(params)} weights."
            )
        arrays = [np.asarray(w) for w in weights]
        for param, array in zip(params, arrays, strict=True):
            if param.shape != array.shape:
                raise ValueError(
                    f"Layer weight shape {param.shape} of '{param.name}' is not compatible with "
                    f"provided weight shape {array.shape}"
                )
        write_variables(zip(params, arrays, strict=True))

    def count_params(self) -> int:
        """The number of scalars in the weights."""
        if not self.built:
            raise RuntimeError(
                f"You tried to call `count_params` on {self.name}, but the layer isn't built. "
                f"You can build it manually via: `{self.name}.build(batch_input_shape)`."
            )
        return int(sum(np.prod(w.shape, dtype=np.int64) for w in self.weights))

    # Losses, updates, metrics.

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add scalars to the model's loss; they hold for calls on ``inputs``, or always if ``None``.

        During ``call`` the inputs of that call are meant.
        """
        key = self._input_key(inputs)
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            self._added_losses.append((key, loss))

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Have training steps assign: ``(variable, value)`` pairs, or results of ``K.update``."""
        if updates is None or (isinstance(updates, (list, tuple)) and not updates):
            return
        key = self._input_key(inputs)
        if isinstance(updates, tuple) and isinstance(updates[0], Variable):
            updates = [updates]
        for update in updates if isinstance(updates, list) else [updates]:
            self._added_updates.append((key, tuple(update)))

    def add_metric(self, value: Any, name: str | None = None, aggregation: str | None = "mean") -> None:
        """Report a tensor during training under ``name``, averaged over batches."""
        self._added_metrics.append((name or getattr(value, "name", "metric"), value, aggregation))

    def _input_key(self, inputs: Any) -> tuple[int, ...] | None:
        if inputs is None:
            inputs = getattr(self, "_call_inputs", None)
        return None if inputs is None else tuple(id(t) for t in flatten(inputs))

    def _regularization(self) -> list[Tensor]:
        own = [*self._trainable_weights, *self._non_trainable_weights]
        return [w.regularizer(w) for w in own if w.regularizer is not None]

    @property
    def losses(self) -> list[Tensor]:
        """Scalars that training adds to the loss: of weight regularizers and of ``add_loss``."""
        added = [loss() if callable(loss) else loss for _, loss in self._added_losses]
        return [*added, *self._regularization(), *(x for layer in self._nested() for x in layer.losses)]

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """The losses that belong to calls on ``inputs``; with ``None``, those of no particular call."""
        key = None if inputs is None else tuple(id(t) for t in flatten(inputs))
        found = [loss() if callable(loss) else loss for k, loss in self._added_losses if k == key]
        if key is None:
            found += self._regularization()
            found += [x for layer in self._nested() for x in layer.get_losses_for(None)]
        else:
            found += [x for layer in self._nested() for x in layer._call_losses()]
        return found

    def _call_losses(self) -> list[Tensor]:
        """Losses of all calls of a layer that is nested in another, which calls it where it wants."""
        own = [loss() if callable(loss) else loss for k, loss in self._added_losses if k is not None]
        return [*own, *(x for layer in self._nested() for x in layer._call_losses())]

    @property
    def updates(self) -> list[tuple[Variable, Tensor]]:
        """The assignments that a training step makes besides the optimizer's."""
        if not self.trainable and not self.stateful:
            return []
        return [u for _, u in self._added_updates] + [u for layer in self._nested() for u in layer.updates]

    def get_updates_for(self, inputs: Any) -> list[tuple[Variable, Tensor]]:
        if not self.trainable and not self.stateful:
            return []
        key = None if inputs is None else tuple(id(t) for t in flatten(inputs))
        found = [u for k, u in self._added_updates if k == key]
        for layer in self._nested():
            found += [u for k, u in layer._added_updates if (k is None) == (key is None)]
        return found

    @property
    def metrics(self) -> list:
        return [*self._added_metrics, *(m for layer in self._nested() for m in layer.metrics)]

    def _random_key(self, suffix: str = "") -> int:
        """The seed of a random op in this call: the layer's, or else of its name and the number of the call."""
        seed = getattr(self, "seed", None)
        if seed is not None:
            return int(seed)
        call = f"/{len(self._inbound_nodes)}" if self._inbound_nodes else ""
        return rng.LayerKey(self._owner_name or self.name, f"{call}{suffix}")

    # Building and calling.

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of ``input_shape`` (a tuple, or a list of them)."""
        self.built = True

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The layer's computation. The default returns its input."""
        return inputs

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Apply to tensors, or to arrays (computing at once and returning arrays)."""
        leaves = flatten(inputs)
        if not any(isinstance(x, Tensor) for x in leaves):
            return self._call_on_arrays(inputs, args, kwargs)
        if isinstance(inputs, (list, tuple, dict)):
            inputs = map_structure(_as_tensor, inputs)
            leaves = flatten(inputs)
        with name_scope(self.name):
            self.assert_input_compatibility(inputs)
            self._maybe_build(inputs)
            arguments = dict(kwargs)
            masks = map_structure(lambda t: getattr(t, "_keras_mask", None), inputs)
            any_mask = any(m is not None for m in flatten(masks))
            if any_mask and kwargs.get("mask") is None and self._call_takes("mask"):
                kwargs["mask"] = masks
            with self._scope_of_call(inputs, kwargs):
                outputs = self._traced_call(inputs, args, kwargs)
            outputs = self._fresh(outputs, leaves)
            given = kwargs.get("mask") if "mask" in kwargs else masks if any_mask else None
            self._set_mask(inputs, given, outputs)
        if all(history(x) is not None for x in leaves):
            self._add_inbound_node(inputs, outputs, arguments)
        if self.activity_regularizer is not None:
            for y in flatten(outputs):
                self.add_loss(self.activity_regularizer(y), inputs)
        return outputs

    def _call_on_arrays(self, inputs: Any, args: tuple, kwargs: dict) -> Any:
        tensors = map_structure(lambda x: constant(_as_layer_input(x, self.dtype)), inputs)
        kwargs = {k: constant(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
        training = kwargs.get("training")
        with learning_phase_scope(bool(training)):
            outputs = self(tensors, *args, **kwargs)
        leaves = iter(evaluate(flatten(outputs)))
        return map_structure(lambda _: next(leaves), outputs)

    def _maybe_build(self, inputs: Any) -> None:
        self._build_once(map_structure(lambda t: tuple(t.shape), inputs))

    def _build_once(self, shapes: Any) -> None:
        if self.built:
            return
        self.build(shapes)
        self.built = True
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    def _call_takes(self, argument: str) -> bool:
        return _takes(self.call, argument)

    @contextmanager
    def _scope_of_call(self, inputs: Any, kwargs: dict) -> Iterator[None]:
        """What holds inside ``call``: whose losses are added, and the phase if it is given."""
        before = getattr(self, "_call_inputs", None)
        object.__setattr__(self, "_call_inputs", inputs)
        training = kwargs.get("training")
        if "training" in kwargs and not self._call_takes("training"):
            del kwargs["training"]
        try:
            if training is None:
                yield
            else:
                with learning_phase_scope(training):
                    yield
        finally:
            object.__setattr__(self, "_call_inputs", before)

    def _traced_call(self, inputs: Any, args: tuple, kwargs: dict) -> Any:
        """``call``, once for each phase if it takes ``training`` and may branch on it in Python."""
        if (
            type(self).__module__.startswith("kcore.")
            or not self._call_takes("training")
            or kwargs.get("training") is not None
        ):
            return self._recorded_call(inputs, args, kwargs)
        phase = learning_phase()
        if not isinstance(phase, Tensor):
            return self._recorded_call(inputs, args, {**kwargs, "training": phase})
        losses, updates = list(self._added_losses), list(self._added_updates)
        results = []
        for training in (True, False):
            self._added_losses, self._added_updates = [], []
            with learning_phase_scope(training):
                y = self._recorded_call(inputs, args, {**kwargs, "training": training})
            results.append((y, self._added_losses, self._added_updates))
        (train, train_losses, train_updates), (test, test_losses, _) = results
        self._added_losses = losses + _merge_losses(phase, train_losses, test_losses)
        self._added_updates = updates + train_updates
        tests = iter(flatten(test))
        return map_structure(lambda t: switch(phase, t, next(tests)), train)

    def _recorded_call(self, inputs: Any, args: tuple, kwargs: dict) -> Any:
        """``call``, with variables that it assigns turned into updates of the training step."""
        if UpdateScope.current() is not None:
            return self.call(inputs, *args, **kwargs)
        before = len(self._added_updates)
        with UpdateScope() as scope:
            outputs = self.call(inputs, *args, **kwargs)
        added = {id(variable) for _, (variable, _) in self._added_updates[before:]}
        assigned = [pair for pair in scope.values.items() if id(pair[0]) not in added]
        if assigned:
            self.add_update(assigned, inputs)
        return outputs

    def _fresh(self, outputs: Any, inputs: list) -> Any:
        """Outputs that are not themselves inputs, so that each tensor has one history."""
        taken = {id(t) for t in inputs}

        def fresh(t: Any) -> Any:
            if not isinstance(t, Tensor):
                raise TypeError(f"layer '{self.name}': `call` must return tensors, got {type(t).__name__}")
            return identity(t) if id(t) in taken or isinstance(t, Variable) or history(t) is not None else t

        return map_structure(fresh, outputs)

    def _set_mask(self, inputs: Any, mask: Any, outputs: Any) -> None:
        computed = self.compute_mask(inputs, mask)
        masks = computed if isinstance(computed, (list, tuple)) else [computed]
        tensors = flatten(outputs)
        if len(masks) != len(tensors):
            masks = [*masks, *[None] * len(tensors)][: len(tensors)]
        for tensor, m in zip(tensors, masks, strict=True):
            tensor._keras_mask = m

    def _add_inbound_node(self, inputs: Any, outputs: Any, arguments: dict | None = None) -> None:
        sources = flatten(inputs)
        tensors = flatten(outputs)
        histories = [history(t) for t in sources]
        node = Node(
            self,
            [h.layer for h in histories if h is not None],
            [h.node_index for h in histories if h is not None],
            [h.tensor_index for h in histories if h is not None],
            sources,
            tensors,
            [getattr(t, "_keras_mask", None) for t in sources],
            [getattr(t, "_keras_mask", None) for t in tensors],
            [tuple(t.shape) for t in sources],
            [tuple(t.shape) for t in tensors],
            arguments,
        )
        node.structure = inputs
        for i, t in enumerate(tensors):
            t._keras_history = History(self, len(self._inbound_nodes) - 1, i)

    def assert_input_compatibility(self, inputs: Any) -> None:
        """Raise ``ValueError`` unless ``inputs`` fit ``input_spec``."""
        if self.input_spec is None:
            return
        specs = self.input_spec if isinstance(self.input_spec, (list, tuple)) else [self.input_spec]
        tensors = flatten(inputs)
        if len(tensors) != len(specs):
            raise ValueError(
                f"Layer {self.name} expects {len(specs)} inputs, but it received {len(tensors)} input tensors."
            )
        for index, (x, spec) in enumerate(zip(tensors, specs, strict=True)):
            if spec is not None:
                problem = _incompatibility(x, spec)
                if problem:
                    raise ValueError(f"Input {index} is incompatible with layer {self.name}: {problem}")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output. Raises ``TypeError`` for a mask that the layer can't honour."""
        if not self.supports_masking:
            if any(m is not None for m in flatten(mask)):
                raise TypeError(
                    f"Layer {self.name} does not support masking, but was passed an input_mask: {mask}"
                )
            return None
        return mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for inputs of ``input_shape``, found by tracing ``call``."""
        is_shape = (
            not input_shape or isinstance(input_shape, dict) or not isinstance(input_shape[0], (tuple, list))
        )
        shapes = [input_shape] if is_shape else list(input_shape)
        spec_dtype = getattr(self, "_input_dtype", self.dtype)
        tensors = [placeholder(s, spec_dtype) for s in shapes]
        layer = self if self.built else type(self).from_config(self.get_config())
        inputs = tensors[0] if is_shape else tensors
        with name_scope(layer.name):
            layer._maybe_build(inputs)
            counts = len(layer._added_losses), len(layer._added_updates)
            with layer._scope_of_call(inputs, {}):
                outputs = layer._traced_call(inputs, (), {})
            del layer._added_losses[counts[0] :], layer._added_updates[counts[1] :]
        return map_structure(lambda t: tuple(t.shape), outputs)

    # The calls that were made.

    def _node(self, index: int, what: str) -> Node:
        if not self._inbound_nodes:
            raise RuntimeError(f"The layer has never been called and thus has no defined {what}.")
        if not -len(self._inbound_nodes) <= index < len(self._inbound_nodes):
            raise ValueError(
                f"Asked to get {what} at node {index}, but the layer has only {len(self._inbound_nodes)} inbound nodes."
            )
        return self._inbound_nodes[index]

    def _only_node(self, what: str) -> Node:
        if not self._inbound_nodes:
            raise AttributeError(f"Layer {self.name} has never been called and thus has no defined {what}.")
        if len(self._inbound_nodes) > 1:
            raise AttributeError(
                f'Layer {self.name} has multiple inbound nodes, hence the notion of "layer {what}" is '
                f"ill-defined. Use `get_{what.replace(' ', '_')}_at(node_index)` instead."
            )
        return self._inbound_nodes[0]

    def get_input_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "input").input_tensors)

    def get_output_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "output").output_tensors)

    def get_input_mask_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "input mask").input_masks)

    def get_output_mask_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "output mask").output_masks)

    def get_input_shape_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "input shape").input_shapes)

    def get_output_shape_at(self, node_index: int) -> Any:
        return unpack(self._node(node_index, "output shape").output_shapes)

    @property
    def input(self) -> Any:
        return unpack(self._only_node("input").input_tensors)

    @property
    def output(self) -> Any:
        return unpack(self._only_node("output").output_tensors)

    @property
    def input_mask(self) -> Any:
        return unpack(self._only_node("input mask").input_masks)

    @property
    def output_mask(self) -> Any:
        return unpack(self._only_node("output mask").output_masks)

    def _common_shape(self, attribute: str, what: str) -> Any:
        if not self._inbound_nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined {what}."
            )
        shapes = [getattr(node, attribute) for node in self._inbound_nodes]
        if any(s != shapes[0] for s in shapes):
            raise AttributeError(
                f'The layer "{self.name}" has multiple inbound nodes, with different {what}s. Hence the notion of '
                f'"{what}" is ill-defined for the layer. Use `get_{what.replace(" ", "_")}_at(node_index)` instead.'
            )
        return unpack(shapes[0])

    @property
    def input_shape(self) -> Any:
        return self._common_shape("input_shapes", "input shape")

    @property
    def output_shape(self) -> Any:
        return self._common_shape("output_shapes", "output shape")

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        """What ``from_config`` needs to make an equal layer, as plain values.

        This package's layers keep every argument of their constructor as an attribute of that name.
        """
        config = self._base_config()
        for name in _constructor_arguments(type(self)):
            config[name] = _plain(getattr(self, name))
        seed = getattr(self, "seed", None)
        if seed is not None and type(self).__module__.startswith("kcore."):
            config["seed"] = seed
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = _plain(self.activity_regularizer)
        return config

    def _base_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if hasattr(self, "batch_input_shape"):
            config["batch_input_shape"] = self.batch_input_shape
        config["dtype"] = self.dtype
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


def _constructor_arguments(cls: type) -> list[str]:
    """The named arguments of the constructor that ``cls`` has or inherits from this package."""
    own = next(c for c in cls.__mro__ if c.__module__.startswith(__package__) and "__init__" in vars(c))
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(vars(own)["__init__"]).parameters.values())[1:]
    return [p.name for p in parameters if p.kind in kinds]


def _plain(value: Any) -> Any:
    return value if isinstance(value, (tuple, list, dict)) else serialize_keras_object(value)


def _dtype_name(dtype: Any) -> Any:
    """The dtype itself, or the one in which a dtype policy (or its config) keeps weights."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    name = dtype if isinstance(dtype, str) else getattr(dtype, "variable_dtype", dtype)
    return "float32" if isinstance(name, str) and name.startswith("mixed_") else name


def _batch_input_shape(kwargs: dict[str, Any]) -> tuple | None:
    """The shape of the input, batch first, from whichever argument gave it."""
    for key in ("batch_input_shape", "batch_shape"):
        if kwargs.get(key) is not None:
            return tuple(kwargs[key])
    shape = kwargs.get("input_shape")
    if shape is None and kwargs.get("input_dim") is not None:
        length = kwargs.get("input_length")
        shape = (kwargs["input_dim"],) if length is None else (length, kwargs["input_dim"])
    if shape is None:
        return None
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return (kwargs.get("batch_size"), *shape)


def _incompatibility(x: Tensor, spec: InputSpec) -> str | None:
    shape, ndim = tuple(x.shape), len(x.shape)
    if spec.ndim is not None and ndim != spec.ndim:
        return f"expected ndim={spec.ndim}, found ndim={ndim} (shape {shape})"
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={ndim} (shape {shape})"
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={ndim} (shape {shape})"
    if spec.dtype is not None and x.dtype != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={x.dtype}"
    for axis, extent in spec.axes.items():
        if extent is not None and shape[axis] not in (extent, None):
            return f"expected axis {axis} of input shape to have value {extent} but got shape {shape}"
    if spec.shape is not None:
        for expected, found in zip(spec.shape, shape, strict=True):
            if expected is not None and found is not None and expected != found:
                return f"expected shape={spec.shape}, found shape={shape}"
    return None


def _merge_losses(phase: Tensor, train: list, test: list) -> list:
    """Losses of the two phases, each counting in its own."""
    zero = constant(0.0)
    return [
        *((key, switch(phase, loss, zero)) for key, loss in train),
        *((key, switch(phase, zero, loss)) for key, loss in test),
    ]


def _takes(function: Callable, argument: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return argument in parameters


def _as_tensor(x: Any) -> Tensor | None:
    return x if isinstance(x, Tensor) or x is None else constant(x)


def _as_layer_input(x: Any, dtype: str) -> np.ndarray:
    array = dtypes.as_array(x)
    return array.astype(dtype) if dtypes.is_float(array.dtype.name) and dtypes.is_float(dtype) else array


def _unique(weights: Iterable[Variable]) -> list[Variable]:
    return list({id(w): w for w in weights}.values())
