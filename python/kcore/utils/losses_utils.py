"""How the losses of elements become one number: shapes of targets and weights, and reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcore import ops
from kcore.graph import Tensor, as_tensor, composite, constant, dtypes


class Reduction:
    """The ways to reduce a loss: ``none``, ``sum``, ``sum_over_batch_size`` (the mean), and
    ``mean_with_sample_weight`` (the mean weighted by the sample weights)."""

    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    MEAN_WITH_SAMPLE_WEIGHT = "mean_with_sample_weight"

    @classmethod
    def all(cls) -> tuple[str, ...]:
        return (cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE, cls.MEAN_WITH_SAMPLE_WEIGHT)

    @classmethod
    def validate(cls, key: Any) -> None:
        """Raises ``ValueError`` for an unknown reduction."""
        if key not in cls.all():
            raise ValueError(f"unknown loss reduction {key!r}; known are {', '.join(cls.all())}")


def standardize_reduction(reduction: str | None) -> str:
    """``reduction``, other spellings of it replaced. Raises ``ValueError`` for an unknown one."""
    mean = Reduction.SUM_OVER_BATCH_SIZE
    known = {None: Reduction.NONE, "auto": mean, "mean": mean}.get(reduction, reduction)
    Reduction.validate(known)
    return known  # type: ignore[return-value]


def to_tensor_or_array(x: Any, dtype: str | None = None) -> Any:
    """``x`` as a tensor, if it is or holds one, else as an array; in ``dtype`` if given."""
    if isinstance(x, Tensor):
        x = as_tensor(x)
        return x if dtype is None else ops.cast(x, dtype)
    return dtypes.as_array(x, dtype)


def expand_to_same_rank(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """``(n,)`` beside ``(n, 1)`` becomes ``(n, 1)`` too, whichever of the two it is."""
    difference = len(y_pred.shape) - len(y_true.shape)
    if difference == 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif difference == -1 and y_true.shape[-1] == 1:
        y_pred = ops.expand_dims(y_pred, -1)
    return y_true, y_pred


def squeeze_or_expand_dimensions(
    y_pred: Any, y_true: Any = None, sample_weight: Any = None
) -> tuple[Any, Any, Any]:
    """Make ranks agree that differ by an axis of extent 1 at the end.

    The longer of ``y_pred`` and ``y_true`` loses that axis; then ``sample_weight`` loses one or gains one
    to match ``y_pred``. Returns all three.
    """
    if y_true is not None:
        difference = len(y_pred.shape) - len(y_true.shape)
        if difference == 1 and y_pred.shape[-1] == 1:
            y_pred = ops.squeeze(y_pred, -1)
        elif difference == -1 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
    if sample_weight is None or len(sample_weight.shape) == 0:
        return y_pred, y_true, sample_weight
    difference = len(sample_weight.shape) - len(y_pred.shape)
    if difference == 1 and sample_weight.shape[-1] in (1, None):
        sample_weight = ops.squeeze(sample_weight, -1)
    elif difference == -1:
        sample_weight = ops.expand_dims(sample_weight, -1)
    return y_pred, y_true, sample_weight


def aligned_weights(values: Any, sample_weight: Any) -> Any:
    """``sample_weight`` with axes of extent 1 at its end until it has the rank of ``values``.

    Raises:
        ValueError: it has more axes than ``values`` (unless one of extent 1 at the end), or some extent
            is neither 1 nor that of ``values``.
    """
    if len(sample_weight.shape) == 0:
        return sample_weight
    _, _, weight = squeeze_or_expand_dimensions(values, None, sample_weight)
    for axis in range(len(weight.shape), len(values.shape)):
        weight = ops.expand_dims(weight, axis)
    if len(weight.shape) > len(values.shape) or any(
        None not in (v, w) and w not in (1, v) for v, w in zip(values.shape, weight.shape, strict=True)
    ):
        raise ValueError(
            f"sample weights of shape {tuple(sample_weight.shape)} do not fit values of shape "
            f"{tuple(values.shape)}: each axis must have the same extent or extent 1"
        )
    return weight


def broadcast_weights(values: Any, sample_weight: Any) -> Any:
    """``sample_weight`` with the shape of ``values``; missing axes at its end are added.

    Raises:
        ValueError: it does not fit; see ``aligned_weights``.
    """
    weight = aligned_weights(values, sample_weight)
    if tuple(values.shape) == tuple(weight.shape) and None not in values.shape:
        return weight
    return broadcast_like(weight, values)


def broadcast_like(x: Any, like: Any) -> Any:
    """``x`` repeated until it has the shape of ``like``."""
    if isinstance(x, Tensor) or isinstance(like, Tensor):
        return _broadcast_like(as_tensor(x), as_tensor(like))
    return np.ascontiguousarray(np.broadcast_to(x, np.shape(like)))


@composite(deferred=True, infer=lambda x, like: (like.shape, x.dtype))
def _broadcast_like(x: Tensor, like: Tensor) -> Tensor:
    return ops.broadcast_to(x, like.shape)  # type: ignore[arg-type]


def reduce_weighted_loss(weighted_losses: Any, reduction: str = Reduction.SUM_OVER_BATCH_SIZE) -> Any:
    """The losses themselves, their sum, or their sum divided by their number (0 if there are none)."""
    if reduction == Reduction.NONE:
        return weighted_losses
    if reduction == Reduction.SUM or 0 in weighted_losses.shape:
        return ops.sum(weighted_losses)
    return ops.mean(weighted_losses)


def compute_weighted_loss(
    losses: Any,
    sample_weight: Any = None,
    reduction: str | None = Reduction.SUM_OVER_BATCH_SIZE,
    name: str | None = None,
) -> Any:
    """Weight the losses of elements and reduce them.

    Args:
        losses: of shape ``(batch, d1, ..., dn)``.
        sample_weight: a scalar, or weights for the leading axes of ``losses``; extents may be 1.
        reduction: one of ``Reduction``.
        name: accepted and ignored.

    Raises:
        ValueError: the weights do not fit the losses, or the reduction is unknown.
    """
    reduction = standardize_reduction(reduction)
    losses = to_tensor_or_array(losses)
    if not dtypes.is_float(dtypes.standardize(losses.dtype)):
        losses = ops.cast(losses, dtypes.floatx())
    if sample_weight is None:
        if reduction == Reduction.MEAN_WITH_SAMPLE_WEIGHT:
            reduction = Reduction.SUM_OVER_BATCH_SIZE
        return reduce_weighted_loss(losses, reduction)
    weight = to_tensor_or_array(sample_weight, dtypes.standardize(losses.dtype))
    if reduction == Reduction.MEAN_WITH_SAMPLE_WEIGHT:
        weight = broadcast_weights(losses, weight)
        return ops.divide_no_nan(ops.sum(losses * weight), ops.sum(weight))
    return reduce_weighted_loss(losses * aligned_weights(losses, weight), reduction)


def element_count(x: Any) -> Any:
    """The number of elements of ``x`` as a float."""
    if isinstance(x, Tensor):
        return _element_count(x)
    return float(np.size(x))


@composite(deferred=True, infer=lambda x: ((), dtypes.floatx()))
def _element_count(x: Tensor) -> Tensor:
    return constant(float(math.prod(x.shape)), dtypes.floatx())  # type: ignore[arg-type]
