"""Initializers by their statistics, regularizers and constraints by their values."""

import numpy as np
import pytest
from referee import TOLERANCE, assert_close, family

from kcore import constraints, initializers, regularizers
from kcore.graph import Function, Tensor, Variable, evaluate, gradients, placeholder

CASES = family("values")


def named(kind):
    return [name for name, case in CASES.items() if kind in case]


def value_of(x):
    return evaluate([x])[0] if isinstance(x, Tensor) else np.asarray(x)


@pytest.mark.parametrize("case", named("initializer"))
def test_initializer(case):
    case = CASES[case]
    make = getattr(initializers, case["initializer"])
    value = value_of(make(**case["kwargs"])(tuple(case["shape"]))).astype("float64")
    assert value.shape == tuple(case["shape"])
    if "value" in case["arrays"]:
        return assert_close(value, case["arrays"]["value"], TOLERANCE["float32"], "value")
    if "gram" in case["arrays"]:
        matrix = value.reshape(-1, value.shape[-1])
        matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        return assert_close(matrix.T @ matrix, case["arrays"]["gram"], TOLERANCE["float32"], "Gram matrix")
    # Five standard errors: of the mean, and of the standard deviation (at most as for a normal).
    count, deviation = value.size, case["stddev"]
    assert abs(value.mean() - case["mean"]) < 5 * deviation / np.sqrt(count)
    assert abs(value.std() - deviation) < 5 * deviation / np.sqrt(2 * count)
    if case["limit"] is not None:
        largest = np.abs(value - case["mean"]).max()
        assert 0.95 * case["limit"] < largest <= case["limit"] * (1 + 1e-6)


@pytest.mark.parametrize("case", named("initializer"))
def test_seeded_initializer(case):
    """The same seed gives the same values; another seed, or another call, gives others."""
    case = CASES[case]
    if "value" in case["arrays"]:
        pytest.skip("not random")
    make, shape = getattr(initializers, case["initializer"]), tuple(case["shape"])
    one, two, other = (value_of(make(**case["kwargs"], seed=seed)(shape)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).mean() > 0.99


@pytest.mark.parametrize("case", named("regularizer"))
def test_regularizer(case):
    case = CASES[case]
    data = case["arrays"]
    regularizer = getattr(regularizers, case["regularizer"])(**case["kwargs"])
    weight = placeholder(data["weight"].shape, "float32")
    value = regularizer(weight)
    grads = gradients(value, [weight])
    got = Function([weight], [value, *grads])([data["weight"]])
    assert_close(got[0], data["value"], TOLERANCE["float32"], "value")
    assert_close(got[1], data["gradient"], TOLERANCE["float32"], "gradient")


@pytest.mark.parametrize("case", named("constraint"))
def test_constraint(case):
    case = CASES[case]
    constraint = getattr(constraints, case["constraint"])(**case["kwargs"])
    weight = Variable(case["arrays"]["weight"], "float32")
    assert_close(value_of(constraint(weight)), case["arrays"]["value"], TOLERANCE["float32"], "value")
