"""What the table of cases doesn't say about movement and indexing: dtypes, symbolic keys, errors."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, Variable, placeholder
from kcore.graph.primitives import shape_of

x = placeholder((2, 3), "float32")
batch = placeholder((None, 3), "float32")

ERRORS = [
    (lambda: ops.transpose(x, (0,)), ValueError, r"axes \(0,\) do not fit"),
    (lambda: ops.transpose(x, (0, 0)), ValueError, "an axis is given twice"),
    (lambda: ops.transpose(x, (0, 2)), ValueError, "axis 2 is out of range for a tensor of 2 dimensions"),
    (lambda: ops.transpose(x, (0, 1.0)), TypeError, "axis must be an integer, got 1.0"),
    (lambda: ops.moveaxis(x, (0, 1), 0), ValueError, "are not equally many"),
    (lambda: ops.expand_dims(x, 3), ValueError, "axis 3 is out of range for a tensor of 3 dimensions"),
    (lambda: ops.squeeze(x, 1), ValueError, r"axis 1 of a tensor of shape \(2, 3\) has not extent 1"),
    (lambda: ops.broadcast_to(x, (2, 4)), ValueError, r"shape \(2, 3\) cannot be broadcast to \(2, 4\)"),
    (lambda: ops.broadcast_to(x, (3,)), ValueError, "cannot be broadcast"),
    (lambda: ops.slice(x, (0, 2), (1, 2)), ValueError, "leave a tensor of shape"),
    (lambda: ops.slice(x, (0,), (1,)), ValueError, r"slice: \(1,\) elements"),
    (lambda: ops.slice(x, (-1, 0), (1, 1)), ValueError, "leave a tensor of shape"),
    (lambda: ops.split(x, 2, 1), ValueError, "an axis of extent 3 does not split into 2 equal parts"),
    (lambda: ops.split(x, 0), ValueError, "the number of parts must be positive, got 0"),
    (lambda: ops.split(x, 1.5), TypeError, "the number of parts must be an integer, got 1.5"),
    (lambda: ops.split(batch, [-1]), ValueError, "counted from the end of an axis of unknown extent"),
    (lambda: ops.array_split(batch, 2), ValueError, "the extent of the axis is not known"),
    (lambda: ops.unstack(batch), ValueError, "the extent of the axis is not known; give `num`"),
    (lambda: ops.unstack(x, 3), ValueError, "num=3 for an axis of extent 2"),
    (lambda: ops.concatenate([]), ValueError, "needs at least one tensor"),
    (lambda: ops.concatenate([x, x[0]]), ValueError, "shapes of different rank"),
    (lambda: ops.concatenate([x, x[:, 1:]]), ValueError, r"shapes differ on axis 1: \(2, 3\), \(2, 2\)"),
    (lambda: ops.stack([x, x[1:]]), ValueError, "shapes differ on axis 0"),
    (lambda: ops.tile(x, -1), ValueError, "must not be negative"),
    (lambda: ops.repeat(x, -1), ValueError, "integers and not negative"),
    (lambda: ops.repeat(x, [1, 2], 1), ValueError, "2 repeats for an axis of extent 3"),
    (lambda: ops.roll(x, (1, 2), 0), ValueError, "2 shifts for 1 axes"),
    (lambda: ops.pad(x, ((1, 1),) * 3), ValueError, "does not fit shape"),
    (lambda: ops.pad(x, -1), ValueError, "must not be negative"),
    (lambda: ops.pad(x, 0.5), TypeError, "must hold integers"),
    (lambda: ops.pad(x, 1, "edge", 2.0), ValueError, "constant_values are of no use"),
    (lambda: ops.pad(x, 1, "mirror"), ValueError, "unknown mode 'mirror'"),
    (lambda: ops.depth_to_space(x, 2), ValueError, "needs images"),
    (lambda: ops.space_to_depth(np.zeros((1, 3, 4, 1)), 2), ValueError, "3 is not a multiple of 2"),
    (lambda: ops.take(x, [0.5]), TypeError, "take: indices must be integers, got float32"),
    (lambda: ops.take(x, [0], 2), ValueError, "axis 2 is out of range"),
    (
        lambda: ops.take_along_axis(x, [0], 1),
        ValueError,
        r"x has shape \(2, 3\) and indices have shape \(1,\)",
    ),
    (lambda: ops.take_along_axis(x, [[0]] * 3, 1), ValueError, "cannot be broadcast together"),
    (lambda: x[2], IndexError, r"index 2 is out of range for axis 0 of shape \(2, 3\)"),
    (lambda: x[0, 0, 0], IndexError, "3 indices for a tensor of 2 dimensions"),
    (lambda: x[..., ...], IndexError, "an index may hold one ellipsis"),
    (lambda: x[x > 0], TypeError, "a boolean mask decides the shape"),
    (lambda: x[1.0], TypeError, "an index must be an integer, got 1.0"),
    (lambda: x[:1.0], TypeError, "a slice's bound must be an integer"),
    (lambda: x[x], TypeError, "indices must be integers"),
    (lambda: ops.scatter([[0, 0, 0]], [1.0], (2, 2)), ValueError, "3 indices for a tensor of 2 dimensions"),
    (lambda: ops.scatter_update(x, [[0]], x[:1], "max"), ValueError, "reduction must be None or 'add'"),
    (lambda: ops.scatter_update(x, placeholder((1, None), "int32"), x), ValueError, "must be known"),
    (lambda: ops.slice_update(x, (0, 0), np.zeros((3, 3))), ValueError, "slice_update: updates of shape"),
    (lambda: ops.slice_update(x, (0,), np.zeros(3)), ValueError, "slice_update: updates of shape"),
    (lambda: ops.segment_sum(x, placeholder((2,), "int32")), ValueError, "give num_segments"),
    (lambda: ops.segment_sum(x, [[0, 1]]), ValueError, "segment_sum: ids of shape"),
    (lambda: ops.bincount(placeholder((2,), "int32")), ValueError, "give minlength"),
    (lambda: ops.one_hot([0], 2, axis=3), ValueError, "axis 3 is out of range"),
    (lambda: ops.one_hot([0], 2, sparse=True), ValueError, "sparse results are not supported"),
    (lambda: ops.multi_hot([0]), ValueError, "num_classes must be given"),
    (lambda: ops.top_k(x, 4), ValueError, "the greatest 4 of 3 elements"),
    (lambda: ops.top_k(x, -1), ValueError, "the greatest -1"),
    (lambda: ops.argpartition(x, 3), ValueError, "kth=3 for an axis of extent 3"),
    (lambda: ops.in_top_k([0], x, 1), ValueError, "shapes differ on axis 0"),
    (lambda: ops.in_top_k([0], x[0], 1), ValueError, "needs a matrix of predictions"),
    (lambda: ops.searchsorted(x, 0.0), ValueError, r"got a sequence of shape \(2, 3\)"),
    (lambda: ops.searchsorted(x[0], 0.0, "middle"), ValueError, "side='middle'"),
    (lambda: ops.tril(x[0]), ValueError, "needs matrices"),
    (lambda: ops.diag(placeholder((1, 1, 1))), ValueError, "needs a vector or a matrix"),
    (lambda: ops.nonzero(x), TypeError, "cannot be symbolic"),
    (lambda: ops.unique(x), TypeError, "cannot be symbolic"),
    (lambda: ops.max_pool(x, 2), ValueError, "must have 1, 2 or 3 spatial axes"),
    (
        lambda: ops.max_pool(np.zeros((1, 4, 4, 1)), 5),
        ValueError,
        r"pool_size \(5, 5\) is larger than the inputs",
    ),
    (lambda: ops.max_pool(np.zeros((1, 4, 4, 1)), 2, 0), ValueError, "must be positive"),
    (lambda: ops.average_pool(np.zeros((1, 4, 4, 1)), 2, padding="full"), ValueError, "'valid' or 'same'"),
    (lambda: ops.average_pool(np.zeros((1, 4, 4, 1)), (2,)), ValueError, "pool_size"),
    (lambda: ops.max_pool(np.zeros((1, 4, 4, 1)), 2, data_format="NHWC"), ValueError, "data_format 'NHWC'"),
    (lambda: ops.batch_normalization_training(batch, np.ones(2)), ValueError, "gamma of shape .2,. for 3"),
    (lambda: ops.batch_normalization_training(batch, axis=0), ValueError, "features must be known"),
    (lambda: ops.batch_normalization(x, x, x, 1), ValueError, "needs a vector for axis 1"),
    (lambda: ops.layer_normalization(x, np.ones(2)), ValueError, "gamma or beta of shape"),
    (lambda: ops.layer_normalization(batch, axis=0), ValueError, "must be known"),
    (lambda: ops.image.resize(x, 2), ValueError, "needs an image or a batch"),
    (lambda: ops.image.resize(np.zeros((2, 2, 1)), 0), ValueError, "size must be positive"),
    (lambda: ops.image.resize(np.zeros((2, 2, 1)), 2, "bicubic"), ValueError, "got 'bicubic'"),
    (lambda: ops.image.resize(np.zeros((2, 2, 1)), 2, antialias=True), ValueError, "antialias"),
    (lambda: ops.image.crop_images(np.zeros((2, 2, 1)), 2, 1, 1, 1), ValueError, r"2 \+ 1 pixels of 2"),
    (lambda: ops.image.pad_images(np.zeros((2, 2, 1)), 1), ValueError, "give exactly two"),
    (lambda: ops.image.rgb_to_grayscale(np.zeros((2, 2, 1))), ValueError, "needs three channels"),
    (lambda: ops.image.extract_patches(np.zeros((2, 2, 1)), 0), ValueError, "must be positive"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_movement_keeps_the_dtype(dtype):
    a = np.arange(12).reshape(3, 4).astype(dtype)
    for got, want in [
        (ops.transpose(a), a.T),
        (ops.concatenate([a, a]), np.concatenate([a, a])),
        (ops.pad(a, 1), np.pad(a, 1)),
        (ops.tile(a, 2), np.tile(a, 2)),
        (ops.take(a, [2, 0], 0), a[[2, 0]]),
        (ops.get_item(a, (slice(None), 1)), a[:, 1]),
        (ops.sort(a, 0), np.sort(a, 0)),
        (ops.tril(a), np.tril(a)),
        (ops.scatter([[1], [0]], a[:2], (2, 4)), a[1::-1]),
    ]:
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_joining_promotes():
    assert ops.concatenate([np.zeros(2, "int32"), np.zeros(2, "float32")]).dtype == np.float32
    assert ops.stack([np.zeros(2, "bool"), np.zeros(2, "int64")]).dtype == np.int64
    assert ops.concatenate([x, np.zeros((1, 3))]).dtype == "float32"
    assert ops.stack([1, 2]).dtype == np.int32


def test_slices_bounded_by_a_shape():
    """``b[: shape(a)[0]]``: known once the program's shapes are."""
    a, b = placeholder((None,)), placeholder((None, 2))
    part = b[1 : shape_of(a)[0], :]
    assert part.shape == (None, 2)
    values = np.arange(10, dtype="float32").reshape(5, 2)
    (got,) = Function([a, b], [part])([np.zeros(3, "float32"), values])
    np.testing.assert_array_equal(got, values[1:3])


