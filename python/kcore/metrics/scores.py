"""Scores from sums over all samples: F-beta, R2, correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcore import ops
from kcore.metrics.metric import Metric
from kcore.metrics.reduction import MeanMetricWrapper
from kcore.utils.losses_utils import broadcast_like, element_count, expand_to_same_rank, to_tensor_or_array


class FBetaScore(Metric):
    """``(1 + beta**2) * precision * recall / (beta**2 * precision + recall)`` of each class.

    Args:
        average: ``None`` for one score a class, ``"micro"`` to count all classes together, ``"macro"``
            for the mean of scores, ``"weighted"`` for their mean weighted by the frequency of targets.
        beta: how much more recall counts than precision.
        threshold: predictions above it are positive; if ``None``, the greatest of the last axis is.

    Targets and predictions have shape ``(batch, classes)``.
    """

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ):
        super().__init__(name, dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                f"{type(self).__name__}: average must be None, 'micro', 'macro' or 'weighted', "
                f"got {average!r}"
            )
        if beta <= 0:
            raise ValueError(f"{type(self).__name__}: beta must be positive, got {beta}")
        if threshold is not None and not 0 < threshold <= 1:
            raise ValueError(f"{type(self).__name__}: threshold must lie in (0, 1], got {threshold}")
        self.average = average
        self.beta = beta
        self.threshold = threshold

    true_positives: Any
    false_positives: Any
    false_negatives: Any
    intermediate_weights: Any

    def _make_variables(self, y_pred: Any) -> None:
        if len(y_pred.shape) != 2 or y_pred.shape[1] is None:
            raise ValueError(
                f"{type(self).__name__} takes predictions of shape (batch, classes), "
                f"got {tuple(y_pred.shape)}"
            )
        if not hasattr(self, "true_positives"):
            shape = () if self.average == "micro" else (y_pred.shape[1],)
            for kind in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
                setattr(self, kind, self.add_weight(kind, shape))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        self._make_variables(y_pred)
        if self.threshold is None:
            greatest = ops.max(y_pred, axis=-1, keepdims=True)
            positive = ops.logical_and(y_pred >= greatest, ops.abs(y_pred) > 1e-9)
        else:
            positive = y_pred > self.threshold
        predicted = ops.cast(positive, self.dtype)
        weight: Any = 1.0
        if sample_weight is not None:
            weight = ops.expand_dims(to_tensor_or_array(sample_weight, self.dtype), -1)
        axis = None if self.average == "micro" else 0
        self.true_positives.assign_add(ops.sum(predicted * y_true * weight, axis=axis))
        self.false_positives.assign_add(ops.sum(predicted * (1.0 - y_true) * weight, axis=axis))
        self.false_negatives.assign_add(ops.sum((1.0 - predicted) * y_true * weight, axis=axis))
        self.intermediate_weights.assign_add(ops.sum(y_true * weight, axis=axis))

    def result(self) -> Any:
        if not hasattr(self, "true_positives"):
            raise ValueError(f"{type(self).__name__} has seen no batch yet")
        tp, fp, fn = self.true_positives, self.false_positives, self.false_negatives
        precision = ops.divide_no_nan(tp, tp + fp)
        recall = ops.divide_no_nan(tp, tp + fn)
        square = self.beta**2
        score = ops.divide_no_nan((1.0 + square) * precision * recall, square * precision + recall)
        if self.average == "weighted":
            total = ops.sum(self.intermediate_weights)
            return ops.sum(score * ops.divide_no_nan(self.intermediate_weights, total))
        return ops.mean(score) if self.average == "macro" else score

    def get_config(self) -> dict[str, Any]:
        return {
            "average": self.average,
            "beta": self.beta,
            "threshold": self.threshold,
            **super().get_config(),
        }


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; arguments as for ``FBetaScore``."""

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config


