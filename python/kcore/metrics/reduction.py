"""Sums and means of values over batches, and metrics that are the mean of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcore import ops
from kcore.metrics.metric import Metric
from kcore.utils.losses_utils import (
    broadcast_weights,
    element_count,
    expand_to_same_rank,
    fits,
    squeeze_or_expand_dimensions,
    to_tensor_or_array,
)


class Sum(Metric):
    """The sum of values, each times its weight."""

    def __init__(self, name: str = "sum", dtype: Any = None):
        super().__init__(name, dtype)
        self.total = self.add_weight("total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weight = _weighted(values, sample_weight, self.dtype)
        self.total.assign_add(ops.sum(values if weight is None else values * weight))

    def result(self) -> Any:
        return self.total.value


class Mean(Metric):
    """The mean of values, weighted if weights are given.

    ``sample_weight`` is a scalar, of the shape of ``values``, or of its leading axes.
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
    """Values and weights of one rank; where weights have fewer axes the other axes are averaged first."""
    values = to_tensor_or_array(values, dtype)
    if sample_weight is None:
        return values, None
    weight = to_tensor_or_array(sample_weight, dtype)
    if not fits(values, weight):
        if len(weight.shape) < len(values.shape) - 1:
            values = ops.mean(values, axis=tuple(range(len(weight.shape), len(values.shape))))
        values, _, weight = squeeze_or_expand_dimensions(values, None, weight)
    if not fits(values, weight):
        broadcast_weights(values, weight)  # raises
    return values, weight


class MeanMetricWrapper(Mean):
    """The mean of ``fn(y_true, y_pred, **kwargs)``."""

    def __init__(self, fn: Callable, name: str | None = None, dtype: Any = None, **kwargs: Any):
        super().__init__(name or getattr(fn, "__name__", "mean"), dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = {} if type(self) is not MeanMetricWrapper else {"fn": self._fn}
        return {**config, **self._fn_kwargs, **super().get_config()}


class RootMeanSquaredError(Mean):
    """``sqrt(mean((y_pred - y_true)**2))``."""

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None):
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true, y_pred = to_tensor_or_array(y_true, self.dtype), to_tensor_or_array(y_pred, self.dtype)
        y_true, y_pred = expand_to_same_rank(y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Any:
        return ops.sqrt(ops.divide_no_nan(self.total, self.count))