def test_slices_bounded_by_data_are_an_error():
    n = placeholder((), "int32")
    part = batch[:n]
    with pytest.raises(ValueError, match="a slice's bound depends on data"):
        Function([batch, n], [part])([np.zeros((4, 3), "float32"), np.array(2, "int32")])


def test_a_dynamic_slice_is_clipped():
    a = np.arange(5, dtype="float32")
    start = placeholder((1,), "int32")
    part = Function(
        [start], [ops.slice(ops.cast(a, "float32") + 0 * ops.cast(start, "float32"), start, (3,))]
    )
    for begin, want in [(1, a[1:4]), (4, a[2:]), (-3, a[:3])]:
        np.testing.assert_array_equal(part([np.array([begin], "int32")])[0], want)


def test_iteration_and_unpacking():
    first, second = x
    (got,) = Function([x], [second - first])([np.array([[1, 2, 3], [5, 7, 9]], "float32")])
    np.testing.assert_array_equal(got, [4, 5, 6])


def test_variables_are_indexed_by_their_value():
    v = Variable(np.arange(6.0).reshape(2, 3), "float32")
    np.testing.assert_array_equal(v[1, ::-1].numpy(), [5, 4, 3])
    np.testing.assert_array_equal(ops.take(v, [1], 0).numpy(), [[3, 4, 5]])


