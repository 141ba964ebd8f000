"""Arithmetic, comparison, and functions of one element."""

from __future__ import annotations

from typing import Any

from kcore.graph import Tensor, elementwise
from kcore.graph import primitives as graph

__all__ = [
    "add",
    "divide",
    "equal",
    "exp",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "logical_and",
    "logical_not",
    "logical_or",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "relu",
    "sigmoid",
    "sqrt",
    "square",
    "subtract",
    "tanh",
    "where",
]

add = graph.add
multiply = graph.multiply
subtract = elementwise("subtract", lambda y, dy, a, b: (dy, -dy))
divide = elementwise("divide", lambda y, dy, a, b: (dy / b, -dy * y / b), floating=True)
negative = elementwise("negative", lambda y, dy, x: -dy)
power = elementwise(
    "power",
    lambda y, dy, a, b: (dy * b * power(a, b - 1), where(greater(a, 0.0), dy * y * log(where(greater(a, 0.0), a, 1.0)), 0.0)),
)
square = elementwise("square", lambda y, dy, x: 2.0 * dy * x)
sqrt = elementwise("sqrt", lambda y, dy, x: 0.5 * dy / y, floating=True)
exp = elementwise("exp", lambda y, dy, x: dy * y, floating=True)
log = elementwise("log", lambda y, dy, x: dy / x, floating=True)
tanh = elementwise("tanh", lambda y, dy, x: dy * (1.0 - y * y), floating=True)
sigmoid = elementwise("sigmoid", lambda y, dy, x: dy * y * (1.0 - y), floating=True)
relu = elementwise("relu", lambda y, dy, x: where(greater(y, 0.0), dy, 0.0))
maximum = elementwise(
    "maximum", lambda y, dy, a, b: (where(greater_equal(a, b), dy, 0.0), where(greater_equal(a, b), 0.0, dy))
)
minimum = elementwise(
    "minimum", lambda y, dy, a, b: (where(less_equal(a, b), dy, 0.0), where(less_equal(a, b), 0.0, dy))
)
equal = elementwise("equal", result="bool")
not_equal = elementwise("not_equal", result="bool")
less = elementwise("less", result="bool")
less_equal = elementwise("less_equal", result="bool")
greater = elementwise("greater", result="bool")
greater_equal = elementwise("greater_equal", result="bool")
logical_and = elementwise("logical_and", result="bool")
logical_or = elementwise("logical_or", result="bool")
logical_not = elementwise("logical_not", result="bool")


def where(condition: Any, x1: Any, x2: Any) -> Any:
    """``x1`` where ``condition`` holds, ``x2`` elsewhere; all three broadcast."""
    return graph.where(condition, x1, x2)


Tensor.define_operators(
    add=add,
    sub=subtract,
    mul=multiply,
    truediv=divide,
    neg=negative,
    pow=power,
    lt=less,
    le=less_equal,
    gt=greater,
    ge=greater_equal,
    invert=logical_not,
)
Tensor.define_operators(**{"and": logical_and, "or": logical_or})
