"""HDF5 as data for training (``HDF5Matrix``) and as a dictionary (``H5Dict``)."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import h5py
import numpy as np

# HDF5 keeps attributes in an object header of 64 KiB; longer lists of names are cut into several attributes.
_ATTRIBUTE_LIMIT = 64512


class HDF5Matrix:
    """Rows ``start`` to ``end`` of a dataset in an HDF5 file, read only when they are asked for.

    Takes an array's place in ``fit``, ``evaluate`` and ``predict``. With ``fit`` use ``shuffle="batch"``,
    which reads contiguous rows, rather than ``True``, which must pick single rows all over the file.

    Args:
        datapath: the file.
        dataset: the dataset's name in it.
        start, end: range of rows; ``end`` defaults to all.
        normalizer: function of an array of rows, applied to what is read.

    It can be pickled (it reopens its file), so worker processes can read it.
    """

    def __init__(
        self,
        datapath: str | os.PathLike,
        dataset: str,
        start: int = 0,
        end: int | None = None,
        normalizer: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.datapath = os.fspath(datapath)
        self.dataset = dataset
        self.normalizer = normalizer
        self._open()
        rows = self._data.shape[0]
        self.start, self.end, _ = slice(start, end).indices(rows)
        if self.start > self.end:
            raise ValueError(f"HDF5Matrix got start={start} behind end={end} in a dataset of {rows} rows.")
        self._sample_shape: tuple[int, ...] = self._data.shape[1:]
        self._dtype = self._data.dtype
        if normalizer is not None and rows:
            sample = normalizer(self._data[self.start : self.start + 1])
            self._sample_shape, self._dtype = sample.shape[1:], sample.dtype

    def _open(self) -> None:
        self._file = h5py.File(self.datapath, "r")
        self._data = self._file[self.dataset]
        self._owner = os.getpid()

    @property
    def data(self):
        """The whole h5py dataset. A forked process opens the file anew: HDF5 handles can't be shared."""
        if self._owner != os.getpid():
            self._open()
        return self._data

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_file", "_data", "_owner")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, key):
        """Rows by an integer, a slice, or a list or array of integers (in any order)."""
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step != 1:
                return self[np.arange(first, last, step)]
            rows = self.data[self.start + first : self.start + max(first, last)]
        elif isinstance(key, (int, np.integer)):
            index = int(key) + len(self) * (key < 0)
            if not 0 <= index < len(self):
                raise IndexError(f"Index {key} is out of range for HDF5Matrix with {len(self)} rows.")
            rows = self.data[self.start + index]
            if self.normalizer is not None:
                return self.normalizer(rows[np.newaxis])[0]
            return rows
        elif isinstance(key, (list, np.ndarray)):
            rows = read_rows(self.data, self._checked(np.asarray(key, dtype=np.intp)) + self.start)
        else:
            raise TypeError(f"HDF5Matrix takes an integer, a slice or a list of integers, got {key!r}.")
        return self.normalizer(rows) if self.normalizer is not None else rows

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        indices = np.where(indices < 0, indices + len(self), indices)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            raise IndexError(f"An index is out of range for HDF5Matrix with {len(self)} rows.")
        return indices

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._sample_shape)

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


def read_rows(dataset, indices: np.ndarray) -> np.ndarray:
    """``dataset[indices]`` for an h5py dataset, which itself wants increasing, unrepeated indices."""
    increasing, place = np.unique(indices, return_inverse=True)
    if increasing.size == 0:
        return dataset[0:0]
    if increasing.size == increasing[-1] - increasing[0] + 1:  # a run of neighbours is one contiguous read
        rows = dataset[int(increasing[0]) : int(increasing[-1]) + 1]
    else:
        rows = dataset[increasing]
    return rows if np.array_equal(increasing, indices) else rows[place]


