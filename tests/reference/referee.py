"""What the comparisons with the fixtures share: loading, building layers, and what counts as equal."""

import functools
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))

from fixture_family import FOLDER, load_family

DTYPES = ("float32", "float64")
# The fixtures' results are stored in float32, which limits what float64 can show.
TOLERANCE = {"float32": 1e-5, "float64": 5e-7}
# Results much smaller than this come from cancellation between values of order 1.
FLOOR = 0.1

family = functools.cache(load_family)


def arrays_of(case, prefix, count, dtype=None):
    """``prefix0``, ``prefix1``, ...; floats as ``dtype``."""
    return [as_dtype(case["arrays"][f"{prefix}{i}"], dtype) for i in range(count)]


def as_dtype(array, dtype):
    return array.astype(dtype) if dtype and array.dtype.kind == "f" else array


def assert_close(got, want, tolerance, what=""):
    """The largest error, relative to the largest value."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    assert np.isfinite(got).all(), f"{what}: not finite: {got}"
    scale = max(np.abs(want).max(initial=0.0), FLOOR)
    error = np.abs(got.astype("float64") - want).max(initial=0.0) / scale
    assert error <= tolerance, f"{what}: error {error:.1e} > {tolerance:.0e}\n{got}\n{want}"


def assert_all_close(got, want, tolerance, what):
    assert len(got) == len(want), f"{what}: {len(got)} arrays, expected {len(want)}"
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        assert_close(g, w, tolerance, f"{what}{i}")


__all__ = [
    "DTYPES",
    "FOLDER",
    "TOLERANCE",
    "arrays_of",
    "as_dtype",
    "assert_all_close",
    "assert_close",
    "family",
]
