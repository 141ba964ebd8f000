"""Losses against their formulas in float64, reductions and weights, gradients at extremes, configs."""

import numpy as np
import pytest

from kcore import activations, losses, ops
from kcore.graph import Function, gradients, placeholder
from kcore.utils import losses_utils
from kcore.utils.losses_utils import Reduction

EPSILON = 1e-7
rng = np.random.RandomState(0)
REAL = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
POSITIVE = np.abs(REAL[0]), np.abs(REAL[1]) + 0.01
UNIT = rng.uniform(0.02, 0.98, (6, 4))
YES_NO = rng.randint(0, 2, (6, 4)).astype("float64"), UNIT
SIGNS = 2 * YES_NO[0] - 1, REAL[1]
CLASSES = rng.randint(0, 4, 6)
ONE_HOT = np.eye(4)[CLASSES], UNIT
ONE_HOT_LOGITS = ONE_HOT[0], 3 * REAL[1]
INDICES = CLASSES, UNIT
INDICES_LOGITS = CLASSES, 3 * REAL[1]


def log_softmax(x, axis=-1):
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mse(t, p):
    return ((p - t) ** 2).mean(-1)


def huber(t, p, delta=1.0):
    d = np.abs(p - t)
    return np.where(d <= delta, 0.5 * d**2, delta * d - 0.5 * delta**2)


def cosine(t, p, axis=-1):
    return -(t * p).sum(axis) / np.sqrt((t**2).sum(axis) * (p**2).sum(axis))


def categorical(t, p, from_logits=False, label_smoothing=0):
    t = t * (1 - label_smoothing) + label_smoothing / t.shape[-1]
    return -(t * (log_softmax(p) if from_logits else np.log(p / p.sum(-1, keepdims=True)))).sum(-1)


def sparse(t, p, from_logits=False, ignore_class=None):
    values = categorical(np.eye(4)[t], p, from_logits)
    return values if ignore_class is None else np.where(t == ignore_class, 0, values)


def binary(t, p, from_logits=False, label_smoothing=0):
    p = sigmoid(p) if from_logits else p
    t = t * (1 - label_smoothing) + 0.5 * label_smoothing
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)


def binary_focal(t, p, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False):
    p = sigmoid(p) if from_logits else p
    true = np.where(t == 1, p, 1 - p)
    weight = np.where(t == 1, alpha, 1 - alpha) if apply_class_balancing else 1
    return (-weight * (1 - true) ** gamma * np.log(true)).mean(-1)


def categorical_focal(t, p, alpha=0.25, gamma=2.0, from_logits=False):
    p = np.exp(log_softmax(p)) if from_logits else p / p.sum(-1, keepdims=True)
    return -(alpha * (1 - p) ** gamma * t * np.log(p)).sum(-1)


def kld(t, p):
    t = np.maximum(t, EPSILON)
    return (t * np.log(t / p)).sum(-1)


def dice(t, p, axis=None):
    return 1 - 2 * (t * p).sum(axis) / (t.sum(axis) + p.sum(axis))


def tversky(t, p, alpha=0.5, beta=0.5):
    tp, fp, fn = (t * p).sum(), ((1 - t) * p).sum(), (t * (1 - p)).sum()
    return 1 - tp / (tp + alpha * fp + beta * fn)


