"""Losses: functions of targets and predictions, and the classes that weight and reduce them.

A function reduces the last axis (the classes of a sample) and keeps the others; a class reduces the rest.
Everywhere ``y_true`` has the shape of ``y_pred`` unless said otherwise.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from kcore import ops
from kcore.config import epsilon
from kcore.graph import dtypes
from kcore.lookup import lookup
from kcore.utils.losses_utils import (
    Reduction,
    compute_weighted_loss,
    expand_to_same_rank,
    standardize_reduction,
    to_tensor_or_array,
)
from kcore.utils.serialization import get_registered_name, serialize_keras_object


class Loss:
    """Base class: subclasses define ``call(y_true, y_pred)``, the losses of elements.

    Args:
        reduction: ``"sum_over_batch_size"`` (the mean), ``"sum"``, ``"mean_with_sample_weight"`` or
            ``"none"``.
        name: for logs.
        dtype: the dtype to compute in; that of ``y_pred`` if ``None``.
    """

    def __init__(
        self,
        reduction: str | None = Reduction.SUM_OVER_BATCH_SIZE,
        name: str | None = None,
        dtype: Any = None,
    ):
        if name in Reduction.all() and reduction not in Reduction.all():  # Keras 3 has the name first
            reduction, name = name, reduction
        self.reduction = standardize_reduction(reduction)
        self.name = name
        self.dtype = None if dtype is None else dtypes.standardize(dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss, a scalar unless the reduction is ``"none"``.

        ``sample_weight`` is a scalar, one weight for each sample ``(batch,)``, or one for each element
        of the loss.
        """
        y_pred = to_tensor_or_array(y_pred, self.dtype)
        losses = self.call(to_tensor_or_array(y_true), y_pred)
        return compute_weighted_loss(losses, sample_weight, self.reduction, self.name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        return {"reduction": self.reduction, "name": self.name}


class LossFunctionWrapper(Loss):
    """The class form of a loss function ``fn(y_true, y_pred, **kwargs)``."""

    def __init__(
        self,
        fn: Callable,
        reduction: str | None = Reduction.SUM_OVER_BATCH_SIZE,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ):
        super().__init__(reduction, name, dtype)
        self.fn = fn
        self._fn_kwargs = kwargs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        config = dict(config)
        fn = config.pop("fn", None)  # some versions of Keras write it for the subclasses too
        return cls(deserialize(fn), **config) if cls is LossFunctionWrapper else cls(**config)

    def get_config(self) -> dict[str, Any]:
        own = {"fn": get_registered_name(self.fn)} if type(self) is LossFunctionWrapper else {}
        return {**own, **self._fn_kwargs, **super().get_config()}


# --- Regression ---------------------------------------------------------------------------------------


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_pred - y_true)**2)``."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(abs(y_pred - y_true))``."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.abs(y_pred - y_true), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(abs(y_true - y_pred) / max(abs(y_true), epsilon))``."""
    y_true, y_pred = _pair(y_true, y_pred)
    return 100.0 * ops.mean(ops.abs((y_true - y_pred) / ops.maximum(ops.abs(y_true), epsilon())), axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(y_pred + 1) - log(y_true + 1))**2)``, both clipped to at least epsilon."""
    y_true, y_pred = _pair(y_true, y_pred)
    first = ops.log(ops.maximum(y_pred, epsilon()) + 1.0)
    second = ops.log(ops.maximum(y_true, epsilon()) + 1.0)
    return ops.mean(ops.square(first - second), axis=-1)


def logcosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)))``."""
    y_true, y_pred = _pair(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(-2.0 * error) - math.log(2.0), axis=-1)


def huber_loss(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """``0.5 * d**2`` where ``d = abs(y_pred - y_true) <= delta``, else ``delta * d - 0.5 * delta**2``.

    Each element has a loss of its own: the last axis is not reduced.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    quadratic = ops.minimum(error, delta)
    return 0.5 * ops.square(quadratic) + delta * (error - quadratic)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """The mean of ``huber_loss`` over the last axis."""
    return ops.mean(huber_loss(y_true, y_pred, delta), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred + epsilon))``."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + epsilon()), axis=-1)


