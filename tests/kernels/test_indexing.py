import numpy as np
import pytest
from native import run, run1

from kcore import _core

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
NUMERIC = ["int32", "int64", "float32", "float64"]
RNG = np.random.default_rng(0)


def sample(shape, dtype="float32"):
    return RNG.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def missing(dtype):
    return np.nan if dtype.startswith("float") else 0


def gather(x, indices, axis, **kwargs):
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    return run1("gather", [x, indices], (shape, x.dtype), axis=axis, **kwargs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3)])
def test_gather(shape, axis, index_dtype, dtype):
    x = sample((5, 4, 3), dtype)
    indices = RNG.integers(-x.shape[axis], x.shape[axis], shape).astype(index_dtype)
    np.testing.assert_array_equal(gather(x, np.asarray(indices), axis), np.take(x, indices, axis))


@pytest.mark.parametrize(("rows", "width", "count"), [(1000, 64, 3000), (3, 100000, 2), (5000, 1, 100000)])
def test_gather_of_many_rows(rows, width, count):
    x = sample((rows, width))
    indices = RNG.integers(0, rows, count)
    np.testing.assert_array_equal(gather(x, indices, 0), x[indices])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1])
def test_gather_out_of_range(axis, dtype):
    x = sample((4, 5), dtype)
    n = x.shape[axis]
    indices = np.array([0, n, -n - 1, 2**40, -(2**40), n - 1])
    want = np.take(x, np.clip(indices, 0, n - 1), axis)
    want[(slice(None),) * axis + (slice(1, 5),)] = missing(dtype)
    np.testing.assert_array_equal(gather(x, indices, axis), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_with_another_missing_value(dtype):
    x, indices = sample((4, 5), dtype), np.array([[4], [0]])
    got = gather(x, indices, 0, missing=1.0)
    np.testing.assert_array_equal(got, np.stack([np.ones((1, 5)), x[:1]]))
    along = np.array([[5, 0]] * 4)
    got = run1("take_along_axis", [x, along], ((4, 2), dtype), axis=1, missing=1.0)
    np.testing.assert_array_equal(got, np.stack([np.ones(4), x[:, 0]], 1))


def test_gather_from_nothing():
    np.testing.assert_array_equal(
        gather(np.zeros((0, 3), "float32"), np.array([0, -1]), 0), np.full((2, 3), np.nan)
    )


def test_gather_errors():
    x, i = sample((4, 5)), np.array([0, 1])
    with pytest.raises(ValueError, match="takes 2 inputs and has 1 outputs, got 1 and 1"):
        run1("gather", [x], ((2, 5), "float32"), axis=0)
    with pytest.raises(ValueError, match="indices must be int32 or int64, got float32"):
        run1("gather", [x, x], ((4, 5, 5), "float32"), axis=0)
    with pytest.raises(ValueError, match="output must be float32, got int32"):
        run1("gather", [x, i], ((2, 5), "int32"), axis=0)
    with pytest.raises(ValueError, match="axis 2 is out of range for rank 2"):
        run1("gather", [x, i], ((2, 5), "float32"), axis=2)
    with pytest.raises(ValueError, match=r"-1\.0* is not a value of uint8"):
        run1("gather", [x.astype("uint8"), i], ((2, 5), "uint8"), axis=0, missing=-1.0)
    with pytest.raises(ValueError, match=r"output must be of shape \(2, 5\), got \(4, 2\)"):
        run1("gather", [x, i], ((4, 2), "float32"), axis=0)


def scatter_add(indices, updates, shape, axis):
    return run1("scatter_add", [indices, updates], (shape, updates.dtype), axis=axis)


def summed(indices, updates, shape, axis):
    """Row by row, in order, as the kernel promises to the bit."""
    out = np.moveaxis(np.zeros(shape, updates.dtype), axis, 0)
    flat = updates.reshape((*shape[:axis], indices.size, *shape[axis + 1 :]))
    for j, row in enumerate(np.moveaxis(flat, axis, 0)):
        r = indices.reshape(-1)[j]
        if -shape[axis] <= r < shape[axis]:
            out[r] += row
    return np.moveaxis(out, 0, axis)


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("count", [(), (0,), (1,), (40,), (3, 5)])
def test_scatter_add(count, axis, index_dtype, dtype):
    shape = (5, 4, 3)
    indices = np.asarray(RNG.integers(-shape[axis] - 1, shape[axis] + 2, count)).astype(index_dtype)
    updates = (RNG.standard_normal(shape[:axis] + count + shape[axis + 1 :]) * 10).astype(dtype)
    got = scatter_add(indices, updates, shape, axis)
    np.testing.assert_array_equal(got, summed(indices, updates, shape, axis))


@pytest.mark.parametrize(
    ("rows", "width", "count"), [(2, 700, 900), (20000, 16, 600), (3000, 300, 400), (1, 1, 5000)]
)
def test_scatter_add_of_many_rows(rows, width, count):
    indices = RNG.integers(0, rows, count)
    updates = RNG.standard_normal((count, width)).astype("float32")
    got = scatter_add(indices, updates, (rows, width), 0)
    np.testing.assert_array_equal(got, summed(indices, updates, (rows, width), 0))


def test_scatter_add_wraps_integers():
    got = scatter_add(np.array([0, 0]), np.array([2**31 - 1, 1], "int32"), (1,), 0)
    assert got[0] == -(2**31)


def test_scatter_add_errors():
    i, u = np.array([0, 1]), sample((2, 5))
    with pytest.raises(ValueError, match="cannot add uint8"):
        scatter_add(i, u.astype("uint8"), (4, 5), 0)
    with pytest.raises(ValueError, match=r"updates must be of shape \(2, 6\), got \(2, 5\)"):
        scatter_add(i, u, (4, 6), 0)
    with pytest.raises(ValueError, match="indices must be int32 or int64, got float32"):
        scatter_add(u, u, (4, 5), 0)
    with pytest.raises(ValueError, match="axis 0 is out of range for rank 0"):
        scatter_add(i, u, (), 0)
    with pytest.raises(ValueError, match="output must be float32, got float64"):
        run1("scatter_add", [i, u], ((4, 5), "float64"), axis=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scatter_update(dtype):
    x = sample((6, 3), dtype)
    indices = np.array([[4, -1, 4], [6, 0, -7]], "int32")
    updates = sample((2, 3, 3), dtype)
    want = x.copy()
    want[4], want[5], want[0] = updates[0, 2], updates[0, 1], updates[1, 1]
    np.testing.assert_array_equal(run1("scatter_update", [x, indices, updates], (x.shape, dtype)), want)


def test_scatter_update_of_wide_rows():
    x, updates = sample((3, 200000)), sample((2, 200000))
    want = x.copy()
    want[2] = updates[1]
    got = run1("scatter_update", [x, np.array([2, 2]), updates], (x.shape, "float32"))
    np.testing.assert_array_equal(got, want)


def test_scatter_update_errors():
    x, i, u = sample((6, 3)), np.array([0]), sample((1, 3))
    with pytest.raises(ValueError, match=r"updates must be of shape \(1, 3\), got \(1, 2\)"):
        run1("scatter_update", [x, i, u[:, :2]], ((6, 3), "float32"))
    with pytest.raises(ValueError, match=r"output must be of shape \(6, 3\), got \(7, 3\)"):
        run1("scatter_update", [x, i, u], ((7, 3), "float32"))
    with pytest.raises(ValueError, match="a scalar has no rows"):
        run1("scatter_update", [x[0, 0], i, u[0, :1]], ((), "float32"))
    with pytest.raises(ValueError, match="updates must be float32, got float64"):
        run1("scatter_update", [x, i, u.astype("float64")], ((6, 3), "float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_take_along_axis(axis, dtype):
    x = sample((5, 6, 7), dtype)
    shape = list(x.shape)
    shape[axis] = 4
    indices = RNG.integers(-x.shape[axis], x.shape[axis], shape)
    got = run1("take_along_axis", [x, indices], (shape, dtype), axis=axis)
    np.testing.assert_array_equal(got, np.take_along_axis(x, indices, axis))
    indices[:] = x.shape[axis]
    got = run1("take_along_axis", [x, indices], (shape, dtype), axis=axis)
    np.testing.assert_array_equal(got, np.full(shape, missing(dtype), dtype))


@pytest.mark.parametrize("dtype", NUMERIC)
@pytest.mark.parametrize(
    ("shape", "axis"), [((5, 6, 7), 0), ((5, 6, 7), 1), ((5, 6, 7), 2), ((3, 4, 600), 1)]
)
def test_take_along_axis_gradient(shape, axis, dtype):
    count = list(shape)
    count[axis] = 9
    indices = RNG.integers(-shape[axis] - 1, shape[axis] + 1, count)
    dy = (RNG.standard_normal(count) * 10).astype(dtype)
    want = np.zeros(shape, dtype)
    for position in np.ndindex(*count):
        r = indices[position]
        if -shape[axis] <= r < shape[axis]:
            want[(*position[:axis], r, *position[axis + 1 :])] += dy[position]
    got = run1("take_along_axis_gradient", [indices, dy], (shape, dtype), axis=axis)
    np.testing.assert_array_equal(got, want)


def test_take_along_axis_errors():
    x, i = sample((4, 5)), np.zeros((4, 2), "int64")
    with pytest.raises(ValueError, match=r"indices must be of shape \(4, 5\), got \(4,\)"):
        run1("take_along_axis", [x, i[:, 0]], ((4, 2), "float32"), axis=1)
    with pytest.raises(ValueError, match=r"indices must be of shape \(4, 5\), got \(4, 2\)"):
        run1("take_along_axis", [x, i], ((4, 2), "float32"), axis=0)
    with pytest.raises(ValueError, match=r"output must be of shape \(4, 2\), got \(4, 3\)"):
        run1("take_along_axis", [x, i], ((4, 3), "float32"), axis=1)
    with pytest.raises(ValueError, match=r"dy must be of shape \(4, 2\), got \(4, 5\)"):
        run1("take_along_axis_gradient", [i, x], ((4, 5), "float32"), axis=1)
    with pytest.raises(ValueError, match="cannot add bool"):
        run1("take_along_axis_gradient", [i, i > 0], ((4, 5), "bool"), axis=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [0, 1, 3, 10])
def test_one_hot(depth, dtype):
    indices = np.array([[0, 2, -1], [9, 10, 2**31 - 1]], "int32")
    want = (indices[..., None] == np.arange(depth)).astype(dtype)
    np.testing.assert_array_equal(run1("one_hot", [indices], ((2, 3, depth), dtype)), want)


def test_one_hot_values_and_errors():
    i = np.array([1, 0])
    got = run1("one_hot", [i], ((2, 2), "float32"), on=0.9, off=0.1)
    np.testing.assert_array_equal(got, np.array([[0.1, 0.9], [0.9, 0.1]], "float32"))
    with pytest.raises(ValueError, match=r"output must be of shape \(2, 5\), got \(3, 5\)"):
        run1("one_hot", [i], ((3, 5), "float32"))
    with pytest.raises(ValueError, match="output must have a dimension of classes"):
        run1("one_hot", [i[0]], ((), "float32"))
    with pytest.raises(ValueError, match="indices must be int32 or int64, got float32"):
        run1("one_hot", [sample(2)], ((2, 5), "float32"))


ORDERED = {
    "bool": sample((3, 40), "bool"),
    "uint8": sample((3, 40), "uint8"),
    "int32": RNG.integers(-(2**31), 2**31, (3, 40)).astype("int32"),
    "int64": RNG.integers(-(2**63), 2**63 - 1, (3, 40)),
    "float32": np.round(RNG.standard_normal((3, 40)), 1).astype("float32"),
    "float64": np.round(RNG.standard_normal((3, 40)), 1),
}
ORDERED["float32"][0, :4] = [np.nan, np.inf, -np.inf, -0.0]
ORDERED["float64"][1, 1:5] = [np.inf, -np.nan, -0.0, -np.inf]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 33, 40])
def test_sort_and_argsort(n, dtype):
    x = np.ascontiguousarray(ORDERED[dtype][:, :n])
    np.testing.assert_array_equal(run1("sort", [x], (x.shape, dtype)), np.sort(x, kind="stable"))
    for index_dtype in "int32", "int64":
        got = run1("argsort", [x], (x.shape, index_dtype))
        np.testing.assert_array_equal(got, np.argsort(x, kind="stable"))


@pytest.mark.parametrize("shape", [(2000,), (40, 1000), (3000, 5)])
def test_sort_of_many(shape):
    x = RNG.integers(0, 50, shape).astype("float32")
    np.testing.assert_array_equal(run1("sort", [x], (shape, "float32")), np.sort(x))
    np.testing.assert_array_equal(run1("argsort", [x], (shape, "int32")), np.argsort(x, kind="stable"))
    got = run1("argsort", [x], (shape, "int32"), descending=True)
    np.testing.assert_array_equal(got, np.argsort(-x, kind="stable"))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize("k", [0, 1, 5, 64, 65, 200])
def test_top_k(k, dtype):
    x = RNG.integers(0, 90, (7, 200)).astype(dtype)
    order = np.argsort(-x.astype("float64"), kind="stable")[:, :k]
    values, indices = run("top_k", [x], [((7, k), dtype), ((7, k), "int32")])
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, -1))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (500, 1), (3001, 5), (3001, 100), (3001, 1400), (300, 300)])
def test_top_k_of_long_rows(n, k, dtype):
    """Equal elements come in the order of their indices."""
    for high in (4, 250):
        x = np.random.default_rng(n + k).integers(0, high, (3, n)).astype(dtype)
        x[1].sort()
        if dtype.startswith("float"):
            x[2, ::7] = np.nan
        values, indices = run("top_k", [x], [((3, k), dtype), ((3, k), "int64")])
        keys = np.where(np.isnan(x), 1000.0, x.astype("float64"))
        order = np.argsort(-keys, axis=-1, kind="stable")[:, :k]
        np.testing.assert_array_equal(indices, order)
        np.testing.assert_array_equal(values, np.take_along_axis(x, order, -1))


