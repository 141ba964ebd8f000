"""Names and promotion of the dtypes that a tensor may have, and the default float."""

from __future__ import annotations

from typing import Any

import numpy as np

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
_RANK = {name: rank for rank, name in enumerate(DTYPES)}
_SUBSTITUTES = {
    "float16": "float32",
    "int8": "int32",
    "int16": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "uint64": "int64",
}
_floatx = "float32"


def floatx() -> str:
    """The default float dtype, ``'float32'`` or ``'float64'``."""
    return _floatx


def set_floatx(value: str) -> None:
    """Set the default float dtype. Raises ``ValueError`` for anything but float32 and float64."""
    global _floatx
    if value not in ("float32", "float64"):
        raise ValueError(f"Unknown floatx: {value!r}; kcore computes in 'float32' and 'float64'")
    _floatx = value


def standardize(dtype: Any) -> str:
    """The name of ``dtype``: a name, a NumPy dtype or type, ``None`` for ``floatx()``."""
    if dtype is None:
        return _floatx
    if isinstance(dtype, str):
        name = {"int": "int32", "float": _floatx}.get(dtype, dtype)
    else:
        name = np.dtype(dtype).name
    name = _SUBSTITUTES.get(name, name)
    if name not in _RANK:
        raise TypeError(f"dtype {dtype!r} is not supported; use one of {', '.join(DTYPES)}")
    return name


def is_float(dtype: str) -> bool:
    return dtype in ("float32", "float64")


def promote(*names: str) -> str:
    """The dtype that holds values of all of ``names``."""
    return max(names, key=_RANK.__getitem__)


def common(strong: list[str], weak: list[Any]) -> str:
    """The common dtype of tensors (``strong``: their dtypes) and of numbers and arrays.

    Beside a tensor, numbers and arrays adapt to its dtype as far as their kind (bool, int, float) allows.
    Among themselves, arrays keep their dtypes and Python numbers adapt to those.
    """
    if not strong:
        arrays = [v for v in weak if isinstance(v, (np.ndarray, np.generic))]
        if arrays:
            numbers = [v for v in weak if not isinstance(v, (np.ndarray, np.generic))]
            return common([promote(*(standardize(v.dtype) for v in arrays))], numbers)
    kinds = {_kind(value) for value in weak}
    if not strong:
        return _floatx if "f" in kinds else "int32" if "i" in kinds else "bool"
    result = promote(*strong)
    if "f" in kinds and not is_float(result):
        return _floatx
    return "int32" if "i" in kinds and result == "bool" else result


def _kind(value: Any) -> str:
    kind = np.asarray(value).dtype.kind
    if kind not in "biuf":
        raise TypeError(f"cannot convert {value!r} to a tensor")
    return "i" if kind == "u" else kind


def as_array(value: Any, dtype: str | None = None) -> np.ndarray:
    """``value`` as a C-contiguous array of ``dtype``, or else of the supported dtype nearest its own.

    Python floats become ``floatx()``, Python integers int32 (int64 if they need it).
    """
    if dtype is None:
        if isinstance(value, (np.ndarray, np.generic)):
            dtype = standardize(value.dtype)
        else:
            array = np.asarray(value)
            dtype = {"f": _floatx, "i": "int32", "u": "int32", "b": "bool"}[_kind(array)]
            if dtype == "int32" and array.size and (array.max() > 2**31 - 1 or array.min() < -(2**31)):
                dtype = "int64"
    return np.asarray(value, dtype=dtype, order="C")
