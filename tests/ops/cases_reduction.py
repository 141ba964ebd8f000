"""Rows of the reductions and running sums."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(3)
x = rng.uniform(-2, 2, (3, 4, 2))
integers = rng.integers(-9, 9, (3, 4)).astype("int32")
flags = rng.integers(0, 2, (3, 4, 2)).astype("bool")
holes = np.where(rng.uniform(0, 1, (3, 4)) < 0.4, np.nan, rng.uniform(-2, 2, (3, 4)))
zeros = np.where(rng.uniform(0, 1, (3, 5)) < 0.4, 0.0, 1.5)
zeros[0], zeros[1] = 1.5, [0, 2, 3, 4, 5]

AXES = [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)]


def over_axes(name, values, reference=None, **options):
    op, reference = getattr(ops, name), reference or getattr(np, name)
    return [
        Case(
            f"{name}-{axis}{'-keepdims' if keepdims else ''}",
            lambda v, axis=axis, keepdims=keepdims: op(v, axis=axis, keepdims=keepdims),
            [values],
            lambda v, axis=axis, keepdims=keepdims: reference(v, axis=axis, keepdims=keepdims),
            **options,
        )
        for axis in AXES
        for keepdims in (False, True)
    ]


def logsumexp(x, axis, keepdims):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def one(name, op, values, reference, **options):
    return Case(name, op, values, reference, **options)


CASES = [
    *over_axes("sum", x),
    *over_axes("mean", x),
    *over_axes("prod", x),
    *over_axes("max", x),
    *over_axes("min", x),
    *over_axes("var", x),
    *over_axes("std", x),
    *over_axes("logsumexp", x, logsumexp),
    *over_axes("any", flags, differentiable=False),
    *over_axes("all", flags, differentiable=False),
    one("amax", lambda v: ops.amax(v, 1), [x], lambda v: np.max(v, 1)),
    one("amin", lambda v: ops.amin(v, 1), [x], lambda v: np.min(v, 1)),
    one("sum-no-axes", lambda v: ops.sum(v, axis=()), [x], lambda v: v),
    one("sum-scalar", ops.sum, [np.array(2.5)], lambda v: v),
    one("sum-integers", lambda v: ops.sum(v, 1), [integers], lambda v: np.sum(v, 1, dtype="int32")),
    one("sum-booleans", ops.sum, [flags], lambda v: np.sum(v, dtype="int32")),
    one("mean-integers", lambda v: ops.mean(v, 0), [integers], lambda v: np.mean(v, 0).astype("float32")),
    one("prod-zeros", lambda v: ops.prod(v, 1), [zeros], lambda v: np.prod(v, 1)),
    one("prod-zeros-all", ops.prod, [zeros[:1]], np.prod),
    one("max-initial", lambda v: ops.max(v, 1, initial=0.5), [x], lambda v: np.max(v, 1, initial=0.5)),
    one("min-initial", lambda v: ops.min(v, initial=-5.0), [x], lambda v: np.min(v, initial=-5)),
    one(
        "max-empty-initial",
        lambda v: ops.max(v, 1, initial=2.0),
        [np.zeros((2, 0))],
        lambda v: np.max(v, 1, initial=2),
        differentiable=False,
    ),
    one("max-nan", lambda v: ops.max(v, 1), [holes], lambda v: np.max(v, 1), differentiable=False),
    one(
        "sum-empty", lambda v: ops.sum(v, 1), [np.zeros((2, 0))], lambda v: np.sum(v, 1), differentiable=False
    ),
    one("any-floats", lambda v: ops.any(v, 0), [zeros], lambda v: np.any(v, 0), differentiable=False),
    one("all-floats", lambda v: ops.all(v, 0), [zeros], lambda v: np.all(v, 0), differentiable=False),
    one("moments", lambda v: ops.moments(v, [0, 1]), [x], lambda v: (v.mean((0, 1)), v.var((0, 1)))),
    one(
        "moments-keepdims",
        lambda v: ops.moments(v, 1, keepdims=True),
        [x],
        lambda v: (v.mean(1, keepdims=True), v.var(1, keepdims=True)),
    ),
    one("average", lambda v: ops.average(v, 1), [x], lambda v: np.average(v, 1)),
    one(
        "average-weights",
        lambda v, w: ops.average(v, 1, w),
        [x, np.array([1.0, 2.0, 3.0, 4.0])],
        lambda v, w: np.average(v, 1, w),
    ),
    one(
        "average-full-weights",
        lambda v, w: ops.average(v, (0, 2), w),
        [x, np.abs(x) + 1],
        lambda v, w: np.average(v, (0, 2), w),
    ),
    one(
        "average-all-weights",
        lambda v, w: ops.average(v, weights=w),
        [x, np.abs(x) + 1],
        lambda v, w: np.average(v, weights=w),
    ),
    one("logsumexp-large", ops.logsumexp, [np.array([1e4, 1e4, -1e4])], lambda v: 1e4 + np.log(2)),
    one(
        "logsumexp-infinite",
        ops.logsumexp,
        [np.array([-np.inf, -np.inf])],
        lambda v: np.array(-np.inf),
        differentiable=False,
    ),
    one(
        "count_nonzero",
        lambda v: ops.count_nonzero(v, 1),
        [zeros],
        lambda v: np.sum(v != 0, 1, dtype="int32"),
        differentiable=False,
    ),
    one("ptp", lambda v: ops.ptp(v, 1), [x], lambda v: np.ptp(v, 1)),
    one("allclose", ops.allclose, [x, x + 1e-9], np.allclose, differentiable=False),
    one("allclose-not", ops.allclose, [x, x + 1e-2], np.allclose, differentiable=False),
    *(
        one(
            f"{name}-{axis}-{keepdims}",
            lambda v, name=name, axis=axis, keepdims=keepdims: getattr(ops, name)(v, axis, keepdims),
            [values],
            lambda v, name=name, axis=axis, keepdims=keepdims: getattr(np, name)(
                v, axis, keepdims=keepdims
            ).astype("int32"),
            differentiable=False,
            unknown=axis is not None,
        )
        for name in ("argmax", "argmin")
        for values in (x,)
        for axis in (None, 0, 1, -1)
        for keepdims in (False, True)
    ),
    *(
        one(
            f"{name}-{axis}",
            lambda v, name=name, axis=axis: getattr(ops, name)(v, axis),
            [x],
            lambda v, name=name, axis=axis: getattr(np, name)(v, axis),
        )
        for name in ("cumsum", "cumprod")
        for axis in (None, 0, 1, -1)
    ),
    one("cumsum-booleans", lambda v: ops.cumsum(v, 0), [flags], lambda v: np.cumsum(v, 0, dtype="int32")),
    one(
        "cumsum-dtype",
        lambda v: ops.cumsum(v, 0, dtype="float32"),
        [integers],
        lambda v: np.cumsum(v, 0, dtype="float32"),
    ),
    *(
        one(
            f"nan{name}-{axis}",
            lambda v, name=name, axis=axis: getattr(ops, f"nan{name}")(v, axis),
            [holes],
            lambda v, name=name, axis=axis: getattr(np, f"nan{name}")(v, axis),
            differentiable=False,
        )
        for name in ("sum", "prod", "max", "min", "mean", "var", "std")
        for axis in (None, 0)
    ),
    one(
        "nansum-gradient",
        lambda v: ops.nansum(ops.where(v > 0, v, np.nan), 1),
        [x],
        lambda v: np.where(v > 0, v, 0).sum(1),
    ),
    *(
        one(
            f"nan{name}",
            lambda v, name=name: getattr(ops, f"nan{name}")(v, 1),
            [holes],
            lambda v, name=name: getattr(np, f"nan{name}")(v, 1),
            differentiable=False,
        )
        for name in ("cumsum", "cumprod")
    ),
    *(
        one(
            f"nan{name}",
            lambda v, name=name: getattr(ops, f"nan{name}")(v, 0, True),
            [np.where(np.arange(4) == 2, np.nan, holes)],
            lambda v, name=name: np.where(
                np.arange(4) == 2,
                -1,
                getattr(np, f"nan{name}")(np.where(np.arange(4) == 2, 0, v), 0, keepdims=True),
            ).astype("int32"),
            differentiable=False,
        )
        for name in ("argmax", "argmin")
    ),
]
