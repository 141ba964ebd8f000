import numpy as np
import pytest
from native import run, run1, run_in_place

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
RNG = np.random.default_rng(0)


def sample(shape, dtype="float32"):
    return RNG.integers(0, 2 if dtype == "bool" else 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_reshape(dtype):
    x = sample((3, 4, 5), dtype)
    np.testing.assert_array_equal(run1("reshape", [x], ((5, 12), dtype)), x.reshape(5, 12))


def check_transpose(x, perm):
    want = x.transpose(perm)
    got = run1("transpose", [x], (want.shape, x.dtype), perm=list(perm))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 4, 7, 8, 9, 15, 16, 17, 33])
@pytest.mark.parametrize("columns", [1, 2, 4, 5, 8, 16, 17, 31, 70])
def test_transpose_of_a_matrix(rows, columns, dtype):
    check_transpose(sample((rows, columns), dtype), (1, 0))


@pytest.mark.parametrize("shape", [(300, 257), (3, 70000), (70000, 3), (1024, 128)])
def test_transpose_of_a_large_matrix(shape):
    check_transpose(sample(shape), (1, 0))


@pytest.mark.parametrize("channels", [1, 3, 17, 64])
def test_transpose_between_channels_first_and_last(channels):
    check_transpose(sample((2, 19, 23, channels)), (0, 3, 1, 2))
    check_transpose(sample((2, channels, 19, 23)), (0, 2, 3, 1))


@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((), ()),
        ((5,), (0,)),
        ((2, 0, 3), (2, 1, 0)),
        ((2, 3, 4), (2, 1, 0)),
        ((2, 3, 4), (1, 0, 2)),
        ((1, 3, 1, 4), (3, 2, 1, 0)),
        ((2, 3, 4, 5, 6), (4, 2, 0, 3, 1)),
        ((2, 3, 4, 5, 6), (0, 3, 2, 1, 4)),
        ((50, 60, 3, 20), (1, 0, 3, 2)),
    ],
)
def test_transpose(shape, perm):
    check_transpose(sample(shape), perm)


@pytest.mark.parametrize(
    ("perm", "shape", "message"),
    [
        ([0], (2, 3), "'perm' must have 2 elements, got 1"),
        ([0, 2], (2, 3), "axis 2 is out of range for rank 2"),
        ([-1, 0], (3, 2), "axis -1 is out of range for rank 2"),
        ([1, 1], (3, 3), r"perm \(1, 1\) is not a permutation"),
        ([1, 0], (2, 3), r"output must be of shape \(3, 2\), got \(2, 3\)"),
    ],
)
def test_transpose_errors(perm, shape, message):
    with pytest.raises(ValueError, match=message):
        run1("transpose", [sample((2, 3))], (shape, "float32"), perm=perm)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("reshape", {}),
        ("transpose", {"perm": [0]}),
        ("slice", {"begin": [0], "strides": [1]}),
        ("slice_gradient", {"begin": [0], "strides": [1]}),
        ("reverse", {"axes": [0]}),
        ("broadcast_to", {}),
        ("tile", {"repeats": [1]}),
        ("repeat", {"axis": 0, "repeats": 1}),
        ("pad", {"paddings": [0, 0]}),
    ],
)
def test_operands_of_unary_movements(name, attributes):
    x = sample(3)
    with pytest.raises(ValueError, match=f"{name}: output must be float32, got int32"):
        run1(name, [x], ((3,), "int32"), **attributes)
    with pytest.raises(ValueError, match=f"{name}: takes one input and has one output, got 2 and 1"):
        run1(name, [x, x], ((3,), "float32"), **attributes)
    with pytest.raises(ValueError, match=f"{name}: "):
        run1(name, [x], ((2, 2), "float32"), **attributes)


SLICES = [
    ((10,), np.s_[2:7]),
    ((10,), np.s_[1:9:3]),
    ((10,), np.s_[::-1]),
    ((10,), np.s_[8:1:-2]),
    ((10,), np.s_[4:4]),
    ((7, 9), np.s_[:, 3:4]),
    ((7, 9), np.s_[5:1:-1, ::4]),
    ((4, 5, 6), np.s_[1:3, :, 2:5]),
    ((4, 5, 6), np.s_[3:0:-2, 4:0:-3, 5::-5]),
    ((3, 200, 64), np.s_[:, 17:150, :]),
    ((64, 3000), np.s_[::2, ::-3]),
]


def slice_case(shape, key):
    keys = key if isinstance(key, tuple) else (key,)
    spans = [range(*k.indices(n)) for k, n in zip(keys, shape, strict=True)]
    return {"begin": [s.start for s in spans], "strides": [s.step for s in spans]}


@pytest.mark.parametrize("dtype", ["bool", "float32", "float64"])
@pytest.mark.parametrize(("shape", "key"), SLICES)
def test_slice(shape, key, dtype):
    x = sample(shape, dtype)
    got = run1("slice", [x], (x[key].shape, dtype), **slice_case(shape, key))
    np.testing.assert_array_equal(got, x[key])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "key"), SLICES)
