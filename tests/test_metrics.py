"""Metrics over several batches against formulas on all samples in float64; weights, state, configs."""

import copy
import math
import pickle

import numpy as np
import pytest

from kcore import losses, metrics, ops
from kcore.graph import Function, UpdateScope, placeholder
from kcore.utils import metrics_utils

BATCHES = [5, 5, 3]
CUBE = np.ones((2, 2, 2))


def batches(draw, seed=0):
    rng = np.random.RandomState(seed)
    return [(*draw(rng, n), rng.uniform(0.1, 2, n)) for n in BATCHES]


def joined(data):
    return [np.concatenate(parts) for parts in zip(*data, strict=True)]


def real(rng, n):
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 3))


def positive(rng, n):
    return rng.uniform(0.1, 2, (n, 3)), rng.uniform(0.1, 2, (n, 3))


def binary(rng, n):
    return rng.randint(0, 2, (n, 3)).astype("float64"), rng.uniform(0.01, 0.99, (n, 3))


def column(rng, n):
    return rng.randint(0, 2, (n, 1)).astype("float64"), rng.uniform(0.01, 0.99, (n, 1))


def one_hot(rng, n):
    return np.eye(5)[rng.randint(0, 5, n)], rng.uniform(0.01, 0.99, (n, 5))


def indices(rng, n):
    return rng.randint(0, 5, (n, 1)), rng.uniform(0.01, 0.99, (n, 5))


def flat_indices(rng, n):
    return rng.randint(0, 5, n), rng.uniform(0.01, 0.99, (n, 5))


def signs(rng, n):
    return 2.0 * rng.randint(0, 2, (n, 3)) - 1, rng.standard_normal((n, 3))


def labels(rng, n):
    return rng.randint(0, 4, n), rng.randint(0, 4, n)


def hot(t):
    return np.eye(5)[np.ravel(t)]


def in_top(t, p, k):
    own = (hot(t) * p).sum(-1, keepdims=True) if t.shape != p.shape else (t * p).sum(-1, keepdims=True)
    return ((p > own).sum(-1) < k).astype(float)


def crossentropy(t, p):
    return -(t * np.log(p / p.sum(-1, keepdims=True))).sum(-1)


def divergence(t, p):
    t = np.maximum(t, 1e-7)
    return (t * np.log(t / p)).sum(-1)


def pearson(t, p):
    return [np.corrcoef(a, b)[0, 1] for a, b in zip(t, p, strict=True)]


def cosine(t, p, axis=-1):
    return (t * p).sum(axis) / np.sqrt((t**2).sum(axis) * (p**2).sum(axis))


