"""BatchNormalization and LayerNormalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kcore import backend, constraints, initializers, ops, regularizers
from kcore.graph import Tensor, composite, constant
from kcore.layers.base import InputSpec, Layer

__all__ = ["BatchNormalization", "LayerNormalization"]


class BatchNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, for each index of ``axis``.

    In training, mean and variance are those of the batch, and their moving averages follow; at inference the
    moving averages are used. The moving variance takes the batch's variance times ``n / (n - 1 - epsilon)``
    for ``n`` values. With ``trainable=False`` gamma, beta and the moving averages stay as they are, but
    training still normalizes by the batch; call the layer with ``training=False`` to freeze it altogether.

    Args:
        axis: the features, usually the channels: ``1`` for ``channels_first`` data.
        momentum: of the moving averages. epsilon: added to the variance.
        center: whether to add ``beta``. scale: whether to multiply by ``gamma``.

    Weights: ``gamma``, ``beta``, ``moving_mean``, ``moving_variance``.
    Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        for name in ("renorm", "synchronized", "virtual_batch_size"):
            if kwargs.pop(name, None):
                raise ValueError(f"BatchNormalization: {name} is not supported")
        for name in ("fused", "renorm_clipping", "renorm_momentum"):  # mean nothing without renorm
            kwargs.pop(name, None)
        super().__init__(**kwargs)
        if isinstance(axis, (list, tuple)):
            (axis,) = axis
        self.axis = int(axis)
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        dim = input_shape[self.axis]
        if dim is None:
            raise ValueError(
                f"Axis {self.axis} of input tensor should have a defined dimension but the layer '{self.name}' "
                f"received an input with shape {input_shape}."
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: dim})
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                "gamma",
                (dim,),
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                "beta",
                (dim,),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.moving_mean = self.add_weight(
            "moving_mean", (dim,), initializer=self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", (dim,), initializer=self.moving_variance_initializer, trainable=False
        )
        self.built = True

    def call(self, inputs: Any, training: Any = None) -> Any:
        if training is None:
            training = backend.learning_phase()

        def inference() -> Any:
            mean, variance = self.moving_mean, self.moving_variance
            return ops.batch_normalization(
                inputs, mean, variance, self.axis, self.beta, self.gamma, epsilon=self.epsilon
            )

        if not isinstance(training, Tensor) and not training:
            return inference()
        normal, mean, variance = ops.batch_normalization_training(
            inputs, self.gamma, self.beta, axis=self.axis, epsilon=self.epsilon
        )
        axes = tuple(i for i in range(inputs.ndim) if i != self.axis % inputs.ndim)
        count = _count(inputs, axes=axes)
        sample_variance = variance * (count / (count - (1.0 + self.epsilon)))
        self.add_update(
            [self._moved(self.moving_mean, mean), self._moved(self.moving_variance, sample_variance)], inputs
        )
        return backend.in_train_phase(lambda: normal, inference, training)

    def _moved(self, average: Any, value: Any) -> tuple:
        return average, average * self.momentum + ops.stop_gradient(value) * (1.0 - self.momentum)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)


@composite(deferred=True, infer=lambda x, *, axes: ((), x.dtype))
def _count(x: Any, *, axes: tuple[int, ...]) -> Any:
    """How many values are averaged over ``axes``."""
    return constant(float(math.prod(x.shape[a] for a in axes)), x.dtype)


class LayerNormalization(Layer):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, for each element of the batch by itself.

    Args:
        axis: the axis or axes over which mean and variance are taken.
        epsilon: added to the variance.
        center: whether to add ``beta``. scale: whether to multiply by ``gamma``.

    Weights: ``gamma``, ``beta``, of the extents of ``axis``. Ba et al., 2016, https://arxiv.org/abs/1607.06450
    """

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        if kwargs.pop("rms_scaling", False):
            raise ValueError("LayerNormalization: rms_scaling=True is not supported")
        super().__init__(**kwargs)
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def _axes(self, ndim: int) -> tuple[int, ...]:
        axes = [self.axis] if isinstance(self.axis, int) else self.axis
        return tuple(sorted(axis % ndim for axis in axes))

    def build(self, input_shape: tuple) -> None:
        axes = self._axes(len(input_shape))
        shape = tuple(input_shape[axis] for axis in axes)
        if None in shape:
            raise ValueError(
                f"layer '{self.name}': the normalized axes {axes} must have known extents, got {input_shape}"
            )
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                "gamma",
                shape,
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                "beta",
                shape,
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(axes, shape, strict=True)))
        self.built = True

    def call(self, inputs: Any) -> Any:
        return ops.layer_normalization(
            inputs, self.gamma, self.beta, axis=self._axes(inputs.ndim), epsilon=self.epsilon
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)