def test_slice_gradient(shape, key, dtype):
    want = np.zeros(shape, dtype)
    dy = sample(want[key].shape, dtype) + 1
    want[key] = dy
    got = run1("slice_gradient", [dy], (shape, dtype), **slice_case(shape, key))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("begin", "strides", "size", "message"),
    [
        ([0, 0], [1], (2, 2), "'strides' must have 2 elements, got 1"),
        ([0], [1, 1], (2, 2), "'begin' must have 2 elements, got 1"),
        ([0, 0], [1, 0], (2, 2), "a stride must not be zero"),
        ([0, -1], [1, 1], (2, 2), "from -1 of 2 elements with stride 1 leaves dimension 1"),
        ([0, 5], [1, 1], (2, 1), "leaves dimension 1"),
        ([3, 0], [1, 1], (2, 2), "leaves dimension 0"),
        ([0, 4], [1, -3], (2, 3), "leaves dimension 1"),
        ([0, 0], [2**62, 1], (4, 2), "leaves dimension 0"),
        ([0, 0], [1, 1], (2,), r"cannot slice \(2,\) out of \(4, 5\)"),
    ],
)
def test_slice_errors(begin, strides, size, message):
    x = sample((4, 5))
    with pytest.raises(ValueError, match=message):
        run1("slice", [x], (size, "float32"), begin=begin, strides=strides)
    with pytest.raises(ValueError, match=message):
        run1("slice_gradient", [sample(size)], ((4, 5), "float32"), begin=begin, strides=strides)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [(), (0,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 0, 3), (1, 1, 1)])
def test_reverse(shape, axes, dtype):
    x = sample(shape, dtype)
    got = run1("reverse", [x], (shape, dtype), axes=list(axes))
    np.testing.assert_array_equal(got, np.flip(x, axes))


def test_reverse_errors():
    with pytest.raises(ValueError, match="axis 2 is out of range for rank 2"):
        run1("reverse", [sample((2, 3))], ((2, 3), "float32"), axes=[2])
    with pytest.raises(ValueError, match="axis 1 is given twice"):
        run1("reverse", [sample((2, 3))], ((2, 3), "float32"), axes=[1, 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((), (3,)),
        ((), (40, 1000)),
        ((5,), (4, 5)),
        ((4, 1), (4, 6)),
        ((1, 7), (300, 7)),
        ((2, 1, 3, 1), (4, 2, 5, 3, 6)),
        ((1,), (0,)),
        ((0, 1), (0, 4)),
        ((3,), (3,)),
    ],
)
def test_broadcast_to(shape, target, dtype):
    x = sample(shape, dtype)
    np.testing.assert_array_equal(run1("broadcast_to", [x], (target, dtype)), np.broadcast_to(x, target))


