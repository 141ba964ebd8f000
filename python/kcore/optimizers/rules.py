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
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.amsgrad = amsgrad

    def initial_slot(self, name: str, weight: Variable) -> Any:
        # In files of Keras 2 a maximum that is not kept has one element.
        return np.zeros(weight.shape if name != "vhat" or self.amsgrad else (1,), weight.dtype)

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
