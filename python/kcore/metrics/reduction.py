"""Sums and means of values over batches, and metrics that are the mean of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcore import ops
from kcore.metrics.metric import Metric
from kcore.utils.losses_utils import (
    aligned_weights,
    broadcast_like,
    element_count,
    expand_to_same_rank,
    to_tensor_or_array,
)
from kcore.utils.metrics_utils import Reduction
from kcore.utils.serialization import get_registered_name


class Reduce(Metric):
    """Values reduced to one number.

    Args:
        reduction: ``"sum"``, ``"sum_over_batch_size"`` (the sum of weighted values by their number) or
            ``"weighted_mean"`` (by the sum of weights).
    """

    def __init__(self, reduction: str, name: str | None = None, dtype: Any = None):
        super().__init__(name, dtype)
        kinds = (Reduction.SUM, Reduction.SUM_OVER_BATCH_SIZE, Reduction.WEIGHTED_MEAN)
        if reduction not in kinds:
            raise ValueError(
                f"{type(self).__name__}: reduction must be one of {', '.join(kinds)}, got {reduction!r}"
            )
        self.reduction = reduction
        self.total = self.add_weight("total")
        if reduction != Reduction.SUM:
            self.count = self.add_weight("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values = to_tensor_or_array(values, self.dtype)
        weight = None if sample_weight is None else to_tensor_or_array(sample_weight, self.dtype)
        if weight is not None:
            weight = aligned_weights(values, weight)
        self.total.assign_add(ops.sum(values if weight is None else values * weight))
        if self.reduction == Reduction.WEIGHTED_MEAN and weight is not None:
            self.count.assign_add(ops.sum(broadcast_like(weight, values)))
        elif self.reduction != Reduction.SUM:
            self.count.assign_add(element_count(values))

    def result(self) -> Any:
        if self.reduction == Reduction.SUM:
            return self.total.value
        return ops.divide_no_nan(self.total, self.count)


class Sum(Reduce):
    """The sum of values, each times its weight."""

    def __init__(self, name: str = "sum", dtype: Any = None):
        super().__init__(Reduction.SUM, name, dtype)


class Mean(Reduce):
    """The mean of values, weighted if weights are given.

    ``sample_weight`` is a scalar, or has the shape of ``values`` or of its leading axes.
    """

    def __init__(self, name: str = "mean", dtype: Any = None):
        super().__init__(Reduction.WEIGHTED_MEAN, name, dtype)


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)``."""

    def __init__(self, fn: Callable, name: str | None = None, dtype: Any = None, **kwargs: Any):
        super().__init__(str(name or getattr(fn, "__name__", "mean")), dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        y_true, y_pred = to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = {"fn": get_registered_name(self._fn)} if type(self) is MeanMetricWrapper else {}
        return {**config, **self._fn_kwargs, **super().get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        if cls is MeanMetricWrapper and not callable(config.get("fn")):
            from kcore.metrics import deserialize

            config = {**config, "fn": deserialize(config["fn"])}
        return super().from_config(config)


class RootMeanSquaredError(Mean):
    """``sqrt(mean((y_pred - y_true)**2))``."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None):
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        y_true, y_pred = to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        y_true, y_pred = expand_to_same_rank(y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Any:
        return ops.sqrt(ops.divide_no_nan(self.total, self.count))