def kullback_leibler_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred))``, both clipped to [epsilon, 1]."""
    y_true, y_pred = _pair(y_true, y_pred)
    y_true = ops.clip(y_true, epsilon(), 1.0)
    y_pred = ops.clip(y_pred, epsilon(), 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def cosine_proximity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between target and prediction, along ``axis``."""
    y_true, y_pred = _pair(y_true, y_pred)
    return -ops.sum(_unit(y_true, axis) * _unit(y_pred, axis), axis=axis)


def _unit(x: Any, axis: int) -> Any:
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


# --- Classification -----------------------------------------------------------------------------------


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0)**2)``, targets being -1 or 1."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.square(ops.maximum(1.0 - y_true * y_pred, 0.0)), axis=-1)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0))``, targets being -1 or 1."""
    y_true, y_pred = _pair(y_true, y_pred)
    return ops.mean(ops.maximum(1.0 - y_true * y_pred, 0.0), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``max(negative - positive + 1, 0)`` with the score of the class and the greatest of the others."""
    y_true, y_pred = _pair(y_true, y_pred)
    positive = ops.sum(y_true * y_pred, axis=-1)
    negative = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(0.0, negative - positive + 1.0)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0, axis: int = -1
) -> Any:
    """``-sum(y_true * log(p))`` for class probabilities p.

    Args:
        y_true: probabilities, most often one-hot.
        y_pred: probabilities; they are divided by their sum and clipped to [epsilon, 1 - epsilon].
            Where they come straight from a softmax, its logits are used instead.
        from_logits: whether ``y_pred`` are logits, to which softmax is applied.
        label_smoothing: how much of the target is spread evenly over all classes.
        axis: the axis of the classes.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[axis]
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    axis: int = -1,
    ignore_class: int | None = None,
) -> Any:
    """``categorical_crossentropy`` for targets that are class indices.

    Args:
        y_true: integers, of the shape of ``y_pred`` without ``axis`` (or with extent 1 there).
        y_pred: probabilities (clipped to [epsilon, 1 - epsilon] and divided by their sum), or logits.
        from_logits: whether ``y_pred`` are logits.
        axis: the axis of the classes.
        ignore_class: an index whose samples have loss 0.
    """
    labels = ops.cast(to_tensor_or_array(y_true), "int32")
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    if len(labels.shape) == len(y_pred.shape):
        labels = ops.squeeze(labels, axis)
    kept = ops.not_equal(labels, ignore_class)
    labels = ops.where(kept, labels, 0)
    losses = ops.sparse_categorical_crossentropy(labels, y_pred, from_logits=from_logits, axis=axis)
    return ops.where(kept, losses, 0.0)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0, axis: int = -1
) -> Any:
    """``mean(-y_true * log(p) - (1 - y_true) * log(1 - p))`` for probabilities p.

    Args:
        y_true: probabilities, most often 0 or 1.
        y_pred: probabilities, clipped to [epsilon, 1 - epsilon]. Where they come straight from a
            sigmoid, its logits are used instead.
        from_logits: whether ``y_pred`` are logits, to which sigmoid is applied.
        label_smoothing: how far targets are moved towards 0.5.
        axis: the axis of the mean.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Binary cross-entropy times ``(1 - p_t)**gamma``, p_t being the probability of the true class.

    Lin et al., 2018, https://arxiv.org/abs/1708.02002. With ``apply_class_balancing`` class 1 is
    weighted by ``alpha`` and class 0 by ``1 - alpha``.
    """
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    p_true = y_true * p + (1.0 - y_true) * (1.0 - p)
    losses = ops.power(1.0 - p_true, gamma) * ops.binary_crossentropy(y_true, y_pred, from_logits)
    if apply_class_balancing:
        losses = losses * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return ops.mean(losses, axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """``-sum(alpha * (1 - p)**gamma * y_true * log(p))``. https://arxiv.org/abs/1708.02002"""
    y_true, y_pred = _pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[axis]
    if from_logits:
        y_pred = ops.softmax(y_pred, axis=axis)
    p = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    p = ops.clip(p, epsilon(), 1.0 - epsilon())
    return -ops.sum(alpha * ops.power(1.0 - p, gamma) * y_true * ops.log(p), axis=axis)


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float = 0.5) -> Any:
    """``(1 - p**q) / q`` for the probability p of the true class, given by index.

    Zhang and Sabuncu, 2018, https://arxiv.org/abs/1805.07836; between cross-entropy (q to 0) and mean
    absolute error (q = 1).
    """
    if not 0 < q <= 1:
        raise ValueError(f"categorical_generalized_cross_entropy: q must lie in (0, 1], got {q}")
    y_true, y_pred = to_tensor_or_array(y_true), _float(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] in (1, None):
        y_true = ops.squeeze(y_true, -1)
    labels = ops.expand_dims(ops.cast(y_true, "int32"), -1)
    p = ops.squeeze(ops.take_along_axis(y_pred, labels, axis=-1), -1)
    return (1.0 - ops.power(p, q)) / q


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """``1 - 2 * sum(y_true * y_pred) / (sum(y_true) + sum(y_pred))``, over all axes by default."""
    y_true, y_pred = _pair(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis)
    # Ops, as NumPy 1 turns a scalar of float32 and a Python number into float64.
    return ops.subtract(1.0, ops.divide_no_nan(ops.multiply(2.0, overlap), ops.add(total, epsilon())))


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """``1 - tp / (tp + alpha * fp + beta * fn)``. https://arxiv.org/abs/1706.05721"""
    y_true, y_pred = _pair(y_true, y_pred)
    tp = ops.sum(y_true * y_pred, axis=axis)
    fp = ops.sum(alpha * (1.0 - y_true) * y_pred, axis=axis)
    fn = ops.sum(beta * y_true * (1.0 - y_pred), axis=axis)
    return ops.subtract(1.0, ops.divide_no_nan(tp, ops.add(tp + fp + fn, epsilon())))


