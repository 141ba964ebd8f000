"""Softmax, its logarithm, the cross-entropies and their gradients, against double precision."""

import numpy as np
import pytest
from native import run, run1

FLOATS = ["float32", "float64"]
COLUMNS = [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 65, 1000]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


def log_softmax(x):
    x = x.astype("float64")
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def sample(shape, dtype, seed=0, scale=3):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_softmax_and_gradient(columns, dtype):
    tolerance = TOLERANCE[dtype]
    for shape in ((columns,), (5, columns), (2, 600, columns)) if columns < 64 else ((3, 20, columns),):
        x = sample(shape, dtype)
        want = np.exp(log_softmax(x))
        y = run1("softmax", [x], (shape, dtype))
        np.testing.assert_allclose(y, want, rtol=tolerance, atol=1e-30)
        dy = sample(shape, dtype, 1)
        dx = run1("softmax_gradient", [y, dy], (shape, dtype))
        wide = dy.astype("float64")
        want = want * (wide - (wide * want).sum(-1, keepdims=True))
        np.testing.assert_allclose(dx, want, rtol=tolerance, atol=5 * tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_log_softmax_and_gradient(columns, dtype):
    tolerance = TOLERANCE[dtype]
    shape = (4, 30, columns)
    x = sample(shape, dtype)
    want = log_softmax(x)
    y = run1("log_softmax", [x], (shape, dtype))
    np.testing.assert_allclose(y, want, rtol=tolerance, atol=tolerance)
    dy = sample(shape, dtype, 1)
    dx = run1("log_softmax_gradient", [y, dy], (shape, dtype))
    wide = dy.astype("float64")
    np.testing.assert_allclose(
        dx, wide - np.exp(want) * wide.sum(-1, keepdims=True), rtol=tolerance, atol=30 * tolerance
    )


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", COLUMNS)
def test_cross_entropy_and_gradient(columns, dtype):
    tolerance = TOLERANCE[dtype]
    shape = (6, 20, columns)
    logits = sample(shape, dtype)
    classes = np.random.default_rng(2).integers(0, columns, shape[:-1])
    one_hot = np.eye(columns, dtype=dtype)[classes]
    weights = np.abs(sample(shape, dtype, 3, 1))
    dlosses = sample(shape[:-1], dtype, 4)
    logs = log_softmax(logits)
    for labels, dense in (
        (classes.astype("int32"), one_hot),
        (classes.astype("int64"), one_hot),
        (one_hot, one_hot),
        (weights, weights),
    ):
        losses, log_sums = run("softmax_cross_entropy", [logits, labels], [(shape[:-1], dtype)] * 2)
        dense = dense.astype("float64")
        want = -(dense * logs).sum(-1)
        np.testing.assert_allclose(losses, want, rtol=4 * tolerance, atol=4 * tolerance)
        np.testing.assert_allclose(
            log_sums, logits[..., 0] - logs[..., 0], rtol=4 * tolerance, atol=4 * tolerance
        )
        got = run1("softmax_cross_entropy_gradient", [logits, labels, log_sums, dlosses], (shape, dtype))
        want = dlosses[..., None] * (dense.sum(-1, keepdims=True) * np.exp(logs) - dense)
        # exp(logit - log_sum) carries the rounding of the difference.
        atol = 40 * tolerance * np.abs(dlosses).max() * max(1, dense.sum(-1).max())
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", FLOATS)
def test_large_and_infinite_logits(dtype):
    x = np.array([[1e4, 0, -1e4], [-np.inf, 0, 0], [3e38, 3e38, 0], [np.nan, 0, 0]], dtype)
    y = run1("softmax", [x], (x.shape, dtype))
    np.testing.assert_array_equal(y[:3], [[1, 0, 0], [0, 0.5, 0.5], [0.5, 0.5, 0]])
    assert np.isnan(y[3]).all()
    log = run1("log_softmax", [x], (x.shape, dtype))
    np.testing.assert_allclose(log[:2], [[0, -1e4, -2e4], [-np.inf, -np.log(2), -np.log(2)]], rtol=1e-6)
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]], dtype)
    losses = run("softmax_cross_entropy", [x, labels], [((4,), dtype)] * 2)[0]
    np.testing.assert_allclose(losses[:3], [0, np.log(2), np.log(2)], rtol=1e-6)


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_labels_that_are_no_class_give_nan(index):
    logits = sample((4, 5), "float32")
    labels = np.array([0, -1, 5, 4], index)
    losses, log_sums = run("softmax_cross_entropy", [logits, labels], [((4,), "float32")] * 2)
    np.testing.assert_array_equal(np.isnan(losses), [False, True, True, False])
    ones = np.ones(4, "float32")
    got = run1("softmax_cross_entropy_gradient", [logits, labels, log_sums, ones], ((4, 5), "float32"))
    np.testing.assert_array_equal(np.isnan(got).all(-1), [False, True, True, False])
    np.testing.assert_allclose(got[[0, 3]].sum(-1), [0, 0], atol=1e-6)


def test_empty():
    for shape in ((0, 3), (3, 0), (0,)):
        x = np.zeros(shape, "float32")
        assert run1("softmax", [x], (shape, "float32")).shape == shape
        assert run1("log_softmax", [x], (shape, "float32")).shape == shape
        assert run1("softmax_gradient", [x, x], (shape, "float32")).shape == shape


F32 = np.ones((2, 3), "float32")


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "message"),
    [
        ("softmax", [np.ones((2, 3), "int32")], [((2, 3), "int32")], "must be of floats, got int32"),
        ("softmax", [F32], [((3, 2), "float32")], "output must be float32"),
        ("softmax", [np.float32(1)], [((), "float32")], "needs an axis"),
        ("log_softmax", [F32, F32], [((2, 3), "float32")], "takes 1 inputs"),
        ("softmax_gradient", [F32, F32[:1]], [((2, 3), "float32")], "dy must be"),
        ("softmax_cross_entropy", [F32, F32[:1]], [((2,), "float32")] * 2, "labels must be float32"),
        ("softmax_cross_entropy", [F32, F32.astype("float64")], [((2,), "float32")] * 2, "labels must be"),
        (
            "softmax_cross_entropy",
            [F32, np.ones(3, "int32")],
            [((2,), "float32")] * 2,
            "class indices must be",
        ),
        ("softmax_cross_entropy", [F32, F32], [((2, 1), "float32")] * 2, "losses must be"),
        (
            "softmax_cross_entropy_gradient",
            [F32, F32, F32[0], F32[0]],
            [((2, 3), "float32")],
            "log_sums must be",
        ),
    ],
)
def test_malformed(name, inputs, outputs, message):
    with pytest.raises(ValueError, match=message):
        run(name, inputs, outputs)
