"""Merging: broadcasting of ranks, masks, functional forms, errors."""

import numpy as np
import pytest

from kcore import layers as L
from kcore.graph import Function, placeholder

rng = np.random.default_rng(0)


def run(function, *arrays):
    xs = [placeholder((None, *a.shape[1:]), a.dtype.name) for a in arrays]
    return Function(xs, [function(xs)])(list(arrays))[0]


a, b, c = (rng.normal(size=(2, 3, 4)) for _ in range(3))


@pytest.mark.parametrize(
    ("function", "want"),
    [
        (L.add, a + b + c),
        (L.multiply, a * b * c),
        (L.average, (a + b + c) / 3),
        (L.maximum, np.maximum(np.maximum(a, b), c)),
        (L.minimum, np.minimum(np.minimum(a, b), c)),
        (L.concatenate, np.concatenate([a, b, c], -1)),
    ],
)
def test_functional_forms(function, want):
    np.testing.assert_allclose(run(function, a, b, c), want, rtol=1e-12)


def test_subtract_and_dot():
    np.testing.assert_allclose(run(L.subtract, a, b), a - b)
    np.testing.assert_allclose(run(lambda x: L.dot(x, axes=2), a, b), np.einsum("bij,bkj->bik", a, b))

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    cosine = (unit(a[:, 0]) * unit(b[:, 0])).sum(1, keepdims=True)
    np.testing.assert_allclose(run(lambda x: L.dot(x, axes=1, normalize=True), a[:, 0], b[:, 0]), cosine)


def test_lower_ranks_get_axes_after_the_batch():
    low = rng.normal(size=(2, 4))
    np.testing.assert_allclose(run(L.add, a, low), a + low[:, None, :])
    assert L.Add().compute_output_shape([(None, 3, 4), (None, 4)]) == (None, 3, 4)


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (L.Subtract(), [(None, 3)] * 3, "exactly 2"),
        (L.Add(), [(None, 3), (None, 4)], "broadcast"),
        (L.Add(), [(2, 3), (4, 3)], "batch sizes"),
        (L.Concatenate(), [(None, 3, 2), (None, 4, 2)], "matching shapes"),
        (L.Dot(1), [(None, 3), (None, 4)], "3 != 4"),
    ],
)
def test_shapes_that_do_not_fit(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer([placeholder(s) for s in shapes])


def test_a_merge_wants_a_list():
    with pytest.raises(ValueError, match="list of inputs"):
        L.Add()(placeholder((None, 3)))
    with pytest.raises(ValueError, match="axes"):
        L.Dot("ab")


def test_masks_are_combined():
    xs = [placeholder((None, 3, 2)) for _ in range(3)]
    for x in xs[:2]:
        x._keras_mask = placeholder((None, 3), "bool")
    masks = [np.array([[True, True, False]]), np.array([[True, False, True]])]
    y = L.Add()(xs)
    (mask,) = Function([x._keras_mask for x in xs[:2]], [y._keras_mask])(masks)
    np.testing.assert_array_equal(mask, [[True, False, False]])
    y = L.Concatenate(axis=1)(xs)
    arrays = [np.zeros((1, 3, 2), "float32")] * 3
    (mask,) = Function([*xs, *(x._keras_mask for x in xs[:2])], [y._keras_mask])([*arrays, *masks])
    np.testing.assert_array_equal(mask, [[True, True, False, True, False, True, True, True, True]])