# class, arguments, value of each sample, data
MEANS = [
    ("MeanSquaredError", {}, lambda t, p: ((t - p) ** 2).mean(-1), real),
    ("MeanAbsoluteError", {}, lambda t, p: np.abs(t - p).mean(-1), real),
    ("MeanAbsolutePercentageError", {}, lambda t, p: 100 * np.abs((t - p) / t).mean(-1), positive),
    (
        "MeanSquaredLogarithmicError",
        {},
        lambda t, p: ((np.log1p(t) - np.log1p(p)) ** 2).mean(-1),
        positive,
    ),
    ("LogCoshError", {}, lambda t, p: np.log(np.cosh(t - p)).mean(-1), real),
    ("Poisson", {}, lambda t, p: (p - t * np.log(p + 1e-7)).mean(-1), positive),
    (
        "KLDivergence",
        {},
        lambda t, p: (np.maximum(t, 1e-7) * np.log(np.maximum(t, 1e-7) / p)).sum(-1),
        binary,
    ),
    ("Hinge", {}, lambda t, p: np.maximum(1 - t * p, 0).mean(-1), signs),
    ("SquaredHinge", {}, lambda t, p: (np.maximum(1 - t * p, 0) ** 2).mean(-1), signs),
    (
        "CategoricalHinge",
        {},
        lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0),
        one_hot,
    ),
    ("CosineSimilarity", {}, cosine, real),
    ("Accuracy", {}, lambda t, p: (t == p).astype(float), labels),
    ("BinaryAccuracy", {}, lambda t, p: (t == (p > 0.5)).mean(-1), binary),
    ("BinaryAccuracy", {"threshold": 0.3}, lambda t, p: (t == (p > 0.3)).mean(-1), binary),
    ("CategoricalAccuracy", {}, lambda t, p: (t.argmax(-1) == p.argmax(-1)).astype(float), one_hot),
    ("SparseCategoricalAccuracy", {}, lambda t, p: (np.ravel(t) == p.argmax(-1)).astype(float), indices),
    ("SparseCategoricalAccuracy", {}, lambda t, p: (t == p.argmax(-1)).astype(float), flat_indices),
    ("TopKCategoricalAccuracy", {"k": 2}, lambda t, p: in_top(t, p, 2), one_hot),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, lambda t, p: in_top(t, p, 3), indices),
    ("BinaryCrossentropy", {}, lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1), binary),
    ("CategoricalCrossentropy", {}, crossentropy, one_hot),
    (
        "CategoricalCrossentropy",
        {"label_smoothing": 0.1},
        lambda t, p: crossentropy(0.9 * t + 0.02, p),
        one_hot,
    ),
    ("SparseCategoricalCrossentropy", {}, lambda t, p: crossentropy(hot(t), p), indices),
    (
        "PearsonCorrelation",
        {},
        lambda t, p: [np.corrcoef(a, b)[0, 1] for a, b in zip(t, p, strict=True)],
        real,
    ),
    (
        "ConcordanceCorrelation",
        {},
        lambda t, p: (
            2
            * ((t - t.mean(-1, keepdims=True)) * (p - p.mean(-1, keepdims=True))).mean(-1)
            / (t.var(-1) + p.var(-1) + (t.mean(-1) - p.mean(-1)) ** 2)
        ),
        real,
    ),
]


@pytest.mark.parametrize(("name", "kwargs", "formula", "draw"), MEANS)
@pytest.mark.parametrize("weighted", [False, True])
def test_mean_of_a_function(name, kwargs, formula, draw, weighted):
    metric = getattr(metrics, name)(**kwargs)
    data = batches(draw)
    for repeat in range(2):
        for i, (t, p, w) in enumerate(data):
            metric.update_state(t, p, sample_weight=w if weighted else None)
            t, p, w = joined(data[: i + 1])
            values = np.asarray(formula(t, p))
            wanted = (values * w).sum() / w.sum() if weighted else values.mean()
            assert float(metric.result()) == pytest.approx(wanted, rel=2e-5, abs=1e-6), repeat
        metric.reset_states()
        assert float(metric.result()) == 0
    check_config(metric)


def check_config(metric):
    config = metrics.serialize(metric)
    copy = metrics.deserialize(config)
    assert type(copy) is type(metric)
    assert metrics.serialize(copy) == config
    assert config["config"]["name"] == metric.name


def test_sum_and_mean():
    total, mean = metrics.Sum(), metrics.Mean()
    for metric in (total, mean):
        metric.update_state([1.0, 2.0, 3.0])
        metric.update_state(np.array([[4.0], [6.0]]), sample_weight=[0.5, 2.0])
    assert float(total.result()) == 6 + 14
    assert float(mean.result()) == pytest.approx(20 / 5.5)
    mean.reset_state()
    assert float(mean(5.0)) == 5.0
    assert float(mean(7, sample_weight=3)) == 6.5
    # Weights of the leading axes: the mean over the others is weighted.
    values = np.arange(24.0).reshape(2, 3, 4)
    mean.reset_state()
    assert float(mean(values, [1.0, 3.0])) == pytest.approx((values.mean((1, 2)) * [1, 3]).sum() / 4)
    mean.reset_state()
    w = np.arange(6.0).reshape(2, 3)
    assert float(mean(values, w)) == pytest.approx((values.mean(2) * w).sum() / w.sum())
    with pytest.raises(ValueError, match="cannot be broadcast"):
        mean.update_state(values, np.ones(3))
    with pytest.raises(ValueError, match="do not fit"):
        mean.update_state(values, np.ones((2, 3, 4, 1, 1)))