class R2Score(Metric):
    """``1 - sum((y_true - y_pred)**2) / sum((y_true - mean(y_true))**2)`` of each output.

    Args:
        class_aggregation: ``None`` for one score an output, ``"uniform_average"``, or
            ``"variance_weighted_average"``.
        num_regressors: the number of inputs of the regression, to correct the score by; 0 for none.

    Targets and predictions have shape ``(batch, outputs)``.
    """

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ):
        super().__init__(name, dtype)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueError(
                "R2Score: class_aggregation must be None, 'uniform_average' or 'variance_weighted_average', "
                f"got {class_aggregation!r}"
            )
        if num_regressors < 0:
            raise ValueError(f"R2Score: num_regressors must not be negative, got {num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_weight("num_samples")

    sum: Any
    squared_sum: Any
    total_mse: Any
    count: Any

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = expand_to_same_rank(
            to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        )
        if len(y_pred.shape) != 2 or y_pred.shape[1] is None:
            raise ValueError(
                f"R2Score takes predictions of shape (batch, outputs), got {tuple(y_pred.shape)}"
            )
        if not hasattr(self, "squared_sum"):
            for kind in ("squared_sum", "sum", "total_mse", "count"):
                setattr(self, kind, self.add_weight(kind, (y_pred.shape[1],)))
        weight = np.ones((), self.dtype)
        if sample_weight is not None:
            weight = to_tensor_or_array(sample_weight, self.dtype)
            weight = ops.expand_dims(weight, -1) if len(weight.shape) == 1 else weight
        weight = broadcast_like(weight, y_true)
        weighted = y_true * weight
        self.sum.assign_add(ops.sum(weighted, axis=0))
        self.squared_sum.assign_add(ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign_add(ops.sum(ops.square(y_true - y_pred) * weight, axis=0))
        self.count.assign_add(ops.sum(weight, axis=0))
        self.num_samples.assign_add(element_count(y_true) / y_pred.shape[1])

    def result(self) -> Any:
        if not hasattr(self, "squared_sum"):
            raise ValueError("R2Score has seen no batch yet")
        mean = ops.divide_no_nan(self.sum, self.count)
        total = self.squared_sum - self.sum * mean
        score = 1.0 - ops.divide_no_nan(self.total_mse, total)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.divide_no_nan(ops.sum(score * total), ops.sum(total))
        if self.num_regressors:
            correction = (self.num_samples - 1.0) / (self.num_samples - self.num_regressors - 1.0)
            score = 1.0 - (1.0 - score) * correction
        return score

    def get_config(self) -> dict[str, Any]:
        return {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
            **super().get_config(),
        }


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The correlation of target and prediction along ``axis``."""
    (t, p), (t_square, p_square) = _centred(y_true, y_pred, axis)
    return ops.mean(t * p, axis=axis) / (ops.sqrt(t_square * p_square) + 1e-7)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Lin's concordance: correlation lessened by different means and variances, along ``axis``."""
    (t, p), (t_square, p_square) = _centred(y_true, y_pred, axis)
    shift = ops.mean(to_tensor_or_array(y_pred), axis=axis) - ops.mean(to_tensor_or_array(y_true), axis=axis)
    return 2.0 * ops.mean(t * p, axis=axis) / (t_square + p_square + ops.square(shift) + 1e-7)


def _centred(y_true: Any, y_pred: Any, axis: int) -> tuple[list, list]:
    """Both less their mean along ``axis``, and their variances."""
    values = expand_to_same_rank(to_tensor_or_array(y_true), to_tensor_or_array(y_pred))
    centred = [x - ops.mean(x, axis=axis, keepdims=True) for x in values]
    return centred, [ops.mean(ops.square(x), axis=axis) for x in centred]


class PearsonCorrelation(MeanMetricWrapper):
    """The mean correlation of target and prediction along ``axis``."""

    def __init__(self, name: str = "pearson_correlation", dtype: Any = None, axis: int = -1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """The mean of Lin's concordance of target and prediction along ``axis``."""

    def __init__(self, name: str = "concordance_correlation", dtype: Any = None, axis: int = -1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)
