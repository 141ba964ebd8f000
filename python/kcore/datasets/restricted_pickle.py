"""Reading the pickles in which some data sets come, without running anything that they name.

A pickle may call any function it likes. Here it may only describe NumPy arrays of numbers, and lists and
dictionaries of these; even NumPy's own constructors aren't called with what it says, because a forged dtype
could make NumPy follow wild pointers. Stand-ins take down the description, and arrays are built from it.
"""

from __future__ import annotations

import math
import pickle
import re
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np


def _refuse(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f"This file was refused: {what}. It holds more than arrays of numbers.")


def _text(value) -> str:
    # Python 2 wrote its strings as bytes.
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


class _Name:
    """What a pickle gets for a name that it may use: something to call, and nothing else."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)

    def __setstate__(self, state):
        raise _refuse("it changes a function")


class _Dtype:
    __slots__ = ("byteorder", "code")

    def __init__(self, code, *_):
        self.code, self.byteorder = _text(code), "="
        if not re.fullmatch(r"[biuf][1248]|O[48]?", self.code):
            raise _refuse(f"dtype {self.code!r}")

    def __setstate__(self, state):
        byteorder = _text(state[1])
        if byteorder not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise _refuse("a structured dtype")
        self.byteorder = byteorder

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def numpy(self) -> np.dtype:
        return np.dtype(self.byteorder + self.code)


class _Array:
    __slots__ = ("value",)

    def __init__(self, *_):
        self.value: np.ndarray | None = None

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        if not (
            isinstance(dtype, _Dtype) and isinstance(shape, tuple) and all(type(n) is int for n in shape)
        ):
            raise _refuse("a malformed array")
        size = math.prod(shape)
        if dtype.is_object:
            if not isinstance(data, list) or len(data) != size or any(n < 0 for n in shape):
                raise _refuse("a malformed array of objects")
            value = np.empty(size, dtype=object)
            for index, item in enumerate(data):
                value[index] = _unwrap(item)
        else:
            raw = data.encode("latin1") if isinstance(data, str) else data
            if not isinstance(raw, bytes) or any(n < 0 for n in shape):
                raise _refuse("a malformed array")
            if len(raw) != size * dtype.numpy().itemsize:
                raise _refuse(f"an array of shape {shape} with {len(raw)} bytes")
            value = np.frombuffer(raw, dtype.numpy()).copy()
        self.value = value.reshape(shape, order="F" if fortran else "C")


def _scalar(dtype, raw):
    if not isinstance(dtype, _Dtype) or dtype.is_object:
        raise _refuse("a malformed number")
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes) or len(raw) != dtype.numpy().itemsize:
        raise _refuse("a malformed number")
    return np.frombuffer(raw, dtype.numpy())[0]


def _encode(text, encoding):
    if not isinstance(text, str) or _text(encoding) != "latin1":
        raise _refuse("a string in an unusual encoding")
    return text.encode("latin1")


def _empty_bytes(*args):
    if args:
        raise _refuse("bytes made of something")
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Name(_Array),
    ("numpy", "dtype"): _Name(_Dtype),
    ("_codecs", "encode"): _Name(_encode),
    ("__builtin__", "bytes"): _Name(_empty_bytes),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = _Name(_Array)
    _ALLOWED[_module, "scalar"] = _Name(_scalar)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _refuse(f"it names {module}.{name}") from None


def _unwrap(value):
    if not isinstance(value, _Array):
        return value
    if value.value is None:
        raise _refuse("an array without data")
    return value.value


def load(file: IO[bytes], encoding: str = "ASCII"):
    """What a pickle holds, if it is an array of numbers or of lists, or a dictionary or list of such.

    Raises:
        pickle.UnpicklingError: it holds, names or does anything else.
    """
    try:
        value = _Unpickler(file, encoding=encoding).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # whatever a damaged or forged stream may cause
        raise pickle.UnpicklingError(f"This file is no pickle of arrays: {error}") from error
    if isinstance(value, dict):
        return {key: _unwrap(item) for key, item in value.items()}
    return [_unwrap(item) for item in value] if isinstance(value, list) else _unwrap(value)


def _rows_of_integers(value) -> list[list[int]]:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise _refuse("something other than an array of lists")
    rows = [row.tolist() if isinstance(row, np.ndarray) else row for row in value]
    for row in rows:
        if not isinstance(row, list) or not all(isinstance(item, (int, np.integer)) for item in row):
            raise _refuse("a row that is no list of integers")
    return rows


def load_rows(path: str, name: str) -> list[list[int]]:
    """The rows of integers, of any lengths, of the array ``name`` in an ``.npz`` file.

    Raises:
        pickle.UnpicklingError: the array holds anything but lists of integers.
        ValueError: the file isn't an ``.npz`` with that array.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            first = version == (1, 0)
            read_header = (
                np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read_header(file)
            if dtype.hasobject:
                return _rows_of_integers(load(file))
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no array {name!r}: {error}") from error
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name].tolist()
