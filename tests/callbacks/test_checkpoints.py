import numpy as np
import pytest
from fake_model import Model

from kcore.callbacks import BackupAndRestore, ModelCheckpoint


def logs(*values):
    return [{"loss": 1.0, "val_loss": value} for value in values]


def names(model):
    return [path.rsplit("/", 1)[-1] for _, path in model.saved]


def test_every_epoch(tmp_path):
    model = Model()
    model.fit([ModelCheckpoint(tmp_path / "m.{epoch:02d}-{val_loss:.2f}.h5")], logs(3, 2.5))
    assert names(model) == ["m.01-3.00.h5", "m.02-2.50.h5"]
    assert model.saved[0][0] == "model"


def test_period_and_weights(tmp_path):
    model = Model()
    model.fit([ModelCheckpoint(tmp_path / "{epoch}", period=2, save_weights_only=True)], logs(1, 1, 1, 1, 1))
    assert names(model) == ["2", "4"]
    assert model.saved[0][0] == "weights"


@pytest.mark.parametrize(
    ("options", "values", "saved"),
    [
        ({}, [3, 4, 2, 2, 1], ["1", "3", "5"]),
        ({"mode": "max"}, [3, 4, 2, 5], ["1", "2", "4"]),
        ({"initial_value_threshold": 2.5}, [3, 2, 1], ["2", "3"]),
        ({}, [float("nan"), 2], ["2"]),
    ],
)
def test_only_the_best(tmp_path, options, values, saved):
    model = Model()
    model.fit([ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True, **options)], logs(*values))
    assert names(model) == saved


def test_by_batches(tmp_path):
    model = Model()
    model.fit([ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3)], logs(1, 1, 1), batches=4)
    assert names(model) == ["1-3", "2-2", "3-1", "3-4"]


def test_what_it_says(tmp_path, capsys):
    Model().fit([ModelCheckpoint(tmp_path / "m", verbose=1, save_best_only=True)], logs(2, 3, 1))
    out = capsys.readouterr().out
    assert "Epoch 1: val_loss improved from inf to 2.00000, saving model to" in out
    assert "Epoch 2: val_loss did not improve from 2.00000" in out


def test_mistakes(tmp_path):
    with pytest.raises(KeyError, match=r"names 'val_acc'.*val_loss"):
        Model().fit([ModelCheckpoint(tmp_path / "{val_acc}")], logs(1))
    with pytest.raises(ValueError, match="save_freq"):
        ModelCheckpoint("m", save_freq=0)
    model = Model()
    with pytest.warns(RuntimeWarning, match="not available"):
        model.fit([ModelCheckpoint(tmp_path / "m", save_best_only=True)], [{"loss": 1.0}])
    assert model.saved == []


def test_a_killed_training_goes_on(tmp_path):
    directory = tmp_path / "backup"
    first = Model()
    first.fit([BackupAndRestore(directory)], logs(5, 4, 3, 2), die_after=1)
    second = Model()
    history = second.fit([BackupAndRestore(directory)], logs(5, 4, 3, 2), die_after=None)
    # The fake reads _initial_epoch after on_train_begin, as fit does.
    assert history.epoch == [2, 3]
    assert second.weights[0][0] == 4
    assert not directory.exists()


def test_a_backup_restores_weights_and_optimizer(tmp_path):
    Model().fit([BackupAndRestore(tmp_path / "b")], logs(5, 4), die_after=0)
    model = Model()
    restoring = BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    restoring.set_model(model)
    restoring.on_train_begin()
    np.testing.assert_array_equal(model.weights[0], [1, 1, 1])
    np.testing.assert_array_equal(model.optimizer.momenta, [1, 1])
    assert model._initial_epoch == 1
    restoring.on_train_end()
    assert (tmp_path / "b" / "training.npz").exists()


def test_backups_by_batches(tmp_path):
    model = Model()
    model.fit([BackupAndRestore(tmp_path / "b", save_freq=3)], logs(1, 1), batches=2, die_after=1)
    with np.load(tmp_path / "b" / "training.npz") as saved:
        assert int(saved["epoch"]) == 1  # the epoch in which the third batch was
    with pytest.raises(ValueError, match="save_freq"):
        BackupAndRestore(tmp_path, save_freq="batch")
    with pytest.raises(ValueError, match="backup_dir"):
        BackupAndRestore("")


def test_a_failed_backup_leaves_the_old_one(tmp_path, monkeypatch):
    directory = tmp_path / "b"
    Model().fit([BackupAndRestore(directory)], logs(1), die_after=0)
    before = (directory / "training.npz").read_bytes()

    def full(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        Model().fit([BackupAndRestore(directory)], logs(1, 1))
    assert [path.name for path in directory.iterdir()] == ["training.npz"]
    assert (directory / "training.npz").read_bytes() == before