def test_lists_of_tensors_are_stacked():
    (got,) = Function([x], [ops.reshape(x, [x.shape[1], shape_of(x)[0]])])([np.ones((2, 3), "float32")])
    assert got.shape == (3, 2)
    total = ops.transpose([x[0], x[1] * 2.0])
    (got,) = Function([x], [total])([np.ones((2, 3), "float32")])
    np.testing.assert_array_equal(got, [[1, 2]] * 3)


def test_results_whose_shape_depends_on_data():
    a = np.array([[3, 0], [1, 3]])
    for got, want in zip(ops.nonzero(a), np.nonzero(a), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(ops.unique(a), [0, 1, 3])
    values, counts = ops.unique(a, return_counts=True)
    np.testing.assert_array_equal(values, [0, 1, 3])
    np.testing.assert_array_equal(counts, [1, 1, 2])
    np.testing.assert_array_equal(ops.unique(a, size=2), [0, 1])
    np.testing.assert_array_equal(ops.unique(a, size=5, fill_value=-1), [0, 1, 3, -1, -1])
    np.testing.assert_array_equal(ops.unique(a, size=4), [0, 1, 3, 0])
    np.testing.assert_array_equal(ops.bincount([1, 1, 4]), [0, 2, 0, 0, 1])
    np.testing.assert_array_equal(ops.segment_sum(np.ones(3), [0, 2, 2]), [1, 0, 2])


def test_a_pool_of_an_unknown_batch_has_known_extents():
    images = placeholder((None, 8, None, 3))
    assert ops.max_pool(images, 2).shape == (None, 4, None, 3)
    assert ops.average_pool(images, 3, 2, "same").shape == (None, 4, None, 3)
    assert ops.image.resize(images, (5, 6)).shape == (None, 5, 6, 3)
    assert batch[1:].shape == (None, 3)
    assert batch[:, -1].shape == (None,)
    assert ops.concatenate([batch, x]).shape == (None, 3)
    assert ops.tile(batch, (2, 2)).shape == (None, 6)
