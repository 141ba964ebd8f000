"""One model in several threads."""

import threading
from functools import partial

import numpy as np
import pytest
from threads import ending, together, until

from kcore import Sequential, config, layers
from kcore.utils import set_random_seed


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


def convolutional():
    """A model whose programs keep kernels: folded with what follows, and in the order in which they are read."""
    made = Sequential(
        [layers.Conv2D(12, 3, use_bias=False, input_shape=(8, 8, 8)), layers.BatchNormalization()]
    )
    for layer in [layers.Conv2D(16, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]:
        made.add(layer)
    made.compile("sgd", "mse")
    return made


IMAGES = RNG.standard_normal((16, 8, 8, 8)).astype("float32")


def test_kept_kernels_follow_weights_that_are_set():
    """Each prediction is by one of the two sets of weights, all of them."""
    made = convolutional()
    sets = [[RNG.uniform(0.1, 1, w.shape).astype("float32") for w in made.get_weights()] for _ in range(2)]
    wants = []
    for weights in sets:
        made.set_weights(weights)
        wants.append(made.predict(IMAGES))
    assert not np.array_equal(*wants)
    done = threading.Event()

    def set_weights():
        for i in range(40):
            made.set_weights(sets[i % 2])
            made.predict(IMAGES[:1])

    def predict():
        for _ in range(3):  # from the second on with kept kernels, if no others are set meanwhile
            rows = made.predict(IMAGES)
            assert any(np.array_equal(rows, want) for want in wants)

    together(ending(done, set_weights), *[until(done, predict)] * 2)


def test_kept_kernels_follow_a_training():
    alone, shared = convolutional(), convolutional()
    shared.set_weights(alone.get_weights())
    fit = {"x": IMAGES, "y": RNG.standard_normal((16, 3)), "batch_size": 4, "shuffle": False, "verbose": 0}
    done = threading.Event()

    def train():
        for _ in range(5):
            shared.fit(**fit)

    together(ending(done, train), *[until(done, lambda: shared.predict(IMAGES))] * 2)
    for _ in range(5):
        alone.fit(**fit)
    np.testing.assert_array_equal(alone.predict(IMAGES), shared.predict(IMAGES))


@pytest.fixture
def two_threads():
    before = config.num_threads()
    config.set_num_threads(2)
    yield
    config.set_num_threads(before)


def test_predictions_beside_a_training_whose_batches_are_gathered_ahead(two_threads):
    """Batches of a megabyte, for a model so small that its kernels stay on one thread."""
    x, y = RNG.standard_normal((640, 4096), dtype="float32"), RNG.standard_normal((640, 3))
    alone, shared = (Sequential([layers.Dense(3, input_shape=(4096,))]) for _ in range(2))
    shared.set_weights(alone.get_weights())
    for made in (alone, shared):
        made.compile("sgd", "mse")
    fit = {"x": x, "y": y, "batch_size": 64, "epochs": 3, "verbose": 0}
    done = threading.Event()

    def train(made):
        set_random_seed(1)
        made.fit(**fit)

    together(ending(done, partial(train, shared)), until(done, lambda: shared.predict(x[:64])))
    train(alone)
    for a, b in zip(alone.get_weights(), shared.get_weights(), strict=True):
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
