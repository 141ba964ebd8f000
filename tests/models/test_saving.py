"""Files: round trips, resuming to the same bits, damage, foreign content."""

import json
import os

import h5py
import numpy as np
import pytest

from kcore.layers import LSTM, BatchNormalization, Conv2D, Dense, Dropout, Embedding, Flatten, Input, Lambda
from kcore.models import Model, Sequential, load_model


def trained(optimizer="adam", steps=3):
    model = Sequential(
        [Dense(8, activation="relu", input_dim=4, name="hidden"), Dropout(0.5), Dense(2, name="out")]
    )
    model.compile(optimizer, "mse", metrics=["mae"])
    x, y = data()
    for _ in range(steps):
        model.train_on_batch(x, y)
    return model


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 4)).astype("float32"), rng.standard_normal((16, 2)).astype("float32")


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adagrad", "adadelta", "adamax", "nadam"])
def test_training_resumes_to_the_same_bits(tmp_path, optimizer):
    model = trained(optimizer)
    model.save(tmp_path / "m.h5")
    again = load_model(tmp_path / "m.h5")
    x, y = data()
    for _ in range(3):
        assert model.train_on_batch(x, y) == again.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_of_many_layers_round_trip(tmp_path):
    tokens, image = Input((5,), dtype="int32"), Input((6, 6, 1))
    left = LSTM(4)(Embedding(10, 3, mask_zero=True)(tokens))
    right = Flatten()(BatchNormalization()(Conv2D(2, 3)(image)))
    body = Sequential([Dense(3, activation="relu", input_dim=4), BatchNormalization()])
    model = Model([tokens, image], [Dense(2)(body(left)), Dense(1)(right)])
    model.compile("sgd", ["mse", "mae"], loss_weights=[1.0, 0.5])
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 10, (3, 5)), rng.standard_normal((3, 6, 6, 1))]
    model.train_on_batch(x, [np.zeros((3, 2)), np.zeros((3, 1))])
    model.save(tmp_path / "m.h5")
    again = load_model(tmp_path / "m.h5")
    for a, b in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layout_is_keras_2s(tmp_path):
    trained().save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert json.loads(file.attrs["model_config"])["class_name"] == "Sequential"
        assert json.loads(file.attrs["training_config"])["optimizer_config"]["class_name"] == "Adam"
        weights = file["model_weights"]
        assert next(iter(weights.attrs["layer_names"])) == b"hidden"
        assert [n.decode() for n in weights["hidden"].attrs["weight_names"]] == [
            "hidden/kernel:0",
            "hidden/bias:0",
        ]
        assert weights["hidden"]["hidden/kernel:0"].shape == (4, 8)
        assert "optimizer_weights" in file