def _float(x: Any) -> Any:
    x = to_tensor_or_array(x)
    return x if dtypes.is_float(dtypes.standardize(x.dtype)) else ops.cast(x, dtypes.floatx())


def _pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both as floats of the dtype of the predictions; ``(n,)`` beside ``(n, 1)`` becomes ``(n, 1)``."""
    y_pred = _float(y_pred)
    return expand_to_same_rank(to_tensor_or_array(y_true, dtypes.standardize(y_pred.dtype)), y_pred)


# --- Classes ------------------------------------------------------------------------------------------


_MEAN = Reduction.SUM_OVER_BATCH_SIZE


def _unless(default: Any, **argument: Any) -> dict[str, Any]:
    """The one argument given, unless it has its default: Keras 2's configs do not know it."""
    return {name: value for name, value in argument.items() if value != default}


class MeanSquaredError(LossFunctionWrapper):
    """The mean of ``(y_pred - y_true)**2``."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "mean_squared_error", dtype: Any = None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """The mean of ``abs(y_pred - y_true)``."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "mean_absolute_error", dtype: Any = None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """The mean absolute error in percent of the target."""

    def __init__(
        self, reduction: str | None = _MEAN, name: str = "mean_absolute_percentage_error", dtype: Any = None
    ):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """The mean of ``(log(y_pred + 1) - log(y_true + 1))**2``."""

    def __init__(
        self, reduction: str | None = _MEAN, name: str = "mean_squared_logarithmic_error", dtype: Any = None
    ):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """The mean of ``max(1 - y_true * y_pred, 0)``, targets being -1 or 1."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "hinge", dtype: Any = None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """The mean of ``max(1 - y_true * y_pred, 0)**2``, targets being -1 or 1."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "squared_hinge", dtype: Any = None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """See ``categorical_hinge``."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "categorical_hinge", dtype: Any = None):
        super().__init__(categorical_hinge, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """The mean of ``y_pred - y_true * log(y_pred)``."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "poisson", dtype: Any = None):
        super().__init__(poisson, reduction, name, dtype)


class LogCosh(LossFunctionWrapper):
    """The mean of ``log(cosh(y_pred - y_true))``."""

    def __init__(self, reduction: str | None = _MEAN, name: str = "logcosh", dtype: Any = None):
        super().__init__(logcosh, reduction, name, dtype)


class KLDivergence(LossFunctionWrapper):
    """The Kullback-Leibler divergence of ``y_pred`` from ``y_true``."""

    def __init__(
        self, reduction: str | None = _MEAN, name: str = "kullback_leibler_divergence", dtype: Any = None
    ):
        super().__init__(kullback_leibler_divergence, reduction, name, dtype)


class Huber(LossFunctionWrapper):
    """Squared error near 0, absolute error beyond ``delta``. See ``huber_loss``."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = _MEAN,
        name: str = "huber_loss",
        dtype: Any = None,
    ):
        super().__init__(huber_loss, reduction, name, dtype, delta=delta)


