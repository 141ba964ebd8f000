"""Activations that have arguments or weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import activations, constraints, initializers, ops, regularizers
from kcore.layers.base import InputSpec, Layer

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"]


class _Activation(Layer):
    """An activation keeps shape and mask."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


class LeakyReLU(_Activation):
    """``x`` if ``x > 0``, else ``alpha * x``.

    Args:
        alpha: the slope; ``negative_slope`` is another name for it.

    Maas et al., 2013, https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    def __init__(self, alpha: float = 0.3, **kwargs: Any):
        alpha = kwargs.pop("negative_slope", alpha)
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, alpha=self.alpha)


class PReLU(_Activation):
    """``x`` if ``x > 0``, else ``alpha * x`` with a learned ``alpha``.

    Args:
        shared_axes: axes along which ``alpha`` is one number: ``[1, 2]`` for one per channel of an image.

    Weight: ``alpha``, of the input's shape without the batch, 1 along shared axes.
    He et al., 2015, https://arxiv.org/abs/1502.01852
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes = (
            [shared_axes] if isinstance(shared_axes, int) else shared_axes and list(shared_axes)
        )

    def build(self, input_shape: tuple) -> None:
        shared = [axis % len(input_shape) for axis in self.shared_axes or ()]
        if 0 in shared:
            raise ValueError(
                f"layer '{self.name}': the batch axis cannot be shared, got shared_axes={self.shared_axes}"
            )
        shape = tuple(1 if axis in shared else d for axis, d in enumerate(input_shape))[1:]
        self.alpha = self.add_weight(
            "alpha",
            shape,
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        axes = {i: d for i, d in enumerate(input_shape) if i and i not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return ops.relu(inputs) - self.alpha * ops.relu(-inputs)


class ELU(_Activation):
    """``x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Clevert et al., 2015, https://arxiv.org/abs/1511.07289
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs: Any) -> Any:
        return activations.elu(inputs, self.alpha)


class ThresholdedReLU(_Activation):
    """``x`` if ``x > theta``, else 0.

    Konda et al., 2014, https://arxiv.org/abs/1402.3337
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.theta = float(theta)

    def call(self, inputs: Any) -> Any:
        return inputs * ops.cast(inputs > self.theta, inputs.dtype)


class Softmax(_Activation):
    """``exp(x) / sum(exp(x))`` along ``axis``."""

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs: Any) -> Any:
        return activations.softmax(inputs, axis=self.axis)


class ReLU(_Activation):
    """The rectifier, optionally leaky, saturating and shifted.

    Args:
        max_value: the largest output; no limit if ``None``.
        negative_slope: the slope below ``threshold``. threshold: where the rectifier begins.

    ``max_value`` where ``x >= max_value``, ``x`` where ``threshold <= x < max_value``, else
    ``negative_slope * (x - threshold)``.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0:
            raise ValueError(f"ReLU: max_value cannot be negative, got {max_value}")
        if negative_slope < 0:
            raise ValueError(f"ReLU: negative_slope cannot be negative, got {negative_slope}")
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope = float(negative_slope)
        self.threshold = float(threshold)

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)
