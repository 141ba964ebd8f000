"""What ``compile`` is told, resolved for each output: its loss, metrics, weights and target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kcore import losses as losses_module
from kcore import metrics as metrics_module
from kcore.graph import Tensor, dtypes
from kcore.lookup import suggestion
from kcore.training.standardize import Spec

# These compare target and prediction element by element, so the shapes must agree.
_SAME_SHAPE = {"mean_squared_error", "binary_crossentropy", "categorical_crossentropy"}


@dataclass(eq=False)
class Endpoint:
    """One output of a compiled model."""

    name: str
    output: Tensor
    loss: losses_module.Loss | None
    loss_weight: float
    sample_weight_mode: str | None
    metrics: list[Any] = field(default_factory=list)
    weighted_metrics: list[Any] = field(default_factory=list)
    loss_metric_name: str | None = None  # the name in the logs, where there are several outputs

    @property
    def trained(self) -> bool:
        return self.loss is not None

    def target_spec(self) -> Spec:
        """The shape and dtype that targets must have; ``None`` where anything the loss takes will do."""
        shape = tuple(self.output.shape)
        if is_sparse(self.loss):
            return Spec(self.name, (None, 1) if len(shape) == 2 else None, "int32")
        name = getattr(getattr(self.loss, "fn", None), "__name__", None)
        known = name in _SAME_SHAPE and None not in shape[1:]
        dtype = self.output.dtype if dtypes.is_float(self.output.dtype) else dtypes.floatx()
        return Spec(self.name, (None, *shape[1:]) if known else None, dtype)


def is_sparse(loss: Any) -> bool:
    """Whether the loss takes class indices as targets."""
    if isinstance(loss, losses_module.SparseCategoricalCrossentropy):
        return True
    return getattr(loss, "fn", loss) is losses_module.sparse_categorical_crossentropy


def is_binary(loss: Any) -> bool:
    if isinstance(loss, losses_module.BinaryCrossentropy):
        return True
    return getattr(loss, "fn", loss) is losses_module.binary_crossentropy


def resolve(
    names: list[str],
    outputs: list[Tensor],
    loss: Any,
    metrics: Any,
    loss_weights: Any,
    sample_weight_mode: Any,
    weighted_metrics: Any,
) -> list[Endpoint]:
    """The endpoints of a model with these outputs.

    Raises:
        ValueError: an argument names an output or loss that doesn't exist, has the wrong number of entries, or
            there is no loss at all.
    """
    found = _per_output(loss, names, "loss", spread=True)
    weights = _per_output(loss_weights, names, "loss_weights")
    modes = _per_output(sample_weight_mode, names, "sample_weight_mode", spread=True)
    for mode in modes:
        if mode not in (None, "temporal", "samplewise"):
            raise ValueError(f"sample_weight_mode must be None or 'temporal', got {mode!r}")
    endpoints = []
    for i, (name, output) in enumerate(zip(names, outputs, strict=True)):
        resolved = get_loss(found[i])
        weight = 1.0 if weights[i] is None else float(weights[i])
        endpoints.append(
            Endpoint(name, output, resolved, weight, None if modes[i] == "samplewise" else modes[i])
        )
    plain = _metrics_per_output(metrics, names, "metrics")
    weighted = _metrics_per_output(weighted_metrics, names, "weighted_metrics")
    several = len(names) > 1
    taken: set[str] = {"loss"}
    if several:
        for endpoint in endpoints:
            if endpoint.trained:
                endpoint.loss_metric_name = f"{endpoint.name}_loss"
                taken.add(endpoint.loss_metric_name)
    for endpoint, own, own_weighted in zip(endpoints, plain, weighted, strict=True):
        endpoint.metrics = [_metric(m, endpoint, several, taken) for m in own]
        endpoint.weighted_metrics = [_metric(m, endpoint, several, taken) for m in own_weighted]
    return endpoints


def get_loss(loss: Any) -> losses_module.Loss | None:
    """The loss object for a name, function or object."""
    if loss is None or isinstance(loss, losses_module.Loss):
        return loss
    function = losses_module.get(loss)
    if isinstance(function, losses_module.Loss):
        return function
    return losses_module.LossFunctionWrapper(function, name=getattr(function, "__name__", "loss"))


def _per_output(value: Any, names: list[str], what: str, spread: bool = False) -> list:
    """One entry for each output; with ``spread`` a single value holds for all."""
    if value is None:
        return [None] * len(names)
    if isinstance(value, Mapping) and not (what == "loss" and "class_name" in value):
        for key in value:
            if key not in names:
                raise ValueError(
                    f"Unknown entry in `{what}` dictionary: {key!r}{suggestion(str(key), dict.fromkeys(names))}. "
                    f"Only expected following keys: {names}"
                )
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise ValueError(
                f"When passing a list as `{what}`, it should have one entry per model output. "
                f"The model has {len(names)} outputs, but you passed {what}={value}"
            )
        return list(value)
    if not spread and len(names) > 1:
        raise TypeError(f"`{what}` must be a list or a dictionary by output name, got {value!r}")
    return [value] * len(names)


def _metrics_per_output(metrics: Any, names: list[str], what: str) -> list[list]:
    if not metrics:
        return [[] for _ in names]
    if isinstance(metrics, Mapping):
        return [_listed(m) for m in _per_output(metrics, names, what)]
    if not isinstance(metrics, (list, tuple)):
        raise TypeError(
            f"Type of `{what}` argument not understood. Expected a list or dictionary, found: {metrics!r}"
        )
    if any(isinstance(m, (list, tuple)) for m in metrics):
        if len(metrics) != len(names):
            raise ValueError(
                f"When passing a list of lists as `{what}`, it should have one entry per model output. "
                f"The model has {len(names)} outputs, but you passed {what}={metrics}"
            )
        return [_listed(m) for m in metrics]
    return [[_copy(m, i) for m in metrics] for i in range(len(names))]


def _copy(metric: Any, index: int) -> Any:
    """A metric object given once for several outputs is one object for each."""
    if index and isinstance(metric, metrics_module.Metric):
        return type(metric).from_config(metric.get_config())
    return metric


def _listed(value: Any) -> list:
    """The metrics of nested lists; a mapping is one metric's configuration."""
    if isinstance(value, (list, tuple)):
        return [metric for item in value for metric in _listed(item)]
    return [] if value is None else [value]


