"""Rows of the order statistics, integrals and choices."""

import numpy as np
from checks import Case

from kcore import ops

trapezoid = np.trapezoid if hasattr(np, "trapezoid") else np.trapz  # NumPy 1
rng = np.random.default_rng(6)
x = rng.permutation(24).reshape(3, 4, 2) / 4.0 - 3.0
integers = rng.integers(-9, 9, (3, 5)).astype("int32")
scores = rng.uniform(-1, 1, (3, 4, 2))
holes = np.where(rng.uniform(0, 1, (3, 5)) < 0.2, np.nan, rng.uniform(-2, 2, (3, 5)))
holes[0] = [1, np.inf, 2, -np.inf, 3]


def sparsemax(x, axis):
    """By bisection on the threshold."""
    low, high = x.max(axis, keepdims=True) - 1, x.max(axis, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        above = np.maximum(x - middle, 0).sum(axis, keepdims=True) > 1
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.maximum(x - low, 0)


CASES = [
    Case(
        "trapezoid",
        lambda v: ops.trapezoid(v, dx=0.5, axis=1),
        [x],
        lambda v: trapezoid(v, dx=0.5, axis=1),
    ),
    Case(
        "trapezoid-points",
        lambda v, p: ops.trapezoid(v, p, axis=1),
        [x, np.array([0.0, 1.0, 1.5, 4.0])],
        lambda v, p: trapezoid(v, p, axis=1),
    ),
    Case("trapezoid-full-points", ops.trapezoid, [x, x**3], lambda v, p: trapezoid(v, p)),
    Case(
        "select",
        lambda v: ops.select([v < -1, v < 1], [v, v * v], 5.0),
        [x + 0.1],
        lambda v: np.select([v < -1, v < 1], [v, v * v], 5.0),
    ),
    *(
        Case(
            f"sparsemax-{axis}",
            lambda v, a=axis: ops.sparsemax(v, a),
            [scores],
            lambda v, a=axis: sparsemax(v, a),
        )
        for axis in (0, 1, -1)
    ),
    Case(
        "sparsemax-ties",
        ops.sparsemax,
        [np.zeros((2, 3))],
        lambda v: np.full((2, 3), 1 / 3),
        differentiable=False,
    ),
    *(
        Case(
            f"median-{axis}-{keepdims}",
            lambda v, a=axis, k=keepdims: ops.median(v, a, k),
            [x],
            lambda v, a=axis, k=keepdims: np.median(v, a, keepdims=k),
        )
        for axis in (None, 0, 1, (0, 2))
        for keepdims in (False, True)
    ),
    Case("median-nan", lambda v: ops.median(v, 1), [holes], lambda v: np.median(v, 1), differentiable=False),
    Case("median-integers", ops.median, [integers], lambda v: np.median(v).astype("float32")),
    *(
        Case(
            f"quantile-{method}",
            lambda v, m=method: ops.quantile(v, [0.0, 0.2, 0.5, 0.77, 1.0], 1, method=m),
            [x],
            lambda v, m=method: np.quantile(v, [0.0, 0.2, 0.5, 0.77, 1.0], 1, method=m),
        )
        for method in ("linear", "lower", "higher", "midpoint", "nearest")
    ),
    Case(
        "quantile-keepdims",
        lambda v: ops.quantile(v, 0.3, (0, 1), keepdims=True),
        [x],
        lambda v: np.quantile(v, 0.3, (0, 1), keepdims=True),
    ),
    Case("percentile", lambda v: ops.percentile(v, 40, 0), [x], lambda v: np.percentile(v, 40, 0)),
]
