import numpy as np
import pytest
from native import run, run1

RNG = np.random.default_rng(0)
EPSILON = 1e-3

SHAPES = [
    (1, 1),
    (2, 3),
    (7, 16),
    (5, 17),
    (33, 64),
    (6, 4, 15),
    (2, 3, 4, 70),
    (2000, 5),
    (3, 40000),
    (900, 65),
]
shapes = pytest.mark.parametrize("shape", SHAPES)
floats = pytest.mark.parametrize("dtype", ["float32", "float64"])


def close(got, want, dtype, scale=1.0):
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


def sample(shape, dtype, mean=0.0):
    return (RNG.standard_normal(shape) + mean).astype(dtype)


def features(shape, dtype):
    return sample(shape[-1:], dtype, 1), sample(shape[-1:], dtype)


def batch_norm(x, gamma, beta):
    x = x.astype("float64")
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta, mean, variance


@floats
@shapes
def test_batch_norm_training(shape, dtype):
    x, (gamma, beta) = sample(shape, dtype, 3), features(shape, dtype)
    c = shape[-1:]
    outputs = [(shape, dtype), (c, dtype), (c, dtype)]
    got = run("batch_norm_training", [x, gamma, beta], outputs, epsilon=EPSILON)
    for g, w in zip(got, batch_norm(x, gamma, beta), strict=True):
        close(g, w, dtype, 10)


@floats
@shapes
def test_batch_norm_training_with_relu(shape, dtype):
    x, (gamma, beta) = sample(shape, dtype, 3), features(shape, dtype)
    outputs = [(shape, dtype), (shape[-1:], dtype), (shape[-1:], dtype)]
    plain = run("batch_norm_training", [x, gamma, beta], outputs, epsilon=EPSILON)
    got = run("batch_norm_training", [x, gamma, beta], outputs, epsilon=EPSILON, activation="relu")
    np.testing.assert_array_equal(got[0], np.maximum(plain[0], 0))
    np.testing.assert_array_equal(got[1], plain[1])
    np.testing.assert_array_equal(got[2], plain[2])


@floats
def test_relu_of_nan(dtype):
    x = np.full((3, 19), np.nan, dtype)
    c = np.ones(19, dtype)
    outputs = [(x.shape, dtype), (c.shape, dtype), (c.shape, dtype)]
    got = run("batch_norm_training", [x, c, c], outputs, epsilon=EPSILON, activation="relu")
    assert np.isnan(got[0]).all()


