"""Batch normalization: moving statistics, phases, freezing."""

import numpy as np
import pytest

from kcore import layers as L
from kcore.graph import Function, placeholder

rng = np.random.default_rng(0)


def step(layer, x, training=True):
    """One run with the layer's updates."""
    t = placeholder((None, *x.shape[1:]), x.dtype.name)
    y = layer(t, training=training) if training is not None else layer(t)
    return Function([t], [y], layer.get_updates_for(t))([x], True)[0]


@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 5, 3)])
def test_moving_statistics_follow_the_batch(shape):
    layer = L.BatchNormalization(momentum=0.8, epsilon=0.01)
    x = rng.normal(2.0, 3.0, shape).astype("float32")
    y = step(layer, x)
    axes = tuple(range(len(shape) - 1))
    mean, variance = x.mean(axes), x.var(axes)
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 0.01), atol=1e-5)
    n = x.size // 3
    _, _, moving_mean, moving_variance = layer.get_weights()
    np.testing.assert_allclose(moving_mean, 0.2 * mean, rtol=1e-5)
    np.testing.assert_allclose(moving_variance, 0.8 + 0.2 * variance * n / (n - 1.01), rtol=1e-5)


def test_inference_uses_the_moving_statistics_and_updates_nothing():
    layer = L.BatchNormalization(epsilon=0.01)
    x = rng.normal(size=(5, 3)).astype("float32")
    t = placeholder((None, 3))
    y = layer(t, training=False)
    assert layer.get_updates_for(t) == []
    layer.set_weights([[1, 2, 3], [0.5, 0, 0], [1, 0, -1], [4, 1, 2]])
    gamma, beta, mean, variance = layer.get_weights()
    want = gamma * (x - mean) / np.sqrt(variance + 0.01) + beta
    np.testing.assert_allclose(Function([t], [y])([x], True)[0], want, rtol=1e-5, atol=1e-6)


def test_the_phase_of_the_program_decides():
    layer = L.BatchNormalization()
    t = placeholder((None, 3))
    f = Function([t], [layer(t)])
    x = rng.normal(5.0, 2.0, (8, 3)).astype("float32")
    np.testing.assert_allclose(f([x], False)[0], x / np.sqrt(1.001), rtol=1e-5)
    np.testing.assert_allclose(f([x], True)[0].mean(0), 0, atol=1e-5)


def test_a_frozen_layer_updates_nothing_but_still_normalizes_by_the_batch():
    layer = L.BatchNormalization(trainable=False)
    x = rng.normal(5.0, 2.0, (8, 3)).astype("float32")
    t = placeholder((None, 3))
    y = layer(t)
    assert layer.get_updates_for(t) == []
    assert layer.updates == []
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 4
    np.testing.assert_allclose(Function([t], [y])([x], True)[0].mean(0), 0, atol=1e-5)


def test_batch_of_one():
    layer = L.BatchNormalization()
    y = step(layer, np.array([[1.0, 2.0]], "float32"))
    np.testing.assert_array_equal(y, np.zeros((1, 2)))
    assert np.isfinite(layer.get_weights()[3]).all()
    assert (layer.get_weights()[3] >= 0).all()


def test_the_normalized_axis_must_be_known():
    with pytest.raises(ValueError, match="Axis 1"):
        L.BatchNormalization(axis=1)(placeholder((None, None, 3)))
    with pytest.raises(ValueError, match="renorm"):
        L.BatchNormalization(renorm=True)


def test_layer_normalization_by_hand():
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    layer = L.LayerNormalization(axis=(1, 2), epsilon=0.1)
    t = placeholder((None, 3, 4))
    y = layer(t)
    gamma, beta = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    layer.set_weights([gamma, beta])
    want = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 0.1) * gamma + beta
    np.testing.assert_allclose(Function([t], [y])([x])[0], want, rtol=1e-4, atol=1e-5)
