"""Sums and means of values over batches, and metrics that are the mean of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcore import ops
from kcore.metrics.metric import Metric
from kcore.utils.losses_utils import (
    aligned_weights,
    broadcast_weights,
    element_count,
    expand_to_same_rank,
    to_tensor_or_array,
)
from kcore.utils.serialization import get_registered_name


class Sum(Metric):
    """The sum of values, each times its weight."""

    def __init__(self, name: str = "sum", dtype: Any = None):
        super().__init__(name, dtype)
        self.total = self.add_weight("total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weight = _weighted(values, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(values if weight is None else values * aligned_weights(values, weight)))

    def result(self) -> Any:
        return self.total.value


class Mean(Metric):
    """The mean of values, weighted if weights are given.

    ``sample_weight`` is a scalar, or has the shape of ``values`` or of its leading axes.
    """

    def __init__(self, name: str = "mean", dtype: Any = None):
        super().__init__(name, dtype)
        self.total = self.add_weight("total")
        self.count = self.add_weight("count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weight = _weighted(values, sample_weight, self.dtype)
        if weight is None:
            self.total.assign_add(ops.sum(values))
            self.count.assign_add(element_count(values))
        else:
            weight = broadcast_weights(values, weight)
            self.total.assign_add(ops.sum(values * weight))
            self.count.assign_add(ops.sum(weight))

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


def _weighted(values: Any, sample_weight: Any, dtype: str) -> tuple[Any, Any]:
    """Values and weights as tensors or arrays of ``dtype``."""
    values = to_tensor_or_array(values, dtype)
    return values, None if sample_weight is None else to_tensor_or_array(sample_weight, dtype)


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