def test_top_k_takes_nan_first():
    x = np.array([1, np.nan, np.inf, np.nan], "float32")
    values, indices = run("top_k", [x], [((3,), "float32"), ((3,), "int64")])
    np.testing.assert_array_equal(values, np.array([np.nan, np.nan, np.inf]))
    np.testing.assert_array_equal(indices, [1, 3, 2])


def test_sorting_errors():
    x = sample((3, 4))
    with pytest.raises(ValueError, match=r"output must be float32 \(3, 4\), got float32 \(3, 5\)"):
        run1("sort", [x], ((3, 5), "float32"))
    with pytest.raises(ValueError, match="output must be int32 or int64, got float32"):
        run1("argsort", [x], ((3, 4), "float32"))
    with pytest.raises(ValueError, match="a scalar has no axis"):
        run1("sort", [x[0, 0]], ((), "float32"))
    with pytest.raises(ValueError, match=r"cannot take the greatest \(3, 5\) of \(3, 4\)"):
        run("top_k", [x], [((3, 5), "float32"), ((3, 5), "int32")])
    with pytest.raises(ValueError, match=r"values must be float32 \(3, 2\), got float64 \(3, 2\)"):
        run("top_k", [x], [((3, 2), "float64"), ((3, 2), "int32")])
    with pytest.raises(ValueError, match=r"indices must be int32 \(3, 2\), got int32 \(3, 1\)"):
        run("top_k", [x], [((3, 2), "float32"), ((3, 1), "int32")])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 7, 100])