class H5Dict(Mapping):
    """An HDF5 file or group, or a plain dictionary, read and written as nested dictionaries.

    Arrays become datasets; strings, numbers and lists become attributes; looking up a name that isn't there
    makes a group of that name, so ``d["model"]["weights"] = array`` works.

    Args:
        path: file name, ``h5py.Group``, or dictionary.
        mode: h5py's, ``"r"``, ``"r+"``, ``"w"`` or ``"a"``.
    """

    def __init__(self, path, mode: str = "a"):
        self._file: h5py.File | None = None
        self.data: Any
        if isinstance(path, (str, os.PathLike)):
            self._file = self.data = h5py.File(path, mode)
        elif isinstance(path, (h5py.Group, dict)):
            self.data = path
        else:
            raise TypeError(f"H5Dict needs a path, an h5py.Group or a dict, got {type(path).__name__}.")
        self.read_only = mode == "r"

    @staticmethod
    def is_supported_type(path) -> bool:
        """Whether it can be given as ``path``; of file names, whether it is an HDF5 file."""
        if isinstance(path, (str, os.PathLike)):
            return h5py.is_hdf5(path)
        return isinstance(path, (h5py.Group, dict))

    def __setitem__(self, name, value) -> None:
        if self.read_only:
            raise ValueError(f"Cannot set {name!r}: the file is open for reading only.")
        name = _text(name)
        if isinstance(self.data, dict):
            self.data[name] = value
            return
        if name in self.data:
            raise KeyError(f"Cannot set {name!r}: a group or dataset of this name exists.")
        if isinstance(value, (np.ndarray, np.generic)):
            self.data.create_dataset(name, data=value)
        elif isinstance(value, (list, tuple)):
            self._set_list(name, list(value))
        else:
            self.data.attrs[name] = value

    def _set_list(self, name: str, values: list) -> None:
        encoded = [value.encode("utf-8") if isinstance(value, str) else value for value in values]
        array = np.asarray(encoded)
        too_long = [value for value in values if np.asarray(value).nbytes > _ATTRIBUTE_LIMIT]
        if too_long:
            raise ValueError(f"Cannot keep in attribute {name!r} what is longer than 64 KiB: {too_long!r}")
        chunks = np.array_split(array, max(1, -(-array.nbytes // _ATTRIBUTE_LIMIT)))
        if len(chunks) == 1:
            self.data.attrs[name] = array
            return
        for number, chunk in enumerate(chunks):
            self.data.attrs[f"{name}{number}"] = chunk

    def __getitem__(self, name):
        name = _text(name)
        if isinstance(self.data, dict):
            if name not in self.data and not self.read_only:
                self.data[name] = {}
            value = self.data[name]
            return H5Dict(value, "r" if self.read_only else "a") if isinstance(value, dict) else value
        attributes = self.data.attrs
        if name in attributes:
            return attributes[name]
        if f"{name}0" in attributes and name not in self.data:
            chunks, number = [], 0
            while f"{name}{number}" in attributes:
                chunks.append(attributes[f"{name}{number}"])
                number += 1
            return np.concatenate(chunks)
        if name not in self.data:
            if self.read_only:
                raise KeyError(f"There is no {name!r} in this file.")
            self.data.create_group(name)
        found = self.data[name]
        if isinstance(found, h5py.Dataset):
            return found[()]
        return H5Dict(found, "r" if self.read_only else "a")

    def __iter__(self) -> Iterator:
        yield from self.data
        if not isinstance(self.data, dict):
            yield from self.data.attrs

    iter = __iter__

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name) -> bool:
        name = _text(name)
        if isinstance(self.data, dict):
            return name in self.data
        return name in self.data or name in self.data.attrs or f"{name}0" in self.data.attrs

    def get(self, key, default=None):
        if key not in self:  # looking it up would make a group
            return default
        return self[key]

    def update(self, *others: Mapping) -> None:
        """Sets all names of the given dictionaries."""
        for other in others:
            for name, value in other.items():
                self[name] = value

    def close(self) -> None:
        """Closes the file, if it was opened here."""
        if self._file is not None:
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _text(name) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else name


def ask_to_proceed_with_overwrite(filepath) -> bool:
    """Asks on the terminal whether a file may be overwritten."""
    answer = input(f"[WARNING] {filepath} already exists - overwrite? [y/n] ")
    while answer.strip().lower() not in ("y", "n"):
        answer = input('Enter "y" (overwrite) or "n" (cancel). ')
    return answer.strip().lower() == "y"


def save_to_binary_h5py(save_function: Callable[[h5py.File], Any], stream) -> None:
    """Writes to a binary stream the HDF5 file that ``save_function(file)`` fills."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        save_function(file)
    stream.write(buffer.getvalue())


def load_from_binary_h5py(load_function: Callable[[h5py.File], Any], stream):
    """``load_function(file)`` for the HDF5 file whose bytes a binary stream holds."""
    with h5py.File(io.BytesIO(stream.read()), "r") as file:
        return load_function(file)
