import math

import numpy as np
import pytest
from fake_model import Model, Optimizer

from kcore.callbacks import EarlyStopping, ReduceLROnPlateau, TerminateOnNaN
from kcore.callbacks.learning_rate import LearningRateScheduler, get_learning_rate, set_learning_rate


def losses(*values, name="val_loss"):
    return [{"loss": 0.0, name: value} for value in values]


@pytest.mark.parametrize(
    ("options", "values", "epochs", "restored"),
    [
        ({"patience": 2}, [3, 2, 4, 5, 6, 7], 4, 4),
        ({"patience": 2, "restore_best_weights": True}, [3, 2, 4, 5, 6, 7], 4, 2),
        ({"patience": 5, "restore_best_weights": True}, [3, 2, 4, 5], 4, 2),  # not stopped, still restored
        ({"patience": 0}, [3, 2, 4, 1], 3, 3),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.8, 1], 2, 2),
        ({"patience": 3, "baseline": 2.5}, [3, 2, 2.1, 2.2, 2.3, 2.4], 5, 5),
        ({"patience": 2, "baseline": 1.0}, [3, 2, 2, 0.9], 3, 3),
        ({"patience": 1, "start_from_epoch": 3}, [1, 2, 3, 4, 5, 6], 5, 5),
        ({"patience": 1, "mode": "max"}, [1, 2, 3, 2, 1], 4, 4),
        ({"patience": 2, "restore_best_weights": True}, [math.nan, math.nan, math.nan], 2, 1),
    ],
)
def test_early_stopping(options, values, epochs, restored):
    model = Model()
    history = model.fit([EarlyStopping(**options)], losses(*values))
    assert len(history.epoch) == epochs
    assert model.weights[0][0] == restored


@pytest.mark.parametrize(
    ("monitor", "larger"),
    [
        ("val_loss", False),
        ("val_accuracy", True),
        ("acc", True),
        ("val_auc_1", True),
        ("recall", True),
        ("mae", False),
    ],
)
def test_the_name_tells_the_direction(monitor, larger):
    model = Model()
    values = [1, 2, 3, 4] if larger else [4, 3, 2, 1]
    history = model.fit([EarlyStopping(monitor)], losses(*values, name=monitor))
    assert len(history.epoch) == 4


def test_early_stopping_starts_anew_in_each_fit():
    stopping = EarlyStopping(patience=1)
    assert len(Model().fit([stopping], losses(1, 2, 3)).epoch) == 2
    assert len(Model().fit([stopping], losses(5, 4, 3)).epoch) == 3


def test_a_metric_that_is_not_there(capsys):
    with pytest.warns(RuntimeWarning, match=r"needs the metric 'val_loss'.*Available metrics are: loss"):
        Model().fit([EarlyStopping()], [{"loss": 1.0}])
    with pytest.warns(UserWarning, match="'sideways' is unknown"):
        EarlyStopping(mode="sideways")


def test_early_stopping_speaks(capsys):
    Model().fit([EarlyStopping(verbose=1, restore_best_weights=True)], losses(1, 2))
    out = capsys.readouterr().out
    assert "Epoch 2: early stopping" in out
    assert "best epoch, 1" in out


def rates(callback, values, rate=1.0):
    model = Model(Optimizer(rate))
    history = model.fit([callback], losses(*values))
    np.testing.assert_allclose(history.history["lr"], model.rates)
    return [round(r, 6) for r in model.rates]


def test_the_rate_is_reduced_on_a_plateau():
    assert rates(ReduceLROnPlateau(factor=0.5, patience=2), [1, 1, 1, 1, 1, 1, 1]) == [
        1,
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
    ]


def test_small_improvements_are_none():
    assert rates(ReduceLROnPlateau(patience=1, min_delta=0.1), [1, 0.95, 0.92, 0.5])[-2:] == [0.1, 0.01]
    assert rates(ReduceLROnPlateau(patience=1, epsilon=0.01), [1, 0.95, 0.92, 0.5])[-1] == 1


def test_cooldown():
    reducing = ReduceLROnPlateau(factor=0.1, patience=1, cooldown=2)
    assert rates(reducing, [1] * 7) == [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001]


def test_the_rate_has_a_floor(capsys):
    reducing = ReduceLROnPlateau(factor=0.1, patience=1, min_lr=0.05, verbose=1)
    assert rates(reducing, [1] * 5) == [1, 1, 0.1, 0.05, 0.05]
    assert capsys.readouterr().out.count("reducing learning rate to") == 2


def test_wrong_arguments():
    with pytest.raises(ValueError, match="below 1"):
        ReduceLROnPlateau(factor=1.0)
    with pytest.raises(TypeError, match="patient"):
        ReduceLROnPlateau(patient=3)


def test_terminate_on_nan(capsys):
    model = Model()
    history = model.fit([TerminateOnNaN()], [{"loss": 1.0}, {"loss": math.nan}, {"loss": 1.0}])
    assert len(history.epoch) == 2
    assert "Invalid loss" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="Invalid loss"):
        Model().fit([TerminateOnNaN(raise_error=True)], [{"loss": math.inf}])


@pytest.mark.parametrize(
    "schedule", [lambda epoch: 0.5**epoch, lambda epoch, rate: rate / 2 if epoch else 1.0]
)
def test_schedule(schedule, capsys):
    assert rates(LearningRateScheduler(schedule, verbose=1), [1, 1, 1]) == [1, 0.5, 0.25]
    assert "Epoch 2: LearningRateScheduler setting learning rate to 0.5" in capsys.readouterr().out


def test_an_error_in_a_schedule_is_not_hidden():
    def schedule(epoch):
        return None + epoch

    with pytest.raises(TypeError, match="NoneType"):
        rates(LearningRateScheduler(schedule), [1])


@pytest.mark.parametrize("rate", ["fast", None, [0.1], np.zeros(2)])
def test_a_schedule_must_give_a_number(rate):
    with pytest.raises(ValueError, match="should be float"):
        rates(LearningRateScheduler(lambda epoch: rate), [1])


@pytest.mark.parametrize("rate", [1, 0.5, np.float32(0.5), np.array(0.5)])
def test_kinds_of_numbers(rate):
    assert rates(LearningRateScheduler(lambda epoch: rate), [1]) == [float(rate)]


def test_optimizers_with_plain_attributes():
    class Old:
        lr = 0.25

    optimizer = Old()
    assert get_learning_rate(optimizer) == 0.25
    set_learning_rate(optimizer, 0.5)
    assert optimizer.lr == 0.5
    with pytest.raises(ValueError, match="learning_rate"):
        get_learning_rate(object())
    optimizer.lr = lambda step: step
    with pytest.raises(ValueError, match="function"):
        get_learning_rate(optimizer)