def test_reduce():
    values, w = np.arange(6.0).reshape(2, 3), np.array([1.0, 3.0])
    weighted = (values * w[:, None]).sum()
    for reduction, wanted in [
        ("sum", weighted),
        ("sum_over_batch_size", weighted / 6),
        ("weighted_mean", weighted / 12),
    ]:
        assert float(metrics.Reduce(reduction, "r")(values, w)) == pytest.approx(wanted)


def test_results_are_numpy():
    result = metrics.Mean()(1.0)
    assert isinstance(result, np.floating)
    assert result.dtype == np.float32
    assert metrics.Mean(dtype="float64")(0.1) == 0.1
    assert metrics.TruePositives([0.3, 0.6])([1.0], [0.5]).tolist() == [1, 0]


@pytest.mark.parametrize("weighted", [False, True])
def test_root_mean_squared_error(weighted):
    data = batches(real)
    metric = metrics.RootMeanSquaredError()
    for t, p, w in data:
        metric.update_state(t, p, w if weighted else None)
    t, p, w = joined(data)
    w = w[:, None] if weighted else np.ones((13, 1))
    wanted = np.sqrt(((t - p) ** 2 * w).sum() / (3 * w.sum()))
    assert float(metric.result()) == pytest.approx(wanted, rel=1e-5)
    check_config(metric)


def counts(t, p, w, thresholds):
    above = p.ravel() > np.array(thresholds)[:, None]
    t = t.ravel() > 0
    return {
        "tp": (w * (above & t)).sum(1),
        "fp": (w * (above & ~t)).sum(1),
        "tn": (w * (~above & ~t)).sum(1),
        "fn": (w * (~above & t)).sum(1),
    }


def weights(w, p, weighted):
    return np.broadcast_to(w[:, None], p.shape).ravel() if weighted else np.ones(p.size)


def run(metric, data, weighted=False):
    for t, p, w in data:
        metric.update_state(t, p, sample_weight=w if weighted else None)
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("thresholds", [None, 0.3, [0.2, 0.5, 0.9]])
@pytest.mark.parametrize("kind", ["tp", "fp", "tn", "fn"])
def test_counts(kind, thresholds, weighted):
    names = {"t": "True", "f": "False", "p": "Positives", "n": "Negatives"}
    metric = getattr(metrics, names[kind[0]] + names[kind[1]])(thresholds)
    data = batches(binary)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    wanted = counts(t, p, weights(w, p, weighted), np.atleast_1d(0.5 if thresholds is None else thresholds))
    np.testing.assert_allclose(np.atleast_1d(got), wanted[kind], rtol=1e-6)
    assert np.ndim(got) == (1 if isinstance(thresholds, list) else 0)
    check_config(metric)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"thresholds": 0.7},
        {"thresholds": [0.1, 0.5]},
        {"class_id": 1},
        {"top_k": 2},
        {"top_k": 3, "class_id": 2},
        {"top_k": 2, "thresholds": 0.8},
    ],
)
@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_precision_and_recall(name, kwargs, weighted):
    metric = getattr(metrics, name)(**kwargs)
    data = batches(one_hot)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    k, class_id = kwargs.get("top_k"), kwargs.get("class_id")
    thresholds = np.atleast_1d(kwargs.get("thresholds", 0.5 if k is None else -1e10))
    if k is not None:
        p = np.where((-p).argsort(-1).argsort(-1) < k, p, -1e10)
    w = np.broadcast_to(w[:, None], p.shape) if weighted else np.ones(p.shape)
    if class_id is not None:
        t, p, w = t[:, class_id], p[:, class_id], w[:, class_id]
    c = counts(t, p, w.ravel(), thresholds)
    wanted = c["tp"] / (c["tp"] + c["fp" if name == "Precision" else "fn"])
    np.testing.assert_allclose(np.atleast_1d(got), wanted, rtol=1e-5)
    check_config(metric)