@pytest.mark.parametrize(("shape", "target"), [((2,), (3,)), ((2, 3), (3,)), ((3, 1), (2, 3))])
def test_broadcast_to_errors(shape, target):
    with pytest.raises(ValueError, match="cannot broadcast"):
        run1("broadcast_to", [sample(shape)], (target, "float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "repeats"),
    [((3,), (4,)), ((2, 3), (3, 1)), ((2, 3), (1, 5)), ((2, 3, 4), (2, 3, 2)), ((2, 3), (0, 2)), ((), ())],
)
def test_tile(shape, repeats, dtype):
    x = sample(shape, dtype)
    want = np.tile(x, repeats)
    np.testing.assert_array_equal(run1("tile", [x], (want.shape, dtype), repeats=list(repeats)), want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeats", [0, 1, 2, 5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_repeat(axis, repeats, dtype):
    x = sample((3, 4, 5), dtype)
    want = np.repeat(x, repeats, axis)
    np.testing.assert_array_equal(run1("repeat", [x], (want.shape, dtype), axis=axis, repeats=repeats), want)


def test_tile_and_repeat_errors():
    x = sample((2, 3))
    with pytest.raises(ValueError, match="'repeats' must have 2 elements, got 1"):
        run1("tile", [x], ((4, 3), "float32"), repeats=[2])
    with pytest.raises(ValueError, match="cannot repeat -1 times"):
        run1("tile", [x], ((2, 3), "float32"), repeats=[1, -1])
    with pytest.raises(ValueError, match=r"output must be of shape \(4, 3\), got \(2, 6\)"):
        run1("tile", [x], ((2, 6), "float32"), repeats=[2, 1])
    with pytest.raises(ValueError, match="axis 2 is out of range for rank 2"):
        run1("repeat", [x], ((2, 3), "float32"), axis=2, repeats=1)
    with pytest.raises(ValueError, match="cannot repeat -2 times"):
        run1("repeat", [x], ((2, 3), "float32"), axis=1, repeats=-2)
    with pytest.raises(ValueError, match=r"output must be of shape \(2, 6\), got \(4, 3\)"):
        run1("repeat", [x], ((4, 3), "float32"), axis=1, repeats=2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "paddings"),
    [
        ((), ()),
        ((3,), ((2, 1),)),
        ((0,), ((2, 1),)),
        ((2, 3), ((0, 0), (0, 0))),
        ((2, 3), ((1, 0), (0, 2))),
        ((2, 3, 4), ((0, 0), (1, 2), (0, 0))),
        ((2, 5, 7, 3), ((0, 0), (1, 1), (2, 0), (0, 0))),
        ((2, 50, 40, 16), ((0, 0), (1, 1), (1, 1), (0, 0))),
        ((2, 0, 4), ((1, 0), (1, 1), (0, 1))),
    ],
)
def test_pad(shape, paddings, dtype):
    x = sample(shape, dtype)
    want = np.pad(x, paddings, constant_values=1) if paddings else x
    flat = [side for pair in paddings for side in pair]
    np.testing.assert_array_equal(run1("pad", [x], (want.shape, dtype), paddings=flat, value=1.0), want)


def test_pad_with_infinity():
    got = run1("pad", [sample(2)], ((4,), "float32"), paddings=[1, 1], value=float("-inf"))
    assert got[0] == got[3] == -np.inf


@pytest.mark.parametrize(
    ("paddings", "shape", "dtype", "value", "message"),
    [
        ([1, 1], (4, 3), "float32", 0.0, "'paddings' must have 4 elements, got 2"),
        ([0, -1, 0, 0], (1, 3), "float32", 0.0, "a padding must not be negative"),
        ([0, 1, 0, 0], (2, 4), "float32", 0.0, r"output must be of shape \(3, 3\), got \(2, 4\)"),
        ([2**63 - 1, 1, 0, 0], (2, 3), "float32", 0.0, "the paddings are too large"),
        ([0, 0, 0, 0], (2, 3), "uint8", 256.0, "256.0* is not a value of uint8"),
        ([0, 0, 0, 0], (2, 3), "int32", float("nan"), "nan is not a value of int32"),
    ],
)
def test_pad_errors(paddings, shape, dtype, value, message):
    with pytest.raises(ValueError, match=message):
        run1("pad", [sample((2, 3), dtype)], (shape, dtype), paddings=paddings, value=value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("extents", [(3,), (1, 1), (2, 0, 5), (4, 8, 16, 7)])
def test_concatenate(extents, axis, dtype):
    shapes = [[3, 2, 4] for _ in extents]
    for shape, extent in zip(shapes, extents, strict=True):
        shape[axis] = extent
    xs = [sample(shape, dtype) for shape in shapes]
    want = np.concatenate(xs, axis)
    np.testing.assert_array_equal(run1("concatenate", xs, (want.shape, dtype), axis=axis), want)


@pytest.mark.parametrize(("shapes", "axis"), [([(70000,), (90001,), (3,)], 0), ([(5000, 1), (5000, 30)], 1)])
def test_concatenate_of_large_arrays(shapes, axis):
    xs = [sample(shape) for shape in shapes]
    want = np.concatenate(xs, axis)
    np.testing.assert_array_equal(run1("concatenate", xs, (want.shape, "float32"), axis=axis), want)


def test_concatenate_errors():
    x = sample((2, 3))
    with pytest.raises(ValueError, match="takes at least one input"):
        run("concatenate", [], [((2,), "float32")], axis=0)
    with pytest.raises(ValueError, match="axis 2 is out of range for rank 2"):
        run1("concatenate", [x, x], ((4, 3), "float32"), axis=2)
    with pytest.raises(ValueError, match=r"output must be of shape \(4, 3\), got \(5, 3\)"):
        run1("concatenate", [x, x], ((5, 3), "float32"), axis=0)
    with pytest.raises(
        ValueError, match=r"cannot concatenate float32 \(2, 2\) into float32 \(4, 3\) on axis 0"
    ):
        run1("concatenate", [x, x[:, :2]], ((4, 3), "float32"), axis=0)
    with pytest.raises(ValueError, match=r"cannot concatenate int32 \(2, 3\) into float32"):
        run1("concatenate", [x, x.astype("int32")], ((4, 3), "float32"), axis=0)
    with pytest.raises(ValueError, match=r"cannot concatenate float32 \(3,\) into"):
        run1("concatenate", [x, x[0]], ((3, 3), "float32"), axis=0)


def test_results_that_leave_the_caches():
    """Beyond 48 MB results are stored past the caches, whole lines of them."""
    for shape in ((3600, 3600), (3601, 3599)):
        x = np.arange(np.prod(shape), dtype="float32").reshape(shape)
        y = np.zeros(shape[::-1], "float32")
        (got,) = run_in_place("transpose", [x, y], [0], [1], perm=[1, 0])
        np.testing.assert_array_equal(got, x.T)
        (got,) = run_in_place("reshape", [x, y], [0], [1])
        np.testing.assert_array_equal(got.ravel(), x.ravel())
