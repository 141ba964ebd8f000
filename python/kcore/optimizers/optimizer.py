"""The base of all optimizers: hyper-parameters, slots, clipping, and the order of an update."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kcore import initializers, ops
from kcore.config import epsilon as default_epsilon
from kcore.graph import Function, Tensor, UpdateScope, Variable, dtypes, gradients, placeholder
from kcore.optimizers.schedules import LearningRateSchedule
from kcore.optimizers.schedules import deserialize as deserialize_schedule
from kcore.optimizers.schedules import serialize as serialize_schedule


class Slot:
    """What an optimizer remembers about one weight: each attribute is a variable, zeros at first.

    Assigning to an attribute assigns to the variable.
    """

    __slots__ = ("_optimizer", "_weight")

    def __init__(self, optimizer: Optimizer, weight: Variable):
        object.__setattr__(self, "_optimizer", optimizer)
        object.__setattr__(self, "_weight", weight)

    _optimizer: Optimizer
    _weight: Variable

    def __getattr__(self, name: str) -> Any:
        return self._optimizer.slot_variable(name, self._weight)

    def __setattr__(self, name: str, value: Any) -> None:
        self._optimizer.slot_variable(name, self._weight).assign(value)


class Optimizer:
    """Base class of optimizers; a subclass defines ``update``.

    ::

        class Momentum(Optimizer):
            def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
                super().__init__(learning_rate, **kwargs)
                self.momentum = self.hyperparameter("momentum", momentum)

            def update(self, w, g, slot):
                slot.velocity = self.momentum * slot.velocity - self.rate * g
                return w + slot.velocity

    The arithmetic of an update runs as one pass over the memory of a weight and its slots. Hyper-parameters
    are variables: ``optimizer.learning_rate = 0.1`` or ``K.set_value(optimizer.lr, 0.1)`` counts from the
    next step on.

    Args:
        learning_rate: a number or a ``LearningRateSchedule``; ``lr`` is another name for it.
        decay: the learning rate is divided by ``1 + decay * iterations``.
        weight_decay: each step first shrinks weights by the learning rate times this.
        clipnorm: the longest norm of all gradients taken together; longer ones are scaled down.
        clipvalue: the greatest absolute value of a gradient's element.
        global_clipnorm: another name for ``clipnorm``.
        use_ema: keep a moving average of each weight; ``finalize_variable_values`` puts it in place.
        ema_momentum: the weight of the past in that average.
        ema_overwrite_frequency: put the average in place after each so many steps.
        loss_scale_factor, gradient_accumulation_steps: not supported, must be ``None``.
        name: for messages.

    Raises:
        TypeError: an unknown argument.
        ValueError: a hyper-parameter outside its range.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        decay: float = 0.0,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        learning_rate = kwargs.pop("lr", learning_rate)
        self._refuse_unknown(kwargs)
        for unsupported, value in (
            ("loss_scale_factor", loss_scale_factor),
            ("gradient_accumulation_steps", gradient_accumulation_steps),
        ):
            if value is not None:
                raise ValueError(f"{type(self).__name__}: {unsupported} is not supported, got {value!r}")
        if clipnorm and global_clipnorm:
            raise ValueError(f"{type(self).__name__}: give clipnorm or global_clipnorm, not both")
        for what, value in (
            ("clipnorm", clipnorm),
            ("clipvalue", clipvalue),
            ("global_clipnorm", global_clipnorm),
            ("weight_decay", weight_decay),
            ("decay", decay),
        ):
            if value is not None and value < 0:
                raise ValueError(f"{type(self).__name__}: {what} must not be negative, got {value}")
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(f"{type(self).__name__}: ema_momentum must lie in [0, 1], got {ema_momentum}")
        if ema_overwrite_frequency is not None and ema_overwrite_frequency < 1:
            raise ValueError(
                f"{type(self).__name__}: ema_overwrite_frequency must be positive, "
                f"got {ema_overwrite_frequency}"
            )
        self.name = name or type(self).__name__
        self.iterations: Any = Variable(0, "int64", trainable=False, name="iterations")
        self.learning_rate = _standardized_rate(learning_rate)
        self.initial_decay = float(decay)
        self.decay = self.hyperparameter("decay", decay)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.updates: list[tuple[Variable, Any]] = []
        self._slots: dict[str, dict[Variable, Variable]] = {}
        self._trained: list[Variable] = []
        self._own_weights: list[Variable] | None = None
        self._not_decayed: tuple[list[Variable], list[str]] = ([], [])
        self._functions: dict[tuple, Function] = {}

    def _refuse_unknown(self, kwargs: dict[str, Any]) -> None:
        for name in kwargs:
            known = {
                *inspect.signature(type(self)).parameters,
                *inspect.signature(Optimizer).parameters,
                "lr",
            }
            near = difflib.get_close_matches(name, known - {"kwargs"}, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{type(self).__name__}: unexpected argument {name!r}{hint}")

    # --- Hyper-parameters -----------------------------------------------------------------------------

    def hyperparameter(self, name: str, value: float) -> Any:
        """A scalar variable; assigning a number to the attribute that holds it changes its value."""
        return Variable(float(value), dtypes.floatx(), trainable=False, name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        current = self.__dict__.get(name)
        if isinstance(current, Variable) and not isinstance(value, (Tensor, LearningRateSchedule)):
            current.write(value)
        elif isinstance(current, LearningRateSchedule) and not isinstance(value, LearningRateSchedule):
            raise TypeError(
                f"{type(self).__name__} follows the schedule {current.name!r}: its rate cannot be set"
            )
        else:
            object.__setattr__(self, name, value)

    @property
    def lr(self) -> Any:
        return self.learning_rate

    @lr.setter
    def lr(self, value: Any) -> None:
        self.learning_rate = value

    @property
    def rate(self) -> Any:
        """The learning rate of this step: after the schedule and ``decay``."""
        rate = self.learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = rate(self.iterations)
        if self.initial_decay > 0:
            rate = rate / (1.0 + self.decay * ops.cast(self.iterations, dtypes.floatx()))
        return rate

    @property
    def step(self) -> Any:
        """The number of this step, from 1, as a float."""
        return ops.cast(self.iterations, dtypes.floatx()) + 1.0

    # --- What a subclass defines ----------------------------------------------------------------------

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        """The new value of weight ``w`` given its gradient ``g``. ``slot`` holds what is remembered."""
        raise NotImplementedError(f"{type(self).__name__} must define update(w, g, slot)")

    def begin_step(self) -> None:
        """Called before the updates of a step; assigns what all weights share."""

    def initial_slot(self, name: str, weight: Variable) -> Any:
        """The first value of a weight's slot: zeros."""
        return np.broadcast_to(np.zeros((), weight.dtype), weight.shape)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Keras 3's form of ``update``: assigns the new value to ``variable``."""
        slot = Slot(self, variable)
        variable.assign(self.update(variable, gradient, slot))

    # --- Slots ----------------------------------------------------------------------------------------

    def slot_variable(self, name: str, weight: Variable) -> Variable:
        """The variable behind attribute ``name`` of a weight's slot, made when first asked for."""
        variables = self._slots.setdefault(name, {})
        if weight not in variables:
            value = self.initial_slot(name, weight)
            variables[weight] = Variable(
                value, weight.dtype, trainable=False, name=f"{self.name}/{weight.path}/{name}"
            )
        return variables[weight]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of these weights."""
        for weight in variables:
            if not isinstance(weight, Variable):
                raise TypeError(f"an optimizer updates variables, got {weight!r}")
            if weight in self._trained:
                continue
            alike = next((w for w in self._trained if w.ndim == weight.ndim), None)
            self._trained.append(weight)
            if alike is None:  # a trial shows which slots the rule asks for
                with UpdateScope():
                    self.begin_step()
                    self.update_step(placeholder(weight.shape, weight.dtype), weight, self.rate)
            else:
                for name, slots in list(self._slots.items()):
                    if alike in slots:
                        self.slot_variable(name, weight)
            if self.use_ema:
                self.slot_variable("average", weight)

    @property
    def built(self) -> bool:
        return bool(self._trained)

    @property
    def weights(self) -> list[Variable]:
        """``iterations``, variables that all weights share, then the slots, kind by kind."""
        if self._own_weights is not None:
            return self._own_weights
        slots = [
            variables[weight]
            for variables in self._slots.values()
            for weight in self._trained
            if weight in variables
        ]
        return [self.iterations, *self.shared_variables(), *slots]

    @weights.setter
    def weights(self, variables: Sequence[Variable]) -> None:
        self._own_weights = list(variables)

    def shared_variables(self) -> list[Variable]:
        """Variables besides ``iterations`` and the slots that belong to the optimizer's state."""
        return []

    @property
    def variables(self) -> list[Variable]:
        return self.weights

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the state: the number of steps taken, then the slots, kind by kind."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the state to what ``get_weights`` gave. Raises ``ValueError`` if it does not fit."""
        variables = self.weights
        if len(weights) == len(variables) - 1 and len(weights) > 0 and np.ndim(weights[0]) > 0:
            weights = [0, *weights]  # before Keras 2.3 some optimizers did not save the iterations
        if len(weights) != len(variables):
            raise ValueError(
                f"{type(self).__name__} has {len(variables)} variables, got {len(weights)} values; "
                "call build(weights) first if it was not used yet"
            )
        for variable, value in zip(variables, weights, strict=True):
            if np.shape(value) != variable.shape:
                raise ValueError(
                    f"{type(self).__name__}: variable '{variable.name}' has shape {variable.shape}, "
                    f"got a value of shape {np.shape(value)}"
                )
        for variable, value in zip(variables, weights, strict=True):
            variable.write(value)

    # --- The step -------------------------------------------------------------------------------------

    def get_gradients(self, loss: Tensor, params: Sequence[Variable]) -> list[Tensor]:
        """The gradients of ``loss``, clipped. Raises ``ValueError`` if it does not depend on a weight."""
        return self.clipped(self._gradients(loss, params))

    def _gradients(self, loss: Tensor, params: Sequence[Variable]) -> list[Tensor]:
        grads = gradients(loss, params)
        unreached = [w.name for w, g in zip(params, grads, strict=True) if g is None]
        if unreached:
            raise ValueError(f"the loss does not depend on {', '.join(unreached)}: there is no gradient")
        return grads  # type: ignore[return-value]

    def get_updates(self, loss: Tensor, params: Sequence[Variable]) -> list[tuple[Variable, Any]]:
        """One step as ``(variable, new value)`` pairs.

        While a program is traced the assignments are recorded in it, else they are only returned.
        """
        scope = UpdateScope.current()
        if scope is None:
            with UpdateScope():
                return self.get_updates(loss, params)
        before = dict(scope.values)
        self.apply_gradients(list(zip(self._gradients(loss, params), params, strict=True)))
        self.updates = [(v, value) for v, value in scope.values.items() if before.get(v) is not value]
        return self.updates

    def clipped(self, grads: Sequence[Any]) -> list[Any]:
        """Gradients after ``clipnorm`` and ``clipvalue``."""
        grads = list(grads)
        longest = self.clipnorm or self.global_clipnorm
        if longest:
            total = sum((ops.sum(ops.square(g)) for g in grads[1:]), ops.sum(ops.square(grads[0])))
            norm = ops.sqrt(total)
            grads = [clip_norm(g, longest, norm) for g in grads]
        if self.clipvalue:
            grads = [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """Take one step: in the program that is traced, or else now.

        Args:
            grads_and_vars: pairs of a gradient (a tensor or array; ``None`` skips the weight) and a
                weight.

        Raises:
            ValueError: there is no gradient, or one has another shape than its weight.
        """
        pairs = [(g, w) for g, w in grads_and_vars if g is not None]
        if not pairs:
            raise ValueError(f"{type(self).__name__}: there is no gradient for any weight")
        for g, w in pairs:
            if tuple(np.shape(g) if not isinstance(g, Tensor) else g.shape) != w.shape:
                got = g.shape if isinstance(g, Tensor) else np.shape(g)
                raise ValueError(f"gradient of shape {tuple(got)} for '{w.name}' of shape {w.shape}")
        self.build([w for _, w in pairs])
        if UpdateScope.current() is not None:
            self._record_step(pairs)
        else:
            self._step_now(pairs)
        return self.iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """``apply_gradients`` with two lists; by default the weights are those of ``build``."""
        weights = self._trained if trainable_variables is None else trainable_variables
        self.apply_gradients(list(zip(grads, weights, strict=True)))

    def _record_step(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        clipped = self.clipped([g for g, _ in pairs])
        self.begin_step()
        rate = self.rate
        for g, (_, w) in zip(clipped, pairs, strict=True):
            if self.weight_decay and self._decays(w):
                w.assign(w * (1.0 - rate * self.weight_decay))
            self.update_step(g, w, rate)
            if w.constraint is not None:
                w.assign(w.constraint(w.value))
            if self.use_ema:
                self._average(w)
        self.iterations.assign_add(1)

    def _average(self, w: Any) -> None:
        slot = Slot(self, w)
        momentum = ops.where(self.iterations > 0, float(self.ema_momentum), 0.0)
        slot.average = momentum * slot.average + (1.0 - momentum) * w
        if self.ema_overwrite_frequency:
            due = ops.equal(ops.mod(self.iterations + 1, self.ema_overwrite_frequency), 0)
            w.assign(ops.where(due, slot.average, w))

    def _step_now(self, pairs: Sequence[tuple[Any, Variable]]) -> None:
        arrays = [g for g, _ in pairs if not isinstance(g, Tensor)]
        key = tuple((None if isinstance(g, Tensor) else "array", id(w)) for g, w in pairs)
        function = self._functions.get(key)
        if function is None:
            inputs = [placeholder(w.shape, w.dtype) for g, w in pairs if not isinstance(g, Tensor)]
            feeds = iter(inputs)
            with UpdateScope() as scope:
                self._record_step([(g if isinstance(g, Tensor) else next(feeds), w) for g, w in pairs])
            function = Function(inputs, [], list(scope.values.items()), name=self.name)
            if len(arrays) == len(pairs):
                self._functions[key] = function
        function(arrays)

    def finalize_variable_values(self, variables: Sequence[Variable]) -> None:
        """Put the moving averages in the place of the weights, if ``use_ema``."""
        if self.use_ema:
            for weight in variables:
                if weight in self._trained:
                    weight.write(self.slot_variable("average", weight).numpy())

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Leave these weights, and those whose name contains one of ``var_names``, out of weight decay."""
        self._not_decayed = (list(var_list or ()), list(var_names or ()))

    def _decays(self, weight: Variable) -> bool:
        listed, names = self._not_decayed
        return weight not in listed and not any(name in weight.name for name in names)

    # --- The interface of Keras 3's subclasses --------------------------------------------------------

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str, initializer: Any = "zeros"
    ) -> Variable:
        """A variable of the shape of a weight, part of the optimizer's state."""
        if initializer != "zeros" and reference_variable not in self._slots.get(name, {}):
            value = initializers.get(initializer)(reference_variable.shape, reference_variable.dtype)
            self._slots.setdefault(name, {})[reference_variable] = Variable(
                value, reference_variable.dtype, trainable=False, name=f"{reference_variable.path}/{name}"
            )
        return self.slot_variable(name, reference_variable)

    def assign(self, variable: Variable, value: Any) -> None:
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        variable.assign_sub(value)

    def _get_variable_index(self, variable: Variable) -> int:
        return self._trained.index(variable)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_functions": {}}  # compiled anew by a copy

    # --- Configuration --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; those that Keras 2 does not know only where they are set."""
        rate = self.learning_rate
        config: dict[str, Any] = {
            "learning_rate": serialize_schedule(rate)
            if isinstance(rate, LearningRateSchedule)
            else number(rate),
            "decay": number(self.decay),
        }
        for name in ("weight_decay", "clipnorm", "clipvalue", "global_clipnorm"):
            if getattr(self, name) is not None:
                config[name] = getattr(self, name)
        if self.use_ema:
            config.update(
                use_ema=True,
                ema_momentum=self.ema_momentum,
                ema_overwrite_frequency=self.ema_overwrite_frequency,
            )
        if self.name != type(self).__name__:
            config["name"] = self.name
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Optimizer:
        config = dict(config)
        for name in ("jit_compile", "is_legacy_optimizer"):  # written by some versions of Keras
            config.pop(name, None)
        if "lr" in config and "lr" not in inspect.signature(cls).parameters:
            config["learning_rate"] = config.pop("lr")
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = deserialize_schedule(config["learning_rate"], custom_objects)
        return cls(**config)


def clip_norm(g: Any, c: float, n: Any) -> Any:
    """``g``, scaled to norm ``c`` if its norm ``n`` is longer."""
    return g * ops.where(n >= c, c / n, 1.0) if c > 0 else g


def number(value: Any) -> float:
    """The value of a hyper-parameter as the shortest decimal that stands for it."""
    return float(str(value.numpy())) if isinstance(value, Tensor) else float(value)


def fuzz(epsilon: float | None) -> float:
    """``epsilon``, or the default one."""
    return default_epsilon() if epsilon is None else float(epsilon)


def _standardized_rate(learning_rate: Any) -> Any:
    if isinstance(learning_rate, dict):
        learning_rate = deserialize_schedule(learning_rate)
    if isinstance(learning_rate, (LearningRateSchedule, Variable)):
        return learning_rate
    if callable(learning_rate):
        learning_rate = learning_rate()
    if isinstance(learning_rate, bool) or not hasattr(learning_rate, "__float__"):
        raise ValueError(
            f"the learning rate must be a number or a LearningRateSchedule, got {learning_rate!r}"
        )
    if float(learning_rate) < 0:
        raise ValueError(f"the learning rate must not be negative, got {learning_rate}")
    return Variable(float(learning_rate), dtypes.floatx(), trainable=False, name="learning_rate")
