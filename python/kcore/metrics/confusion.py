"""Metrics of true and false positives at one or many thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcore import ops
from kcore.graph import dtypes
from kcore.metrics.metric import Metric
from kcore.utils.metrics_utils import (
    NEG_INF,
    AUCCurve,
    AUCSummationMethod,
    ConfusionMatrix,
    evenly_spaced_thresholds,
    open_ended,
    parse_init_thresholds,
    update_confusion_matrix_variables,
)

_TP, _FP = ConfusionMatrix.TRUE_POSITIVES, ConfusionMatrix.FALSE_POSITIVES
_TN, _FN = ConfusionMatrix.TRUE_NEGATIVES, ConfusionMatrix.FALSE_NEGATIVES
_NAMES = {_TP: "true_positives", _FP: "false_positives", _TN: "true_negatives", _FN: "false_negatives"}


def _one_or_all(values: Any, thresholds: Sequence[float]) -> Any:
    return values[0] if len(thresholds) == 1 else values


class _ConfusionMatrixConditionCount(Metric):
    """The weighted number of predictions of one kind, at one threshold or at each of several."""

    kind: ConfusionMatrix

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None):
        super().__init__(name, dtype)
        self.init_thresholds = thresholds
        self.thresholds = parse_init_thresholds(thresholds)
        self.accumulator = self.add_weight("accumulator", (len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        update_confusion_matrix_variables(
            {self.kind: self.accumulator}, y_true, y_pred, self.thresholds, sample_weight=sample_weight
        )

    def result(self) -> Any:
        return _one_or_all(self.accumulator, self.thresholds)

    def get_config(self) -> dict[str, Any]:
        return {"thresholds": self.init_thresholds, **super().get_config()}


class FalsePositives(_ConfusionMatrixConditionCount):
    """The number of predictions above the threshold whose target is 0."""

    kind = _FP


class FalseNegatives(_ConfusionMatrixConditionCount):
    """The number of predictions at or below the threshold whose target is 1."""

    kind = _FN


class TrueNegatives(_ConfusionMatrixConditionCount):
    """The number of predictions at or below the threshold whose target is 0."""

    kind = _TN


class TruePositives(_ConfusionMatrixConditionCount):
    """The number of predictions above the threshold whose target is 1."""

    kind = _TP


class _PositiveRate(Metric):
    """True positives as a part of them and misses of one kind."""

    misses: ConfusionMatrix

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(name, dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self.thresholds = parse_init_thresholds(thresholds, 0.5 if top_k is None else NEG_INF)
        self.true_positives = self.add_weight("true_positives", (len(self.thresholds),))
        self.others = self.add_weight(_NAMES[self.misses], (len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        update_confusion_matrix_variables(
            {_TP: self.true_positives, self.misses: self.others},
            y_true,
            y_pred,
            self.thresholds,
            self.top_k,
            self.class_id,
            sample_weight,
        )

    def result(self) -> Any:
        rate = ops.divide_no_nan(self.true_positives, self.true_positives + self.others)
        return _one_or_all(rate, self.thresholds)

    def get_config(self) -> dict[str, Any]:
        return {
            "thresholds": self.init_thresholds,
            "top_k": self.top_k,
            "class_id": self.class_id,
            **super().get_config(),
        }


class Precision(_PositiveRate):
    """The part of positive predictions whose target is 1.

    Args:
        thresholds: a number in [0, 1], or a list of them for one result each; 0.5 if ``None``.
        top_k: only the greatest so many entries of the last axis can be positive; without thresholds
            they all are.
        class_id: only this entry of the last axis counts.
    """

    misses = _FP

    @property
    def false_positives(self) -> Any:
        return self.others


class Recall(_PositiveRate):
    """The part of targets 1 whose prediction is positive; arguments as for ``Precision``."""

    misses = _FN

    @property
    def false_negatives(self) -> Any:
        return self.others


class _ManyThresholds(Metric):
    """Counts of all four kinds at many thresholds."""

    def __init__(
        self, thresholds: Sequence[float], name: str | None, dtype: Any, labels: tuple[int, ...] = ()
    ):
        super().__init__(name, dtype)
        self.thresholds = list(thresholds)
        shape = (len(self.thresholds), *labels)
        self.true_positives = self.add_weight("true_positives", shape)
        self.true_negatives = self.add_weight("true_negatives", shape)
        self.false_positives = self.add_weight("false_positives", shape)
        self.false_negatives = self.add_weight("false_negatives", shape)

    def _counters(self) -> dict:
        return {
            _TP: self.true_positives,
            _TN: self.true_negatives,
            _FP: self.false_positives,
            _FN: self.false_negatives,
        }


class SensitivitySpecificityBase(_ManyThresholds):
    """One rate at the first threshold where another is nearest to ``value``."""

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        if isinstance(class_id, str):  # Keras 2 has no class_id before the name
            class_id, name, dtype = None, class_id, name
        if not 0 <= value <= 1:
            raise ValueError(f"{type(self).__name__}: the rate must lie in [0, 1], got {value}")
        if num_thresholds <= 0:
            raise ValueError(f"{type(self).__name__}: num_thresholds must be positive, got {num_thresholds}")
        super().__init__(evenly_spaced_thresholds(num_thresholds), name, dtype)
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        update_confusion_matrix_variables(
            self._counters(),
            y_true,
            y_pred,
            self.thresholds,
            class_id=self.class_id,
            sample_weight=sample_weight,
        )

    def _at_nearest(self, given: Any, wanted: Any) -> Any:
        """``wanted`` where ``given`` is nearest to the value."""
        index = ops.argmin(ops.abs(given - self.value))
        return ops.squeeze(ops.take(wanted, ops.reshape(index, (1,)), axis=0), 0)

    def _sensitivities(self) -> Any:
        return ops.divide_no_nan(self.true_positives, self.true_positives + self.false_negatives)

    def _specificities(self) -> Any:
        return ops.divide_no_nan(self.true_negatives, self.true_negatives + self.false_positives)

    def _precisions(self) -> Any:
        return ops.divide_no_nan(self.true_positives, self.true_positives + self.false_positives)

    def _config(self, argument: str) -> dict[str, Any]:
        config = {"num_thresholds": self.num_thresholds, argument: self.value, **Metric.get_config(self)}
        return config if self.class_id is None else {**config, "class_id": self.class_id}


class SensitivityAtSpecificity(SensitivitySpecificityBase):
    """``tp / (tp + fn)`` at the threshold where ``tn / (tn + fp)`` is nearest to ``specificity``."""

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Any:
        return self._at_nearest(self._specificities(), self._sensitivities())

    def get_config(self) -> dict[str, Any]:
        return self._config("specificity")


class SpecificityAtSensitivity(SensitivitySpecificityBase):
    """``tn / (tn + fp)`` at the threshold where ``tp / (tp + fn)`` is nearest to ``sensitivity``."""

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Any:
        return self._at_nearest(self._sensitivities(), self._specificities())

    def get_config(self) -> dict[str, Any]:
        return self._config("sensitivity")


class PrecisionAtRecall(SensitivitySpecificityBase):
    """``tp / (tp + fp)`` at the threshold where ``tp / (tp + fn)`` is nearest to ``recall``."""

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Any:
        return self._at_nearest(self._sensitivities(), self._precisions())

    def get_config(self) -> dict[str, Any]:
        return self._config("recall")


class RecallAtPrecision(SensitivitySpecificityBase):
    """The greatest ``tp / (tp + fn)`` at a threshold where ``tp / (tp + fp) >= precision``, 0 if none is."""

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Any:
        return ops.max(ops.where(self._precisions() >= self.value, self._sensitivities(), 0.0))

    def get_config(self) -> dict[str, Any]:
        return self._config("precision")


class AUC(_ManyThresholds):
    """The area under the ROC or precision-recall curve, as a sum over thresholds.

    Args:
        num_thresholds: how many, spread evenly over [0, 1].
        curve: ``"ROC"`` (recall over false-positive rate) or ``"PR"`` (precision over recall).
        summation_method: the height between two thresholds: ``"interpolation"`` (the middle; for PR the
            interpolation of Davis and Goadrich, 2006), ``"minoring"`` or ``"majoring"``.
        thresholds: numbers in [0, 1] in place of ``num_thresholds``; just below 0 and just above 1 are
            added.
        multi_label: take the area for each label of the last axis, and average.
        num_labels: the number of labels; needed for ``multi_label``.
        label_weights: weights of the labels, in that average or in the counts.
        from_logits: whether predictions are logits, to which sigmoid is applied.
    """

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: Any = "ROC",
        summation_method: Any = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ):
        if thresholds is not None:
            inner = sorted(parse_init_thresholds(list(thresholds)))
            num_thresholds = len(inner) + 2
        elif num_thresholds <= 1:
            raise ValueError(f"AUC: num_thresholds must be greater than 1, got {num_thresholds}")
        else:
            inner = evenly_spaced_thresholds(num_thresholds)[1:-1]
        if multi_label and num_labels is None:
            raise ValueError("AUC: multi_label needs num_labels")
        if label_weights is not None and num_labels is not None and len(label_weights) != num_labels:
            raise ValueError(f"AUC: {num_labels} labels but {len(label_weights)} label_weights")
        self.curve = curve if isinstance(curve, AUCCurve) else AUCCurve.from_str(curve)
        self.summation_method = (
            summation_method
            if isinstance(summation_method, AUCSummationMethod)
            else AUCSummationMethod.from_str(summation_method)
        )
        labels = (num_labels,) if multi_label and num_labels is not None else ()
        super().__init__(open_ended(inner), name, dtype, labels)
        self.num_thresholds = num_thresholds
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else list(label_weights)
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self.from_logits:
            y_pred = ops.sigmoid(y_pred)
        update_confusion_matrix_variables(
            self._counters(),
            y_true,
            y_pred,
            self.thresholds,
            sample_weight=sample_weight,
            per_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )

    def result(self) -> Any:
        interpolated = self.summation_method is AUCSummationMethod.INTERPOLATION
        if self.curve is AUCCurve.PR and interpolated:
            return self._average(self.interpolate_pr_auc())
        recall = ops.divide_no_nan(self.true_positives, self.true_positives + self.false_negatives)
        if self.curve is AUCCurve.ROC:
            x = ops.divide_no_nan(self.false_positives, self.false_positives + self.true_negatives)
            y = recall
        else:
            x = recall
            y = ops.divide_no_nan(self.true_positives, self.true_positives + self.false_positives)
        if interpolated:
            heights = (y[:-1] + y[1:]) / 2.0
        elif self.summation_method is AUCSummationMethod.MINORING:
            heights = ops.minimum(y[:-1], y[1:])
        else:
            heights = ops.maximum(y[:-1], y[1:])
        return self._average(ops.sum((x[:-1] - x[1:]) * heights, axis=0))

    def interpolate_pr_auc(self) -> Any:
        """The area under the PR curve, true positives being linear in positives between two thresholds."""
        tp, fp, fn = self.true_positives, self.false_positives, self.false_negatives
        positives = tp + fp
        d_tp, d_positives = tp[:-1] - tp[1:], positives[:-1] - positives[1:]
        slope = ops.divide_no_nan(d_tp, ops.maximum(d_positives, 0.0))
        intercept = tp[1:] - slope * positives[1:]
        both = ops.logical_and(positives[:-1] > 0.0, positives[1:] > 0.0)
        ratio = ops.where(both, ops.divide_no_nan(positives[:-1], ops.maximum(positives[1:], 0.0)), 1.0)
        area = slope * (d_tp + intercept * ops.log(ratio))
        return ops.sum(ops.divide_no_nan(area, ops.maximum(tp[1:] + fn[1:], 0.0)), axis=0)

    def _average(self, areas: Any) -> Any:
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = dtypes.as_array(self.label_weights, self.dtype)
        return ops.divide_no_nan(ops.sum(areas * weights), float(weights.sum()))

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve.value,
            "summation_method": self.summation_method.value,
            # The ends are added again when the metric is made from this.
            "thresholds": self.thresholds[1:-1],
            **super().get_config(),
        }
        if self.multi_label or self.label_weights is not None or self.from_logits:
            config.update(
                multi_label=self.multi_label,
                num_labels=self.num_labels,
                label_weights=self.label_weights,
                from_logits=self.from_logits,
            )
        return config
