"""Intersection over union of predicted and true classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import ops
from kcore.graph import dtypes
from kcore.metrics.metric import Metric
from kcore.utils.losses_utils import (
    broadcast_like,
    broadcast_weights,
    to_tensor_or_array,
)


class BaseMeanIoU(Metric):
    """A confusion matrix: how often the class of the row was predicted as that of the column.

    Args:
        num_classes: the number of classes.
        ignore_class: an index in ``y_true`` whose samples do not count.
        sparse_y_true, sparse_y_pred: whether they hold class indices; else the greatest entry along
            ``axis`` is the class.
        axis: the axis of the classes where they are not sparse.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ):
        super().__init__(name, dtype)
        if num_classes < 1:
            raise ValueError(f"{type(self).__name__}: num_classes must be positive, got {num_classes}")
        self.num_classes = num_classes
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_weight("total_confusion_matrix", (num_classes, num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true = self._classes(y_true, self.sparse_y_true)
        predicted = self._classes(y_pred, self.sparse_y_pred)
        if sample_weight is None:
            weight = broadcast_like(np.ones((), self.dtype), true)
        else:
            weight = to_tensor_or_array(sample_weight, self.dtype)
            weight = broadcast_weights(ops.cast(true, self.dtype), weight)
        true, predicted, weight = (ops.reshape(x, (-1,)) for x in (true, predicted, weight))
        if self.ignore_class is not None:
            kept = ops.not_equal(true, self.ignore_class)
            weight = ops.where(kept, weight, 0.0)
            true = ops.where(kept, true, 0)
        cell = true * self.num_classes + predicted
        counts = ops.segment_sum(weight, cell, num_segments=self.num_classes**2)
        self.total_cm.assign_add(ops.reshape(counts, (self.num_classes, self.num_classes)))

    def _classes(self, y: Any, sparse: bool) -> Any:
        y = to_tensor_or_array(y)
        return ops.cast(y if sparse else ops.argmax(y, axis=self.axis), "int32")

    def _hits_and_unions(self) -> tuple[Any, Any]:
        """For each class the weight of its hits, and of all samples of it or predicted as it."""
        cm = self.total_cm
        hits = ops.sum(cm * np.eye(self.num_classes, dtype=self.dtype), axis=0)
        return hits, ops.sum(cm, axis=0) + ops.sum(cm, axis=1) - hits

    def get_config(self) -> dict[str, Any]:
        config = {"num_classes": self.num_classes, **super().get_config()}
        for name, default in (
            ("ignore_class", None),
            ("sparse_y_true", True),
            ("sparse_y_pred", True),
            ("axis", -1),
        ):
            if getattr(self, name) != default:
                config[name] = getattr(self, name)
        return config


class MeanIoU(BaseMeanIoU):
    """The mean of ``tp / (tp + fp + fn)`` over the classes that occur; arguments as for ``BaseMeanIoU``."""

    def result(self) -> Any:
        hits, unions = self._hits_and_unions()
        occurring = ops.sum(ops.cast(ops.not_equal(unions, 0.0), self.dtype))
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(hits, unions)), occurring)


class IoU(BaseMeanIoU):
    """The mean of ``tp / (tp + fp + fn)`` over the classes of ``target_class_ids`` that occur."""

    def __init__(
        self, num_classes: int, target_class_ids: Sequence[int], name: str | None = None, **kwargs: Any
    ):
        super().__init__(num_classes, name, **kwargs)
        self.target_class_ids = list(target_class_ids)
        if any(not 0 <= i < num_classes for i in self.target_class_ids):
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must lie in [0, {num_classes}), "
                f"got {self.target_class_ids}"
            )

    def result(self) -> Any:
        hits, unions = self._hits_and_unions()
        wanted = dtypes.as_array(
            [float(i in self.target_class_ids) for i in range(self.num_classes)], self.dtype
        )
        occurring = ops.sum(wanted * ops.cast(ops.not_equal(unions, 0.0), self.dtype))
        return ops.divide_no_nan(ops.sum(wanted * ops.divide_no_nan(hits, unions)), occurring)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_class_ids": self.target_class_ids}


class BinaryIoU(IoU):
    """``IoU`` of two classes, predictions being 1 where they reach ``threshold``."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(2, target_class_ids, name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        predicted = ops.greater_equal(to_tensor_or_array(y_pred), self.threshold)
        super().update_state(y_true, ops.cast(predicted, "int32"), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["num_classes"]
        return {**config, "threshold": self.threshold}


class OneHotIoU(IoU):
    """``IoU`` of one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(
            num_classes,
            target_class_ids,
            name,
            dtype=dtype,
            ignore_class=ignore_class,
            sparse_y_true=False,
            sparse_y_pred=sparse_y_pred,
            axis=axis,
        )

    def get_config(self) -> dict[str, Any]:
        return _without_sparse_y_true(super().get_config(), self.sparse_y_pred)


class OneHotMeanIoU(MeanIoU):
    """``MeanIoU`` of one-hot targets."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without_sparse_y_true(super().get_config(), self.sparse_y_pred)


def _without_sparse_y_true(config: dict[str, Any], sparse_y_pred: bool) -> dict[str, Any]:
    config.pop("sparse_y_true", None)
    return {**config, "sparse_y_pred": sparse_y_pred}
