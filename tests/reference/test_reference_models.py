"""Fifty steps of training from given weights: each loss, and the weights and predictions at the end."""

import numpy as np
import pytest
from referee import as_dtype, family

from kcore import backend, layers, models, optimizers

CASES = family("models")


@pytest.fixture(params=["float32", "float64"])
def floatx(request):
    before = backend.floatx()
    backend.set_floatx(request.param)
    yield request.param
    backend.set_floatx(before)


def build(description):
    first = layers.Input(tuple(description["input_shape"]), dtype=description.get("input_dtype"))
    x = first
    for item in description["layers"]:
        x = getattr(layers, item["class_name"])(**item["config"])(x)
    model = models.Model(first, x)
    optimizer = description["optimizer"]
    optimizer = getattr(optimizers, optimizer["class_name"])(**optimizer["config"])
    model.compile(optimizer, description["loss"])
    return model


def deviation(got, want):
    return np.linalg.norm(np.subtract(got, want)) / np.linalg.norm(want)


@pytest.mark.parametrize("name", CASES)
def test_training(name, floatx):
    case = CASES[name]
    description, data = case["model"], case["arrays"]
    model = build(description)
    model.set_weights([data[f"initial{i}"] for i in range(case["weights"])])
    x, y = as_dtype(data["x"], floatx), as_dtype(data["y"], floatx)
    size, losses = description["batch_size"], []
    for step in range(len(data["losses"])):
        start = step % description["batches"] * size
        losses.append(float(model.train_on_batch(x[start : start + size], y[start : start + size])))
    final = np.concatenate([w.ravel() for w in model.get_weights()])
    expected = np.concatenate([data[f"final{i}"].ravel() for i in range(case["weights"])])
    got = deviation(losses, data["losses"]), deviation(final, expected)
    got = (*got, deviation(model.predict(x), data["predictions"]))
    # In float32 rounding grows from step to step: the referee's own run shows by how much.
    limits = [max(1e-5, 8 * far) if floatx == "float32" else 1e-6 for far in case["float32_deviation"]]
    assert all(g <= limit for g, limit in zip(got, limits, strict=True)), f"{got} exceeds {limits}"


@pytest.mark.parametrize("name", CASES)
def test_fit_is_the_same_training(name):
    """``fit`` without shuffling takes the same steps as ``train_on_batch``."""
    case = CASES[name]
    description, data = case["model"], case["arrays"]
    model = build(description)
    model.set_weights([data[f"initial{i}"] for i in range(case["weights"])])
    batches = description["batches"]
    epochs = len(data["losses"]) // batches
    size = description["batch_size"]
    history = model.fit(data["x"], data["y"], batch_size=size, epochs=epochs, shuffle=False, verbose=0)
    expected = data["losses"][: epochs * batches].reshape(epochs, batches).mean(1)
    assert deviation(history.history["loss"], expected) <= max(1e-5, 8 * case["float32_deviation"][0])
