"""Activations against their formulas in float64; names and configs."""

import math

import numpy as np
import pytest

from kcore import activations
from kcore.graph import Function, gradients, placeholder
from kcore.utils.serialization import CustomObjectScope

erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.logaddexp(x, 0)


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def relu(x, alpha=0.0, max_value=np.inf, threshold=0.0):
    return np.where(x >= max_value, max_value, np.where(x > threshold, x, alpha * (x - threshold)))


SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)

FORMULAS = [
    ("softmax", {}, softmax),
    ("softmax", {"axis": 1}, lambda x: softmax(x, 1)),
    ("log_softmax", {}, lambda x: np.log(softmax(x))),
    ("elu", {}, elu),
    ("elu", {"alpha": 0.3}, lambda x: elu(x, 0.3)),
    ("celu", {"alpha": 2.0}, lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2))),
    ("selu", {}, lambda x: SELU[0] * elu(x, SELU[1])),
    ("softplus", {}, softplus),
    ("softsign", {}, lambda x: x / (1 + np.abs(x))),
    ("squareplus", {}, lambda x: (x + np.sqrt(x * x + 4)) / 2),
    ("relu", {}, relu),
    ("relu", {"alpha": 0.2}, lambda x: relu(x, 0.2)),
    ("relu", {"negative_slope": 0.2}, lambda x: relu(x, 0.2)),
    ("relu", {"max_value": 1.5}, lambda x: relu(x, max_value=1.5)),
    ("relu", {"threshold": 0.6}, lambda x: relu(x, threshold=0.6)),
    (
        "relu",
        {"alpha": 0.1, "max_value": 1.0, "threshold": 0.4},
        lambda x: relu(x, 0.1, 1.0, 0.4),
    ),
    ("leaky_relu", {}, lambda x: relu(x, 0.2)),
    ("leaky_relu", {"alpha": 0.3}, lambda x: relu(x, 0.3)),
    ("relu6", {}, lambda x: np.clip(x, 0, 6)),
    ("tanh", {}, np.tanh),
    ("sigmoid", {}, sigmoid),
    ("log_sigmoid", {}, lambda x: np.log(sigmoid(x))),
    ("hard_sigmoid", {}, lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
    ("hard_silu", {}, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("hard_swish", {}, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    ("hard_tanh", {}, lambda x: np.clip(x, -1, 1)),
    ("hard_shrink", {}, lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    ("soft_shrink", {}, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    ("tanh_shrink", {}, lambda x: x - np.tanh(x)),
    ("threshold", {"threshold": 0.5, "default_value": -2.0}, lambda x: np.where(x > 0.5, x, -2)),
    ("gelu", {}, lambda x: x * (1 + erf(x / math.sqrt(2))) / 2),
    (
        "gelu",
        {"approximate": True},
        lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    ),
    ("silu", {}, lambda x: x * sigmoid(x)),
    ("swish", {}, lambda x: x * sigmoid(x)),
    ("mish", {}, lambda x: x * np.tanh(softplus(x))),
    ("glu", {}, lambda x: x[..., :2] * sigmoid(x[..., 2:])),
    ("sparse_plus", {}, lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))),
    ("sparse_sigmoid", {}, lambda x: np.clip((x + 1) / 2, 0, 1)),
    ("exponential", {}, np.exp),
    ("linear", {}, lambda x: x),
]


def values(dtype):
    return (2 * np.random.RandomState(0).standard_normal((5, 3, 4))).astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("float64", 1e-12)])
@pytest.mark.parametrize(("name", "kwargs", "formula"), FORMULAS)
def test_formula(name, kwargs, formula, dtype, tolerance):
    x = values(dtype)
    wanted = formula(x.astype("float64"))
    function = getattr(activations, name)
    eager = function(x, **kwargs)
    assert eager.dtype == dtype
    np.testing.assert_allclose(eager, wanted, rtol=tolerance, atol=tolerance)
    symbolic = placeholder((None, 3, 4), dtype)
    y = function(symbolic, **kwargs)
    np.testing.assert_allclose(Function([symbolic], [y])([x])[0], wanted, rtol=tolerance, atol=tolerance)