# function, class, arguments, formula, data
CASES = [
    ("mean_squared_error", "MeanSquaredError", {}, mse, REAL),
    ("mean_absolute_error", "MeanAbsoluteError", {}, lambda t, p: np.abs(p - t).mean(-1), REAL),
    (
        "mean_absolute_percentage_error",
        "MeanAbsolutePercentageError",
        {},
        lambda t, p: 100 * np.abs((p - t) / t).mean(-1),
        REAL,
    ),
    (
        "mean_squared_logarithmic_error",
        "MeanSquaredLogarithmicError",
        {},
        lambda t, p: ((np.log1p(p) - np.log1p(t)) ** 2).mean(-1),
        POSITIVE,
    ),
    ("squared_hinge", "SquaredHinge", {}, lambda t, p: (np.maximum(1 - t * p, 0) ** 2).mean(-1), SIGNS),
    ("hinge", "Hinge", {}, lambda t, p: np.maximum(1 - t * p, 0).mean(-1), SIGNS),
    (
        "categorical_hinge",
        "CategoricalHinge",
        {},
        lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0),
        ONE_HOT_LOGITS,
    ),
    ("logcosh", "LogCosh", {}, lambda t, p: np.log(np.cosh(p - t)).mean(-1), REAL),
    ("huber_loss", "Huber", {}, huber, REAL),
    ("huber_loss", "Huber", {"delta": 0.4}, huber, REAL),
    ("huber", None, {"delta": 0.4}, lambda t, p, delta: huber(t, p, delta).mean(-1), REAL),
    ("poisson", "Poisson", {}, lambda t, p: (p - t * np.log(p + EPSILON)).mean(-1), POSITIVE),
    ("kullback_leibler_divergence", "KLDivergence", {}, kld, YES_NO),
    ("cosine_proximity", "CosineSimilarity", {}, cosine, REAL),
    ("cosine_proximity", "CosineSimilarity", {"axis": 0}, cosine, REAL),
    ("categorical_crossentropy", "CategoricalCrossentropy", {}, categorical, ONE_HOT),
    ("categorical_crossentropy", "CategoricalCrossentropy", {"label_smoothing": 0.2}, categorical, ONE_HOT),
    (
        "categorical_crossentropy",
        "CategoricalCrossentropy",
        {"from_logits": True, "label_smoothing": 0.2},
        categorical,
        ONE_HOT_LOGITS,
    ),
    ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", {}, sparse, INDICES),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        sparse,
        INDICES_LOGITS,
    ),
    (
        "sparse_categorical_crossentropy",
        "SparseCategoricalCrossentropy",
        {"ignore_class": int(CLASSES[0])},
        sparse,
        INDICES,
    ),
    ("binary_crossentropy", "BinaryCrossentropy", {}, binary, YES_NO),
    ("binary_crossentropy", "BinaryCrossentropy", {"label_smoothing": 0.1}, binary, YES_NO),
    (
        "binary_crossentropy",
        "BinaryCrossentropy",
        {"from_logits": True},
        binary,
        (YES_NO[0], 3 * REAL[0]),
    ),
    ("binary_focal_crossentropy", "BinaryFocalCrossentropy", {}, binary_focal, YES_NO),
    (
        "binary_focal_crossentropy",
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "from_logits": True},
        binary_focal,
        (YES_NO[0], REAL[0]),
    ),
    ("categorical_focal_crossentropy", "CategoricalFocalCrossentropy", {}, categorical_focal, ONE_HOT),
    (
        "categorical_focal_crossentropy",
        "CategoricalFocalCrossentropy",
        {"alpha": 0.5, "gamma": 1.0, "from_logits": True},
        categorical_focal,
        ONE_HOT_LOGITS,
    ),
    (
        "categorical_generalized_cross_entropy",
        "CategoricalGeneralizedCrossEntropy",
        {"q": 0.7},
        lambda t, p, q: (1 - p[np.arange(6), t] ** q) / q,
        INDICES,
    ),
    ("dice", "Dice", {}, dice, YES_NO),
    ("dice", "Dice", {"axis": 1}, dice, YES_NO),
    ("tversky", "Tversky", {"alpha": 0.3, "beta": 0.7}, tversky, YES_NO),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 2e-7)])
@pytest.mark.parametrize(("name", "cls", "kwargs", "formula", "data"), CASES)
def test_function(name, cls, kwargs, formula, data, dtype, tolerance):
    t, p = data
    p = p.astype(dtype)
    wanted = formula(t, p.astype("float64"), **kwargs)
    function = getattr(losses, name)
    got = function(t, p, **kwargs)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    true = placeholder((None,) * t.ndim, t.dtype)
    predicted = placeholder((None, 4), dtype)
    compiled = Function([true, predicted], [function(true, predicted, **kwargs)])
    np.testing.assert_allclose(compiled([t, p])[0], wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "cls", "kwargs", "formula", "data"), [c for c in CASES if c[1]])
