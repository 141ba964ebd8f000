"""The programs of a compiled model: one training, test or prediction step each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcore import metrics as metrics_module
from kcore import ops
from kcore.graph import Function, Tensor, UpdateScope, gradients, placeholder
from kcore.graph.primitives import cast
from kcore.graph.tensor import as_tensor
from kcore.optimizers import Optimizer
from kcore.training.compile import Endpoint
from kcore.utils.losses_utils import Reduction, compute_weighted_loss, reduce_weighted_loss


class Step:
    """One step on a batch: its scalars in the order of ``names``, the loss first.

    The function's inputs are the model's inputs, then the targets, then those sample weights that are given.
    """

    def __init__(self, function: Function, names: list[str]):
        self.function = function
        self.names = names

    def __call__(self, arrays: list[np.ndarray], training: bool) -> list[float]:
        return self.function(arrays, training=training)[0].tolist()


def metric_names(endpoints: Sequence[Endpoint], extra: Sequence[metrics_module.Metric]) -> list[str]:
    """The names of the scalars of a step."""
    names = ["loss", *(e.loss_metric_name for e in endpoints if e.loss_metric_name)]
    names += [m.name for e in endpoints for m in [*e.metrics, *e.weighted_metrics]]
    return [*names, *(m.name for m in extra)]  # type: ignore[list-item]


def build_step(
    model: Any,
    endpoints: Sequence[Endpoint],
    targets: Sequence[tuple[tuple, str]],
    weighted: Sequence[int | None],
    train: bool,
) -> Step:
    """The step of ``model``.

    Args:
        endpoints: the model's outputs.
        targets: rank-bearing shape and dtype of the targets of the trained endpoints.
        weighted: for each trained endpoint the rank of its sample weights, ``None`` if they are all one.
        train: whether to update the weights.
    """
    trained = [e for e in endpoints if e.trained]
    ys = [
        placeholder(shape, dtype, name=f"{e.name}_target")
        for e, (shape, dtype) in zip(trained, targets, strict=True)
    ]
    weights = [
        None if rank is None else placeholder((None,) * rank, e.output.dtype, name=f"{e.name}_sample_weights")
        for e, rank in zip(trained, weighted, strict=True)
    ]
    with UpdateScope() as scope:
        total, each = _losses(model, trained, ys, weights)
        if train:
            _train(model, total)
        for variable, value in model.updates if train else model.state_updates:
            scope.values.setdefault(variable, cast(value, variable.dtype))
        results = _metrics(endpoints, trained, ys, weights)
        results += _layer_metrics(model)
        scalars = [
            total,
            *(loss for e, loss in zip(trained, each, strict=True) if e.loss_metric_name),
            *results,
        ]
        vector = ops.stack([ops.reshape(cast(as_tensor(s), total.dtype), ()) for s in scalars])
    inputs = [*model.inputs, *ys, *(w for w in weights if w is not None)]
    optimizer = model.optimizer
    function = Function(
        inputs,
        [vector],
        list(scope.values.items()),
        name="train_function" if train else "test_function",
        # The position in the random stream is the optimizer's, so that a resumed run draws the same numbers.
        step=optimizer.iterations if train else None,
        seed=model._random_seed if train else None,
        layer_names={layer.name: f"layer {i}" for i, layer in enumerate(_all_layers(model))},
    )
    return Step(function, metric_names(endpoints, [m for m, _ in model._layer_metric_objects()]))


def _all_layers(layer: Any) -> list:
    """The layers inside a model or layer, at any depth, in their order."""
    own = layer.layers if hasattr(layer, "layers") else layer._nested()
    return [found for inner in own for found in (inner, *_all_layers(inner))]


def _losses(
    model: Any, trained: list[Endpoint], ys: list[Tensor], weights: list[Tensor | None]
) -> tuple[Tensor, list[Tensor]]:
    """The total loss, and that of each output before its weight."""
    each = []
    total: Any = None
    for endpoint, y, weight in zip(trained, ys, weights, strict=True):
        loss = output_loss(endpoint, y, weight)
        each.append(loss)
        term = loss if endpoint.loss_weight == 1.0 else loss * endpoint.loss_weight
        total = term if total is None else total + term
    for extra in model.losses:
        extra = ops.sum(extra) if extra.shape != () else extra
        total = extra if total is None else total + extra
    if total is None:
        raise ValueError("The model cannot be compiled because it has no loss to optimize.")
    return total, each


def output_loss(endpoint: Endpoint, y: Tensor, weight: Tensor | None) -> Tensor:
    """The scalar loss of one output; masked positions weigh nothing."""
    loss: Any = endpoint.loss
    prediction = endpoint.output
    mask = getattr(prediction, "_keras_mask", None)
    if mask is not None:
        mask = cast(mask, prediction.dtype)
        weight = mask if weight is None else _spread(weight, mask) * mask
    values = loss.call(y, prediction)
    reduction = getattr(loss, "reduction", Reduction.SUM_OVER_BATCH_SIZE)
    if endpoint.sample_weight_mode is None and weight is not None and len(weight.shape) > len(values.shape):
        weight = ops.reshape(weight, (-1,)) if len(values.shape) == 1 else weight
    weighted = compute_weighted_loss(values, weight, reduction=Reduction.NONE)
    if reduction in ("auto", None):
        reduction = Reduction.SUM_OVER_BATCH_SIZE
    reduced = reduce_weighted_loss(weighted, reduction)
    return reduced if reduced.shape == () else ops.mean(reduced)


def _spread(weight: Tensor, mask: Tensor) -> Tensor:
    """A weight a sample as one a timestep, where the mask has timesteps."""
    while len(weight.shape) < len(mask.shape):
        weight = ops.expand_dims(weight, -1)
    return weight


def _train(model: Any, total: Tensor) -> None:
    """Assign the optimizer's new weights in the current scope."""
    variables = model._collected_trainable_weights
    if not variables:
        return
    optimizer = model.optimizer
    if type(optimizer).get_updates is not Optimizer.get_updates:  # a user's own, in Keras 2's form
        with UpdateScope.suspended():  # its updates are values of one moment: none sees another's
            updates = optimizer.get_updates(total, variables)
        for variable, value in updates:
            variable.assign(value)
        return
    grads = gradients(total, variables)
    if all(g is None for g in grads):
        raise ValueError("No gradients: the loss does not depend on any trainable weight of the model.")
    optimizer.apply_gradients([(g, v) for g, v in zip(grads, variables, strict=True) if g is not None])