def test_nothing_predicted():
    assert float(metrics.Precision()([1.0, 0.0], [0.1, 0.2])) == 0
    assert float(metrics.Recall()([0.0, 0.0], [0.9, 0.2])) == 0


RATES = {
    "SensitivityAtSpecificity": ("specificity", lambda c: (rate(c, "tn", "fp"), rate(c, "tp", "fn"))),
    "SpecificityAtSensitivity": ("sensitivity", lambda c: (rate(c, "tp", "fn"), rate(c, "tn", "fp"))),
    "PrecisionAtRecall": ("recall", lambda c: (rate(c, "tp", "fn"), rate(c, "tp", "fp"))),
}


def rate(c, a, b):
    total = c[a] + c[b]
    return np.divide(c[a], total, out=np.zeros_like(total), where=total > 0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("value", [0.35, 0.8])
@pytest.mark.parametrize("name", sorted(RATES))
def test_rate_at_another(name, value, weighted):
    argument, rates = RATES[name]
    metric = getattr(metrics, name)(value, num_thresholds=50)
    data = batches(column)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    given, wanted = rates(counts(t, p, weights(w, p, weighted), np.linspace(0, 1, 50)))
    assert float(got) == pytest.approx(wanted[np.argmin(np.abs(given - value))], rel=1e-5)
    assert metric.get_config()[argument] == value
    check_config(metric)
    metric.reset_states()
    assert all((v.numpy() == 0).all() for v in metric.variables)


def test_recall_at_precision():
    metric = metrics.RecallAtPrecision(0.6, num_thresholds=50)
    data = batches(column)
    got = run(metric, data)
    t, p, _ = joined(data)
    c = counts(t, p, np.ones(13), np.linspace(0, 1, 50))
    wanted = rate(c, "tp", "fn")[rate(c, "tp", "fp") >= 0.6].max()
    assert float(got) == pytest.approx(wanted)
    check_config(metric)


def area(c, curve, method):
    if curve == "PR" and method == "interpolation":
        total = 0.0
        for a, b in zip(range(len(c["tp"]) - 1), range(1, len(c["tp"])), strict=True):
            p_a, p_b = c["tp"][a] + c["fp"][a], c["tp"][b] + c["fp"][b]
            slope = (c["tp"][a] - c["tp"][b]) / (p_a - p_b) if p_a > p_b else 0.0
            intercept = c["tp"][b] - slope * p_b
            log = math.log(p_a / p_b) if p_a > 0 and p_b > 0 else 0.0
            total += slope * (c["tp"][a] - c["tp"][b] + intercept * log) / (c["tp"][b] + c["fn"][b])
        return total
    recall = rate(c, "tp", "fn")
    x, y = (rate(c, "fp", "tn"), recall) if curve == "ROC" else (recall, rate(c, "tp", "fp"))
    heights = {
        "interpolation": (y[:-1] + y[1:]) / 2,
        "minoring": np.minimum(y[:-1], y[1:]),
        "majoring": np.maximum(y[:-1], y[1:]),
    }[method]
    return ((x[:-1] - x[1:]) * heights).sum()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("thresholds", [None, [0.3, 0.6, 0.55]])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_auc(curve, method, thresholds, weighted):
    metric = metrics.AUC(20, curve, method, thresholds=thresholds)
    data = batches(column)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    inner = np.linspace(0, 1, 20)[1:-1] if thresholds is None else sorted(thresholds)
    c = counts(t, p, weights(w, p, weighted), [-1e-7, *inner, 1 + 1e-7])
    assert float(got) == pytest.approx(area(c, curve, method), rel=1e-5)
    check_config(metric)


def test_auc_of_a_perfect_order_is_one():
    p = np.linspace(0, 1, 100)
    assert float(metrics.AUC()(p > 0.37, p)) == pytest.approx(1, abs=1e-6)
    assert float(metrics.AUC(from_logits=True)([0.0, 1.0], [-3.0, 3.0])) == pytest.approx(1, abs=1e-6)


def test_auc_of_several_labels():
    data = batches(binary)
    t, p, _ = joined(data)
    each = []
    for i in range(3):
        c = counts(t[:, i], p[:, i], np.ones(13), [-1e-7, *np.linspace(0, 1, 50)[1:-1], 1 + 1e-7])
        each.append(area(c, "ROC", "interpolation"))
    metric = metrics.AUC(50, multi_label=True, num_labels=3)
    assert float(run(metric, data)) == pytest.approx(np.mean(each), rel=1e-5)
    check_config(metric)
    weighted = metrics.AUC(50, multi_label=True, num_labels=3, label_weights=[1, 2, 3])
    assert float(run(weighted, data)) == pytest.approx(np.dot(each, [1, 2, 3]) / 6, rel=1e-5)
    flat = metrics.AUC(50, label_weights=[1, 2, 3])
    c = counts(t, p, np.tile([1.0, 2, 3], 13), [-1e-7, *np.linspace(0, 1, 50)[1:-1], 1 + 1e-7])
    assert float(run(flat, data)) == pytest.approx(area(c, "ROC", "interpolation"), rel=1e-5)


def confusion(t, p, w, n=4):
    cm = np.zeros((n, n))
    np.add.at(cm, (t, p), w)
    return cm


def unions(cm):
    return cm.diagonal() / (cm.sum(0) + cm.sum(1) - cm.diagonal())


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_iou(weighted):
    data = batches(labels)
    metric = metrics.MeanIoU(4)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    cm = confusion(t, p, w if weighted else 1)
    np.testing.assert_allclose(metric.total_cm.numpy(), cm, rtol=1e-6)
    assert float(got) == pytest.approx(unions(cm).mean(), rel=1e-5)
    assert float(run(metrics.IoU(4, [0, 2]), data, weighted)) == pytest.approx(
        unions(cm)[[0, 2]].mean(), rel=1e-5
    )
    check_config(metric)
    check_config(metrics.IoU(4, [1]))
    ignoring = metrics.MeanIoU(4, ignore_class=1)
    cm = confusion(t[t != 1], p[t != 1], w[t != 1] if weighted else 1)
    assert float(run(ignoring, data, weighted)) == pytest.approx(unions(cm).mean(), rel=1e-5)
    check_config(ignoring)


def test_iou_of_other_forms():
    t, p, _ = joined(batches(one_hot))
    cm = confusion(t.argmax(1), p.argmax(1), 1, 5)
    total = cm.sum(0) + cm.sum(1) - cm.diagonal()
    each = np.divide(cm.diagonal(), total, out=np.zeros(5), where=total > 0)
    assert float(metrics.OneHotMeanIoU(5)(t, p)) == pytest.approx(each.sum() / (total > 0).sum(), rel=1e-5)
    assert float(metrics.OneHotIoU(5, [0, 3])(t, p)) == pytest.approx(each[[0, 3]].mean(), rel=1e-5)
    check_config(metrics.OneHotMeanIoU(5))
    check_config(metrics.OneHotIoU(5, [0]))
    t, p, _ = joined(batches(column))
    cm = confusion(t.astype(int).ravel(), (p >= 0.4).astype(int).ravel(), 1, 2)
    assert float(metrics.BinaryIoU(threshold=0.4)(t, p)) == pytest.approx(unions(cm).mean(), rel=1e-5)
    check_config(metrics.BinaryIoU([1], 0.3))
    # Classes that never occur do not count.
    assert float(metrics.MeanIoU(10)([0, 1], [0, 1])) == 1


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize("threshold", [None, 0.6])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_f_score(average, threshold, beta):
    data = batches(one_hot)
    metric = metrics.FBetaScore(average, beta, threshold)
    got = run(metric, data)
    t, p, _ = joined(data)
    predicted = p > threshold if threshold else p == p.max(1, keepdims=True)
    axis = None if average == "micro" else 0
    tp = (t * predicted).sum(axis)
    c = {"tp": tp, "fp": ((1 - t) * predicted).sum(axis), "fn": (t * ~predicted).sum(axis)}
    c = {k: np.atleast_1d(v).astype(float) for k, v in c.items()}
    precision, recall = rate(c, "tp", "fp"), rate(c, "tp", "fn")
    below = beta**2 * precision + recall
    score = np.divide((1 + beta**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)
    if average == "macro":
        score = score.mean()
    elif average == "weighted":
        score = (score * t.sum(0)).sum() / t.sum()
    np.testing.assert_allclose(np.squeeze(got), np.squeeze(score), rtol=1e-5)
    check_config(metric)
    if beta == 1.0:
        np.testing.assert_allclose(run(metrics.F1Score(average, threshold), data), got)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("aggregation", [None, "uniform_average", "variance_weighted_average"])
def test_r2_score(aggregation, weighted):
    data = batches(real)
    metric = metrics.R2Score(aggregation)
    got = run(metric, data, weighted)
    t, p, w = joined(data)
    w = w[:, None] if weighted else np.ones((13, 1))
    total = (w * (t - (w * t).sum(0) / w.sum()) ** 2).sum(0)
    score = 1 - (w * (t - p) ** 2).sum(0) / total
    if aggregation == "uniform_average":
        score = score.mean()
    elif aggregation:
        score = (score * total).sum() / total.sum()
    np.testing.assert_allclose(got, score, rtol=1e-4)
    check_config(metric)


def test_r2_score_of_regressors():
    data = batches(real)
    plain, corrected = run(metrics.R2Score(), data), run(metrics.R2Score(num_regressors=2), data)
    assert float(corrected) == pytest.approx(1 - (1 - float(plain)) * 12 / 10, rel=1e-5)


def test_functions_on_arrays():
    t, p, _ = joined(batches(one_hot))
    np.testing.assert_array_equal(
        metrics.top_k_categorical_accuracy(t, p, k=1), metrics.categorical_accuracy(t, p)
    )
    assert metrics.top_k_categorical_accuracy(t, p, k=5).all()
    np.testing.assert_allclose(metrics.cosine_proximity(t, p), cosine(t, p))
    assert metrics.accuracy(np.array([1, 2]), np.array([1, 3])).tolist() == [1, 0]
    # As many as k equal predictions all count as within the greatest k.
    assert metrics.sparse_top_k_categorical_accuracy([1], np.array([[0.5, 0.5, 0.1]]), k=1).tolist() == [1]
    ids = np.array([[3, 0, 1], [2, 1, 0]])
    sorted_ids = metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True)
    assert float(sorted_ids([0, 0], ids)) == 0.5
    check_config(sorted_ids)
    labels = np.array([[0, 4], [1, 2]])
    p = np.eye(5)[[[0, 3], [1, 2]]]
    assert metrics.sparse_categorical_accuracy(labels, p).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match="do not fit predictions"):
        metrics.sparse_categorical_accuracy(np.zeros((2, 3, 1)), np.zeros((2, 4)))