def test_weights_by_position_and_name(tmp_path):
    model = trained()
    model.save_weights(tmp_path / "w.h5")
    other = trained(steps=0)
    other.load_weights(tmp_path / "w.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    partial = Sequential([Dense(8, input_dim=4, name="hidden"), Dense(5, name="elsewhere")])
    before = partial.layers[1].get_weights()[0]
    partial.load_weights(tmp_path / "w.h5", by_name=True)
    np.testing.assert_array_equal(partial.layers[0].get_weights()[0], model.layers[0].get_weights()[0])
    np.testing.assert_array_equal(partial.layers[1].get_weights()[0], before)


def test_mismatches_change_nothing(tmp_path):
    trained().save_weights(tmp_path / "w.h5")
    other = Sequential([Dense(8, input_dim=4, name="hidden"), Dense(3, name="out")])
    before = other.get_weights()
    with pytest.raises(
        ValueError, match=r"'out/kernel:0' has shape \(8, 3\), but the saved weight has shape \(8, 2\)"
    ):
        other.load_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="shape"):
        other.load_weights(tmp_path / "w.h5", by_name=True)
    for a, b in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning, match="Skipping loading of weights for layer out"):
        other.load_weights(tmp_path / "w.h5", by_name=True, skip_mismatch=True)
    assert not np.array_equal(before[0], other.get_weights()[0])
    with pytest.raises(ValueError, match="containing 2 layers into a model with 1 layers"):
        Sequential([Dense(8, input_dim=4)]).load_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="skip_mismatch"):
        other.load_weights(tmp_path / "w.h5", skip_mismatch=True)


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError, match="No file or directory found"):
        load_model(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("not HDF5 at all")
    with pytest.raises(OSError, match="not an HDF5 file"):
        load_model(tmp_path / "text.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    with pytest.raises(OSError, match="not an HDF5 file"):
        load_model(tmp_path / "empty.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["data"] = np.arange(3)
    with pytest.raises(ValueError, match="No model found"):
        load_model(tmp_path / "foreign.h5")
    with pytest.raises(ValueError, match="No weights found"):
        trained(steps=0).load_weights(tmp_path / "foreign.h5")
    with pytest.raises(OSError, match="directory"):
        load_model(tmp_path)
    with h5py.File(tmp_path / "json.h5", "w") as file:
        file.attrs["model_config"] = b"{not json"
    with pytest.raises(ValueError, match="'model_config' is not JSON"):
        load_model(tmp_path / "json.h5")


def test_truncated_files_raise(tmp_path):
    trained().save(tmp_path / "m.h5")
    content = (tmp_path / "m.h5").read_bytes()
    for size in range(0, len(content) - 1, max(1, len(content) // 40)):
        (tmp_path / "cut.h5").write_bytes(content[:size])
        with pytest.raises((OSError, ValueError)):
            load_model(tmp_path / "cut.h5")


def test_saving_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "m.h5"
    model = trained()
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(type(model.optimizer), "get_config", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.h5"]


def test_uncompiled_and_without_optimizer(tmp_path):
    model = Sequential([Dense(2, input_dim=3)])
    model.save(tmp_path / "m.h5")
    with pytest.warns(UserWarning, match="not\\* compiled"):
        assert load_model(tmp_path / "m.h5").optimizer is None
    trained().save(tmp_path / "n.h5", include_optimizer=False)
    with pytest.warns(UserWarning, match="not\\* compiled"):
        load_model(tmp_path / "n.h5")
    assert load_model(tmp_path / "n.h5", compile=False).optimizer is None


def test_bytecode_is_refused(tmp_path):
    x = Input((2,))
    Model(x, Lambda(lambda t: t * 2.0)(x)).save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="bytecode"):
        load_model(tmp_path / "m.h5", compile=False)
    model = load_model(tmp_path / "m.h5", compile=False, safe_mode=False)
    np.testing.assert_array_equal(model.predict(np.ones((1, 2))), [[2, 2]])
    with pytest.raises(ValueError, match="bytecode"):
        load_model(tmp_path / "m.h5", compile=False)


def test_custom_loss_needs_custom_objects(tmp_path):
    def strange_loss(y_true, y_pred):
        return (y_true - y_pred) ** 2 * 3.0

    model = Sequential([Dense(2, input_dim=4)])
    model.compile("sgd", strange_loss)
    x, y = data()
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match="strange_loss"):
        load_model(tmp_path / "m.h5")
    again = load_model(tmp_path / "m.h5", custom_objects={"strange_loss": strange_loss})
    assert again.train_on_batch(x, y) == model.train_on_batch(x, y)


def test_many_layer_names_are_split_over_attributes(tmp_path):
    names = [f"{'x' * 800}_{i}" for i in range(100)]
    model = Sequential([Dense(1, input_dim=1, name=n) for n in names])
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert "layer_names1" in file.attrs
    other = Sequential([Dense(1, input_dim=1, name=n) for n in names])
    other.load_weights(tmp_path / "w.h5")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_open_group(tmp_path):
    model = trained()
    with h5py.File(tmp_path / "many.h5", "w") as file:
        model.save(file.create_group("first"))
    with h5py.File(tmp_path / "many.h5") as file:
        again = load_model(file["first"])
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