def _metrics(
    endpoints: Sequence[Endpoint], trained: list[Endpoint], ys: list[Tensor], weights: list[Tensor | None]
) -> list[Tensor]:
    target = {e.name: (y, w) for e, y, w in zip(trained, ys, weights, strict=True)}
    results = []
    for endpoint in endpoints:
        if not endpoint.metrics and not endpoint.weighted_metrics:
            continue
        if endpoint.name not in target:
            raise ValueError(f"output '{endpoint.name}' has metrics but no loss, and so no targets")
        y, weight = target[endpoint.name]
        mask = getattr(endpoint.output, "_keras_mask", None)
        mask = None if mask is None else cast(mask, endpoint.output.dtype)
        both = mask if weight is None else weight if mask is None else _spread(weight, mask) * mask
        for metrics, w in ((endpoint.metrics, mask), (endpoint.weighted_metrics, both)):
            for metric in metrics:
                metric.update_state(y, endpoint.output, sample_weight=w)
                results.append(metric.result())
    return results


def _layer_metrics(model: Any) -> list[Tensor]:
    results = []
    for metric, value in model._layer_metric_objects():
        metric.update_state(value)
        results.append(metric.result())
    return results


def build_predict(model: Any) -> Function:
    """The prediction of ``model``; stateful layers keep their new states."""
    return Function(model.inputs, model.outputs, model.state_updates, name="predict_function")