def test_inside_a_program():
    """Traced, state and result are part of the program; a batch of another size is fine."""
    t, p, w = placeholder((None, 3)), placeholder((None, 3)), placeholder((None,))
    several = [metrics.BinaryAccuracy(), metrics.AUC(10), metrics.Precision(), metrics.MeanSquaredError()]
    alone = metrics.clone_metrics(several)
    with UpdateScope() as scope:
        results = [m(t, p, sample_weight=w) for m in several]
    step = Function([t, p, w], results, list(scope.values.items()))
    for batch in batches(binary):
        batch = [x.astype("float32") for x in batch]
        for got, metric in zip(step(batch), alone, strict=True):
            assert got == pytest.approx(metric(*batch), rel=1e-6)
    for metric in several:
        metric.reset_states()
    assert float(several[0].result()) == 0


def test_custom_functions_and_classes():
    def mine(y_true, y_pred):
        return ops.max(ops.abs(y_true - y_pred))

    config = {"name": "accuracy", "dtype": "float32", "fn": "categorical_accuracy"}
    wrapper = metrics.deserialize({"class_name": "MeanMetricWrapper", "config": config})
    assert wrapper._fn is metrics.categorical_accuracy
    check_config(wrapper)
    metric = metrics.MeanMetricWrapper(metrics.get(mine), name="mine")
    data = batches(real)
    wanted = np.mean([np.abs(t - p).max() for t, p, _ in data])
    assert float(run(metric, data)) == pytest.approx(wanted, rel=1e-6)

    class Hits(metrics.Metric):  # as written for Keras 3
        def __init__(self, name="hits", **kwargs):
            super().__init__(name=name, **kwargs)
            self.total = self.add_variable(shape=(), initializer="zeros", name="total")
            self.inner = metrics.Mean()

        def update_state(self, y_true, y_pred, sample_weight=None):
            hits = ops.cast(ops.equal(y_true > 0.5, y_pred > 0.5), self.dtype)
            self.total.assign(self.total + ops.sum(hits))
            self.inner.update_state(hits)

        def result(self):
            return {"total": self.total, "mean": self.inner.result()}

        def reset_state(self):
            self.total.assign(0)
            self.inner.reset_state()

    hits = Hits()
    data = batches(binary)
    result = run(hits, data)
    t, p, _ = joined(data)
    wanted = (t == (p > 0.5)).sum()
    assert float(result["total"]) == wanted
    assert float(result["mean"]) == pytest.approx(wanted / t.size)
    assert len(hits.variables) == 3
    hits.reset_states()
    assert float(hits.result()["total"]) == 0
    assert float(hits.result()["mean"]) == 0
    found = metrics.deserialize({"class_name": "Hits", "config": {"name": "n"}}, {"Hits": Hits})
    assert found.name == "n"

    class Count(metrics.Metric):  # as written for Keras 2
        def __init__(self, name="count", **kwargs):
            super().__init__(name=name, **kwargs)
            self.count = self.add_weight(name="count", initializer="ones")
            self.resets = 0

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.count.assign_add(ops.sum(y_true))

        def result(self):
            return self.count

        def reset_states(self):
            self.resets += 1
            super().reset_states()

    count = Count()
    assert float(count([[2.0]], [[0.0]])) == 3
    count.reset_state()
    assert count.resets == 1
    assert float(count.result()) == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alone(copied):
    metric = metrics.Mean()
    metric.update_state([1.0, 3.0])
    other = copied(metric)
    metric.update_state([8.0])
    assert float(other.result()) == 2
    other.update_state([5.0])
    assert float(other.result()) == 3
    assert float(metric.result()) == 4


