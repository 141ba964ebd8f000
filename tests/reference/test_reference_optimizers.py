"""Optimizers against Keras 2.3's rules, step by step, and learning-rate schedules."""

import numpy as np
import pytest
from referee import TOLERANCE, assert_close, family

from kcore import ops, optimizers
from kcore.graph import Function, Tensor, Variable, evaluate, placeholder

CASES = family("optimizers")
SCHEDULES = family("schedules")


@pytest.mark.parametrize("case", CASES)
def test_optimizer(case):
    """The gradients are those of ``sum(weight * gradient)``."""
    case = CASES[case]
    data = case["arrays"]
    optimizer = getattr(optimizers, case["class"])(**case["kwargs"])
    count = case["weights"]
    weights = [Variable(data[f"initial{i}"], "float32", name=f"w{i}:0") for i in range(count)]
    grads = [placeholder(w.shape, "float32") for w in weights]
    loss = sum(ops.sum(w * g) for w, g in zip(weights, grads, strict=True))
    step = Function(grads, [loss], optimizer.get_updates(loss, weights))
    for i in range(len(data["gradient0"])):
        step([data[f"gradient{k}"][i] for k in range(count)])
        for k, w in enumerate(weights):
            assert_close(w.numpy(), data[f"weight{k}"][i], TOLERANCE["float32"], f"weight {k} after step {i}")


@pytest.mark.parametrize("case", CASES)
def test_saved_state_continues(case):
    """An optimizer made anew from its configuration and weights goes on as the old one would have."""
    case = CASES[case]
    data = case["arrays"]
    count, half = case["weights"], len(data["gradient0"]) // 2
    old, weights = None, [data[f"initial{i}"] for i in range(count)]
    for steps in (range(half), range(half, 2 * half)):
        cls = getattr(optimizers, case["class"])
        optimizer = cls(**case["kwargs"]) if old is None else cls.from_config(old.get_config())
        variables = [Variable(w, "float32", name=f"w{i}:0") for i, w in enumerate(weights)]
        grads = [placeholder(w.shape, "float32") for w in variables]
        loss = sum(ops.sum(w * g) for w, g in zip(variables, grads, strict=True))
        step = Function(grads, [loss], optimizer.get_updates(loss, variables))
        if old is not None:
            optimizer.set_weights(old.get_weights())
        for i in steps:
            step([data[f"gradient{k}"][i] for k in range(count)])
        weights, old = [w.numpy() for w in variables], optimizer
    for k, w in enumerate(weights):
        assert_close(w, data[f"weight{k}"][2 * half - 1], TOLERANCE["float32"], f"weight {k}")


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedule(case):
    case = SCHEDULES[case]
    schedule = getattr(optimizers.schedules, case["class"])(**case["kwargs"])
    for again in (schedule, type(schedule).from_config(schedule.get_config())):
        rates = [again(int(step)) for step in case["arrays"]["steps"]]
        rates = [evaluate([r])[0] if isinstance(r, Tensor) else r for r in rates]
        np.testing.assert_allclose(rates, case["arrays"]["rates"], rtol=1e-5, atol=1e-7)
