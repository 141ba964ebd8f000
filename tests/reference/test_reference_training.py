"""What ``fit`` and ``evaluate`` report: weights of losses, samples and classes, metrics, penalties, masks."""

import numpy as np
import pytest
from referee import as_dtype, assert_all_close, family

from kcore import backend, models, optimizers

CASES = family("training")


@pytest.fixture(params=["float32", "float64"])
def floatx(request):
    before = backend.floatx()
    backend.set_floatx(request.param)
    yield request.param
    backend.set_floatx(before)


def with_dtype(config, floatx):
    """The configuration with every layer in ``floatx``."""
    if isinstance(config, dict):
        config = {key: with_dtype(value, floatx) for key, value in config.items()}
        return {**config, "dtype": floatx} if config.get("dtype") == "float64" else config
    return [with_dtype(value, floatx) for value in config] if isinstance(config, list) else config


@pytest.mark.parametrize("name", CASES)
def test_fit_and_evaluate(name, floatx):
    case = CASES[name]
    data = {key: as_dtype(value, floatx) for key, value in case["arrays"].items()}
    model = models.Model.from_config(with_dtype(case["config"]["config"], floatx))
    arguments = dict(case["compile"])
    optimizer = arguments.pop("optimizer")
    model.compile(getattr(optimizers, optimizer["class_name"])(**optimizer["config"]), **arguments)
    model.set_weights([data[f"initial{i}"] for i in range(case["weights"])])
    x, y = ([data[key] for key in case[ends]] for ends in ("inputs", "targets"))
    weights = case["sample_weights"] and [data[key] for key in case["sample_weights"]]
    if len(x) == len(y) == 1:
        x, y, weights = x[0], y[0], weights and weights[0]
    class_weight = case["class_weight"] and {int(key): value for key, value in case["class_weight"]}
    size = case["batch_size"]
    fit = {"epochs": case["epochs"], "shuffle": False, "verbose": 0, "class_weight": class_weight}
    history = model.fit(x, y, sample_weight=weights, batch_size=size, **fit).history
    tolerance = 1e-5 if floatx == "float32" else 1e-6
    assert set(history) == set(case["metrics"])
    for key in case["metrics"]:
        np.testing.assert_allclose(history[key], case["arrays"][f"history:{key}"], tolerance, err_msg=key)
    evaluation = model.evaluate(x, y, sample_weight=weights, batch_size=size, verbose=0)
    order = [model.metrics_names.index(key) for key in case["metrics"]]
    got = [evaluation[i] for i in order]
    np.testing.assert_allclose(got, case["arrays"]["evaluation"], tolerance, err_msg="evaluation")
    final = [case["arrays"][f"final{i}"] for i in range(case["weights"])]
    assert_all_close(model.get_weights(), final, tolerance, "weight")
