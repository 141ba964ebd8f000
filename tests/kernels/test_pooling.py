import numpy as np
import pytest
from native import run, run1

RNG = np.random.default_rng(0)

# (N, H, W, C), pool, strides, pads
CASES = [
    ((1, 1, 1, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
    ((2, 4, 6, 3), (2, 2), (2, 2), (0, 0, 0, 0)),
    ((2, 5, 7, 16), (2, 2), (2, 2), (0, 0, 0, 0)),
    ((2, 5, 7, 17), (2, 2), (2, 2), (0, 1, 0, 1)),
    ((1, 9, 9, 15), (3, 3), (2, 2), (1, 1, 1, 1)),
    ((2, 8, 7, 33), (3, 3), (2, 2), (0, 1, 1, 1)),
    ((1, 7, 6, 4), (3, 2), (1, 1), (1, 1, 0, 1)),
    ((3, 6, 5, 8), (5, 5), (1, 1), (2, 2, 2, 2)),
    ((2, 10, 11, 5), (2, 3), (4, 5), (0, 0, 0, 0)),
    ((2, 10, 11, 5), (2, 3), (4, 1), (1, 0, 2, 0)),
    ((2, 1, 12, 7), (1, 4), (1, 3), (0, 0, 1, 2)),
    ((1, 70, 40, 32), (3, 3), (2, 2), (0, 1, 0, 1)),
    ((2, 64, 48, 16), (2, 2), (2, 2), (0, 0, 0, 0)),
    ((2, 20, 33, 18), (17, 16), (3, 17), (3, 0, 0, 0)),
    ((0, 4, 4, 3), (2, 2), (2, 2), (0, 0, 0, 0)),
    ((2, 4, 4, 0), (2, 2), (2, 2), (0, 0, 0, 0)),
]
cases = pytest.mark.parametrize(("shape", "pool", "strides", "pads"), CASES)
floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


def attributes(pool, strides, pads):
    return {"pool": list(pool), "strides": list(strides), "pads": list(pads)}


def windows(shape, pool, strides, pads):
    """Each output's row and column with the slices of the input that it sees."""
    spans = []
    for extent, p, s, low, high in zip(shape[1:3], pool, strides, pads[::2], pads[1::2], strict=True):
        count = (extent + low + high - p) // s + 1
        spans.append([slice(max(0, o * s - low), min(extent, o * s - low + p)) for o in range(count)])
    return [len(s) for s in spans], [
        (i, j, r, c) for i, r in enumerate(spans[0]) for j, c in enumerate(spans[1])
    ]


def ties(shape, dtype):
    """Few values, so that most windows have several greatest elements."""
    return RNG.integers(-2, 2, shape).astype(dtype)


def pooled(x, pool, strides, pads):
    """The greatest elements, and their places in the windows."""
    out, seen = windows(x.shape, pool, strides, pads)
    y = np.zeros((x.shape[0], *out, x.shape[3]), x.dtype)
    places = np.zeros(y.shape, "uint8" if pool[0] * pool[1] <= 256 else "int32")
    for i, j, r, c in seen:
        part = x[:, r, c]
        rows, columns = part.shape[1:3]
        first = part.reshape(x.shape[0], rows * columns, x.shape[3]).argmax(1)
        y[:, i, j] = part.max((1, 2))
        row = first // columns + r.start - (i * strides[0] - pads[0])
        column = first % columns + c.start - (j * strides[1] - pads[2])
        places[:, i, j] = row * pool[1] + column
    return y, places


@floats
@cases
def test_max_pool(shape, pool, strides, pads, dtype):
    x = ties(shape, dtype)
    y, places = pooled(x, pool, strides, pads)
    spec = attributes(pool, strides, pads)
    np.testing.assert_array_equal(run1("max_pool2d", [x], (y.shape, dtype), **spec), y)
    got = run("max_pool2d", [x], [(y.shape, dtype), (y.shape, places.dtype)], **spec)
    np.testing.assert_array_equal(got[0], y)
    np.testing.assert_array_equal(got[1], places)


@floats
@cases
def test_max_pool_select(shape, pool, strides, pads, dtype):
    x, v = ties(shape, dtype), RNG.standard_normal(shape).astype(dtype)
    _, places = pooled(x, pool, strides, pads)
    _, seen = windows(shape, pool, strides, pads)
    want = np.zeros(places.shape, dtype)
    for i, j, r, c in seen:
        flat = (shape[0], -1 if x.size else 1, shape[3])
        first = x[:, r, c].reshape(flat).argmax(1)
        want[:, i, j] = np.take_along_axis(v[:, r, c].reshape(flat), first[:, None], 1)[:, 0]
    got = run1("max_pool2d_select", [places, v], (want.shape, dtype), **attributes(pool, strides, pads))
    np.testing.assert_array_equal(got, want)


@floats
@cases
def test_max_pool_gradient(shape, pool, strides, pads, dtype):
    x = ties(shape, dtype)
    _, places = pooled(x, pool, strides, pads)
    _, seen = windows(shape, pool, strides, pads)
    dy = RNG.standard_normal(places.shape).astype(dtype)
    want = np.zeros(shape, dtype)
    for i, j, r, c in seen:
        part = x[:, r, c]
        first = part.reshape(shape[0], part.shape[1] * part.shape[2], shape[3]).argmax(1)
        mask = np.arange(part.shape[1] * part.shape[2])[None, :, None] == first[:, None]
        want[:, r, c] += mask.reshape(part.shape) * dy[:, i, j][:, None, None]
    got = run1("max_pool2d_gradient", [places, dy], (shape, dtype), **attributes(pool, strides, pads))
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype == "float32" else 1e-14, atol=1e-6)


@floats
@pytest.mark.parametrize("channels", [3, 16, 17])
def test_max_pool_of_nan(channels, dtype):
    x = ties((1, 4, 4, channels), dtype)
    x[0, 1, 0] = x[0, 1, 1] = np.nan
    spec = attributes((2, 2), (2, 2), (0, 0, 0, 0))
    shape = (1, 2, 2, channels)
    y, places = run("max_pool2d", [x], [(shape, dtype), (shape, "uint8")], **spec)
    assert np.isnan(y[0, 0, 0]).all()
    assert np.isfinite(y).sum() == 3 * channels
    dx = run1("max_pool2d_gradient", [places, np.ones_like(y)], (x.shape, dtype), **spec)
    np.testing.assert_array_equal(dx[0, :2, :2, 0], [[0, 0], [1, 0]])


def test_max_pool_of_infinities():
    x = np.full((1, 2, 2, 20), -np.inf, "float32")
    spec = attributes((2, 2), (2, 2), (0, 0, 0, 0))
    y = run1("max_pool2d", [x], ((1, 1, 1, 20), "float32"), **spec)
    assert (y == -np.inf).all()


@floats
@cases
def test_average_pool_and_gradient(shape, pool, strides, pads, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    out, seen = windows(shape, pool, strides, pads)
    want = np.zeros((shape[0], *out, shape[3]))
    dy = RNG.standard_normal(want.shape).astype(dtype)
    gradient = np.zeros(shape)
    for i, j, r, c in seen:
        want[:, i, j] = x[:, r, c].mean((1, 2), dtype="float64")
        count = (r.stop - r.start) * (c.stop - c.start)
        gradient[:, r, c] += dy[:, i, j][:, None, None] / np.float64(count)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    got = run1("average_pool2d", [x], (want.shape, dtype), **attributes(pool, strides, pads))
    np.testing.assert_allclose(got, want, **tolerance)
    got = run1("average_pool2d_gradient", [dy], (shape, dtype), **attributes(pool, strides, pads))
    np.testing.assert_allclose(got, gradient, **tolerance)


@pytest.mark.parametrize(("pool", "stride", "pad"), [(2, 2, 0), (3, 2, 1)])
def test_gradients_that_leave_the_caches(pool, stride, pad):
    """Beyond 48 MB they are written past the caches; the gradient of half the batch isn't."""
    shape, half = (104, 37, 41, 83), (52, 37, 41, 83)
    spec = {"pool": [pool] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
    out = [(n + 2 * pad - pool) // stride + 1 for n in shape[1:3]]
    dy = RNG.standard_normal((shape[0], *out, shape[3])).astype("float32")
    places = RNG.integers(0, pool**2, dy.shape).astype("uint8")
    for name, inputs in (("average_pool2d_gradient", [dy]), ("max_pool2d_gradient", [places, dy])):
        whole = run1(name, inputs, (shape, "float32"), **spec)
        for n in (0, half[0]):
            part = run1(name, [x[n : n + half[0]] for x in inputs], (half, "float32"), **spec)
            np.testing.assert_array_equal(whole[n : n + half[0]], part)


@pytest.mark.parametrize(
    ("shape", "pool", "strides", "pads", "message"),
    [
        ((4, 4, 3), (2, 2), (2, 2), (0, 0, 0, 0), r"must be float32 or float64 images \(N, H, W, C\)"),
        ((1, 4, 4, 3), (2,), (2, 2), (0, 0, 0, 0), "pool and strides must have 2 elements"),
        ((1, 4, 4, 3), (2, 2), (2,), (0, 0, 0, 0), "pool and strides must have 2 elements"),
        ((1, 4, 4, 3), (2, 2), (2, 2), (0, 0), "pads must have 4 elements"),
        ((1, 4, 4, 3), (2, 0), (2, 2), (0, 0, 0, 0), r"pool and strides must be positive \(width\)"),
        ((1, 4, 4, 3), (2, 2), (0, 2), (0, 0, 0, 0), r"pool and strides must be positive \(height\)"),
        ((1, 4, 4, 3), (2, 2), (2, 2), (2, 0, 0, 0), r"less than the pool \(height\)"),
        ((1, 4, 4, 3), (2, 2), (2, 2), (0, 0, 0, -1), r"pads must not be negative .* \(width\)"),
        ((1, 4, 4, 3), (2, 5), (2, 2), (0, 0, 0, 0), "the pool does not fit into the images' width of 4"),
        ((1, 0, 4, 3), (2, 2), (2, 2), (1, 1, 0, 0), "the pool does not fit into the images' height of 0"),
        ((1, 1, 4, 3), (2, 2), (2, 2), (1, 1, 0, 0), None),
        ((1, 2, 4, 3), (3, 2), (4, 2), (2, 2, 0, 0), None),
        ((1, 2, 4, 3), (3, 2), (3, 2), (0, 2, 0, 0), None),
        ((1, 3, 4, 3), (2, 2), (3, 2), (1, 1, 0, 0), "output must be"),
        ((1, 1, 4, 3), (2, 2), (2, 2), (0, 0, 0, 0), "the pool does not fit"),
    ],
)
def test_pooling_geometry(shape, pool, strides, pads, message):
    if message is None:
        run1("max_pool2d", [np.zeros(shape)], ((1, 1, 2, 3), "float64"), **attributes(pool, strides, pads))
        return
    for name in "max_pool2d", "average_pool2d":
        with pytest.raises(ValueError, match=message):
            run1(name, [np.zeros(shape)], ((1, 9, 9, 3), "float64"), **attributes(pool, strides, pads))


def test_pooling_operand_errors():
    x, y = np.zeros((1, 4, 4, 3), "float32"), np.zeros((1, 2, 2, 3), "float32")
    spec = attributes((2, 2), (2, 2), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="must be float32 or float64 images"):
        run1("max_pool2d", [x.astype("int32")], (y.shape, "int32"), **spec)
    with pytest.raises(ValueError, match=r"output must be float32 \(1, 2, 2, 3\), got float64"):
        run1("max_pool2d", [x], (y.shape, "float64"), **spec)
    places = y.astype("uint8")
    with pytest.raises(ValueError, match="takes 2 inputs and has 1 outputs, got 1 and 1"):
        run1("max_pool2d_gradient", [y], (x.shape, "float32"), **spec)
    with pytest.raises(ValueError, match="takes 1 inputs and has 1 outputs, got 1 and 3"):
        run("max_pool2d", [x], [(y.shape, "float32")] * 3, **spec)
    wrong_places = r"places must be uint8 \(1, 2, 2, 3\), got "
    with pytest.raises(ValueError, match=wrong_places + "int32"):
        run("max_pool2d", [x], [(y.shape, "float32"), (y.shape, "int32")], **spec)
    with pytest.raises(ValueError, match=wrong_places + r"float32 \(1, 2, 2, 3\)"):
        run1("max_pool2d_gradient", [y, y], (x.shape, "float32"), **spec)
    with pytest.raises(ValueError, match=r"dy must be float32 \(1, 2, 2, 3\)"):
        run1("max_pool2d_gradient", [places, x], (x.shape, "float32"), **spec)
    with pytest.raises(ValueError, match=r"places must be uint8 \(1, 1, 1, 3\), got uint8 \(1, 2, 2, 3\)"):
        run1("max_pool2d_gradient", [places, y], (y.shape, "float32"), **spec)
    with pytest.raises(ValueError, match="v must be float32 or float64 images"):
        run1("max_pool2d_select", [places, places], (y.shape, "float32"), **spec)
    with pytest.raises(ValueError, match=r"places must be uint8 \(1, 1, 1, 3\), got uint8 \(1, 2, 2, 3\)"):
        run1("max_pool2d_select", [places, y], (y.shape, "float32"), **spec)
    with pytest.raises(ValueError, match=r"output must be float32 \(1, 2, 2, 3\)"):
        run1("max_pool2d_select", [places, x], (x.shape, "float32"), **spec)
    with pytest.raises(ValueError, match=r"dy must be float32 \(1, 2, 2, 3\)"):
        run1("average_pool2d_gradient", [x], (x.shape, "float32"), **spec)
    with pytest.raises(ValueError, match="attribute 'pool' is missing"):
        run1("average_pool2d_gradient", [y], (x.shape, "float32"))


def resize_matrix(method, n, m):
    """One row per output: its weights over the inputs."""
    weights = np.zeros((m, n))
    for o in range(m):
        centre = (o + 0.5) * n / m
        if method == "nearest":
            weights[o, min(int(centre), n - 1)] = 1
        else:
            low = int(np.floor(centre - 0.5))
            fraction = centre - 0.5 - low
            weights[o, max(low, 0)] += 1 - fraction
            weights[o, min(low + 1, n - 1)] += fraction
    return weights


@floats
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 4, 5), (6, 8)),
        ((1, 1, 1, 1), (3, 2)),
        ((2, 5, 7, 16), (10, 21)),
        ((1, 9, 8, 17), (4, 3)),
        ((1, 6, 6, 3), (6, 6)),
        ((2, 4, 5, 33), (7, 1)),
        ((1, 40, 30, 32), (80, 60)),
        ((0, 4, 5, 3), (8, 10)),
        ((1, 4, 5, 3), (0, 10)),
    ],
)
def test_resize_and_gradient(shape, size, method, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    rows, columns = (resize_matrix(method, n, m) for n, m in zip(shape[1:3], size, strict=True))
    want = np.einsum("oh,pw,nhwc->nopc", rows, columns, x)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    got = run1("resize", [x], (want.shape, dtype), method=method)
    np.testing.assert_allclose(got, want, **tolerance)
    dy = RNG.standard_normal(want.shape).astype(dtype)
    want = np.einsum("oh,pw,nopc->nhwc", rows, columns, dy)
    np.testing.assert_allclose(
        run1("resize_gradient", [dy], (shape, dtype), method=method), want, **tolerance
    )


def test_resize_errors():
    x = np.zeros((1, 4, 4, 3), "float32")
    with pytest.raises(ValueError, match="method must be nearest or bilinear, got 'area'"):
        run1("resize", [x], ((1, 8, 8, 3), "float32"), method="area")
    with pytest.raises(
        ValueError, match=r"output must be float32 \(1, 8, 8, 3\), got float32 \(2, 8, 8, 3\)"
    ):
        run1("resize", [x], ((2, 8, 8, 3), "float32"), method="nearest")
    with pytest.raises(ValueError, match="input must be float32 or float64 images"):
        run1("resize", [x[0]], ((8, 8, 3), "float32"), method="nearest")
    with pytest.raises(ValueError, match=r"more than 2\^24 pixels a side"):
        run1("resize", [x[:0]], ((0, 2**40, 8, 3), "float32"), method="nearest")
    with pytest.raises(ValueError, match="cannot resize images without pixels"):
        run1("resize", [x[:, :0]], ((1, 8, 8, 3), "float32"), method="nearest")