def test_searchsorted(n, dtype, side):
    x = np.sort(RNG.integers(0, 50, n)).astype(dtype)
    values = RNG.integers(0, 52, (6, 5)).astype(dtype)
    got = run1("searchsorted", [x, values], (values.shape, "int32"), side=side)
    np.testing.assert_array_equal(got, np.searchsorted(x, values, side))


def test_searchsorted_errors():
    x = sample(4)
    with pytest.raises(ValueError, match="side must be left or right, got 'middle'"):
        run1("searchsorted", [x, x], ((4,), "int32"), side="middle")
    with pytest.raises(ValueError, match=r"must be a vector, got shape \(2, 2\)"):
        run1("searchsorted", [x.reshape(2, 2), x], ((4,), "int32"))
    with pytest.raises(ValueError, match=r"values must be float32 \(4,\), got float64 \(4,\)"):
        run1("searchsorted", [x, x.astype("float64")], ((4,), "int32"))
    with pytest.raises(ValueError, match=r"output must be int32 \(4,\), got int32 \(5,\)"):
        run1("searchsorted", [x, x], ((5,), "int32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index_dtype", ["int32", "int64"])
@pytest.mark.parametrize("k", [0, 1, 3, 10])
def test_in_top_k(k, index_dtype, dtype):
    x = np.round(RNG.standard_normal((50, 6)), 1).astype(dtype)
    targets = RNG.integers(0, 6, 50).astype(index_dtype)
    want = (x > x[np.arange(50), targets][:, None]).sum(-1) < k
    np.testing.assert_array_equal(run1("in_top_k", [x, targets], ((50,), "bool"), k=k), want)


def test_in_top_k_without_an_answer():
    x = np.array([[1, 2], [1, 2], [np.inf, 1], [0, np.nan]], "float32")
    got = run1("in_top_k", [x, np.array([2, -1, 1, 0])], ((4,), "bool"), k=2)
    np.testing.assert_array_equal(got, [False] * 4)


def test_in_top_k_errors():
    x, t = sample((4, 5)), np.zeros(4, "int32")
    with pytest.raises(ValueError, match=r"predictions must be a matrix, got shape \(5,\)"):
        run1("in_top_k", [x[0], t], ((4,), "bool"), k=1)
    with pytest.raises(ValueError, match="predictions must be float32 or float64, got int64"):
        run1("in_top_k", [x.astype("int64"), t], ((4,), "bool"), k=1)
    with pytest.raises(ValueError, match=r"targets must be int32 \(4,\), got int32 \(3,\)"):
        run1("in_top_k", [x, t[:3]], ((4,), "bool"), k=1)
    with pytest.raises(ValueError, match=r"output must be bool \(4,\), got float32 \(4,\)"):
        run1("in_top_k", [x, t], ((4,), "float32"), k=1)
    with pytest.raises(ValueError, match="attribute 'k' is missing"):
        run1("in_top_k", [x, t], ((4,), "bool"))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "S5", "complex128", "datetime64[s]"])
