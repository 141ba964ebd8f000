"""The optimizers, in order of increasing complexity."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcore import ops
from kcore.graph import Variable
from kcore.optimizers.optimizer import Optimizer, Slot, fuzz, number


class SGD(Optimizer):
    """Gradient descent, with momentum if given.

    Without momentum no moment is kept, so ``momentum`` cannot be changed once training has begun.
    Sutskever et al., 2013, http://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any
    ):
        super().__init__(learning_rate, **kwargs)
        self._momentum: Any = 0.0
        self.momentum = momentum
        self.nesterov = nesterov

    @property
    def momentum(self) -> Any:
        return self._momentum

    @momentum.setter
    def momentum(self, value: Any) -> None:
        if not isinstance(value, Variable) and not 0 <= float(value) <= 1:
            raise ValueError(f"SGD: momentum must lie in [0, 1], got {value}")
        if isinstance(self._momentum, Variable) or isinstance(value, Variable):
            self._momentum = value
        elif float(value) > 0:
            if self.built:
                raise ValueError("SGD was built without momentum; make a new one with SGD(momentum=...)")
            self._momentum = self.hyperparameter("momentum", value)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        moment = slot.moment  # there even if unused, as in files of Keras 2
        if not isinstance(self._momentum, Variable):
            return w - self.rate * g
        step = self.rate * g
        slot.moment = moment * self._momentum - step
        return w + (self._momentum * slot.moment - step if self.nesterov else slot.moment)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": number(self._momentum), "nesterov": self.nesterov}


class RMSprop(Optimizer):
    """Divides the gradient by a moving root mean square of it. Tieleman and Hinton, 2012.

    Args:
        learning_rate: as for ``Optimizer``.
        rho: the weight of the past in the moving average.
        epsilon: added to the root; the default fuzz factor if ``None``.
        momentum: as in ``SGD``.
        centered: subtract the square of the moving average of the gradient from that of its square.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float | None = None,
        centered: bool = False,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        self.rho = self.hyperparameter("rho", rho)
        self.momentum = momentum
        self.epsilon = fuzz(epsilon)
        self.centered = centered

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        slot.rms = self.rho * slot.rms + (1.0 - self.rho) * ops.square(g)
        if not self.momentum and not self.centered:
            return w - self.rate * g / (ops.sqrt(slot.rms) + self.epsilon)
        variance: Any = slot.rms
        if self.centered:
            slot.mean = self.rho * slot.mean + (1.0 - self.rho) * g
            variance = slot.rms - ops.square(slot.mean)
        step = self.rate * g / ops.sqrt(variance + self.epsilon)
        if not self.momentum:
            return w - step
        slot.moment = self.momentum * slot.moment + step
        return w - slot.moment

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "rho": number(self.rho), "epsilon": self.epsilon}
        if self.momentum:
            config["momentum"] = self.momentum
        if self.centered:
            config["centered"] = True
        return config


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of its squares so far.

    Duchi et al., 2011, https://jmlr.org/papers/v12/duchi11a.html
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        initial_accumulator_value: float = 0.0,
        epsilon: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        if initial_accumulator_value < 0:
            raise ValueError(
                f"Adagrad: initial_accumulator_value must not be negative, got {initial_accumulator_value}"
            )
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = fuzz(epsilon)

    def initial_slot(self, name: str, weight: Variable) -> Any:
        value = self.initial_accumulator_value if name == "accumulator" else 0.0
        return np.full(weight.shape, value, weight.dtype)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        slot.accumulator = slot.accumulator + ops.square(g)
        return w - self.rate * g / (ops.sqrt(slot.accumulator) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "epsilon": self.epsilon}
        if self.initial_accumulator_value:
            config["initial_accumulator_value"] = self.initial_accumulator_value
        return config


class Adadelta(Optimizer):
    """Gives steps the units of weights: the ratio of moving means of steps and of gradients.

    Zeiler, 2012, https://arxiv.org/abs/1212.5701
    """

    def __init__(
        self, learning_rate: Any = 1.0, rho: float = 0.95, epsilon: float | None = None, **kwargs: Any
    ):
        super().__init__(learning_rate, **kwargs)
        self.rho = self.hyperparameter("rho", rho)
        self.epsilon = fuzz(epsilon)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        slot.accumulator = self.rho * slot.accumulator + (1.0 - self.rho) * ops.square(g)
        step = g * ops.sqrt(slot.delta + self.epsilon) / ops.sqrt(slot.accumulator + self.epsilon)
        slot.delta = self.rho * slot.delta + (1.0 - self.rho) * ops.square(step)
        return w - self.rate * step

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": number(self.rho), "epsilon": self.epsilon}


class _Moments(Optimizer):
    """What the relatives of Adam share: decay rates of the first and second moment."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        for name, value in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= value < 1:
                raise ValueError(f"{type(self).__name__}: {name} must lie in [0, 1), got {value}")
        self.beta_1 = self.hyperparameter("beta_1", beta_1)
        self.beta_2 = self.hyperparameter("beta_2", beta_2)
        self.epsilon = fuzz(epsilon)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": number(self.beta_1),
            "beta_2": number(self.beta_2),
            "epsilon": self.epsilon,
        }