def test_class(name, cls, kwargs, formula, data):
    t, p = data
    values = formula(t, p, **kwargs)
    loss = getattr(losses, cls)(**kwargs)
    assert float(loss(t, p)) == pytest.approx(values.mean(), rel=1e-6)
    loss = getattr(losses, cls)(reduction="sum", **kwargs)
    assert float(loss(t, p)) == pytest.approx(values.sum(), rel=1e-6)
    loss = getattr(losses, cls)(reduction="none", **kwargs)
    np.testing.assert_allclose(loss(t, p), values, rtol=1e-6, atol=1e-6)
    assert losses.serialize(losses.deserialize(losses.serialize(loss))) == losses.serialize(loss)
    if values.ndim == 1 and values.shape == (6,):
        weight = np.arange(6.0)
        weighted = getattr(losses, cls)(**kwargs)(t, p, sample_weight=weight)
        assert float(weighted) == pytest.approx((values * weight).mean(), rel=1e-6)
        mean = getattr(losses, cls)(reduction="mean_with_sample_weight", **kwargs)(t, p, weight)
        assert float(mean) == pytest.approx((values * weight).sum() / weight.sum(), rel=1e-6)


@pytest.mark.parametrize(("name", "cls", "kwargs", "formula", "data"), CASES)
def test_gradient(name, cls, kwargs, formula, data):
    t, p = data
    predicted = placeholder(p.shape, "float64")
    total = ops.sum(getattr(losses, name)(t, predicted, **kwargs))
    got = Function([predicted], gradients(total, [predicted]))([p])[0]
    for index in [(0, 0), (2, 3), (5, 1)]:
        up, down = p.copy(), p.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        difference = (formula(t, up, **kwargs).sum() - formula(t, down, **kwargs).sum()) / 2e-6
        assert got[index] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_every_loss_is_tested():
    tested = {c[0] for c in CASES} | {c[1] for c in CASES if c[1]}
    own = {
        getattr(value, "__name__", name)
        for name, value in losses._KNOWN.items()
        if value not in (losses.Loss, losses.LossFunctionWrapper)
    }
    assert own == tested


def test_crossentropies_are_clipped():
    limit = -np.log(EPSILON)
    assert losses.categorical_crossentropy([[1.0, 0.0]], np.array([[0.0, 1.0]]))[0] == pytest.approx(limit)
    assert losses.binary_crossentropy([[1.0]], np.array([[0.0]]))[0] == pytest.approx(limit, rel=1e-6)
    clipped = np.array([[EPSILON, 1 - EPSILON]])
    wanted = -np.log(clipped / clipped.sum())[0, 0]
    assert losses.sparse_categorical_crossentropy([0], np.array([[0.0, 1.0]]))[0] == pytest.approx(wanted)


def test_logits_of_a_softmax_are_used():
    """A probability that underflows to 0 still has a loss and a gradient."""
    logits = placeholder((None, 3))
    p = activations.softmax(logits)
    x = np.array([[0.0, 300.0, 0.0]], "float32")
    for loss in (
        losses.categorical_crossentropy([[1.0, 0.0, 0.0]], p),
        losses.sparse_categorical_crossentropy([0], p),
    ):
        value, gradient = Function([logits], [loss, *gradients(loss, [logits])])([x])
        np.testing.assert_allclose(value, [300])
        np.testing.assert_allclose(gradient, [[-1, 1, 0]], atol=1e-6)
    logits = placeholder((None, 1))
    loss = losses.binary_crossentropy([[0.0]], activations.sigmoid(logits))
    value, gradient = Function([logits], [loss, *gradients(loss, [logits])])([np.array([[80.0]], "float32")])
    np.testing.assert_allclose(value, [80])
    np.testing.assert_allclose(gradient, [[1]])


