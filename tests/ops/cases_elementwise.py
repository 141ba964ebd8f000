"""Rows of the elementwise family."""

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(1)
x = rng.uniform(-2, 2, (3, 4))
positive = rng.uniform(0.2, 2, (3, 4))
other = rng.uniform(0.5, 2, (3, 4))

CASES = [
    Case("add", ops.add, [x, other], np.add),
    Case("subtract", ops.subtract, [x, other], np.subtract),
    Case("multiply", ops.multiply, [x, other], np.multiply),
    Case("divide", ops.divide, [x, other], np.divide),
    Case("power", ops.power, [positive, other], np.power),
    Case("negative", ops.negative, [x], np.negative),
    Case("square", ops.square, [x], np.square),
    Case("sqrt", ops.sqrt, [positive], np.sqrt),
    Case("exp", ops.exp, [x], np.exp),
    Case("log", ops.log, [positive], np.log),
    Case("tanh", ops.tanh, [x], np.tanh),
    Case("sigmoid", ops.sigmoid, [x], lambda x: 1 / (1 + np.exp(-x))),
    Case("relu", ops.relu, [x], lambda x: np.maximum(x, 0)),
    Case("maximum", ops.maximum, [x, other], np.maximum),
    Case("minimum", ops.minimum, [x, other], np.minimum),
    Case("where", ops.where, [x > 0, x, other], np.where),
    Case("greater", ops.greater, [x, other], np.greater, differentiable=False),
]