def test_names():
    assert metrics.Precision().name == "precision"
    assert metrics.AUC().name == "auc"
    assert metrics.TruePositives(name="tp").name == "tp"
    assert metrics.get("acc") is metrics.accuracy
    assert metrics.get("mse") is losses.mean_squared_error
    assert isinstance(metrics.get("AUC"), metrics.AUC)
    assert metrics.get(None) is None
    keras3 = {
        "module": "keras.metrics",
        "class_name": "AUC",
        "config": {"name": "auc", "dtype": {"class_name": "DTypePolicy", "config": {"name": "float32"}}},
        "registered_name": None,
    }
    assert metrics.get(keras3).dtype == "float32"
    assert metrics.clone_metric(print) is print
    assert metrics.AUC(thresholds=[0.5]).get_config() == {
        "name": "auc",
        "dtype": "float32",
        "num_thresholds": 3,
        "curve": "ROC",
        "summation_method": "interpolation",
        "thresholds": [0.5],
    }


def test_every_metric_class_is_tested():
    tested = {name for name, *_ in MEANS} | set(RATES)
    tested |= {"RootMeanSquaredError", "Sum", "Mean", "MeanMetricWrapper", "AUC", "Precision", "Recall"}
    tested |= {"TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives", "RecallAtPrecision"}
    tested |= {
        "MeanIoU",
        "IoU",
        "BinaryIoU",
        "OneHotIoU",
        "OneHotMeanIoU",
        "FBetaScore",
        "F1Score",
        "R2Score",
    }
    classes = {n for n, v in metrics._KNOWN.items() if isinstance(v, type)}
    assert classes - {"Metric", "Reduce", "SensitivitySpecificityBase"} == tested