class Adam(_Moments):
    """Momentum, divided by a moving root mean square of the gradient, both corrected for their start.

    Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980; ``amsgrad``: Reddi et al., 2018,
    https://openreview.net/forum?id=ryQu7f-RZ
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        amsgrad: bool = False,
        **kwargs: Any,
    ):
        if isinstance(epsilon, bool):  # Keras 2 has amsgrad in its place
            epsilon, amsgrad = None, epsilon
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.amsgrad = amsgrad

    def initial_slot(self, name: str, weight: Variable) -> Any:
        # In files of Keras 2 a maximum that is not kept has one element.
        return (
            super().initial_slot(name, weight)
            if name != "vhat" or self.amsgrad
            else np.zeros(1, weight.dtype)
        )

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        rate = self.rate * ops.sqrt(1.0 - self.beta_2**self.step) / (1.0 - self.beta_1**self.step)
        slot.m = self.beta_1 * slot.m + (1.0 - self.beta_1) * g
        slot.v = self.beta_2 * slot.v + (1.0 - self.beta_2) * ops.square(g)
        largest = slot.vhat
        if self.amsgrad:
            slot.vhat = ops.maximum(largest, slot.v)
        v = slot.vhat if self.amsgrad else slot.v
        return w - rate * slot.m / (ops.sqrt(v) + self.epsilon)

    def set_weights(self, weights: Any) -> None:
        count = len(self._trained)
        if not self.amsgrad and len(weights) == 1 + 2 * count:
            weights = [*weights, *[np.zeros(1)] * count]  # files of TensorFlow's Keras have no maxima
        super().set_weights(weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amsgrad": self.amsgrad}


class AdamW(Adam):
    """Adam with weight decay apart from the gradient. https://arxiv.org/abs/1711.05101"""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        amsgrad: bool = False,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)


