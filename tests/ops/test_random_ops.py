"""Random ops: seeds, steps, shapes, statistics."""

import math

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, UpdateScope, constant, gradients, placeholder, rng
from kcore.ops import random

N = 40_000


def test_distributions():
    x = random.uniform((N,), -1.0, 3.0)
    assert x.dtype == np.float32
    assert x.min() >= -1
    assert x.max() < 3
    assert abs(x.mean() - 1) < 5 * math.sqrt(16 / 12 / N)
    x = random.normal((100, N // 100), 2.0, 0.5, dtype="float64")
    assert x.shape == (100, N // 100)
    assert x.dtype == np.float64
    assert abs(x.mean() - 2) < 5 * 0.5 / math.sqrt(N)
    assert abs(x.std() - 0.5) < 5 * 0.5 / math.sqrt(2 * N)
    x = random.truncated_normal((N,), 1.0, 2.0)
    assert x.min() >= -3
    assert x.max() <= 5
    x = random.randint((N,), 3, 6)
    assert x.dtype == np.int32
    np.testing.assert_allclose(np.bincount(x)[3:] / N, 1 / 3, atol=0.02)
    x = random.bernoulli((N,), 0.3)
    assert x.dtype == bool
    assert abs(x.mean() - 0.3) < 5 * math.sqrt(0.21 / N)
    assert abs(random.gamma((N,), 2.0).mean() - 2) < 5 * math.sqrt(2 / N)
    assert abs(random.beta((N,), 1.0, 3.0).mean() - 0.25) < 0.01
    assert abs(random.binomial((N,), 10, 0.3).mean() - 3) < 5 * math.sqrt(2.1 / N)


def test_integer_seeds_repeat_and_the_global_stream_goes_on():
    for draw in (random.uniform, random.normal, random.truncated_normal, random.gamma):
        arguments = ((5,), 2.0) if draw is random.gamma else ((5,),)
        np.testing.assert_array_equal(draw(*arguments, seed=7), draw(*arguments, seed=7))
        assert not np.array_equal(draw(*arguments, seed=7), draw(*arguments, seed=8))
        assert not np.array_equal(draw(*arguments), draw(*arguments))


def test_the_global_seed_repeats_the_stream():
    draws = []
    for _ in range(2):
        rng.set_seed(5)
        draws.append([random.normal((4,)), random.uniform((4,)), random.gamma((4,), 1.0)])
    for one, two in zip(*draws, strict=True):
        np.testing.assert_array_equal(one, two)


def test_seed_generators():
    one, two = random.SeedGenerator(3), random.SeedGenerator(3)
    first, second = random.normal((4,), seed=one), random.normal((4,), seed=one)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(random.normal((4,), seed=two), first)
    np.testing.assert_array_equal(random.normal((4,), seed=two), second)
    assert random.SeedGenerator.from_config(one.get_config()).seed == one.seed
    with pytest.raises(ValueError, match="non-negative integer"):
        random.SeedGenerator(-1)


def test_numbers_of_a_program_are_drawn_at_each_run():
    x = placeholder((None, 3))
    function = Function([x], [x + random.normal((ops.shape(x)[0], 3))])
    zeros = np.zeros((2, 3), "float32")
    first, second = function([zeros])[0], function([zeros])[0]
    assert not np.array_equal(first, second)
    with UpdateScope():
        a, b = random.uniform((4,)), random.uniform((4,))
    fixed = Function([], [a, b], seed=lambda: 1, step=lambda: 2)
    one, two = fixed([])
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(fixed([])[0], one)


def test_a_layers_key_is_its_own():
    def drawn(name):
        with UpdateScope():
            y = random.uniform((4,), seed=rng.LayerKey(name))
        return Function([], [y], seed=lambda: 1, step=lambda: 2)([])[0]

    np.testing.assert_array_equal(drawn("dropout_1"), drawn("dropout_1"))
    assert not np.array_equal(drawn("dropout_1"), drawn("dropout_2"))


@pytest.mark.parametrize("symbolic", [False, True])
def test_dropout(symbolic):
    x = np.full((200, 50), 2.0, "float32")
    if symbolic:
        p = placeholder((None, 50))
        y, dx = Function([p], [d := random.dropout(p, 0.25), *gradients(d, [p])])([x])
        np.testing.assert_array_equal(dx * 2, y)
    else:
        y = random.dropout(x, 0.25)
    np.testing.assert_allclose(np.unique(y), [0, 2 / 0.75])
    assert abs((y == 0).mean() - 0.25) < 5 * math.sqrt(0.1875 / x.size)
    assert y.dtype == np.float32


def test_dropout_noise_shape():
    y = random.dropout(np.ones((40, 30)), 0.5, noise_shape=(None, 1))
    assert set(np.unique(y.mean(1)).tolist()) == {0.0, 2.0}
    p = placeholder((None, 30))
    y = Function([p], [random.dropout(p, 0.5, noise_shape=(1, None))])([np.ones((40, 30), "float32")])[0]
    assert set(np.unique(y.mean(0)).tolist()) == {0.0, 2.0}
    with pytest.raises(ValueError, match="does not broadcast"):
        random.dropout(np.ones((4, 3)), 0.5, noise_shape=(4, 2))


def test_dropout_rates():
    x = np.ones((3, 4))
    np.testing.assert_array_equal(random.dropout(x, 0), x)
    np.testing.assert_array_equal(random.dropout(x, 1), np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"the rate must lie in \[0, 1\]"):
        random.dropout(x, 1.5)
    with pytest.raises(ValueError, match="must be floats"):
        random.dropout(np.ones(3, "int32"), 0.5)


def test_categorical():
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]], "float32"))
    for x in (
        random.categorical(logits, N),
        Function([], [random.categorical(ops.add(constant(logits), 0), N)])([])[0],
    ):
        assert x.shape == (2, N)
        assert x.dtype == np.int32
        for row, p in zip(x, np.exp(logits), strict=True):
            np.testing.assert_allclose(np.bincount(row, minlength=3) / N, p, atol=0.02)
    with pytest.raises(ValueError, match="must be of shape"):
        random.categorical(np.ones(3), 2)


def test_shuffle():
    x = np.arange(60).reshape(20, 3)
    y = random.shuffle(x, seed=1)
    np.testing.assert_array_equal(np.sort(y[:, 0]), x[:, 0])
    np.testing.assert_array_equal(y - y[:, :1], x - x[:, :1])
    assert not np.array_equal(x, y)
    y = random.shuffle(x, axis=1)
    assert sorted(y[0]) == [0, 1, 2]


def test_errors():
    with pytest.raises(ValueError, match="must be below maxval"):
        random.uniform((3,), 1.0, 1.0)
    with pytest.raises(ValueError, match="use randint"):
        random.normal((3,), dtype="int32")
    with pytest.raises(ValueError, match="non-negative integers"):
        random.normal((-3,))
    with pytest.raises(ValueError, match="a seed must be"):
        random.normal((3,), seed="a")


def test_public_names():
    import kcore

    for name in kcore.random.__all__:
        assert getattr(kcore.random, name) is getattr(random, name)