def test_every_activation_has_a_formula():
    tested = {name for name, _, _ in FORMULAS} | {"sparsemax"}
    assert tested == set(activations._KNOWN)


def test_extreme_values_stay_finite():
    x = np.array([[-1e4, -100.0, 100.0, 1e4]], "float32")
    for name in (
        "softmax",
        "softplus",
        "sigmoid",
        "log_sigmoid",
        "elu",
        "selu",
        "gelu",
        "silu",
        "mish",
        "tanh",
    ):
        assert np.isfinite(getattr(activations, name)(x)).all(), name


@pytest.mark.parametrize("axis", [-1, 1])
def test_sparsemax_is_the_projection(axis):
    x = values("float64")
    p = activations.sparsemax(x, axis=axis)
    np.testing.assert_allclose(p.sum(axis), 1)
    assert (p >= 0).all()
    assert (p == 0).any()
    # The projection onto the simplex: x - p is one number where p > 0, and at most that elsewhere.
    rest = np.moveaxis(x - p, axis, -1).reshape(-1, x.shape[axis])
    for difference, inside in zip(rest, np.moveaxis(p, axis, -1).reshape(rest.shape) > 0, strict=True):
        assert np.ptp(difference[inside]) < 1e-12
        assert (difference[~inside] <= difference[inside].max() + 1e-12).all()


@pytest.mark.parametrize("name", ["sparsemax", "mish", "hard_sigmoid", "selu", "relu"])
def test_gradient(name):
    kwargs = {"alpha": 0.1, "max_value": 1.0, "threshold": 0.4} if name == "relu" else {}
    x = values("float64")
    weight = np.random.RandomState(1).standard_normal(x.shape)
    symbolic = placeholder(x.shape, "float64")
    y = getattr(activations, name)(symbolic, **kwargs) * weight
    got = Function([symbolic], gradients(y, [symbolic]))([x])[0]
    run = Function([symbolic], [y])
    for index in [(0, 0, 0), (1, 2, 3), (4, 1, 2), (2, 0, 1)]:
        moved = [x.copy(), x.copy()]
        moved[0][index] += 1e-6
        moved[1][index] -= 1e-6
        difference = (run([moved[0]])[0].sum() - run([moved[1]])[0].sum()) / 2e-6
        assert got[index] == pytest.approx(difference, rel=1e-5, abs=1e-6)


def test_no_slope_at_kinks():
    x = placeholder((5,), "float64")
    at = np.array([-1.0, 0.0, 0.5, 1.0, 6.0])
    for kwargs, wanted in [
        ({}, [0, 0, 1, 1, 1]),
        ({"alpha": 0.1}, [0.1, 0.1, 1, 1, 1]),
        ({"alpha": 0.1, "threshold": 0.5}, [0.1, 0.1, 0, 1, 1]),
        ({"alpha": 0.1, "max_value": 1.0}, [0.1, 0, 1, 1, 0]),
        ({"max_value": 6}, [0, 0, 1, 1, 0]),
        ({"max_value": 1.0}, [0, 0, 1, 1, 0]),
    ]:
        y = activations.relu(x, **kwargs)
        np.testing.assert_allclose(Function([x], gradients(y, [x]))([at])[0], wanted, err_msg=str(kwargs))


def test_get_and_serialize():
    assert activations.get(None) is activations.linear
    for name in activations._KNOWN:
        function = activations.get(name)
        assert function is getattr(activations, name)
        assert activations.get(activations.serialize(function)) is function
    keras3 = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "function"}
    assert activations.get(keras3) is activations.relu

    def mine(x):
        return x

    assert activations.get(mine) is mine
    with CustomObjectScope({"mine": mine}):
        assert activations.get(activations.serialize(mine)) is mine


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: activations.get("rleu"), "unknown activation 'rleu'; did you mean 'relu'"),
        (lambda: activations.get("zzz"), "known are celu"),
        (lambda: activations.get(5), "could not interpret 5 as an activation"),
        (lambda: activations.softmax(np.ones(3, "float32")), "rank 2 or more"),
        (lambda: activations.sparsemax(placeholder((2, None))), "needs a known extent"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
