"""Reductions, positions of extrema and running sums against NumPy in double precision."""

import itertools

import numpy as np
import pytest
from native import run1

FLOATS = ["float32", "float64"]
NUMBERS = ["uint8", "int32", "int64", *FLOATS]

REFERENCE = {
    "sum": np.sum,
    "mean": np.mean,
    "sum_of_squares": lambda x, axis: np.sum(x * x, axis=axis),
    "prod": np.prod,
    "max": np.max,
    "min": np.min,
}


def reduce(kind, x, axes, keepdims=False):
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    if not keepdims:
        shape = [n for d, n in enumerate(x.shape) if d not in axes]
    return run1("reduce", [x], (shape, x.dtype), kind=kind, axes=list(axes))


def check(kind, x, axes, keepdims=False):
    got = reduce(kind, x, axes, keepdims)
    wide = x.astype("float64") if x.dtype.kind == "f" else x
    want = REFERENCE[kind](wide, axis=tuple(axes))
    if x.dtype.kind == "f":
        scale = REFERENCE[kind](np.abs(wide), axis=tuple(axes)) if kind in ("sum", "mean") else 0
        eps = 5e-6 if x.dtype == "float32" else 1e-14
        assert np.all(np.abs(got.ravel() - np.ravel(want)) <= eps * np.maximum(np.abs(want), scale).ravel())
    else:
        np.testing.assert_array_equal(got.ravel(), np.ravel(want).astype(x.dtype))
    return got


def sample(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype in FLOATS:
        return (rng.normal(size=shape) + 0.5).astype(dtype)
    return rng.integers(0, 255, shape).astype(dtype)


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("kind", REFERENCE)
def test_every_axes_subset(kind, dtype):
    if kind == "mean" and dtype not in FLOATS:
        pytest.skip("mean is of floats")
    x = sample((3, 4, 2, 5), dtype)
    for n in range(5):
        for axes in itertools.combinations(range(4), n):
            check(kind, x, axes)
            assert check(kind, x, axes, keepdims=True).ndim == 4


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "n", [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 4095, 4096, 4097, 9000, 100_003]
)
def test_rows(n, dtype):
    for rows in (1, 3) if n > 100 else (1, 3, 700):
        for kind in ("sum", "mean", "max", "min", "sum_of_squares"):
            check(kind, sample((rows, n), dtype), [1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64, 1023, 1025])
def test_columns(columns, dtype):
    for rows in (1, 2, 9, 16, 17, 100, 40_000 // columns):
        for kind in ("sum", "max"):
            check(kind, sample((rows, columns), dtype), [0])


@pytest.mark.parametrize("shape", [(2, 5000, 3), (40, 7, 40), (3, 700, 20), (2, 3, 3000), (5000, 2, 2)])
def test_middle(shape):
    for kind in ("sum", "prod", "min"):
        x = sample(shape, "float64") / 4 if kind == "prod" else sample(shape, "float32")
        check(kind, x, [1])
    check("sum", sample(shape, "float32"), [0, 2])
    check("sum", sample(shape, "int64"), [0, 2])


def test_long_sums_stay_accurate():
    x = np.random.default_rng(0).uniform(0, 1, 3_000_000).astype("float32")
    want = x.astype("float64").sum()
    assert abs(reduce("sum", x, [0]) / want - 1) < 1e-6
    columns = x.reshape(-1, 6)
    want = columns.astype("float64").sum(0)
    np.testing.assert_allclose(reduce("sum", columns, [0]), want, rtol=2e-6)
    np.testing.assert_allclose(
        reduce("mean", x.reshape(-1, 60), [0]), x.reshape(-1, 60).mean(0, "f8"), rtol=2e-6
    )


def test_integer_sums_wrap():
    x = np.full((3, 5), 2**31 - 1, "int32")
    np.testing.assert_array_equal(reduce("sum", x, [1]), np.sum(x, 1, dtype="int32"))
    np.testing.assert_array_equal(reduce("prod", x, [0]), np.prod(x, 0, dtype="int32"))
    np.testing.assert_array_equal(reduce("min", -x, [0]), [1 - 2**31] * 5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["max", "min"])
def test_nan_wins(kind, dtype):
    for n in (1, 5, 64, 5000):
        for at in {0, n // 2, n - 1}:
            x = sample((n, 3), dtype)
            x[at, 1] = np.nan
            want = REFERENCE[kind](x, axis=0)
            np.testing.assert_array_equal(reduce(kind, x, [0]), want)
            rows = np.ascontiguousarray(x.T)
            np.testing.assert_array_equal(reduce(kind, rows, [1]), want)


@pytest.mark.parametrize("dtype", FLOATS)
def test_extrema_of_infinities(dtype):
    x = np.array([[-np.inf, -np.inf], [np.inf, np.inf], [-np.inf, 1]], dtype)
    for kind in ("max", "min"):
        np.testing.assert_array_equal(reduce(kind, x, [1]), REFERENCE[kind](x, axis=1))


def test_any_and_all():
    for n in (1, 15, 16, 17, 64, 10_000):
        for x in (np.zeros((n, 3), "bool"), np.ones((n, 3), "bool"), np.arange(3 * n).reshape(n, 3) == n):
            for axes in ((0,), (1,), (0, 1)):
                np.testing.assert_array_equal(reduce("any", x, axes), x.any(axes))
                np.testing.assert_array_equal(reduce("all", x, axes), x.all(axes))
                np.testing.assert_array_equal(reduce("max", x, axes), x.any(axes))


def test_no_elements():
    x = np.zeros((3, 0, 2), "float32")
    np.testing.assert_array_equal(reduce("sum", x, [1]), np.zeros((3, 2)))
    np.testing.assert_array_equal(reduce("prod", x, [1]), np.ones((3, 2)))
    np.testing.assert_array_equal(reduce("mean", x, [1]), np.full((3, 2), np.nan))
    assert reduce("sum", x, [0]).shape == (0, 2)
    assert reduce("max", x, [0]).shape == (0, 2)
    np.testing.assert_array_equal(reduce("any", x.astype("bool"), [1]), np.zeros((3, 2), "bool"))
    np.testing.assert_array_equal(reduce("all", x.astype("bool"), [1]), np.ones((3, 2), "bool"))
    with pytest.raises(ValueError, match="max of no elements"):
        reduce("max", x, [1])


def test_scalars():
    np.testing.assert_array_equal(reduce("sum", np.array(3.0), []), 3)
    np.testing.assert_array_equal(reduce("sum_of_squares", np.array(3.0), []), 9)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (dict(kind="median", axes=[0]), "unknown kind 'median'"),
        (dict(kind="sum", axes=[2]), "axis 2 of an input of shape"),
        (dict(kind="sum", axes=[-3]), "axis -3 of an input"),
        (dict(kind="sum", axes=[0, -2]), "axis -2 comes twice"),
        (dict(kind="sum", axes=[1]), "the output must be of shape"),
        (dict(kind="any", axes=[0]), "any of float32"),
        (dict(axes=[0]), "attribute 'kind' is missing"),
    ],
)
def test_malformed(attributes, message):
    with pytest.raises(ValueError, match=message):
        run1("reduce", [np.ones((2, 3), "float32")], ((3,), "float32"), **attributes)


