"""One model in several threads."""

import threading
from functools import partial

import numpy as np
import pytest
from threads import ending, together, until

from kcore import Sequential, layers


def model(seed=0):
    rng = np.random.default_rng(seed)
    made = Sequential(
        [
            layers.Dense(16, activation="relu", input_shape=(8,)),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    made.set_weights([rng.uniform(0.1, 1, w.shape).astype("float32") for w in made.get_weights()])
    made.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return made


RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 8)).astype("float32")
Y = np.eye(3, dtype="float32")[RNG.integers(0, 3, 96)]


def test_the_first_predictions_of_many_threads():
    want = model().predict(X)
    shared = model()

    def predict(rows):
        for _ in range(5):
            np.testing.assert_allclose(shared.predict(X[:rows], batch_size=rows), want[:rows], rtol=1e-5)

    together(*(partial(predict, rows) for rows in (1, 7, 32, 32, 96)))


def test_predictions_beside_a_training():
    alone, shared = model(), model()
    fit = {"x": X, "y": Y, "epochs": 3, "shuffle": False, "verbose": 0}
    alone.fit(**fit)
    done = threading.Event()

    def predict():
        np.testing.assert_allclose(shared.predict(X).sum(-1), 1, rtol=1e-5)
        shared.evaluate(X, Y, verbose=0)

    together(ending(done, lambda: shared.fit(**fit)), *[until(done, predict)] * 2)
    for a, b in zip(alone.get_weights(), shared.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("generator", [False, True])
def test_trainings_of_two_models(generator):
    def fit(made):
        if generator:
            batches = ((X[i : i + 32], Y[i : i + 32]) for _ in range(3) for i in range(0, 96, 32))
            made.fit(batches, steps_per_epoch=3, epochs=3, verbose=0)
        else:
            made.fit(X, Y, epochs=3, shuffle=False, verbose=0)

    alone, *both = (model() for _ in range(3))
    fit(alone)
    together(*(partial(fit, m) for m in both))
    for m in both:
        for a, b in zip(alone.get_weights(), m.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_weights_set_beside_predictions():
    """Each prediction is by the old weights or the new ones of a layer."""
    made = Sequential([layers.Dense(64, use_bias=False, kernel_initializer="zeros", input_shape=(8,))])
    done = threading.Event()

    def set_weights():
        for i in range(50):
            made.set_weights([np.full((8, 64), i, "float32")])

    def predict():
        rows = made.predict(X)
        np.testing.assert_array_equal(rows, np.repeat(rows[:, :1], 64, axis=1))
        kernel = made.get_weights()[0]
        assert kernel.min() == kernel.max()

    together(ending(done, set_weights), *[until(done, predict)] * 2)
