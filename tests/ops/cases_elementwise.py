"""Rows of the elementwise family."""

import math

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(1)
x = rng.uniform(-2, 2, (3, 4))
positive = rng.uniform(0.2, 2, (3, 4))
other = rng.uniform(0.5, 2, (3, 4))
unit = rng.uniform(-0.9, 0.9, (3, 4))
row = rng.uniform(0.5, 2, (4,))
column = rng.uniform(0.5, 2, (3, 1))
integers = rng.integers(0, 90, (3, 4)).astype("int32")
counts = rng.integers(1, 7, (3, 4)).astype("int32")
odd = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30])

erf = np.vectorize(math.erf, otypes=["float64"])


def unary(name, values, reference=None, **options):
    op = getattr(ops, name)
    return Case(name, op, [values], reference or getattr(np, name), **options)


def pair(name, a, b, reference=None, suffix="", **options):
    op = getattr(ops, name)
    return Case(name + suffix, op, [a, b], reference or getattr(np, name), **options)


def on_odd(name, reference=None, **options):
    op = getattr(ops, name)
    return Case(f"{name}-special", op, [odd], reference or getattr(np, name), differentiable=False, **options)


CASES = [
    pair("add", x, other),
    pair("subtract", x, other),
    pair("multiply", x, other),
    pair("divide", x, other),
    pair("true_divide", x, other),
    pair("add", x, row, suffix="-row"),
    pair("multiply", x, column, suffix="-column"),
    pair("divide", column, row, suffix="-outer"),
    pair("subtract", x, rng.uniform(1, 2, ()), suffix="-scalar"),
    pair("maximum", x, row, suffix="-row"),
    pair("add", integers, counts, suffix="-integers"),
    pair(
        "divide_no_nan",
        x,
        np.where(x > 1, 0, other),
        lambda a, b: np.where(b == 0, 0, a / np.where(b, b, 1)),
        differentiable=[0],
    ),
    pair("floor_divide", x, other, differentiable=False),
    pair("floor_divide", integers, counts, suffix="-integers"),
    pair("mod", x, other),
    pair("mod", integers - 40, counts, suffix="-integers"),
    pair("fmod", x, other),
    pair("fmod", integers - 40, counts, suffix="-integers"),
    pair("power", positive, x),
    Case("power-2", lambda x: ops.power(x, 2), [x], lambda x: x**2),
    Case("power-3", lambda x: ops.power(x, 3), [x], lambda x: x**3),
    Case("power-half", lambda x: ops.power(x, 0.5), [positive], np.sqrt),
    Case("power-1", lambda x: ops.power(x, 1), [x], lambda x: x),
    Case("power-minus-1", lambda x: ops.power(x, -1), [positive], lambda x: 1 / x),
    Case("power-0", lambda x: ops.power(x, 0), [np.array([0.0, 1.0, -2.0])], np.ones_like),
    Case("power-of-2", lambda x: ops.power(2.0, x), [x], np.exp2),
    unary("negative", x),
    unary("abs", x),
    unary("absolute", x),
    unary("abs", integers - 40),
    unary("fabs", integers - 40),
    unary("sign", x, differentiable=False),
    unary("square", x),
    unary("sqrt", positive),
    unary("rsqrt", positive, lambda x: 1 / np.sqrt(x)),
    unary("reciprocal", positive),
    unary("cbrt", x),
    unary("exp", x),
    unary("exp2", x),
    unary("expm1", x),
    unary("log", positive),
    unary("log1p", positive),
    unary("log2", positive),
    unary("log10", positive),
    unary("sin", x),
    unary("cos", x),
    unary("tan", unit),
    unary("arcsin", unit),
    unary("arccos", unit),
    unary("arctan", x),
    pair("arctan2", x, other),
    unary("sinh", x),
    unary("cosh", x),
    unary("tanh", x),
    unary("arcsinh", x),
    unary("arccosh", positive + 1),
    unary("arctanh", unit),
    unary("erf", x, erf),
    unary("erfc", x, lambda x: 1 - erf(x)),
    Case("erfinv", lambda x: ops.erfinv(ops.erf(x)), [unit], lambda x: x),
    unary("lgamma", positive, np.vectorize(math.lgamma, otypes=["float64"])),
    unary(
        "digamma",
        np.array([1.0, 2.0, 0.5]),
        lambda x: -0.57721566490153286 + np.array([0, 1, -2 * np.log(2)]),
        differentiable=False,
    ),
    unary("floor", x, differentiable=False),
    unary("ceil", x, differentiable=False),
    unary("round", x, differentiable=False),
    unary("trunc", x, differentiable=False),
    unary("trunc", integers),
    unary("round", integers),
    Case("round-2", lambda x: ops.round(x, 2), [x], lambda x: np.round(x, 2), differentiable=False),
    Case("round-tens", lambda x: ops.round(x, -1), [x * 50], lambda x: np.round(x, -1), differentiable=False),
    pair("maximum", x, other),
    pair("minimum", x, other),
    pair("fmax", x, other),
    pair("fmin", x, other),
    pair("fmax", odd, np.ones(8), suffix="-nan", differentiable=False),
    pair("fmin", np.ones(8), odd, suffix="-nan", differentiable=False),
    Case("clip", lambda x: ops.clip(x, -1, 0.5), [x], lambda x: np.clip(x, -1, 0.5)),
    Case("clip-below", lambda x: ops.clip(x, 0.0, None), [x], lambda x: np.clip(x, 0, None)),
    Case("where", ops.where, [x > 0, x, other], np.where),
    Case("where-number", lambda x: ops.where(x > 0, x, 1.5), [x], lambda x: np.where(x > 0, x, 1.5)),
    Case("where-of-floats", ops.where, [np.array([0.0, 2.0]), x[:, :2], other[:, :2]], np.where, [1, 2]),
    *(
        pair(name, np.round(x), np.round(other), differentiable=False)
        for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
    ),
    *(
        pair(name, x > 0, other > 1, differentiable=False)
        for name in ("logical_and", "logical_or", "logical_xor")
    ),
    unary("logical_not", x > 0, differentiable=False),
    *(
        pair(name, integers, counts)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift")
    ),
    unary("bitwise_not", integers, np.invert),
    unary("bitwise_invert", integers, np.invert),
    pair("bitwise_left_shift", integers, counts, np.left_shift),
    pair("bitwise_right_shift", integers, counts, np.right_shift),
    *(
        on_odd(name)
        for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", "signbit", "cbrt")
    ),
    Case(
        "nan_to_num-values",
        lambda x: ops.nan_to_num(x, 1.0, 2.0, 3.0),
        [odd],
        lambda x: np.nan_to_num(x, nan=1, posinf=2, neginf=3),
        differentiable=False,
    ),
    Case(
        "isclose", ops.isclose, [odd, odd * (1 + 1e-7)], lambda a, b: np.isclose(a, b), differentiable=False
    ),
    Case(
        "isclose-nan",
        lambda a, b: ops.isclose(a, b, equal_nan=True),
        [odd, np.ones(8)],
        lambda a, b: np.isclose(a, b, equal_nan=True),
        differentiable=False,
    ),
    pair("logaddexp", x, 3 * other),
    pair("logaddexp", x, x + 0.0, suffix="-ties"),
    pair(
        "logaddexp",
        np.array([1e4, np.inf, -np.inf, np.inf]),
        np.array([-1e4, np.inf, -np.inf, 1.0]),
        suffix="-far",
        differentiable=False,
    ),
    pair("logaddexp2", x, 3 * other),
    pair("hypot", x, other),
    pair(
        "hypot",
        np.array([0.0, np.inf, 3e30]),
        np.array([0.0, 1.0, 4e30]),
        suffix="-far",
        differentiable=False,
    ),
    unary("deg2rad", x),
    unary("rad2deg", x),
    unary("sinc", x),
    unary("sinc", np.zeros(2), differentiable=False),
    pair("heaviside", np.array([-1.0, 0.0, 2.0]), np.array([5.0, 6.0, 7.0]), differentiable=False),
    pair("ldexp", x, counts),
    unary("real", x),
    unary("conj", x),
    unary("conjugate", x),
    unary("copy", x),
]
for _index, _case in enumerate(CASES):
    if any(_case.name == earlier.name for earlier in CASES[:_index]):
        _case.name += f"-{_index}"
