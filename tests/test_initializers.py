"""Initial values: distributions, repeatability, configs in both Kerases' spelling."""

import math

import numpy as np
import pytest

from kcore import initializers
from kcore.random_seed import set_random_seed
from kcore.utils.serialization import CustomObjectScope

RANDOM = ["random_normal", "random_uniform", "truncated_normal", "glorot_uniform", "he_normal", "orthogonal"]
# name: scale, which fan, whether uniform
VARIANCES = {
    "glorot_uniform": (1, "avg", True),
    "glorot_normal": (1, "avg", False),
    "he_uniform": (2, "in", True),
    "he_normal": (2, "in", False),
    "lecun_uniform": (1, "in", True),
    "lecun_normal": (1, "in", False),
}


def test_constants():
    assert (initializers.Zeros()((2, 3)) == np.zeros((2, 3), "float32")).all()
    assert initializers.get("ones")((2,), "float64").dtype == np.float64
    assert (initializers.Constant(2.5)((2, 2)) == 2.5).all()
    assert (initializers.Constant([1, 2])((3, 2)) == [[1, 2]] * 3).all()
    assert (initializers.Constant(np.arange(6))((2, 3)) == np.arange(6).reshape(2, 3)).all()
    assert initializers.Zeros()((2,), "int32").dtype == np.int32
    with pytest.raises(ValueError, match=r"shape \(4,\) does not fit .* \(2, 3\)"):
        initializers.Constant([1, 2, 3, 4])((2, 3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_moments(dtype):
    shape = (300, 400)
    normal = initializers.RandomNormal(1.0, 2.0, seed=1)(shape, dtype)
    assert normal.dtype == dtype
    assert abs(normal.mean() - 1) < 0.03
    assert abs(normal.std() - 2) < 0.03
    uniform = initializers.RandomUniform(-1, 3, seed=2)(shape, dtype)
    assert uniform.min() >= -1
    assert uniform.max() <= 3
    assert abs(uniform.mean() - 1) < 0.02
    assert abs(uniform.std() - 4 / math.sqrt(12)) < 0.02
    truncated = initializers.TruncatedNormal(0.5, 0.1, seed=3)(shape, dtype)
    assert np.abs(truncated - 0.5).max() <= 0.2 * (1 + 1e-6)
    assert abs(truncated.std() - 0.1 * initializers.TRUNCATED_STDDEV) < 1e-3


@pytest.mark.parametrize("name", sorted(VARIANCES))
@pytest.mark.parametrize(("shape", "fans"), [((300, 200), (300, 200)), ((3, 3, 40, 60), (360, 540))])
def test_variance_scaling(name, shape, fans):
    scale, mode, uniform = VARIANCES[name]
    variance = scale / (fans[0] if mode == "in" else sum(fans) / 2)
    camel = "".join(part.capitalize() for part in name.split("_"))
    values = initializers.get(name)(shape)
    for drawn in (values, initializers.get(camel)(shape), getattr(initializers, name)(seed=7)(shape)):
        assert abs(drawn.std() / math.sqrt(variance) - 1) < 0.02
        limit = (
            math.sqrt(3 * variance) if uniform else 2 * math.sqrt(variance) / initializers.TRUNCATED_STDDEV
        )
        assert 0.99 * limit < np.abs(drawn).max() <= limit * (1 + 1e-6)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((9,), (3, 3)), ((2, 5), (2, 5)), ((4, 2, 5), (8, 20)), ((2, 3, 4, 5, 6), (120, 144))],
)
def test_fans(shape, fans):
    assert initializers.compute_fans(shape) == fans


def test_fans_of_given_axes():
    assert initializers.compute_fans((2, 3, 4, 5), (0, 1), (2,)) == (6, 4)
    assert initializers.compute_fans((2, 3, 4), (0,), None) == (6, 8)
    initializer = initializers.GlorotUniform(seed=1, input_axes=[0, 1], output_axes=[2])
    limit = math.sqrt(6 / (600 + 40))
    assert 0.99 * limit < np.abs(initializer((20, 30, 40))).max() <= limit
    config = initializers.serialize(initializer)
    assert config["config"] == {"seed": 1, "input_axes": (0, 1), "output_axes": (2,)}
    assert initializers.serialize(initializers.deserialize(config)) == config
    unset = {"class_name": "HeNormal", "config": {"seed": 1, "input_axes": None, "output_axes": None}}
    assert initializers.deserialize(unset).get_config() == {"seed": 1}


