import importlib.util
from pathlib import Path

import numpy as np
import pytest

from kcore.datasets import digits


def test_shapes_and_values():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert x_train.shape == (1437, 8, 8)
    assert x_test.shape == (360, 8, 8)
    assert y_train.shape == (1437,)
    assert y_test.shape == (360,)
    assert {a.dtype.name for a in (x_train, y_train, x_test, y_test)} == {"uint8"}
    x = np.concatenate([x_train, x_test])
    assert (x.min(), x.max()) == (0, 16)
    # As the data set's documentation counts them.
    counts = np.bincount(np.concatenate([y_train, y_test]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(y_test).min() >= 25


def test_nearest_neighbours_recognise_most_of_them():
    """A wrong order of images or labels would leave one in ten."""
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    train, test = x_train.reshape(-1, 64).astype(int), x_test.reshape(-1, 64).astype(int)
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    assert (y_train[distances.argmin(1)] == y_test).mean() > 0.95


def test_each_call_gives_its_own_arrays():
    (x, _), _ = digits.load_data()
    x[:] = 99
    assert digits.load_data()[0][0].max() == 16


def test_the_script_writes_what_is_shipped(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    path = Path(__file__).parents[2] / "tools" / "make_digits.py"
    spec = importlib.util.spec_from_file_location("make_digits", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    shipped = script.TARGET
    monkeypatch.setattr(script, "TARGET", tmp_path / "digits.npz")
    script.main()
    with np.load(shipped) as old, np.load(tmp_path / "digits.npz") as new:
        for name in ("x", "y"):
            np.testing.assert_array_equal(old[name], new[name])
