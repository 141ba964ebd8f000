"""How often predictions hit: exact, by threshold, by the greatest class, within the greatest k."""

from __future__ import annotations

from typing import Any

from kcore import ops
from kcore.graph import dtypes
from kcore.metrics.reduction import MeanMetricWrapper
from kcore.utils.losses_utils import expand_to_same_rank, to_tensor_or_array


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where target and prediction are equal, else 0."""
    y_true, y_pred = expand_to_same_rank(to_tensor_or_array(y_true), to_tensor_or_array(y_pred))
    return ops.cast(ops.equal(y_true, y_pred), dtypes.floatx())


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """How many of the last axis lie on the side of ``threshold`` that their target (0 or 1) says."""
    y_true, y_pred = expand_to_same_rank(to_tensor_or_array(y_true), to_tensor_or_array(y_pred))
    if threshold == 0.5:
        predicted = ops.round(y_pred)
    else:
        predicted = ops.cast(ops.greater(y_pred, threshold), dtypes.standardize(y_pred.dtype))
    return ops.mean(ops.cast(ops.equal(y_true, predicted), dtypes.floatx()), axis=-1)


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the greatest prediction of the last axis is at the greatest target, else 0."""
    hit = ops.equal(
        ops.argmax(to_tensor_or_array(y_true), axis=-1), ops.argmax(to_tensor_or_array(y_pred), axis=-1)
    )
    return ops.cast(hit, dtypes.floatx())


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the greatest prediction of the last axis is at the target's index, else 0."""
    y_pred = to_tensor_or_array(y_pred)
    labels = _labels(y_true, y_pred)
    return ops.cast(ops.equal(labels, ops.cast(ops.argmax(y_pred, axis=-1), "int32")), dtypes.floatx())


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where fewer than ``k`` predictions are greater than that of the greatest target, else 0."""
    return sparse_top_k_categorical_accuracy(ops.argmax(to_tensor_or_array(y_true), axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where fewer than ``k`` predictions are greater than that at the target's index, else 0.

    With ``from_sorted_ids`` the predictions are class indices, likeliest first: 1 where the target is among
    the first ``k``.
    """
    y_pred = to_tensor_or_array(y_pred)
    if from_sorted_ids:
        found = ops.equal(ops.cast(y_pred, "int32")[..., :k], ops.expand_dims(_labels(y_true, y_pred), -1))
        return ops.cast(ops.any(found, axis=-1), dtypes.floatx())
    labels = ops.expand_dims(_labels(y_true, y_pred), -1)
    own = ops.take_along_axis(y_pred, labels, axis=-1)
    greater = ops.sum(ops.cast(ops.greater(y_pred, own), "int32"), axis=-1)
    return ops.cast(ops.less(greater, k), dtypes.floatx())


def _labels(y_true: Any, y_pred: Any) -> Any:
    """Class indices without an axis of extent 1 for the class."""
    y_true = to_tensor_or_array(y_true)
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, -1)
    if len(y_true.shape) != len(y_pred.shape) - 1:
        raise ValueError(
            f"class indices of shape {tuple(y_true.shape)} do not fit predictions of shape "
            f"{tuple(y_pred.shape)}"
        )
    return ops.cast(y_true, "int32")


class Accuracy(MeanMetricWrapper):
    """How often predictions equal targets."""

    def __init__(self, name: str = "accuracy", dtype: Any = None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """How often predictions lie on the side of ``threshold`` that their target (0 or 1) says."""

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None, threshold: float = 0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """How often the greatest prediction is that of the class, given one-hot."""

    def __init__(self, name: str = "categorical_accuracy", dtype: Any = None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """How often the greatest prediction is that of the class, given by index."""

    def __init__(self, name: str = "sparse_categorical_accuracy", dtype: Any = None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class, given one-hot, is among the ``k`` greatest predictions."""

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy", dtype: Any = None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class, given by index, is among the ``k`` greatest predictions."""

    def __init__(
        self,
        k: int = 5,
        name: str = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ):
        sorted_ids = {"from_sorted_ids": True} if from_sorted_ids else {}  # unknown to Keras 2's configs
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, **sorted_ids)