def test_orthogonal():
    for shape in [(5, 5), (7, 3), (3, 7), (3, 3, 2, 8)]:
        w = initializers.Orthogonal(gain=2.0, seed=4)(shape, "float64").reshape(-1, shape[-1]) / 2
        product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
        np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-12)
    with pytest.raises(ValueError, match="rank 2 or more"):
        initializers.Orthogonal()((3,))


def test_identity():
    assert (initializers.Identity(3.0)((2, 3)) == 3 * np.eye(2, 3)).all()
    with pytest.raises(ValueError, match="matrices"):
        initializers.Identity()((2, 2, 2))


@pytest.mark.parametrize("name", RANDOM)
def test_repeatability(name):
    cls = type(initializers.get(name))
    seeded = cls(seed=5)
    assert (seeded((6, 4)) == seeded((6, 4))).all()
    assert (seeded((6, 4)) == cls.from_config(seeded.get_config())((6, 4))).all()
    assert (seeded((6, 4)) != cls(seed=6)((6, 4))).any()
    unseeded = initializers.get(name)
    assert (unseeded((6, 4)) != unseeded((6, 4))).any()
    for start in (np.random.seed, set_random_seed):
        start(1)
        first, second = unseeded((6, 4)), unseeded((6, 4))
        start(1)
        assert (unseeded((6, 4)) == first).all()
        assert (unseeded((6, 4)) == second).all()
    assert unseeded((0, 4)).shape == (0, 4)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "a", True])
def test_set_random_seed_refuses(seed):
    with pytest.raises(ValueError, match="random seed"):
        set_random_seed(seed)


def test_configs():
    assert initializers.serialize(initializers.get("he_normal")) == {
        "class_name": "VarianceScaling",
        "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal", "seed": None},
    }
    assert initializers.serialize(initializers.GlorotUniform(seed=3)) == {
        "class_name": "GlorotUniform",
        "config": {"seed": 3},
    }
    keras3 = {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": 3},
        "registered_name": None,
    }
    assert isinstance(initializers.get(keras3), initializers.GlorotUniform)
    keras2 = {"class_name": "glorot_uniform", "config": {"seed": 3}}
    assert initializers.get(keras2).get_config() == initializers.glorot_uniform(3).get_config()
    assert initializers.get({"class_name": "Zeros", "config": {"dtype": "float32"}})((1,)) == 0
    for name in ("zero", "one", "uniform", "normal", "identity", "constant", "variance_scaling"):
        config = initializers.serialize(initializers.get(name))
        assert initializers.serialize(initializers.deserialize(config)) == config


def test_custom():
    def mine(shape, dtype=None):
        return np.full(shape, 7, dtype)

    class Sevens(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 7.0, dtype)

    assert initializers.get(mine) is mine
    assert isinstance(initializers.get(Sevens), Sevens)
    assert initializers.serialize(mine) == "mine"
    with CustomObjectScope({"Sevens": Sevens, "mine": mine}):
        assert isinstance(initializers.get("Sevens"), Sevens)
        assert initializers.get("mine") is mine
        assert isinstance(initializers.get(initializers.serialize(Sevens())), Sevens)
    assert initializers.get(None) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.get("glorot_unifrom"), "did you mean 'glorot_uniform'"),
        (lambda: initializers.get("GlorotUnifrm"), "did you mean 'GlorotUniform'"),
        (lambda: initializers.get({"class_name": "Zeroes", "config": {}}), "did you mean 'Zeros'"),
        (lambda: initializers.get("qqqq"), "known are .*Zeros"),
        (lambda: initializers.get(3), r"use Constant\(3\)"),
        (lambda: initializers.get([1]), "expected a name, a config or a callable"),
        (lambda: initializers.VarianceScaling(scale=0), "scale must be positive"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode must be one of fan_in, fan_out, fan_avg"),
        (lambda: initializers.VarianceScaling(distribution="x"), "distribution must be one of"),
        (lambda: initializers.RandomNormal(seed="a"), "seed must be an integer"),
        (lambda: initializers.RandomNormal(seed=-1), "must not be negative"),
        (lambda: initializers.RandomNormal()((2,), "int32"), "makes floats"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