def test_dtypes_are_checked():
    with pytest.raises(ValueError, match="input is float32, output is float64"):
        run1("reduce", [np.ones(2, "float32")], ((), "float64"), kind="sum", axes=[0])
    with pytest.raises(ValueError, match="sum of bool"):
        run1("reduce", [np.ones(2, "bool")], ((), "bool"), kind="sum", axes=[0])
    with pytest.raises(ValueError, match="mean of int32"):
        run1("reduce", [np.ones(2, "int32")], ((), "int32"), kind="mean", axes=[0])


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("dtype", ["bool", *NUMBERS])
def test_arg_reduce(dtype, index):
    for shape in ((1,), (17,), (5, 33), (129, 10), (70, 61), (4, 3, 2), (300, 200), (1, 5000), (5000, 3)):
        x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 9, shape).astype(dtype)
        for axis in range(len(shape)):
            out = tuple(n for d, n in enumerate(shape) if d != axis)
            for name in ("argmax", "argmin"):
                got = run1(name, [x], (out, index), axis=axis)
                np.testing.assert_array_equal(got, getattr(np, name)(x, axis))


@pytest.mark.parametrize("dtype", FLOATS)
def test_arg_reduce_of_nan(dtype):
    x = np.array([[1, 5, 2], [np.nan, 2, 3], [4, np.nan, np.nan], [np.inf, 4, -np.inf]], dtype)
    for axis in (0, 1):
        for name in ("argmax", "argmin"):
            got = run1(name, [x], ((x.shape[1 - axis],), "int64"), axis=axis)
            np.testing.assert_array_equal(got, getattr(np, name)(x, axis))


def test_arg_reduce_errors():
    x = np.ones((2, 0), "float32")
    with pytest.raises(ValueError, match="no element along axis 1"):
        run1("argmax", [x], ((2,), "int64"), axis=1)
    assert run1("argmax", [x], ((0,), "int64"), axis=0).shape == (0,)
    with pytest.raises(ValueError, match="must be int32 or int64"):
        run1("argmax", [x], ((0,), "float32"), axis=0)
    with pytest.raises(ValueError, match="axis 2"):
        run1("argmax", [x], ((0,), "int64"), axis=2)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_cumulate(dtype):
    for shape in ((1,), (0,), (50,), (3, 40), (40, 3), (2, 7, 5), (30, 1100)):
        x = sample(shape, dtype)
        if dtype in FLOATS:
            x = np.abs(x)
        for axis in range(len(shape)):
            for name in ("cumsum", "cumprod"):
                function = getattr(np, name)
                wide = x.astype("float64") if dtype in FLOATS else x
                for reverse in (False, True):
                    kind = None if dtype in FLOATS else dtype
                    want = np.flip(function(np.flip(wide, axis), axis, dtype=kind), axis) if reverse else (
                        function(wide, axis, dtype=kind)
                    )  # fmt: skip
                    got = run1(name, [x], (shape, dtype), axis=axis, reverse=reverse)
                    if dtype in FLOATS:
                        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-37)
                    else:
                        np.testing.assert_array_equal(got, want)


def test_exclusive_cumulation():
    x = np.arange(1, 13, dtype="int32").reshape(3, 4)
    got = run1("cumsum", [x], ((3, 4), "int32"), axis=1, exclusive=True)
    np.testing.assert_array_equal(got, np.cumsum(x, 1) - x)
    got = run1("cumprod", [x], ((3, 4), "int32"), axis=0, exclusive=True, reverse=True)
    np.testing.assert_array_equal(got, [x[1] * x[2], x[2], [1] * 4])


def test_cumulate_errors():
    with pytest.raises(ValueError, match="axis 1"):
        run1("cumsum", [np.ones(3)], ((3,), "float64"), axis=1)
    with pytest.raises(ValueError, match=r"input is float64 \(3,\), output is float64 \(4,\)"):
        run1("cumsum", [np.ones(3)], ((4,), "float64"), axis=0)