def test_batch_statistics_far_from_zero():
    x = sample((5000, 20), "float32", 1000)
    x[0] = -1000
    ones, zeros = np.ones(20, "float32"), np.zeros(20, "float32")
    outputs = [(x.shape, "float32"), ((20,), "float32"), ((20,), "float32")]
    _, mean, variance = run("batch_norm_training", [x, ones, zeros], outputs, epsilon=EPSILON)
    np.testing.assert_allclose(mean, x.mean(0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(variance, x.var(0, dtype="float64"), rtol=1e-5)


@floats
@shapes
def test_batch_norm_gradient(shape, dtype):
    x, dy, (gamma, _) = sample(shape, dtype, 1), sample(shape, dtype), features(shape, dtype)
    wide = x.astype("float64")
    axes = tuple(range(x.ndim - 1))
    mean, variance = wide.mean(axes), wide.var(axes)
    deviation = np.sqrt(variance + EPSILON)
    normal = (wide - mean) / deviation
    dbeta, dgamma = dy.sum(axes, dtype="float64"), (dy * normal).sum(axes)
    rows = x.size // x.shape[-1]
    dx = gamma / deviation * (dy - dbeta / rows - normal * dgamma / rows)
    c = shape[-1:]
    inputs = [dy, x, gamma, mean.astype(dtype), variance.astype(dtype)]
    outputs = [(shape, dtype), (c, dtype), (c, dtype)]
    got = run("batch_norm_gradient", inputs, outputs, epsilon=EPSILON)
    scale = np.abs(1 / deviation).max() * 10
    close(got[0], dx, dtype, scale)
    close(got[1], dgamma, dtype, 10 + np.sqrt(rows))
    close(got[2], dbeta, dtype, 10 + np.sqrt(rows))


@floats
@shapes
def test_batch_norm_inference(shape, dtype):
    x, (gamma, beta) = sample(shape, dtype, 1), features(shape, dtype)
    mean, variance = sample(shape[-1:], dtype), np.abs(sample(shape[-1:], dtype))
    want = (x.astype("float64") - mean) / np.sqrt(variance + np.float64(EPSILON)) * gamma + beta
    got = run1("batch_norm_inference", [x, gamma, beta, mean, variance], (shape, dtype), epsilon=EPSILON)
    close(got, want, dtype, 30)


@floats
@shapes
def test_layer_norm_and_gradient(shape, dtype):
    x, dy, (gamma, beta) = sample(shape, dtype, 1), sample(shape, dtype), features(shape, dtype)
    wide = x.astype("float64")
    mean, variance = wide.mean(-1), wide.var(-1)
    inverse = 1 / np.sqrt(variance + EPSILON)
    normal = (wide - mean[..., None]) * inverse[..., None]
    c, r = shape[-1:], shape[:-1]
    outputs = [(shape, dtype), (r, dtype), (r, dtype)]
    got = run("layer_norm", [x, gamma, beta], outputs, epsilon=EPSILON)
    close(got[0], normal * gamma + beta, dtype, 40)
    close(got[1], mean, dtype)
    close(got[2], inverse, dtype, inverse.max())

    g = dy * gamma.astype("float64")
    dx = inverse[..., None] * (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True))
    axes = tuple(range(x.ndim - 1))
    inputs = [dy, x, gamma, mean.astype(dtype), inverse.astype(dtype)]
    outputs = [(shape, dtype), (c, dtype), (c, dtype)]
    got = run("layer_norm_gradient", inputs, outputs)
    close(got[0], dx, dtype, 10 * inverse.max())
    close(got[1], (dy * normal).sum(axes), dtype, 20)
    close(got[2], dy.sum(axes, dtype="float64"), dtype, 20)


def test_layer_norm_of_one_vector():
    x = np.array([1, 2, 3, 4], "float64")
    outputs = [((4,), "float64"), ((), "float64"), ((), "float64")]
    y, mean, inverse = run("layer_norm", [x, np.ones(4), np.zeros(4)], outputs, epsilon=0.0)
    assert mean == 2.5
    np.testing.assert_allclose(inverse, 1 / np.sqrt(1.25))
    np.testing.assert_allclose(y, (x - 2.5) / np.sqrt(1.25))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_nothing_to_normalize(shape):
    x, c, r = np.zeros(shape), np.zeros(shape[1:]), np.zeros(shape[:1])
    outputs = [(shape, "float64"), (c.shape, "float64"), (c.shape, "float64")]
    _, mean, variance = run("batch_norm_training", [x, c, c], outputs, epsilon=EPSILON)
    assert np.isnan(mean).all()
    assert np.isnan(variance).all()
    _, dgamma, dbeta = run("batch_norm_gradient", [x, x, c, c, c], outputs, epsilon=EPSILON)
    assert not dgamma.any()
    assert not dbeta.any()
    _, dgamma, dbeta = run("layer_norm_gradient", [x, x, c, r, r], outputs)
    assert not dgamma.any()
    assert not dbeta.any()


def test_results_that_leave_the_caches():
    """Beyond 48 MB they are written past the caches; those of half the rows aren't."""
    rows, c = 196_000, 67
    half, dtype = rows // 2, "float32"
    x, dy, (gamma, beta) = sample((rows, c), dtype, 1), sample((rows, c), dtype), features((c,), dtype)
    y, mean, variance = run(
        "batch_norm_training",
        [x, gamma, beta],
        [((rows, c), dtype), ((c,), dtype), ((c,), dtype)],
        epsilon=EPSILON,
    )
    outputs = [((rows, c), dtype), ((c,), dtype), ((c,), dtype)]
    dx, dgamma, dbeta = run("batch_norm_gradient", [dy, x, gamma, mean, variance], outputs, epsilon=EPSILON)
    deviation = np.sqrt(variance + np.float32(EPSILON))
    normal = (x - mean) / deviation
    close(y, normal * gamma + beta, dtype, 10)
    close(dx, gamma / deviation * (dy - dbeta / rows - normal * (dgamma / rows)), dtype, 10)

    whole = run(
        "layer_norm", [x, gamma, beta], [((rows, c), dtype), *[((rows,), dtype)] * 2], epsilon=EPSILON
    )
    back = run("layer_norm_gradient", [dy, x, gamma, *whole[1:]], outputs)
    for n in (0, half):
        part = slice(n, n + half)
        shapes = [((half, c), dtype), *[((half,), dtype)] * 2]
        got = run("layer_norm", [x[part], gamma, beta], shapes, epsilon=EPSILON)
        np.testing.assert_array_equal(whole[0][part], got[0])
        got = run("layer_norm_gradient", [dy[part], x[part], gamma, *got[1:]], [shapes[0], *outputs[1:]])
        np.testing.assert_array_equal(back[0][part], got[0])


def test_normalization_errors():
    x, c = np.zeros((3, 4), "float32"), np.zeros(4, "float32")
    outputs = [((3, 4), "float32"), ((4,), "float32"), ((4,), "float32")]
    with pytest.raises(ValueError, match="takes 3 inputs and has 3 outputs, got 2 and 3"):
        run("batch_norm_training", [x, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match="input 0 must be float32 or float64 and have features, got int32"):
        run("batch_norm_training", [x.astype("int32"), c, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 0 must be .* got float32 \(\)"):
        run("batch_norm_training", [x[0, 0], c, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 2 must be float32 \(4,\), got float32 \(3,\)"):
        run("batch_norm_training", [x, c, c[:3]], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 1 must be float32 \(4,\), got float64 \(4,\)"):
        run("batch_norm_training", [x, c.astype("float64"), c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"output 1 must be float32 \(4,\), got float32 \(3, 4\)"):
        run("batch_norm_training", [x, c, c], [outputs[0], outputs[0], outputs[1]], epsilon=EPSILON)
    with pytest.raises(ValueError, match="attribute 'epsilon' is missing"):
        run("batch_norm_training", [x, c, c], outputs)
    with pytest.raises(ValueError, match="activation must be none or relu, got 'tanh'"):
        run("batch_norm_training", [x, c, c], outputs, epsilon=EPSILON, activation="tanh")
    for epsilon in -1e-3, float("inf"), float("nan"):
        with pytest.raises(ValueError, match="epsilon must be finite and not negative"):
            run("batch_norm_training", [x, c, c], outputs, epsilon=epsilon)
    with pytest.raises(ValueError, match="takes 5 inputs and has 3 outputs"):
        run("batch_norm_gradient", [x, x, c, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 1 must be float32 \(3, 4\), got float32 \(4,\)"):
        run("batch_norm_gradient", [x, c, c, c, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 4 must be float32 \(4,\), got float32 \(3, 4\)"):
        run("batch_norm_inference", [x, c, c, c, x], outputs[:1], epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"output 1 must be float32 \(3,\), got float32 \(4,\)"):
        run("layer_norm", [x, c, c], outputs, epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"input 3 must be float32 \(3,\), got float32 \(4,\)"):
        run("layer_norm_gradient", [x, x, c, c, c], outputs)
