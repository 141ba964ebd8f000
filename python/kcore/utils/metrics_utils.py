"""What the metrics of true and false positives share: thresholds, top k, and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from kcore import ops
from kcore.config import epsilon
from kcore.graph import Variable, dtypes
from kcore.utils.losses_utils import (
    broadcast_like,
    broadcast_weights,
    squeeze_or_expand_dimensions,
    to_tensor_or_array,
)

NEG_INF = -1e10


class Reduction:
    """How ``Mean`` and ``Sum`` reduce."""

    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"
    WEIGHTED_MEAN = "weighted_mean"


class ConfusionMatrix(Enum):
    """The four kinds of hits and misses."""

    TRUE_POSITIVES = "tp"
    FALSE_POSITIVES = "fp"
    TRUE_NEGATIVES = "tn"
    FALSE_NEGATIVES = "fn"


class AUCCurve(Enum):
    """The curve whose area is taken."""

    ROC = "ROC"
    PR = "PR"

    @staticmethod
    def from_str(key: str) -> AUCCurve:
        """``'ROC'`` or ``'PR'`` in any case. Raises ``ValueError`` for anything else."""
        return _member(AUCCurve, key, "curve")


class AUCSummationMethod(Enum):
    """The height of the curve between two thresholds."""

    INTERPOLATION = "interpolation"
    MAJORING = "majoring"
    MINORING = "minoring"

    @staticmethod
    def from_str(key: str) -> AUCSummationMethod:
        """A method by name, in any case. Raises ``ValueError`` for an unknown one."""
        return _member(AUCSummationMethod, key, "summation method")


def _member(enum: Any, key: Any, what: str) -> Any:
    for member in enum:
        if isinstance(key, str) and key.lower() == member.value.lower():
            return member
    raise ValueError(f"unknown AUC {what} {key!r}; known are {', '.join(m.value for m in enum)}")


def to_list(x: Any) -> list:
    """``x`` if it is a list, else ``[x]``."""
    return x if isinstance(x, list) else list(x) if isinstance(x, tuple) else [x]


def assert_thresholds_range(thresholds: Sequence[float]) -> None:
    """Raises ``ValueError`` unless all lie in [0, 1]."""
    invalid = [t for t in thresholds if t is None or t < 0 or t > 1]
    if invalid:
        raise ValueError(f"thresholds must lie in [0, 1], got {invalid}")


def parse_init_thresholds(thresholds: Any, default_threshold: float = 0.5) -> list[float]:
    """Thresholds as a list; the default one if ``None``."""
    if thresholds is not None:
        assert_thresholds_range(to_list(thresholds))
    return to_list(default_threshold if thresholds is None else thresholds)


def evenly_spaced_thresholds(count: int) -> list[float]:
    """``count`` thresholds from 0 to 1."""
    return [0.5] if count == 1 else [i / (count - 1) for i in range(count)]


def open_ended(thresholds: Sequence[float]) -> list[float]:
    """Thresholds whose ends lie just outside [0, 1], so that 0 and 1 themselves count."""
    return [-epsilon(), *thresholds, 1.0 + epsilon()]


def filter_top_k(x: Any, k: int) -> Any:
    """``x`` with all but the ``k`` greatest entries of the last axis replaced by -1e10."""
    _, indices = ops.top_k(x, k, sorted=False)
    kept = ops.sum(ops.one_hot(indices, x.shape[-1], dtype=dtypes.standardize(x.dtype)), axis=-2)
    return x * kept + NEG_INF * (1.0 - kept)


def confusion_counts(
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    top_k: int | None = None,
    class_id: int | None = None,
    sample_weight: Any = None,
    per_label: bool = False,
    label_weights: Any = None,
    dtype: str | None = None,
) -> dict[ConfusionMatrix, Any]:
    """Weighted numbers of hits and misses at each threshold.

    Args:
        y_true: true where it is not 0.
        y_pred: positive where it is greater than a threshold.
        thresholds: T numbers.
        top_k: count only the greatest so many entries of the last axis as positive.
        class_id: count only this entry of the last axis.
        sample_weight: a scalar, or weights that broadcast to ``y_pred``.
        per_label: count each label of the last axis by itself.
        label_weights: one weight for each label of the last axis.
        dtype: the dtype to count in; ``floatx()`` if ``None``.

    Returns:
        Four tensors of shape ``(T,)``, or ``(T, labels)``.
    """
    dtype = dtypes.standardize(dtype)
    y_pred, y_true = to_tensor_or_array(y_pred, dtype), to_tensor_or_array(y_true)
    y_pred, y_true, _ = squeeze_or_expand_dimensions(y_pred, y_true)
    if not _same(y_pred.shape, y_true.shape):
        raise ValueError(
            f"targets of shape {tuple(y_true.shape)} do not fit predictions of shape {tuple(y_pred.shape)}"
        )
    weight = None if sample_weight is None else to_tensor_or_array(sample_weight, dtype)
    if top_k is not None:
        y_pred = filter_top_k(y_pred, top_k)
    if class_id is not None:
        if y_pred.shape[-1] is not None and not 0 <= class_id < y_pred.shape[-1]:
            raise ValueError(f"class_id must lie in [0, {y_pred.shape[-1]}), got {class_id}")
        if weight is not None and len(weight.shape) == len(y_pred.shape):
            weight = weight[..., class_id if weight.shape[-1] != 1 else 0]
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
    if weight is not None:
        weight = broadcast_weights(y_pred, weight)
    if label_weights is not None:
        own = broadcast_like(to_tensor_or_array(label_weights, dtype), y_pred)
        weight = own if weight is None else weight * own
    true = ops.cast(ops.cast(y_true, "bool"), dtype)
    labels = (-1, y_pred.shape[-1]) if per_label else (-1,)
    true, scores = ops.reshape(true, labels), ops.reshape(y_pred, labels)
    positives, negatives = true, 1.0 - true
    if weight is not None:
        weight = ops.reshape(weight, labels)
        positives, negatives = positives * weight, negatives * weight
    limits = dtypes.as_array(list(thresholds), dtype).reshape(-1, *[1] * len(labels))
    above = ops.cast(ops.greater(ops.expand_dims(scores, 0), limits), dtype)
    below = 1.0 - above
    if per_label:

        def count(picked: Any, weights: Any) -> Any:
            return ops.sum(picked * ops.expand_dims(weights, 0), axis=1)
    else:

        def count(picked: Any, weights: Any) -> Any:
            return ops.squeeze(ops.matmul(picked, ops.expand_dims(weights, -1)), -1)

    return {
        ConfusionMatrix.TRUE_POSITIVES: count(above, positives),
        ConfusionMatrix.FALSE_POSITIVES: count(above, negatives),
        ConfusionMatrix.TRUE_NEGATIVES: count(below, negatives),
        ConfusionMatrix.FALSE_NEGATIVES: count(below, positives),
    }


def _same(a: Sequence[int | None], b: Sequence[int | None]) -> bool:
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))


def update_confusion_matrix_variables(
    variables_to_update: Mapping[ConfusionMatrix, Variable],
    y_true: Any,
    y_pred: Any,
    thresholds: Any = 0.5,
    top_k: int | None = None,
    class_id: int | None = None,
    sample_weight: Any = None,
    per_label: bool = False,
    label_weights: Any = None,
) -> None:
    """Add the counts of a batch (see ``confusion_counts``) to variables.

    Raises:
        ValueError: ``variables_to_update`` has a key that is no ``ConfusionMatrix``, or shapes do not fit.
    """
    unknown = [key for key in variables_to_update if not isinstance(key, ConfusionMatrix)]
    if unknown:
        raise ValueError(f"keys must be of ConfusionMatrix, got {unknown}")
    dtype = next((variable.dtype for variable in variables_to_update.values()), None)
    counts = confusion_counts(
        y_true, y_pred, to_list(thresholds), top_k, class_id, sample_weight, per_label, label_weights, dtype
    )
    for key, variable in variables_to_update.items():
        variable.assign_add(counts[key])