def test_metrics_utils():
    assert metrics_utils.parse_init_thresholds(None) == [0.5]
    assert metrics_utils.parse_init_thresholds((0.1, 0.2)) == [0.1, 0.2]
    filtered = metrics_utils.filter_top_k(np.array([[1.0, 3.0, 2.0]]), 2)
    np.testing.assert_array_equal(filtered, [[-1e10, 3, 2]])
    assert metrics_utils.AUCCurve.from_str("pr") is metrics_utils.AUCCurve.PR
    with pytest.raises(ValueError, match="keys must be of ConfusionMatrix"):
        metrics_utils.update_confusion_matrix_variables({"tp": None}, [1.0], [1.0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: metrics.get("acuracy"), ValueError, "did you mean 'accuracy'"),
        (lambda: metrics.get(1.5), ValueError, "could not interpret 1.5 as a metric"),
        (lambda: metrics.Precision([0.5, 1.5]), ValueError, r"thresholds must lie in \[0, 1\], got \[1.5\]"),
        (lambda: metrics.Reduce("mode"), ValueError, "reduction must be one of sum"),
        (lambda: metrics.AUC(1), ValueError, "num_thresholds must be greater than 1"),
        (lambda: metrics.AUC(curve="XY"), ValueError, "unknown AUC curve 'XY'; known are ROC, PR"),
        (lambda: metrics.AUC(summation_method="x"), ValueError, "unknown AUC summation method"),
        (lambda: metrics.AUC(multi_label=True), ValueError, "needs num_labels"),
        (lambda: metrics.AUC(num_labels=2, label_weights=[1]), ValueError, "2 labels but 1 label_weights"),
        (lambda: metrics.SensitivityAtSpecificity(1.5), ValueError, r"must lie in \[0, 1\], got 1.5"),
        (lambda: metrics.SensitivityAtSpecificity(0.5, 0), ValueError, "num_thresholds must be positive"),
        (lambda: metrics.MeanIoU(0), ValueError, "num_classes must be positive"),
        (lambda: metrics.IoU(2, [2]), ValueError, r"target_class_ids must lie in \[0, 2\)"),
        (lambda: metrics.FBetaScore("x"), ValueError, "average must be"),
        (lambda: metrics.FBetaScore(beta=0), ValueError, "beta must be positive"),
        (lambda: metrics.FBetaScore(threshold=2), ValueError, "threshold must lie in"),
        (lambda: metrics.F1Score().result(), ValueError, "has seen no batch"),
        (lambda: metrics.F1Score()([1.0], [1.0]), ValueError, r"shape \(batch, classes\)"),
        (lambda: metrics.R2Score("x"), ValueError, "class_aggregation must be"),
        (lambda: metrics.R2Score(num_regressors=-1), ValueError, "must not be negative"),
        (
            lambda: metrics.R2Score()(np.ones((2, 2, 2)), np.ones((2, 2, 2))),
            ValueError,
            r"\(batch, outputs\)",
        ),
        (
            lambda: metrics.Precision(class_id=3)(np.ones((2, 3)), np.ones((2, 3))),
            ValueError,
            "class_id must lie",
        ),
        (lambda: metrics.TruePositives()(np.ones((2, 3)), np.ones((2, 4))), ValueError, "do not fit"),
        (lambda: metrics.Metric().update_state(1), NotImplementedError, "must define update_state"),
        (lambda: metrics.Metric().result(), NotImplementedError, "must define result"),
        (lambda: metrics.Metric(nam="x"), TypeError, "unexpected argument 'nam'"),
        (lambda: metrics.Mean().update_state(placeholder((3,))), ValueError, "depends on"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