def test_targets_of_other_dtypes_and_ranks():
    p = np.array([[0.2], [0.7], [0.4]], "float32")
    for t in (
        np.array([0, 1, 1]),
        np.array([[0], [1], [1]], "uint8"),
        [0, 1, 1],
        np.array([False, True, True]),
    ):
        wanted = -np.log([0.8, 0.7, 0.4]).mean()
        assert losses.BinaryCrossentropy()(t, p) == pytest.approx(wanted, rel=1e-6)
        assert losses.MeanSquaredError()(t, p) == pytest.approx((0.04 + 0.09 + 0.36) / 3, rel=1e-6)
    assert losses.MeanSquaredError()(np.ones((3, 1)), np.zeros(3)) == 1.0
    p = np.full((2, 3, 4), 0.25)
    assert losses.sparse_categorical_crossentropy(np.zeros((2, 3, 1), int), p).shape == (2, 3)
    assert losses.sparse_categorical_crossentropy(np.zeros((2, 4), int), p, axis=1).shape == (2, 4)


def test_weights():
    values = np.arange(12.0).reshape(3, 4)
    compute = losses_utils.compute_weighted_loss
    for weight in (np.array(2.0), np.ones((3, 4)), np.ones((3, 1)), np.ones(3), np.ones((3, 4, 1)), 2.0):
        scale = 2.0 if np.ndim(weight) == 0 else 1.0
        assert float(compute(values, weight, Reduction.SUM)) == scale * 66
    cube = np.arange(24.0).reshape(2, 3, 4)
    assert float(compute(cube, np.array([1.0, 3.0]), "sum")) == cube[0].sum() + 3 * cube[1].sum()
    rows = np.array([1.0, 0.0, 2.0])
    assert float(compute(values, rows, "sum")) == 6 + 2 * 38
    assert float(compute(values, rows)) == (6 + 2 * 38) / 12
    np.testing.assert_array_equal(compute(values, rows, None), values * rows[:, None])
    assert float(compute(values, None, "auto")) == values.mean()
    assert float(compute(np.zeros((0, 3)), None)) == 0
    for weight, shape in ((np.ones((2, 4)), "2, 4"), (np.ones((3, 2)), "3, 2")):
        with pytest.raises(ValueError, match=rf"weights of shape \({shape}\) do not fit"):
            compute(values, weight)
    with pytest.raises(ValueError, match="unknown loss reduction 'mode'"):
        compute(values, None, "mode")
    broadcast = losses_utils.broadcast_weights(values, np.ones((3, 1)))
    assert broadcast.shape == (3, 4)


def test_squeeze_or_expand_dimensions():
    squeeze = losses_utils.squeeze_or_expand_dimensions
    p, t, w = squeeze(np.ones((3, 1)), np.ones(3), np.ones((3, 1)))
    assert (p.shape, t.shape, w.shape) == ((3,), (3,), (3,))
    p, t, w = squeeze(np.ones((3, 2)), np.ones((3, 2, 1)), np.ones(3))
    assert (p.shape, t.shape, w.shape) == ((3, 2), (3, 2), (3, 1))
    assert squeeze(np.ones(3))[1:] == (None, None)


def test_symbolic_weights():
    t, p, w = placeholder((None, 4)), placeholder((None, 4)), placeholder((None,))
    loss = Function([t, p, w], [losses.MeanSquaredError()(t, p, w)])
    data = [x.astype("float32") for x in (*REAL, np.arange(6.0))]
    assert loss(data)[0] == pytest.approx((mse(*REAL) * np.arange(6)).mean(), rel=1e-5)


def test_custom_losses():
    def mine(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=-1)

    class Mine(losses.Loss):
        def call(self, y_true, y_pred):
            return mine(y_true, y_pred)

    assert losses.get(mine) is mine
    wanted = np.abs(REAL[0] - REAL[1]).mean()
    assert float(losses.LossFunctionWrapper(mine)(*REAL)) == pytest.approx(wanted)
    assert float(losses.get(Mine)(*REAL)) == pytest.approx(wanted)
    for loss in (Mine("sum", "mine"), Mine("mine", "sum")):
        assert loss.name == "mine"
        assert float(loss(*REAL)) == pytest.approx(6 * wanted)
    assert Mine(name="x").get_config() == {"reduction": "sum_over_batch_size", "name": "x"}
    found = losses.deserialize({"class_name": "Mine", "config": {"name": "n"}}, {"Mine": Mine})
    assert isinstance(found, Mine)
    assert losses.deserialize("mine", {"mine": mine}) is mine