@pytest.mark.parametrize("shape", [(10,), (10, 3), (10, 20, 30), (10, 0)])
def test_gather_rows(shape, dtype):
    source = RNG.integers(0, 99, shape).astype(dtype)
    indices = RNG.integers(0, 10, 17)
    out = np.zeros((17, *shape[1:]), dtype)
    _core.gather_rows(source, indices, out)
    np.testing.assert_array_equal(out, source[indices])


def test_gather_rows_of_many_bytes():
    source = RNG.standard_normal((50, 40000))
    indices = RNG.permutation(50)
    out = np.empty_like(source)
    _core.gather_rows(source, indices, out)
    np.testing.assert_array_equal(out, source[indices])


def test_gather_rows_errors():
    source, indices, out = np.zeros((4, 3)), np.array([0, 3]), np.zeros((2, 3))
    for bad in 4, -1:
        with pytest.raises(IndexError, match=f"index {bad} is out of range for 4 rows"):
            _core.gather_rows(source, np.array([0, bad]), out)
    with pytest.raises(IndexError):
        _core.gather_rows(source[:0], indices, out)
    with pytest.raises(ValueError, match="source must be C-contiguous"):
        _core.gather_rows(source[:, ::2], indices, out)
    with pytest.raises(ValueError, match="out must be C-contiguous"):
        _core.gather_rows(source, indices, np.zeros((3, 2)).T)
    with pytest.raises(ValueError, match="out must hold 2 rows of a source of shape"):
        _core.gather_rows(source, indices, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="out must hold 2 rows"):
        _core.gather_rows(source, indices, np.zeros((2, 4)))
    with pytest.raises(ValueError, match="out must be float64, got float32"):
        _core.gather_rows(source, indices, out.astype("float32"))
    with pytest.raises(ValueError, match="indices must be int64"):
        _core.gather_rows(source, indices.astype("int32"), out)
    with pytest.raises(ValueError, match="indices must be int64"):
        _core.gather_rows(source, indices[None], out)
    with pytest.raises(ValueError, match="source must have rows"):
        _core.gather_rows(np.zeros(()), indices, out)
    with pytest.raises(TypeError, match="source holds Python objects"):
        _core.gather_rows(source.astype(object), indices, out.astype(object))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        _core.gather_rows(source, indices, out)
