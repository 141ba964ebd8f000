"""Rows of the ops that choose by index, and of those about order."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(4)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


def integers(*values):
    return np.array(values, "int32")


x = draw(4, 5, 6)
rows = np.array([[0, 3], [-1, 3], [2, 2]], "int32")
masked = draw(4, 5, 6)
distinct = rng.permutation(60).reshape(3, 4, 5) / 10.0


def take(axis, indices):
    return Case(
        f"take-{axis}-{indices.shape}",
        lambda x, i: ops.take(x, i, axis),
        [x, indices],
        lambda x, i: np.take(x, i, axis),
    )


def item(name, key, unknown=True):
    return Case(f"get_item-{name}", lambda x: ops.get_item(x, key), [x], lambda x: x[key], unknown=unknown)


def scattered(indices, values, shape):
    out = np.zeros(shape)
    np.add.at(out, tuple(np.moveaxis(indices, -1, 0)), values)
    return out


def updated(x, indices, updates):
    out = x.copy()
    out[tuple(np.moveaxis(indices, -1, 0))] = updates
    return out


def part_replaced(x, updates):
    out = x.copy()
    out[1:3, 2:5, 0:6] = updates
    return out


CASES = [
    take(0, rows),
    take(1, integers(2, -1)),
    take(-1, np.array(4, "int64")),
    take(None, rows),
    take(2, np.zeros(0, "int32")),
    Case(
        "take-beyond",
        lambda x: ops.take(x, integers(0, 4, -5), 0),
        [x],
        lambda x: np.stack([x[0], x[0] * np.nan, x[0] * np.nan]),
        differentiable=False,
    ),
    Case(
        "take_along_axis",
        lambda x, i: ops.take_along_axis(x, i, 1),
        [x, rng.integers(-5, 5, (4, 3, 6))],
        lambda x, i: np.take_along_axis(x, i, 1),
    ),
    Case(
        "take_along_axis-broadcast",
        lambda x, i: ops.take_along_axis(x, i, -1),
        [x, rng.integers(0, 6, (4, 1, 2))],
        lambda x, i: np.take_along_axis(x, i, -1),
        unknown=False,
    ),
    Case(
        "take_along_axis-raveled",
        ops.take_along_axis,
        [x, rng.integers(0, 120, (3, 2))],
        lambda x, i: np.take_along_axis(x.ravel(), i.ravel(), 0),
    ),
    item("integer", 2),
    item("integers", (1, -1, 0)),
    item("last", (Ellipsis, -1)),
    item("slices", (slice(1, 3), slice(None), slice(-2, None))),
    item("steps", (slice(None, None, -1), slice(4, 0, -2), slice(1, 9, 3))),
    item("new axes", (None, 0, Ellipsis, None)),
    item("everything", Ellipsis),
    item("nothing", (slice(2, 2),)),
    item("beyond", (slice(-100, 100), slice(5, 9))),
    item("array", (slice(None), [0, 2, -1])),
    item("array of two axes", (rows,)),
    item("arrays", (slice(None), [0, 1], [2, 5])),
    item("broadcast arrays", (rows, integers(0, 4))),
    item("arrays apart", ([0, 1], slice(None), [2, 5]), unknown=False),
    item("integer and array", (0, slice(1, 3), [2, 5]), unknown=False),
    item("mask", (np.array([True, False, True, True]),)),
    item("mask of two axes", (slice(None), rng.integers(0, 2, (5, 6)) > 0)),
    Case("get_item-tensor", lambda x, i: ops.get_item(x, (slice(None), i)), [x, rows], lambda x, i: x[:, i]),
    Case("get_item-scalar", ops.get_item, [x, np.array(2, "int32")], lambda x, i: x[i]),
    Case(
        "scatter",
        lambda i, v: ops.scatter(i, v, (4, 3)),
        [integers([0, 1], [3, 2], [0, 1]), draw(3)],
        lambda i, v: scattered(i, v, (4, 3)),
        unknown=False,
    ),
    Case(
        "scatter-rows",
        lambda v: ops.scatter([[1], [-1], [1], [9]], v, (4, 3)),
        [draw(4, 3)],
        lambda v: scattered(np.array([[1], [3], [1]]), v[:3], (4, 3)),
    ),
    Case(
        "scatter_update",
        lambda x, u: ops.scatter_update(x, [[0, 1], [3, 4]], u),
        [x, draw(2, 6)],
        lambda x, u: updated(x, np.array([[0, 1], [3, 4]]), u),
    ),
    Case(
        "scatter_update-add",
        lambda x, u: ops.scatter_update(x, [[0, 1], [0, 1]], u, reduction="add"),
        [x, draw(2, 6)],
        lambda x, u: x + scattered(np.array([[0, 1], [0, 1]]), u, x.shape),
    ),
    Case(
        "slice_update",
        lambda x, u: ops.slice_update(x, (1, 2, 5), u),
        [x, draw(2, 3, 6)],
        part_replaced,
    ),
    Case(
        "segment_sum",
        lambda x: ops.segment_sum(x, integers(2, 0, 2, -1), 4),
        [x],
        lambda x: np.stack([x[1], 0 * x[0], x[0] + x[2], 0 * x[0]]),
    ),
    Case(
        "segment_max",
        lambda x: ops.segment_max(x, integers(2, 0, 2, -1), 4),
        [x],
        lambda x: np.stack([x[1], 0 * x[0] - np.inf, np.maximum(x[0], x[2]), 0 * x[0] - np.inf]),
        differentiable=False,  # differences of infinities
    ),
    Case(
        "segment_min",
        lambda x, i: ops.segment_min(x, i, 2),
        [x, integers(1, 0, 1, 1)],
        lambda x, i: np.stack([x[1], np.minimum(np.minimum(x[0], x[2]), x[3])]),
    ),
    Case(
        "segment_max-integers",
        lambda x: ops.segment_max(x, integers(1, 1, 0), 3),
        [integers(5, 7, -2)],
        lambda x: integers(-2, 7, -(2**31)),
    ),
    Case(
        "unravel_index",
        lambda i: ops.unravel_index(i, (2, 3, 4)),
        [integers(0, 23, 7, -1)],
        lambda i: [a.astype("int32") for a in np.unravel_index(i % 24, (2, 3, 4))],
    ),
    Case(
        "bincount",
        lambda i: ops.bincount(i, minlength=7),
        [integers(0, 3, 3, 1)],
        lambda i: np.bincount(i, minlength=7),
    ),
    Case(
        "bincount-weights",
        lambda w: ops.bincount(integers(0, 3, 3, 1), w, minlength=7),
        [draw(4)],
        lambda w: np.bincount([0, 3, 3, 1], w, 7),
    ),
    Case("one_hot", lambda i: ops.one_hot(i, 4), [rows], lambda i: np.eye(4)[i] * (i >= 0)[..., None]),
    Case(
        "one_hot-axis",
        lambda i: ops.one_hot(i, 5, axis=1, dtype="int32"),
        [rows],
        lambda i: np.moveaxis((i[..., None] == np.arange(5)), -1, 1).astype("int32"),
    ),
    Case(
        "multi_hot",
        lambda i: ops.multi_hot(i, 4),
        [rows],
        lambda i: np.stack([np.isin(np.arange(4), r) for r in i]) * 1.0,
    ),
    Case("sort", ops.sort, [distinct], np.sort),
    Case("sort-axis", lambda x: ops.sort(x, 1), [distinct], lambda x: np.sort(x, 1)),
    Case("sort-raveled", lambda x: ops.sort(x, None), [distinct], lambda x: np.sort(x, None)),
    Case(
        "argsort", lambda x: ops.argsort(x, 0), [distinct], lambda x: np.argsort(x, 0).astype("int32"), False
    ),
    Case(
        "argpartition",
        lambda x: ops.argpartition(x, 2),
        [distinct],
        lambda x: np.argsort(x).astype("int32"),
        differentiable=False,
    ),
    Case(
        "top_k",
        lambda x: ops.top_k(x, 3),
        [distinct],
        lambda x: (np.sort(x)[..., :-4:-1], np.argsort(x)[..., :-4:-1].astype("int32")),
    ),
    Case(
        "in_top_k",
        lambda t, p: ops.in_top_k(t, p, 2),
        [
            integers(0, 1, 2, 5),
            np.array([[0.1, 0.5, 0.2], [0.3, 0.3, 0.3], [0.3, 0.2, 0.1], [0.0, 0.0, 0.0]]),
        ],
        lambda t, p: np.array([False, True, False, False]),
        differentiable=False,
    ),
    Case(
        "searchsorted",
        ops.searchsorted,
        [np.sort(draw(9)), draw(3, 4)],
        lambda a, v: np.searchsorted(a, v).astype("int32"),
        differentiable=False,
    ),
    Case(
        "digitize",
        lambda x: ops.digitize(x, [-0.5, 0.0, 0.5]),
        [draw(3, 4)],
        lambda x: np.digitize(x, [-0.5, 0.0, 0.5]).astype("int32"),
        differentiable=False,
    ),
    *(
        Case(f"tril{k:+d}", lambda x, k=k: ops.tril(x, k), [x], lambda x, k=k: np.tril(x, k))
        for k in (-2, 0, 1)
    ),
    *(
        Case(f"triu{k:+d}", lambda x, k=k: ops.triu(x, k), [x], lambda x, k=k: np.triu(x, k))
        for k in (-2, 0, 1)
    ),
    *(
        Case(
            f"diagonal{k:+d}",
            lambda x, k=k: ops.diagonal(x, k, 2, 0),
            [x],
            lambda x, k=k: np.diagonal(x, k, 2, 0),
        )
        for k in (-2, 0, 3)
    ),
    *(
        Case(f"diag{k:+d}", lambda x, k=k: ops.diag(x, k), [draw(3)], lambda x, k=k: np.diag(x, k))
        for k in (-1, 0, 2)
    ),
    Case("isin", ops.isin, [rows, integers(3, 2, 3)], np.isin),
    Case("isin-inverted", lambda a, b: ops.isin(a, b, invert=True), [rows, integers(3)], lambda a, b: a != 3),
    Case("isin-nothing", lambda a: ops.isin(a, np.zeros(0, "int32")), [rows], lambda a: a != a),
    Case("trace", lambda x: ops.trace(x, 1, 0, 2), [x], lambda x: np.trace(x, 1, 0, 2)),
    Case("diag-matrix", ops.diag, [draw(3, 4)], np.diag),
    Case("diagflat", ops.diagflat, [draw(2, 2)], np.diagflat),
]
