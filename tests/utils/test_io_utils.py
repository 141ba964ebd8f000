import io
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcore.utils import H5Dict, HDF5Matrix
from kcore.utils.io_utils import (
    ask_to_proceed_with_overwrite,
    load_from_binary_h5py,
    read_rows,
    save_to_binary_h5py,
)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.arange(40.0).reshape(20, 2)
    return tmp_path / "data.h5"


def test_a_range_of_rows(path):
    matrix = HDF5Matrix(path, "x", start=5, end=15)
    rows = np.arange(40.0).reshape(20, 2)[5:15]
    assert len(matrix) == 10
    assert matrix.shape == (10, 2)
    assert matrix.ndim == 2
    assert matrix.size == 20
    assert matrix.dtype == np.float64
    np.testing.assert_array_equal(matrix[:], rows)
    np.testing.assert_array_equal(matrix[2:4], rows[2:4])
    np.testing.assert_array_equal(matrix[8:100], rows[8:])
    np.testing.assert_array_equal(matrix[::3], rows[::3])
    np.testing.assert_array_equal(matrix[-1], rows[-1])
    np.testing.assert_array_equal(matrix[[7, 0, -2]], rows[[7, 0, -2]])
    np.testing.assert_array_equal(matrix[np.array([3, 3])], rows[[3, 3]])


@pytest.mark.parametrize("key", [10, -11, [0, 10], np.array([-11])])
def test_rows_outside_the_range(path, key):
    with pytest.raises(IndexError, match="10 rows"):
        HDF5Matrix(path, "x", start=5, end=15)[key]


def test_keys_that_are_no_rows(path):
    with pytest.raises(TypeError, match="integer"):
        HDF5Matrix(path, "x")["a"]


def test_normalizer_decides_shape_and_type(path):
    matrix = HDF5Matrix(path, "x", normalizer=lambda x: x[:, :1].astype("float32") / 10)
    assert matrix.shape == (20, 1)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix[3], [0.6])
    np.testing.assert_allclose(matrix[1:3], [[0.2], [0.4]])


def test_it_can_be_pickled(path):
    matrix = pickle.loads(pickle.dumps(HDF5Matrix(path, "x", 2, 4)))
    np.testing.assert_array_equal(matrix[:], [[4, 5], [6, 7]])


@given(st.lists(st.integers(0, 19), max_size=12))
def test_rows_in_any_order(indices):
    rows = np.arange(40).reshape(20, 2)
    with h5py.File(io.BytesIO(), "w") as file:
        file["x"] = rows
        np.testing.assert_array_equal(read_rows(file["x"], np.array(indices, np.intp)), rows[indices])


@pytest.fixture(params=["file", "group", "dict"])
def store(request, tmp_path):
    if request.param == "dict":
        yield H5Dict({})
    elif request.param == "group":
        with h5py.File(tmp_path / "g.h5", "w") as file:
            yield H5Dict(file.create_group("g"))
    else:
        with H5Dict(tmp_path / "f.h5", "w") as file:
            yield file


def test_nested_values(store):
    store["layers"]["dense"]["kernel"] = np.eye(2)
    store["version"] = "2.3"
    store["epochs"] = 3
    store["names"] = ["one", "two"]
    np.testing.assert_array_equal(store["layers"]["dense"]["kernel"], np.eye(2))
    assert store["version"] == "2.3"
    assert store["epochs"] == 3
    assert [n.decode() if isinstance(n, bytes) else n for n in store["names"]] == ["one", "two"]
    assert set(store) == {"layers", "version", "epochs", "names"}
    assert "version" in store
    assert store.get("absent", 1) == 1
    assert "absent" not in store
    store.update({"more": 1})
    assert len(store) == 5


def test_long_lists_are_cut_into_attributes(tmp_path):
    names = [f"layer_{i:04d}_" + "x" * 90 for i in range(1500)]
    with H5Dict(tmp_path / "f.h5", "w") as store:
        store["names"] = names
    with H5Dict(tmp_path / "f.h5", "r") as store:
        assert [name.decode() for name in store["names"]] == names
        assert store.is_supported_type(tmp_path / "f.h5")
        with pytest.raises(ValueError, match="reading only"):
            store["a"] = 1
        with pytest.raises(KeyError, match="no 'absent'"):
            store["absent"]


def test_h5dict_refuses(tmp_path):
    with H5Dict(tmp_path / "f.h5", "w") as store:
        store["a"] = np.ones(1)
        with pytest.raises(KeyError, match="exists"):
            store["a"] = np.ones(2)
        with pytest.raises(ValueError, match="64 KiB"):
            store["b"] = ["x" * 70_000]
    with pytest.raises(TypeError, match="got int"):
        H5Dict(3)
    assert not H5Dict.is_supported_type(3)


def test_hdf5_in_a_stream():
    stream = io.BytesIO()
    save_to_binary_h5py(lambda file: file.create_dataset("x", data=[1, 2]), stream)
    stream.seek(0)
    assert load_from_binary_h5py(lambda file: file["x"][:].tolist(), stream) == [1, 2]


@pytest.mark.parametrize(("answers", "result"), [(["y"], True), (["perhaps", "N"], False)])
def test_asking(monkeypatch, answers, result):
    monkeypatch.setattr("builtins.input", lambda prompt: answers.pop(0))
    assert ask_to_proceed_with_overwrite("f.h5") is result
