"""``fit`` with every kind of data, and with the callbacks that reach into it."""

import itertools

import h5py
import numpy as np
import pytest

from kcore import callbacks
from kcore.layers import Dense
from kcore.models import Sequential
from kcore.utils import HDF5Matrix, Sequence, set_random_seed

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 5)).astype("float32")
Y = RNG.integers(0, 3, 64)


def model(built=True):
    set_random_seed(7)
    first = {"input_shape": (5,)} if built else {}
    net = Sequential([Dense(4, activation="tanh", **first), Dense(3, activation="softmax")])
    net.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def same_weights(one, other):
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


class Batches(Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], Y[rows]


def endless():
    sequence = Batches()
    for index in itertools.count():
        yield sequence[index % 4]


@pytest.fixture(scope="module")
def trained():
    net = model()
    net.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    return net


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(
    ("data", "options"),
    [
        (Batches, {"shuffle": False}),
        (Batches, {"shuffle": False, "workers": 2, "use_multiprocessing": True}),
        (endless, {"steps_per_epoch": 4}),
        (endless, {"steps_per_epoch": 4, "workers": 0}),
    ],
)
def test_batches_train_as_arrays_do(trained, built, data, options):
    net = model(built)
    net.fit(data(), epochs=3, verbose=0, **options)
    assert same_weights(net, trained)


def test_hdf5_trains_as_arrays_do(trained, tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = X, Y
    net = model()
    net.fit(HDF5Matrix(path, "x"), HDF5Matrix(path, "y"), batch_size=16, epochs=3, shuffle=False, verbose=0)
    assert same_weights(net, trained)
    np.testing.assert_array_equal(net.predict(HDF5Matrix(path, "x")), trained.predict(X))


@pytest.mark.parametrize("built", [True, False])
def test_a_generator_loses_no_batch(built):
    source = endless()
    model(built).fit(source, steps_per_epoch=3, epochs=2, verbose=0)
    np.testing.assert_array_equal(next(source)[0], Batches()[6 % 4][0])


def test_an_unbuilt_model_predicts_from_a_generator():
    net = model(built=False)
    predicted = net.predict(iter([X[:3], X[3:5]]))
    np.testing.assert_allclose(predicted, net.predict(X[:5]), rtol=1e-6)


class Killed(callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_training_resumes_to_the_same_bits(tmp_path):
    full = model()
    full.fit(X, Y, epochs=4, batch_size=16, verbose=0)
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        model().fit(
            X, Y, epochs=4, batch_size=16, verbose=0, callbacks=[callbacks.BackupAndRestore(backup), Killed()]
        )
    net = model()
    history = net.fit(
        X, Y, epochs=4, batch_size=16, verbose=0, callbacks=[callbacks.BackupAndRestore(backup)]
    )
    assert history.epoch == [2, 3]
    assert same_weights(net, full)
    assert not backup.exists()


def test_callbacks_act_on_the_model(tmp_path):
    net = model()
    rates = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else rate)
    stopping = callbacks.EarlyStopping("loss", patience=0, min_delta=10.0, restore_best_weights=True)
    saving = callbacks.ModelCheckpoint(tmp_path / "m{epoch}.h5", save_weights_only=True)
    history = net.fit(X, Y, epochs=5, verbose=0, callbacks=[rates, saving, stopping])
    assert history.epoch == [0, 1]
    np.testing.assert_allclose(history.history["lr"], [1e-3, 5e-4], rtol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m1.h5", "m2.h5"]
    again = model()
    again.load_weights(tmp_path / "m1.h5")
    assert same_weights(net, again)


def test_the_progress_shows_the_epochs_means(capsys):
    net = model()
    history = net.fit(X, Y, epochs=1, batch_size=16, verbose=1)
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("64/64 [====")
    assert f"loss: {history.history['loss'][0]:.4f} - accuracy: {history.history['accuracy'][0]:.4f}" in line
