"""Saved models of other makers: what they predict, their optimizer's state, and the next step of training."""

import numpy as np
import pytest
from referee import FOLDER, TOLERANCE, arrays_of, assert_all_close, assert_close, family

from kcore import models

CASES = family("files")
WHOLE = [name for name in CASES if "weights" not in name and name.endswith(".h5")]
TRAINED = [name for name in WHOLE if CASES[name].get("slots")]
LIMIT = TOLERANCE["float32"]


def load(name):
    return models.load_model(str(FOLDER / name))


def predictions_of(model, case):
    inputs = arrays_of(case, "input", case["inputs"])
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0])
    return outputs if isinstance(outputs, list) else [outputs]


@pytest.mark.parametrize("name", WHOLE)
def test_predictions(name):
    case = CASES[name]
    model = load(name)
    assert_all_close(model.get_weights(), arrays_of(case, "weight", case["weights"]), 0, "weight")
    expected = arrays_of(case, "prediction", case["outputs"])
    assert_all_close(predictions_of(model, case), expected, LIMIT, "prediction")


@pytest.mark.parametrize("name", TRAINED)
def test_optimizer_state(name):
    case = CASES[name]
    optimizer = load(name).optimizer
    assert type(optimizer).__name__ == case["optimizer"]
    slots = [np.asarray(w) for w in optimizer.get_weights()]
    assert int(slots[0]) == case["iterations"]
    assert_all_close(slots[1 : case["slots"]], arrays_of(case, "slot", case["slots"])[1:], 0, "slot")
    # What Keras 2.3 keeps in place of amsgrad's maxima is not in files of tf.keras.
    assert all(slot.shape == (1,) for slot in slots[case["slots"] :])


@pytest.mark.parametrize("name", [name for name in TRAINED if "next_loss" in CASES[name]["arrays"]])
def test_training_goes_on(name):
    case = CASES[name]
    model = load(name)
    xs, ys = arrays_of(case, "input", case["inputs"]), arrays_of(case, "target", case["outputs"])
    loss = model.train_on_batch(xs if len(xs) > 1 else xs[0], ys if len(ys) > 1 else ys[0])
    loss = loss[0] if isinstance(loss, (list, tuple)) else loss
    assert_close(loss, case["arrays"]["next_loss"], LIMIT, "loss")
    expected = arrays_of(case, "next_weight", case["weights"])
    if name == "cnn.h5":  # tf_keras averages another variance than Keras 2.3 does
        moving = [i for i, w in enumerate(model.weights) if "moving_variance" in w.name]
        keep = [i for i in range(len(expected)) if i not in moving]
        assert_all_close([model.get_weights()[i] for i in keep], [expected[i] for i in keep], LIMIT, "weight")
    else:
        assert_all_close(model.get_weights(), expected, LIMIT, "weight")


@pytest.mark.parametrize("by_name", [False, True])
def test_weights_file(by_name):
    case = CASES["functional_weights.h5"]
    model = models.Model.from_config(case["config"]["config"])
    model.load_weights(str(FOLDER / "functional_weights.h5"), by_name=by_name)
    expected = arrays_of(case, "prediction", case["outputs"])
    assert_all_close(predictions_of(model, case), expected, LIMIT, "prediction")


@pytest.mark.parametrize("name", WHOLE)
def test_saved_again(name, tmp_path):
    """What is loaded and saved again still predicts the same, bit for bit."""
    case = CASES[name]
    model = load(name)
    model.save(str(tmp_path / "again.h5"))
    again = models.load_model(str(tmp_path / "again.h5"))
    for a, b in zip(predictions_of(model, case), predictions_of(again, case), strict=True):
        np.testing.assert_array_equal(a, b)
    if model.optimizer is not None:
        for a, b in zip(model.optimizer.get_weights(), again.optimizer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
