"""Projections against their formulas; configs."""

import numpy as np
import pytest

from kcore import constraints

W = np.random.RandomState(0).standard_normal((3, 3, 2, 5))
EPSILON = 1e-7


def norms(axis):
    return np.sqrt((W**2).sum(axis, keepdims=True))


def test_non_neg():
    np.testing.assert_array_equal(constraints.NonNeg()(W), np.maximum(W, 0))


@pytest.mark.parametrize("axis", [0, 3, [0, 1, 2]])
def test_norms(axis):
    axes = tuple(axis) if isinstance(axis, list) else axis
    n = norms(axes)
    got = constraints.MaxNorm(1.5, axis)(W)
    np.testing.assert_allclose(got, W * np.clip(n, 0, 1.5) / (EPSILON + n), rtol=1e-12)
    got = constraints.UnitNorm(axis)(W)
    np.testing.assert_allclose(got, W / (EPSILON + n), rtol=1e-12)
    got = constraints.MinMaxNorm(1.0, 2.0, 0.75, axis)(W)
    wanted = W * (0.75 * np.clip(n, 1, 2) + 0.25 * n) / (EPSILON + n)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_zero_vectors_stay_finite():
    for constraint in (constraints.MaxNorm(), constraints.UnitNorm(), constraints.MinMaxNorm()):
        assert np.isfinite(constraint(np.zeros((2, 2), "float32"))).all()


def test_configs():
    for item in (
        constraints.NonNeg(),
        constraints.MaxNorm(3, [0, 1]),
        constraints.UnitNorm(1),
        constraints.MinMaxNorm(0.1, 0.9, 0.5, 1),
    ):
        copy = constraints.deserialize(constraints.serialize(item))
        assert type(copy) is type(item)
        assert copy.get_config() == item.get_config()
    for name in ("max_norm", "maxnorm", "non_neg", "nonneg", "unit_norm", "unitnorm", "min_max_norm"):
        assert isinstance(constraints.get(name), constraints.Constraint)
    config = {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}
    assert constraints.serialize(constraints.get(config)) == config
    assert constraints.get(None) is None


def test_errors():
    with pytest.raises(ValueError, match="did you mean 'MaxNorm'"):
        constraints.get("MaxNrm")
    with pytest.raises(NotImplementedError, match="must define __call__"):
        constraints.Constraint()(W)