def test_names_and_configs():
    aliases = {
        "mse": "mean_squared_error",
        "MAE": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error",
        "MSLE": "mean_squared_logarithmic_error",
        "kld": "kullback_leibler_divergence",
        "bce": "binary_crossentropy",
        "cosine_similarity": "cosine_proximity",
        "log_cosh": "logcosh",
    }
    for alias, name in aliases.items():
        assert losses.get(alias) is getattr(losses, name)
        assert losses.serialize(losses.get(alias)) == name
    assert losses.CategoricalCrossentropy(label_smoothing=0.1).get_config() == {
        "from_logits": False,
        "label_smoothing": 0.1,
        "reduction": "sum_over_batch_size",
        "name": "categorical_crossentropy",
    }
    keras3 = {
        "module": "keras.losses",
        "class_name": "BinaryCrossentropy",
        "config": {
            "name": "binary_crossentropy",
            "reduction": "sum_over_batch_size",
            "from_logits": True,
            "label_smoothing": 0.0,
            "axis": -1,
        },
        "registered_name": None,
    }
    assert losses.get(keras3).get_config()["from_logits"] is True
    with_fn = {"class_name": "Huber", "config": {"fn": "huber", "delta": 0.5, "name": "h"}}
    assert losses.get(with_fn).get_config()["delta"] == 0.5
    wrapper = losses.LossFunctionWrapper(losses.hinge, "sum", "w")
    assert losses.serialize(losses.get(losses.serialize(wrapper))) == losses.serialize(wrapper)
    assert losses.get(None) is None
    for loss in (
        "categorical_crossentropy",
        losses.categorical_crossentropy,
        losses.CategoricalCrossentropy(),
    ):
        assert losses.is_categorical_crossentropy(loss)
    assert not losses.is_categorical_crossentropy(losses.mean_squared_error)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.get("mean_sqared_error"), "did you mean 'mean_squared_error'"),
        (lambda: losses.get("MeanSquareError"), "did you mean 'MeanSquaredError'"),
        (lambda: losses.get(3), "could not interpret 3 as a loss"),
        (lambda: losses.MeanSquaredError(reduction="mode"), "unknown loss reduction 'mode'"),
        (lambda: losses.sparse_categorical_crossentropy(np.zeros((6, 2)), UNIT), "do not fit"),
        (lambda: losses.sparse_categorical_crossentropy(CLASSES, UNIT, axis=2), "axis 2"),
        (lambda: losses.categorical_generalized_cross_entropy(CLASSES, UNIT, 0.0), r"q must lie in \(0, 1\]"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_base_class_must_be_completed():
    with pytest.raises(NotImplementedError, match="must define call"):
        losses.Loss()(REAL[0], REAL[1])


def test_gradients_at_ties():
    """Where a maximum is a tie, the gradient goes to its first argument."""
    p = placeholder((1, 2), "float64")
    cases = [
        (losses.categorical_hinge([[1.0, 0.0]], p), [[1.0, 0.0]], [[0, 0]]),
        (losses.hinge([[1.0, 1.0]], p), [[1.0, 0.0]], [[-0.5, -0.5]]),
        (losses.binary_crossentropy([[1.0, 0.0]], p, from_logits=True), [[0.0, 0.0]], [[-0.25, 0.25]]),
        (losses.mean_absolute_error([[1.0, 0.0]], p), [[1.0, 3.0]], [[0, 0.5]]),
    ]
    for loss, at, wanted in cases:
        got = Function([p], gradients(loss, [p]))([np.array(at)])[0]
        np.testing.assert_allclose(got, wanted, atol=1e-12)
