import contextlib
import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kcore.datasets.restricted_pickle import load, load_rows

NUMBERS = hnp.integer_dtypes() | hnp.unsigned_integer_dtypes() | hnp.floating_dtypes(sizes=(32, 64))


def read(value, protocol=2, **options):
    return load(io.BytesIO(pickle.dumps(value, protocol)), **options)


@given(
    hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    st.integers(0, 4),
    st.booleans(),
)
def test_arrays_of_numbers(array, protocol, fortran):
    array = np.asfortranarray(array) if fortran else array
    back = read(array, protocol)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@given(st.dictionaries(st.binary(max_size=4), hnp.arrays(np.uint8, 3) | st.lists(st.integers())))
def test_dictionaries_of_arrays(values):
    back = read(values)
    assert back.keys() == values.keys()
    for key, value in values.items():
        np.testing.assert_array_equal(back[key], value)


def test_a_pickle_of_python_2():
    # pickle.dumps({'data': numpy.array([[1, 2]], 'uint8'), 'labels': [7]}, 2) as Python 2 writes it
    stream = (
        b"\x80\x02}q\x00(U\x04dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85"
        b"U\x01b\x87Rq\x04(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tbU\x06labelsq\x07]q\x08K\x07au."
    )
    back = load(io.BytesIO(stream), encoding="bytes")
    assert back[b"labels"] == [7]
    assert back[b"data"].tolist() == [[1, 2]]
    assert back[b"data"].dtype == np.uint8


def test_lists_of_numbers_of_any_kind():
    assert read([1, np.int64(2), np.float32(0.5)]) == [1, 2, 0.5]


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        Runs(os.system, "touch hacked"),
        Runs(eval, "1"),
        Runs(np.fromfile, "/etc/passwd"),
        Runs(np.load, "x"),
        Runs(getattr, np.zeros(1), "tofile"),
        Runs(bytes, 10**12),
        [Runs(exec, "raise SystemExit")],
        {"data": Runs(open, "hacked", "w")},
        np.array([Runs(os.getpid)], dtype=object),
        np.array(["text"]),
        np.zeros(2, dtype=[("a", "i4"), ("b", "O")]),
        np.zeros(1, dtype="datetime64[s]"),
        io.BytesIO,
    ],
)
def test_everything_else_is_refused(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        read(value)
    assert os.listdir(tmp_path) == []


def forged(dtype_state, data, shape=b"K\x01\x85", code=b"U\x02O8"):
    """An array's pickle with a dtype state and data of the forger's choice."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\n"
        + code
        + b"K\x00K\x01\x87R"
        + dtype_state
        + b"b\x89"
        + data
        + b"tb."
    )


STATE = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff%st"


@pytest.mark.parametrize(
    "stream",
    [
        forged(STATE % b"K\x00", b"U\x08AAAAAAAA"),  # objects that aren't said to be: bytes as pointers
        forged(STATE % b"K\x3f", b"U\x08AAAAAAAA"),
        forged(STATE % b"K\x00", b"U\x08AAAAAAAA", shape=b"K\x02\x85", code=b"U\x02u1"),  # too few bytes
        forged(STATE % b"K\x00", b"U\x01A", shape=b"J\xff\xff\xff\xff\x85", code=b"U\x02u1"),  # negative
        forged(STATE % b"K\x00", b"U\x01A", code=b"U\x03V16"),
        forged(b"(K\x03U\x01|X\x01\x00\x00\x00aNNK\x01K\x01K\x00t", b"U\x01A", code=b"U\x02u1"),
        forged(b"N", b"U\x01A", code=b"U\x02u1"),
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01aK\x01sb.",  # attributes of a function
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nN}U\x0c__defaults__Ns\x86b.",
        b"\x80\x02cnumpy\ndtype\n.",
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02]q\x00h\x00a",
        b"",
        b"garbage",
    ],
)
def test_forged_streams(stream):
    try:
        value = load(io.BytesIO(stream), encoding="bytes")
    except pickle.UnpicklingError:
        return
    # A bare name is an inert stand-in.
    assert type(value).__module__ == "kcore.datasets.restricted_pickle"


@given(st.binary(max_size=60))
def test_noise_raises_only_unpickling_errors(noise):
    with contextlib.suppress(pickle.UnpicklingError):
        load(io.BytesIO(pickle.dumps(np.arange(3), 2)[:50] + noise))


def test_rows(tmp_path):
    path = tmp_path / "rows.npz"
    rows = np.empty(2, object)
    rows[:] = [1, 2, 3], []
    vectors = np.empty(1, object)
    vectors[0] = np.arange(2)
    np.savez(path, ragged=rows, even=np.array([[1, 2], [3, 4]]), vectors=vectors)
    assert load_rows(path, "ragged") == [[1, 2, 3], []]
    assert load_rows(path, "even") == [[1, 2], [3, 4]]
    assert load_rows(path, "vectors") == [[0, 1]]
    with pytest.raises(ValueError, match="no array 'absent'"):
        load_rows(path, "absent")


@pytest.mark.parametrize("row", ["text", ["text"], [[1]], None, Runs(os.getpid)])
def test_rows_of_other_things(tmp_path, row):
    rows = np.empty(1, object)
    rows[0] = row
    np.savez(tmp_path / "rows.npz", x=rows)
    with pytest.raises(pickle.UnpicklingError):
        load_rows(tmp_path / "rows.npz", "x")


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"text")
    with pytest.raises(ValueError, match="no array"):
        load_rows(tmp_path / "x.npz", "x")
