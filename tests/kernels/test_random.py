"""Random numbers: the generator against its published definition, the distributions by their statistics."""

import math

import numpy as np
import pytest
from native import run1

FLOATS = ["float32", "float64"]
MASK = (1 << 64) - 1


def philox(counter, key):
    """Philox4x32-10 of one counter (four words) under a key (two words)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def words(count, seed, step, key):
    """The stream of 32-bit words in the order of a tensor's elements."""
    mixed = mix((seed + mix(key)) & MASK)
    result = []
    for group in range(-(-count // 64)):
        blocks = [
            philox([16 * group + lane, 0, step & 0xFFFFFFFF, step >> 32], [mixed & 0xFFFFFFFF, mixed >> 32])
            for lane in range(16)
        ]
        result += [blocks[lane][k] for k in range(4) for lane in range(16)]
    return np.array(result[:count], "uint64")


def test_the_reference_generator_gives_the_published_answers():
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    full = [0xFFFFFFFF]
    assert philox(full * 4, full * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 63, 64, 65, 200])
def test_uniform_bits(n):
    for seed, step, key in ((0, 0, 0), (5, 7, 11), (2**63, 2**40 + 3, 2**33)):
        w = words(n, seed, step, key)
        got = run1("random_uniform", [], ((n,), "float32"), seed=seed, step=step, key=key, minval=0, maxval=1)
        np.testing.assert_array_equal(got, ((w >> np.uint64(8)) * 2.0**-24).astype("float32"))
        got = run1("random_uniform", [], ((n,), "int32"), seed=seed, step=step, key=key, minval=-3, maxval=90)
        np.testing.assert_array_equal(got, (w * np.uint64(93) >> np.uint64(32)).astype("int64") - 3)
        got = run1(
            "random_uniform", [], ((n,), "float32"), seed=seed, step=step, key=key, minval=-2.5, maxval=0.3
        )
        low, high = np.float32(-2.5), np.float32(0.3)
        unit = ((w >> np.uint64(8)) * 2.0**-24).astype("float32")
        np.testing.assert_array_equal(got, unit * (high - low) + low)


def draw(name, n, dtype, *, seed=1, step=0, key=3, **attributes):
    return run1(name, [], ((n,), dtype), seed=seed, step=step, key=key, **attributes)


N = 200_000


def check_moments(x, mean, variance, fourth=3.0):
    """Mean and variance within five standard errors; ``fourth``: the kurtosis."""
    x = x.astype("float64")
    assert abs(x.mean() - mean) < 5 * math.sqrt(variance / x.size)
    assert abs(x.var() - variance) < 5 * variance * math.sqrt((fourth - 1) / x.size)


def check_distribution(x, cdf):
    """Kolmogorov and Smirnov's statistic below its 1e-6 quantile."""
    x = np.sort(x.astype("float64"))
    p = np.vectorize(cdf)(x[:: len(x) // 5000])
    at = np.arange(len(x))[:: len(x) // 5000] / len(x)
    assert np.abs(p - at).max() < 2.7 / math.sqrt(len(x))


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def check_independence(x):
    """Correlations with a few shifts, five standard errors wide."""
    x = (x - x.mean()) / x.std()
    for shift in (1, 2, 15, 16, 17, 32, 64):
        assert abs((x[shift:] * x[:-shift]).mean()) < 5 / math.sqrt(x.size)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform(dtype):
    x = draw("random_uniform", N, dtype, minval=-2.0, maxval=4.0)
    assert x.min() >= -2
    assert x.max() < 4
    check_moments(x, 1, 3, 1.8)
    check_distribution(x, lambda v: (v + 2) / 6)
    check_independence(x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_never_reaches_its_upper_bound(dtype):
    x = draw("random_uniform", N, dtype, minval=1e6, maxval=np.nextafter(np.array(1e6, dtype), 2e6).item())
    assert x.max() == 1e6


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_uniform_integers(dtype):
    x = draw("random_uniform", N, dtype, minval=5, maxval=12)
    counts = np.bincount(x.astype("int64"), minlength=13)
    assert counts.sum() == counts[5:12].sum()
    np.testing.assert_allclose(counts[5:12] / N, 1 / 7, atol=5 * math.sqrt(1 / 7 / N))
    info = np.iinfo(dtype)
    x = draw("random_uniform", 1000, dtype, minval=info.min, maxval=info.max)
    assert x.max() > info.max * 0.9
    assert draw("random_uniform", 5, dtype, minval=7, maxval=8).tolist() == [7] * 5


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal(dtype):
    x = draw("random_normal", N, dtype, mean=0.0, stddev=1.0)
    check_moments(x, 0, 1)
    check_distribution(x, normal_cdf)
    check_independence(x)
    check_independence(x * x)
    assert 4 < np.abs(x).max() < 6.8
    y = draw("random_normal", N, dtype, mean=5.0, stddev=0.5)
    np.testing.assert_allclose(y, 5 + 0.5 * x, rtol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
def test_truncated_normal(dtype):
    x = draw("random_truncated_normal", N, dtype, mean=0.0, stddev=1.0)
    assert np.abs(x).max() <= 2
    assert np.abs(x).max() > 1.99
    mass = math.erf(math.sqrt(2))
    check_moments(x, 0, 1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / mass)
    check_distribution(x, lambda v: (normal_cdf(v) - normal_cdf(-2)) / mass)
    check_independence(x)
    y = draw("random_truncated_normal", N, dtype, mean=-1.0, stddev=3.0)
    np.testing.assert_allclose(y, 3 * x - 1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", *FLOATS])
def test_bernoulli(dtype):
    for p in (0.1, 0.5, 0.8):
        x = draw("random_bernoulli", N, dtype, p=p)
        assert set(np.unique(x).tolist()) == {0, 1}
        assert abs(x.mean() - p) < 5 * math.sqrt(p * (1 - p) / N)
        check_independence(x.astype("float64"))
    assert not draw("random_bernoulli", 1000, dtype, p=0.0).any()
    assert draw("random_bernoulli", 1000, dtype, p=1.0).all()


@pytest.mark.parametrize("n", [1, 63, 64, 127, 128, 129, 300])
def test_bernoulli_bits(n):
    """Half a word an element, the lower half first; halves as great as the threshold's are drawn again."""
    seed, step, key = 5, 2**40 + 7, 11
    for p in (0.3, 0.5, 1.0 - 2.0**-16):
        w = words((n + 1) // 2, seed, step, key)
        halves = np.stack([w & np.uint64(0xFFFF), w >> np.uint64(16)], 1).ravel()[:n]
        upper = int(p * 2**32) >> 16
        got = draw("random_bernoulli", n, "bool", seed=seed, step=step, key=key, p=p)
        np.testing.assert_array_equal(got[halves != upper], (halves < upper)[halves != upper])


def test_bernoulli_of_small_probabilities():
    """Below 2^-16 every one is a tie of the first draw."""
    n = 1 << 23
    for p in (2.0**-17, 3 * 2.0**-18, 1 - 2.0**-17):
        ones = int(draw("random_bernoulli", n, "uint8", p=p).sum(dtype="int64"))
        assert abs(ones - n * p) < 5 * math.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_permutation(dtype):
    for n in (0, 1, 2, 31, 32, 33, 1000):
        np.testing.assert_array_equal(np.sort(draw("random_permutation", n, dtype)), np.arange(n))
    first = [draw("random_permutation", 5, dtype, step=s)[0] for s in range(1000)]
    np.testing.assert_allclose(np.bincount(first) / 1000, 0.2, atol=0.07)


def test_streams_differ_by_seed_step_and_key():
    for name, attributes in (
        ("random_uniform", {"minval": 0.0, "maxval": 1.0}),
        ("random_normal", {"mean": 0.0, "stddev": 1.0}),
    ):
        base = draw(name, 20_000, "float32", **attributes)
        np.testing.assert_array_equal(base, draw(name, 20_000, "float32", **attributes))
        for change in ({"seed": 2}, {"step": 1}, {"key": 4}, {"key": -3}):
            other = draw(name, 20_000, "float32", **attributes, **change)
            assert abs(np.corrcoef(base, other)[0, 1]) < 5 / math.sqrt(20_000)


def test_a_prefix_does_not_depend_on_the_length():
    long = draw("random_uniform", 50_000, "float32", minval=0.0, maxval=1.0)
    np.testing.assert_array_equal(long[:77], draw("random_uniform", 77, "float32", minval=0.0, maxval=1.0))
    assert draw("random_normal", 0, "float32", mean=0.0, stddev=1.0).shape == (0,)


@pytest.mark.parametrize(
    ("name", "dtype", "attributes", "message"),
    [
        ("random_uniform", "float32", dict(minval=0.0, maxval=1.0), "attribute 'key' is missing"),
        ("random_uniform", "float32", dict(key=1, minval=1.0, maxval=1.0), "must be below maxval"),
        ("random_uniform", "float32", dict(key=1, minval=0.0, maxval=math.nan), "maxval must be finite"),
        (
            "random_uniform",
            "float32",
            dict(key=1, minval=-3e38, maxval=3e38),
            "within half of the type's range",
        ),
        ("random_uniform", "int32", dict(key=1, minval=3, maxval=3), "minval 3 must be below maxval 3"),
        (
            "random_uniform",
            "uint8",
            dict(key=1, minval=0, maxval=257),
            "uint8 cannot hold the numbers from 0 to 256",
        ),
        ("random_uniform", "bool", dict(key=1, minval=0, maxval=1), "bool cannot hold"),
        ("random_normal", "int32", dict(key=1, mean=0.0, stddev=1.0), "must be of floats, got int32"),
        ("random_normal", "float32", dict(key=1, mean=0.0, stddev=-1.0), "stddev must not be negative"),
        ("random_bernoulli", "float32", dict(key=1, p=1.5), r"p must lie in \[0, 1\]"),
        ("random_bernoulli", "float32", dict(key=1, p=math.nan), r"p must lie in \[0, 1\]"),
        ("random_permutation", "float32", dict(key=1), "must be a vector of int32 or int64"),
    ],
)
def test_malformed(name, dtype, attributes, message):
    with pytest.raises(ValueError, match=message):
        run1(name, [], ((3,), dtype), **attributes)