class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of yes-or-no targets. See ``binary_crossentropy``."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0,
        reduction: str | None = _MEAN,
        name: str = "binary_crossentropy",
        dtype: Any = None,
        axis: int = -1,
    ):
        super().__init__(
            binary_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            **_unless(-1, axis=axis),
        )


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets. See ``categorical_crossentropy``."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0,
        reduction: str | None = _MEAN,
        name: str = "categorical_crossentropy",
        dtype: Any = None,
        axis: int = -1,
    ):
        super().__init__(
            categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            **_unless(-1, axis=axis),
        )


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of class indices. See ``sparse_categorical_crossentropy``."""

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = _MEAN,
        name: str = "sparse_categorical_crossentropy",
        dtype: Any = None,
        ignore_class: int | None = None,
        axis: int = -1,
    ):
        super().__init__(
            sparse_categorical_crossentropy,
            reduction,
            name,
            dtype,
            from_logits=from_logits,
            **_unless(None, ignore_class=ignore_class),
            **_unless(-1, axis=axis),
        )


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine between target and prediction along ``axis``."""

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str = "cosine_similarity",
        dtype: Any = None,
    ):
        super().__init__(cosine_proximity, reduction, name, dtype, axis=axis)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """See ``binary_focal_crossentropy``."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str = "binary_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            binary_focal_crossentropy,
            reduction,
            name,
            dtype,
            apply_class_balancing=apply_class_balancing,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """See ``categorical_focal_crossentropy``."""

    def __init__(
        self,
        alpha: Any = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
        reduction: str | None = _MEAN,
        name: str = "categorical_focal_crossentropy",
        dtype: Any = None,
    ):
        super().__init__(
            categorical_focal_crossentropy,
            reduction,
            name,
            dtype,
            alpha=alpha,
            gamma=gamma,
            from_logits=from_logits,
            label_smoothing=label_smoothing,
            axis=axis,
        )


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """See ``categorical_generalized_cross_entropy``."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = _MEAN,
        name: str = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ):
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class Dice(LossFunctionWrapper):
    """See ``dice``."""

    def __init__(
        self,
        reduction: str | None = _MEAN,
        name: str = "dice",
        axis: Any = None,
        dtype: Any = None,
    ):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """See ``tversky``."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = _MEAN,
        name: str = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


mse = MSE = mean_squared_error
mae = MAE = mean_absolute_error
mape = MAPE = mean_absolute_percentage_error
msle = MSLE = mean_squared_logarithmic_error
kld = KLD = kl_divergence = kullback_leibler_divergence
bce = BCE = binary_crossentropy
cosine = cosine_similarity = cosine_proximity
log_cosh = logcosh

_KNOWN = {
    name: value
    for name, value in list(globals().items())
    if not name.startswith("_")
    and ((inspect.isclass(value) and issubclass(value, Loss)) or inspect.isfunction(value))
    and value.__module__ == __name__
}


def is_categorical_crossentropy(loss: Any) -> bool:
    """Whether ``loss`` is the categorical cross-entropy, by function, class instance or name."""
    return (
        isinstance(loss, CategoricalCrossentropy)
        or (isinstance(loss, LossFunctionWrapper) and loss.fn is categorical_crossentropy)
        or loss is categorical_crossentropy
        or loss == "categorical_crossentropy"
    )


def serialize(loss: Any) -> Any:
    """A loss function's name, or a loss object's config."""
    if inspect.isfunction(loss):
        return get_registered_name(loss)
    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: dict | None = None) -> Any:
    """The loss that ``serialize`` described. Raises ``ValueError`` for an unknown one."""
    return lookup(name, _KNOWN, "loss", custom_objects)


def get(identifier: Any) -> Any:
    """A loss from a name, a config, a class or a callable; ``None`` from ``None``."""
    return None if identifier is None else deserialize(identifier)