def _metric(metric: Any, endpoint: Endpoint, several: bool, taken: set[str]) -> metrics_module.Metric:
    """The metric object, named as it is to appear in the logs."""
    resolved, name = _resolve_metric(metric, endpoint)
    if several:
        name = f"{endpoint.name}_{name}"
    base, number = name, 1
    while name in taken:
        name = f"{base}_{number}"
        number += 1
    taken.add(name)
    if isinstance(resolved, metrics_module.Metric):
        resolved.name = name
        return resolved
    return metrics_module.MeanMetricWrapper(resolved, name=name)


def _resolve_metric(metric: Any, endpoint: Endpoint) -> tuple[Any, str]:
    if metric in ("accuracy", "acc", "crossentropy", "ce"):
        return _by_shape(metric, endpoint), metric
    if isinstance(metric, metrics_module.Metric):
        return metric, metric.name
    resolved = metrics_module.get(metric)
    if isinstance(resolved, metrics_module.Metric):
        return resolved, resolved.name
    name = metric if isinstance(metric, str) else getattr(resolved, "__name__", type(resolved).__name__)
    return resolved, name


def _by_shape(metric: str, endpoint: Endpoint) -> Any:
    """What ``'accuracy'`` or ``'crossentropy'`` means for this output and loss."""
    if endpoint.output.shape[-1:] == (1,) or is_binary(endpoint.loss):
        kind = "binary"
    elif is_sparse(endpoint.loss):
        kind = "sparse_categorical"
    else:
        kind = "categorical"
    what = "accuracy" if metric in ("accuracy", "acc") else "crossentropy"
    return getattr(metrics_module, f"{kind}_{what}")
