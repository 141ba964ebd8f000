"""Penalties against their formulas; configs in both Kerases' spelling."""

import numpy as np
import pytest

from kcore import regularizers
from kcore.graph import Variable, gradients

X = np.random.RandomState(0).standard_normal((4, 6))


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    product = np.abs(unit @ unit.T)
    return product[~np.eye(len(x), dtype=bool)].mean()


@pytest.mark.parametrize(
    ("regularizer", "penalty"),
    [
        (regularizers.L1L2(0.1, 0.2), 0.1 * np.abs(X).sum() + 0.2 * (X**2).sum()),
        (regularizers.L1L2(), 0.0),
        (regularizers.l1(0.3), 0.3 * np.abs(X).sum()),
        (regularizers.l2(0.3), 0.3 * (X**2).sum()),
        (regularizers.l2(l2=0.3), 0.3 * (X**2).sum()),
        (regularizers.l1_l2(), 0.01 * np.abs(X).sum() + 0.01 * (X**2).sum()),
        (regularizers.L1(0.5), 0.5 * np.abs(X).sum()),
        (regularizers.L2(), 0.01 * (X**2).sum()),
        (regularizers.OrthogonalRegularizer(0.7), 0.7 * cosines(X)),
        (regularizers.OrthogonalRegularizer(0.7, "columns"), 0.7 * cosines(X.T)),
    ],
)
def test_penalty(regularizer, penalty):
    assert float(regularizer(X)) == pytest.approx(penalty, rel=1e-12)
    assert float(regularizer(Variable(X))) == pytest.approx(penalty, rel=1e-12)


def test_gradient():
    w = Variable(X)
    (g,) = gradients(regularizers.L1L2(0.1, 0.2)(w), [w])
    np.testing.assert_allclose(g.numpy(), 0.1 * np.sign(X) + 0.4 * X)


def test_configs():
    config = regularizers.serialize(regularizers.l2(0.25))
    assert config == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.25}}
    for item in (
        regularizers.l1_l2(0.1, 0.2),
        regularizers.L1(0.3),
        regularizers.L2(0.3),
        regularizers.OrthogonalRegularizer(0.2, "columns"),
    ):
        copy = regularizers.deserialize(regularizers.serialize(item))
        assert type(copy) is type(item)
        assert copy.get_config() == item.get_config()
    assert regularizers.get("l2").get_config() == {"l1": 0.0, "l2": 0.01}
    assert regularizers.get("l1_l2").get_config() == {"l1": 0.01, "l2": 0.01}
    assert regularizers.get({"class_name": "L2", "config": {"l2": 0.5}}).l2 == 0.5
    assert regularizers.get(None) is None

    def mine(x):
        return x

    assert regularizers.get(mine) is mine


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regularizers.get("l3"), "did you mean 'l1'"),
        (lambda: regularizers.l1(-1.0), "must not be negative"),
        (lambda: regularizers.l2("a"), "must be a finite number"),
        (lambda: regularizers.L1L2(float("nan")), "must be a finite number"),
        (lambda: regularizers.OrthogonalRegularizer(mode="x"), "'rows' or 'columns'"),
        (lambda: regularizers.OrthogonalRegularizer()(np.ones((2, 2, 2))), "takes matrices"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_base_class_has_no_config():
    with pytest.raises(NotImplementedError, match="must define get_config"):
        regularizers.Regularizer().get_config()