class Adamax(_Moments):
    """Adam with the infinity norm. Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, section 7."""

    def __init__(
        self,
        learning_rate: Any = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        slot.m = self.beta_1 * slot.m + (1.0 - self.beta_1) * g
        slot.u = ops.maximum(self.beta_2 * slot.u, ops.abs(g))
        return w - self.rate / (1.0 - self.beta_1**self.step) * slot.m / (slot.u + self.epsilon)


class Nadam(_Moments):
    """Adam with Nesterov momentum. Dozat, 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    ``schedule_decay`` says how fast the momentum approaches ``beta_1``.
    """

    def __init__(
        self,
        learning_rate: Any = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        schedule_decay: float = 0.004,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.schedule_decay = schedule_decay
        self.m_schedule = self.hyperparameter("m_schedule", 1.0)

    def momentum(self, step: Any) -> Any:
        """The momentum of a step."""
        return self.beta_1 * (1.0 - 0.5 * ops.power(0.96, step * self.schedule_decay))

    def shared_variables(self) -> list[Variable]:
        return [self.m_schedule]

    def begin_step(self) -> None:
        self.m_schedule.assign(self.m_schedule * self.momentum(self.step))

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        now, following = self.momentum(self.step), self.momentum(self.step + 1.0)
        slot.m = self.beta_1 * slot.m + (1.0 - self.beta_1) * g
        slot.v = self.beta_2 * slot.v + (1.0 - self.beta_2) * ops.square(g)
        from_gradient = (1.0 - now) / (1.0 - self.m_schedule)
        from_moment = following / (1.0 - self.m_schedule * following)
        m = from_gradient * g + from_moment * slot.m
        v = slot.v / (1.0 - self.beta_2**self.step)
        return w - self.rate * m / (ops.sqrt(v) + self.epsilon)

    def set_weights(self, weights: Any) -> None:
        if len(weights) == len(self.weights) - 1:
            weights = [weights[0], 1.0, *weights[1:]]  # before Keras 2.3 the schedule was not saved
        super().set_weights(weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "schedule_decay": self.schedule_decay}


class Lion(_Moments):
    """Steps of one size in each direction: the sign of a mean of gradient and momentum.

    Chen et al., 2023, https://arxiv.org/abs/2302.06675
    """

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any):
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        direction = ops.sign(self.beta_1 * slot.m + (1.0 - self.beta_1) * g)
        slot.m = self.beta_2 * slot.m + (1.0 - self.beta_2) * g
        return w - self.rate * direction

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["epsilon"]
        return config


class Lamb(_Moments):
    """Adam whose step is as long as the weight times the learning rate. https://arxiv.org/abs/1904.00962"""

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        slot.m = self.beta_1 * slot.m + (1.0 - self.beta_1) * g
        slot.v = self.beta_2 * slot.v + (1.0 - self.beta_2) * ops.square(g)
        m = slot.m / (1.0 - self.beta_1**self.step)
        v = slot.v / (1.0 - self.beta_2**self.step)
        step = m / (ops.sqrt(v) + self.epsilon)
        of_weight, of_step = (ops.sqrt(ops.sum(ops.square(x))) for x in (w, step))
        known = ops.logical_and(of_weight > 0.0, of_step > 0.0)
        ratio = ops.where(known, of_weight / ops.where(known, of_step, 1.0), 1.0)
        return w - self.rate * ratio * step


class Ftrl(Optimizer):
    """Follow the regularized leader: sparse weights by an L1 penalty on the sum of all steps.

    McMahan et al., 2013, https://research.google.com/pubs/archive/41159.pdf

    Args:
        learning_rate: as for ``Optimizer``.
        learning_rate_power: the power of the sum of squared gradients that divides the rate; at most 0.
        initial_accumulator_value: where that sum begins.
        l1_regularization_strength, l2_regularization_strength: penalties on weights.
        l2_shrinkage_regularization_strength: an L2 penalty that is part of the gradient.
        beta: added to the root of the sum of squared gradients.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        if learning_rate_power > 0:
            raise ValueError(f"Ftrl: learning_rate_power must not be positive, got {learning_rate_power}")
        for name, value in (
            ("initial_accumulator_value", initial_accumulator_value),
            ("l1_regularization_strength", l1_regularization_strength),
            ("l2_regularization_strength", l2_regularization_strength),
            ("l2_shrinkage_regularization_strength", l2_shrinkage_regularization_strength),
        ):
            if value < 0:
                raise ValueError(f"Ftrl: {name} must not be negative, got {value}")
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def initial_slot(self, name: str, weight: Variable) -> Any:
        value = self.initial_accumulator_value if name == "accumulator" else 0.0
        return np.full(weight.shape, value, weight.dtype)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        shrunk = g + 2.0 * self.l2_shrinkage_regularization_strength * w
        power = -self.learning_rate_power
        before = ops.power(slot.accumulator, power)
        slot.accumulator = slot.accumulator + ops.square(g)
        after = ops.power(slot.accumulator, power)
        slot.linear = slot.linear + shrunk - (after - before) / self.rate * w
        curvature = (after + self.beta) / self.rate + 2.0 * self.l2_regularization_strength
        l1 = self.l1_regularization_strength
        return (ops.clip(slot.linear, -l1, l1) - slot.linear) / curvature

    def get_config(self) -> dict[str, Any]:
        names = (
            "learning_rate_power",
            "initial_accumulator_value",
            "l1_regularization_strength",
            "l2_regularization_strength",
            "l2_shrinkage_regularization_strength",
            "beta",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class Adafactor(Optimizer):
    """Root mean squares of gradients kept as one number a row and one a column.

    Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235

    Args:
        learning_rate: as for ``Optimizer``.
        beta_2_decay: the weight of a new gradient is the step to this power.
        epsilon_1: added to squared gradients.
        epsilon_2: the smallest root mean square of a weight that a step is scaled by.
        clip_threshold: the greatest root mean square of a step before it is scaled.
        relative_step: let the learning rate fall as one over the root of the step.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def initial_slot(self, name: str, weight: Variable) -> Any:
        shapes = {"rows": weight.shape[:-1], "columns": (*weight.shape[:-2], weight.shape[-1])}
        return np.zeros(shapes.get(name, weight.shape), weight.dtype)

    def update(self, w: Any, g: Any, slot: Slot) -> Any:
        fresh = ops.power(self.step, self.beta_2_decay)
        square = ops.square(g) + self.epsilon_1
        if len(w.shape) >= 2:
            slot.rows = (1.0 - fresh) * slot.rows + fresh * ops.mean(square, axis=-1)
            slot.columns = (1.0 - fresh) * slot.columns + fresh * ops.mean(square, axis=-2)
            share = slot.rows / ops.mean(slot.rows, axis=-1, keepdims=True)
            v = ops.expand_dims(share, -1) * ops.expand_dims(slot.columns, -2)
        else:
            slot.v = (1.0 - fresh) * slot.v + fresh * square
            v = slot.v
        step = g * ops.rsqrt(v)
        step = step / ops.maximum(1.0, _rms(step) / self.clip_threshold)
        rate = ops.minimum(self.rate, ops.rsqrt(self.step)) if self.relative_step else self.rate
        return w - rate * ops.maximum(self.epsilon_2, _rms(w)) * step

    def get_config(self) -> dict[str, Any]:
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _rms(x: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(x)))
