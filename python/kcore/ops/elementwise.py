"""Arithmetic, comparison, and functions of one element: all operands broadcast."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kcore.graph import Tensor, dtypes, elementwise
from kcore.graph import primitives as graph
from kcore.graph.primitives import cast
from kcore.ops.operands import operand

__all__ = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "copy",
    "cos",
    "cosh",
    "deg2rad",
    "digamma",
    "divide",
    "divide_no_nan",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "not_equal",
    "power",
    "rad2deg",
    "real",
    "reciprocal",
    "right_shift",
    "round",
    "rsqrt",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "where",
]

# --- One native opcode each ---------------------------------------------------------------------------

add = graph.add
multiply = graph.multiply
subtract = elementwise("subtract", lambda y, dy, a, b: (dy, -dy))
divide = elementwise("divide", lambda y, dy, a, b: (dy / b, -dy * y / b), floating=True)
floor_divide = elementwise("floor_divide")
mod = elementwise("mod", lambda y, dy, a, b: (dy, -dy * floor_divide(a, b)))
maximum = elementwise(
    "maximum", lambda y, dy, a, b: (where(greater_equal(a, b), dy, 0.0), where(greater_equal(a, b), 0.0, dy))
)
minimum = elementwise(
    "minimum", lambda y, dy, a, b: (where(less_equal(a, b), dy, 0.0), where(less_equal(a, b), 0.0, dy))
)
negative = elementwise("negative", lambda y, dy, x: -dy)
abs = elementwise("abs", lambda y, dy, x: dy * sign(x))
sign = elementwise("sign")
square = elementwise("square", lambda y, dy, x: 2.0 * dy * x)
reciprocal = elementwise("reciprocal", lambda y, dy, x: -dy * square(y), floating=True)
sqrt = elementwise("sqrt", lambda y, dy, x: 0.5 * dy / y, floating=True)
rsqrt = elementwise("rsqrt", lambda y, dy, x: -0.5 * dy * y * square(y), floating=True)
exp = elementwise("exp", lambda y, dy, x: dy * y, floating=True)
expm1 = elementwise("expm1", lambda y, dy, x: dy * (y + 1.0), floating=True)
log = elementwise("log", lambda y, dy, x: dy / x, floating=True)
log1p = elementwise("log1p", lambda y, dy, x: dy / (x + 1.0), floating=True)
log2 = elementwise("log2", lambda y, dy, x: dy / (x * math.log(2)), floating=True)
log10 = elementwise("log10", lambda y, dy, x: dy / (x * math.log(10)), floating=True)
sin = elementwise("sin", lambda y, dy, x: dy * cos(x), floating=True)
cos = elementwise("cos", lambda y, dy, x: -dy * sin(x), floating=True)
tan = elementwise("tan", lambda y, dy, x: dy * (square(y) + 1.0), floating=True)
arcsin = elementwise("arcsin", lambda y, dy, x: dy * rsqrt(1.0 - square(x)), floating=True)
arccos = elementwise("arccos", lambda y, dy, x: -dy * rsqrt(1.0 - square(x)), floating=True)
arctan = elementwise("arctan", lambda y, dy, x: dy / (square(x) + 1.0), floating=True)
arctan2 = elementwise(
    "arctan2",
    lambda y, dy, a, b: (dy * b / (square(a) + square(b)), -dy * a / (square(a) + square(b))),
    floating=True,
)
sinh = elementwise("sinh", lambda y, dy, x: dy * cosh(x), floating=True)
cosh = elementwise("cosh", lambda y, dy, x: dy * sinh(x), floating=True)
tanh = elementwise("tanh", lambda y, dy, x: dy * (1.0 - square(y)), floating=True)
arcsinh = elementwise("arcsinh", lambda y, dy, x: dy * rsqrt(square(x) + 1.0), floating=True)
arccosh = elementwise("arccosh", lambda y, dy, x: dy * rsqrt(square(x) - 1.0), floating=True)
arctanh = elementwise("arctanh", lambda y, dy, x: dy / (1.0 - square(x)), floating=True)
erf = elementwise("erf", lambda y, dy, x: 2.0 / math.sqrt(math.pi) * dy * exp(-square(x)), floating=True)
erfinv = elementwise("erfinv", lambda y, dy, x: 0.5 * math.sqrt(math.pi) * dy * exp(square(y)), floating=True)
lgamma = elementwise("lgamma", lambda y, dy, x: dy * digamma(x), floating=True)
digamma = elementwise("digamma", floating=True)
floor = elementwise("floor", floating=True)
ceil = elementwise("ceil", floating=True)
equal = elementwise("equal", result="bool")
not_equal = elementwise("not_equal", result="bool")
less = elementwise("less", result="bool")
less_equal = elementwise("less_equal", result="bool")
greater = elementwise("greater", result="bool")
greater_equal = elementwise("greater_equal", result="bool")
logical_and = elementwise("logical_and", result="bool")
logical_or = elementwise("logical_or", result="bool")
logical_xor = elementwise("logical_xor", result="bool")
logical_not = elementwise("logical_not", result="bool")
isnan = elementwise("isnan", result="bool", floating=True)
isinf = elementwise("isinf", result="bool", floating=True)
isfinite = elementwise("isfinite", result="bool", floating=True)
bitwise_and = elementwise("bitwise_and")
bitwise_or = elementwise("bitwise_or")
bitwise_xor = elementwise("bitwise_xor")
bitwise_not = bitwise_invert = elementwise("bitwise_not")
left_shift = bitwise_left_shift = elementwise("left_shift")
right_shift = bitwise_right_shift = elementwise("right_shift")

absolute = abs
true_divide = divide

_power = elementwise(
    "power",
    lambda y, dy, a, b: (
        # 0 ** -1 would make a NaN of the zero gradient of x ** 0.
        where(equal(b, 0.0), 0.0, dy * b * _power(a, b - 1.0)),
        dy * y * log(where(greater(a, 0.0), a, 1.0)),
    ),
)
_softplus = elementwise("softplus", lambda y, dy, x: dy * _sigmoid(x), floating=True)
_sigmoid = elementwise("sigmoid", lambda y, dy, x: dy * y * (1.0 - y), floating=True)
_trunc = elementwise("trunc")
_round = elementwise("round")


def power(x1: Any, x2: Any) -> Any:
    """``x1 ** x2``. The gradient for ``x2`` is 0 where ``x1`` is not positive."""
    if isinstance(x2, (int, float)) and not isinstance(x2, bool):
        if x2 == 2:
            return square(x1)
        if x2 == 0.5:
            return sqrt(x1)
        if x2 == 1:
            return x1 if isinstance(x1, Tensor) else dtypes.as_array(x1)
        if x2 == -1:
            return reciprocal(x1)
    return _power(x1, x2)


def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """``x1`` where ``condition`` holds, ``x2`` elsewhere; all three broadcast.

    Raises:
        ValueError: if only one of ``x1`` and ``x2`` is given, or neither.
    """
    if x1 is None or x2 is None:
        raise ValueError("where: both x1 and x2 must be given; use nonzero for the places of true elements")
    if not isinstance(condition, Tensor):
        condition = np.asarray(condition).astype(bool)
    elif condition.dtype != "bool":
        condition = cast(condition, "bool")
    return graph.where(condition, x1, x2)


def trunc(x: Any) -> Any:
    """Rounded towards zero."""
    x = operand(x)
    return _trunc(x) if dtypes.is_float(dtype_of(x)) else x


def round(x: Any, decimals: int = 0) -> Any:
    """Rounded to ``decimals`` places, halves to the even neighbour."""
    x = operand(x)
    if not dtypes.is_float(dtype_of(x)):
        if decimals >= 0:
            return x
        return cast(round(cast(x, "float64"), decimals), dtype_of(x))
    if decimals == 0:
        return _round(x)
    if decimals > 0:
        return divide(_round(multiply(x, 10.0**decimals)), 10.0**decimals)
    return multiply(_round(divide(x, 10.0**-decimals)), 10.0**-decimals)


# --- Composites ---------------------------------------------------------------------------------------


def dtype_of(x: Any) -> str:
    return x.dtype if isinstance(x, Tensor) else x.dtype.name


def as_float(x: Any) -> Any:
    """A tensor or array of floats: integers and booleans are converted to ``floatx()``."""
    x = operand(x)
    return x if dtypes.is_float(dtype_of(x)) else cast(x, dtypes.floatx())


def of_floats(function: Callable) -> Callable:
    """A composite of float operands: the first argument and all arrays are converted, numbers after it
    stay as they are, and an eager result is an array."""

    @functools.wraps(function)
    def composite(x: Any, *operands: Any, **options: Any) -> Any:
        others = (v if isinstance(v, (bool, int, float)) else as_float(v) for v in operands)
        result = function(as_float(x), *others, **options)
        return result if isinstance(result, Tensor) else np.asarray(result)

    return composite


def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """``x`` limited to [``x_min``, ``x_max``]; either may be ``None``. At a limit the gradient passes."""
    if x_min is not None:
        x = maximum(x, x_min)
    if x_max is not None:
        x = minimum(x, x_max)
    return operand(x)


def divide_no_nan(x1: Any, x2: Any) -> Any:
    """``x1 / x2``, 0 where ``x2`` is 0."""
    nonzero = not_equal(x2, 0)
    return where(nonzero, divide(x1, where(nonzero, x2, 1)), 0.0)


def fmod(x1: Any, x2: Any) -> Any:
    """The remainder with the sign of ``x1``."""
    return where(less(x1, 0), negative(mod(negative(x1), abs(x2))), mod(x1, abs(x2)))


def fmax(x1: Any, x2: Any) -> Any:
    """The larger; the other where one is NaN."""
    return where(isnan(x1), x2, where(isnan(x2), x1, maximum(x1, x2)))


def fmin(x1: Any, x2: Any) -> Any:
    """The smaller; the other where one is NaN."""
    return where(isnan(x1), x2, where(isnan(x2), x1, minimum(x1, x2)))


def exp2(x: Any) -> Any:
    """``2 ** x``."""
    return _power(2.0, as_float(x))


@of_floats
def fabs(x: Any) -> Any:
    """The absolute value, as a float."""
    return abs(x)


@of_floats
def cbrt(x: Any) -> Any:
    """The real cube root."""
    return sign(x) * _power(abs(x), 1.0 / 3.0)


@of_floats
def erfc(x: Any) -> Any:
    """``1 - erf(x)``."""
    return 1.0 - erf(x)


@of_floats
def logaddexp(x1: Any, x2: Any) -> Any:
    """``log(exp(x1) + exp(x2))`` without overflow."""
    # Where both are the same infinity, they differ by nothing.
    gap = where(logical_and(equal(x1, x2), isinf(x1)), 0.0, subtract(x2, x1))
    return where(greater_equal(x1, x2), x1 + _softplus(gap), x2 + _softplus(negative(gap)))


@of_floats
def logaddexp2(x1: Any, x2: Any) -> Any:
    """``log2(2**x1 + 2**x2)`` without overflow."""
    return logaddexp(x1 * math.log(2.0), x2 * math.log(2.0)) / math.log(2.0)


@of_floats
def hypot(x1: Any, x2: Any) -> Any:
    """``sqrt(x1**2 + x2**2)`` without overflow."""
    larger, smaller = maximum(abs(x1), abs(x2)), minimum(abs(x1), abs(x2))
    ratio = divide(smaller, where(equal(larger, 0.0), 1.0, larger))
    return where(isinf(larger), larger, larger * sqrt(square(ratio) + 1.0))


@of_floats
def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return multiply(x, math.pi / 180.0)


@of_floats
def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return multiply(x, 180.0 / math.pi)


@of_floats
def sinc(x: Any) -> Any:
    """``sin(pi x) / (pi x)``, 1 at 0."""
    angle = multiply(where(equal(x, 0.0), 1.0, x), math.pi)
    return where(equal(x, 0.0), 1.0, divide(sin(angle), angle))


@of_floats
def heaviside(x1: Any, x2: Any) -> Any:
    """0 where ``x1 < 0``, ``x2`` where it is 0, 1 where ``x1 > 0``."""
    return where(isnan(x1), x1, where(equal(x1, 0.0), x2, where(greater(x1, 0.0), 1.0, 0.0)))


@of_floats
def ldexp(x1: Any, x2: Any) -> Any:
    """``x1 * 2**x2``."""
    return multiply(x1, _power(2.0, x2))


def isposinf(x: Any) -> Any:
    """Whether an element is plus infinity."""
    return equal(as_float(x), math.inf)


def isneginf(x: Any) -> Any:
    """Whether an element is minus infinity."""
    return equal(as_float(x), -math.inf)


def isreal(x: Any) -> Any:
    """True everywhere: there are no complex dtypes."""
    return logical_or(equal(x, x), True) if isinstance(x, Tensor) else np.ones(np.shape(x), bool)


def signbit(x: Any) -> Any:
    """Whether the sign is minus, that of zero included."""
    x = operand(x)
    if not dtypes.is_float(dtype_of(x)):
        return less(x, 0)
    return where(equal(x, 0.0), less(reciprocal(x), 0.0), less(x, 0.0))


def isclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """``abs(x1 - x2) <= atol + rtol * abs(x2)``; infinities are close to themselves."""
    x1, x2 = as_float(x1), as_float(x2)
    near = less_equal(abs(subtract(x1, x2)), add(multiply(abs(x2), rtol), atol))
    close = logical_or(equal(x1, x2), logical_and(near, isfinite(x2)))
    return logical_or(close, logical_and(isnan(x1), isnan(x2))) if equal_nan else close


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """``x`` with NaN and infinities replaced, the infinities by the largest finite numbers by default."""
    x = operand(x)
    if not dtypes.is_float(dtype_of(x)):
        return x
    largest = float(np.finfo(dtype_of(x)).max)
    x = where(isnan(x), nan, x)
    x = where(equal(x, math.inf), largest if posinf is None else posinf, x)
    return where(equal(x, -math.inf), -largest if neginf is None else neginf, x)


def real(x: Any) -> Any:
    """``x`` itself: there are no complex dtypes."""
    return operand(x)


def conj(x: Any) -> Any:
    """``x`` itself: there are no complex dtypes."""
    return operand(x)


conjugate = conj


def copy(x: Any) -> Any:
    """A copy; of a tensor, the tensor itself, which nothing can change."""
    return x if isinstance(x, Tensor) else dtypes.as_array(x).copy()


Tensor.define_operators(
    add=add,
    sub=subtract,
    mul=multiply,
    truediv=divide,
    floordiv=floor_divide,
    mod=mod,
    neg=negative,
    abs=abs,
    pow=power,
    lt=less,
    le=less_equal,
    gt=greater,
    ge=greater_equal,
)


def _logical_or_bitwise(logical: Any, bitwise: Any) -> Callable:
    """``&`` and its like: logical on booleans, bitwise on integers."""

    def operator(*operands: Any) -> Any:
        boolean = all(dtype_of(operand(x)) == "bool" for x in operands)
        return logical(*operands) if boolean else bitwise(*operands)

    return operator


Tensor.define_operators(
    **{
        "and": _logical_or_bitwise(logical_and, bitwise_and),
        "or": _logical_or_bitwise(logical_or, bitwise_or),
        "xor": _logical_or_bitwise(logical_xor, bitwise_xor),
        "invert": _logical_or_bitwise(logical_not, bitwise_not),
    }
)
