"""Rows of the activations, softmax and cross-entropies."""

import math

import numpy as np
from checks import Case

from kcore import ops

rng = np.random.default_rng(4)
x = rng.uniform(-4, 4, (3, 5))
cube = rng.uniform(-2, 2, (3, 4, 2))
wide = np.concatenate([rng.uniform(-8, 8, 17), [50.0, -50.0]])

EPSILON = 1e-7
SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    y = np.exp(x - x.max(axis, keepdims=True))
    return y / y.sum(axis, keepdims=True)


def clipped(p):
    return np.clip(p, EPSILON, 1 - EPSILON)


def activation(name, reference, **attributes):
    suffix = "".join(f"-{v}" for v in attributes.values())
    return Case(name + suffix, lambda x: getattr(ops, name)(x, **attributes), [wide], reference)


erf = np.vectorize(math.erf, otypes=["float64"])
p = softmax(x)
one_hot = np.eye(5)[[1, 0, 4]]
classes = np.array([1, 0, 4], "int32")
smooth = 0.8 * one_hot + 0.04


def cross_entropy(target, p, axis=-1):
    p = p / p.sum(axis, keepdims=True)
    return -(target * np.log(clipped(p))).sum(axis)


CASES = [
    activation("relu", lambda x: np.maximum(x, 0)),
    activation("relu6", lambda x: np.clip(x, 0, 6)),
    activation("sigmoid", sigmoid),
    activation("softplus", lambda x: np.log1p(np.exp(x))),
    activation("softsign", lambda x: x / (1 + abs(x))),
    activation("log_sigmoid", lambda x: -np.log1p(np.exp(-x))),
    activation("hard_sigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
    activation("hard_silu", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    activation("hard_swish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    activation("hard_tanh", lambda x: np.clip(x, -1, 1)),
    activation("silu", lambda x: x * sigmoid(x)),
    activation("swish", lambda x: x * sigmoid(x)),
    activation("gelu", lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    activation("gelu", lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))), approximate=False),
    activation("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    activation("elu", lambda x: np.where(x > 0, x, 0.3 * np.expm1(np.minimum(x, 0))), alpha=0.3),
    activation("celu", lambda x: np.where(x > 0, x, 2 * np.expm1(np.minimum(x, 0) / 2)), alpha=2.0),
    activation("selu", lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))),
    activation("leaky_relu", lambda x: np.where(x > 0, x, 0.2 * x)),
    activation("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), negative_slope=0.01),
    activation("squareplus", lambda x: (x + np.sqrt(x * x + 4)) / 2),
    activation("tanh_shrink", lambda x: x - np.tanh(x)),
    activation("hard_shrink", lambda x: np.where(abs(x) > 0.5, x, 0)),
    activation("soft_shrink", lambda x: np.sign(x) * np.maximum(abs(x) - 0.5, 0)),
    activation("sparse_plus", lambda x: np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4))),
    activation("sparse_sigmoid", lambda x: np.clip((x + 1) / 2, 0, 1)),
    activation("threshold", lambda x: np.where(x > 1, x, 2), threshold=1.0, default_value=2.0),
    *(
        Case(
            f"softmax-{axis}",
            lambda x, axis=axis: ops.softmax(x, axis),
            [cube],
            lambda x, axis=axis: softmax(x, axis),
        )
        for axis in (-1, 0, 1, (0, 2), (1, 2), (0, 1, 2))
    ),
    *(
        Case(
            f"log_softmax-{axis}",
            lambda x, axis=axis: ops.log_softmax(x, axis),
            [cube],
            lambda x, axis=axis: np.log(softmax(x, axis)),
        )
        for axis in (-1, 0, (0, 1))
    ),
    Case("softmax-vector", ops.softmax, [wide[:7]], softmax),
    Case("categorical_crossentropy", ops.categorical_crossentropy, [one_hot, p], cross_entropy, [1]),
    Case(
        "categorical_crossentropy-unnormalized",
        ops.categorical_crossentropy,
        [one_hot, 3 * p],
        cross_entropy,
        [1],
    ),
    Case(
        "categorical_crossentropy-axis-0",
        lambda t, o: ops.categorical_crossentropy(t, o, axis=0),
        [one_hot.T, p.T],
        lambda t, o: cross_entropy(t, o, 0),
        [1],
    ),
    Case(
        "categorical_crossentropy-of-softmax",
        lambda t, z: ops.categorical_crossentropy(t, ops.softmax(z)),
        [one_hot, x],
        lambda t, z: cross_entropy(t, softmax(z)),
        [1],
    ),
    Case(
        "categorical_crossentropy-logits",
        lambda t, z: ops.categorical_crossentropy(t, z, from_logits=True),
        [smooth, x],
        lambda t, z: -(t * np.log(softmax(z))).sum(-1),
    ),
    Case(
        "categorical_crossentropy-logits-axis",
        lambda t, z: ops.categorical_crossentropy(t, z, True, axis=1),
        [softmax(cube, 1), cube],
        lambda t, z: -(t * np.log(softmax(z, 1))).sum(1),
    ),
    Case(
        "categorical_crossentropy-integers",
        lambda t, z: ops.categorical_crossentropy(t, z, True),
        [one_hot.astype("int32"), x],
        lambda t, z: -(t * np.log(softmax(z))).sum(-1),
        [1],
    ),
    Case(
        "sparse_categorical_crossentropy",
        ops.sparse_categorical_crossentropy,
        [classes, p],
        lambda t, o: cross_entropy(one_hot, clipped(o)),
        [1],
    ),
    Case(
        "sparse_categorical_crossentropy-column",
        ops.sparse_categorical_crossentropy,
        [classes[:, None], p],
        lambda t, o: cross_entropy(one_hot, clipped(o)),
        [1],
        unknown=False,
    ),
    Case(
        "sparse_categorical_crossentropy-floats",
        ops.sparse_categorical_crossentropy,
        [classes * 1.0, p],
        lambda t, o: cross_entropy(one_hot, clipped(o)),
        [1],
    ),
    Case(
        "sparse_categorical_crossentropy-logits",
        lambda t, z: ops.sparse_categorical_crossentropy(t, z, from_logits=True),
        [classes.astype("int64"), x],
        lambda t, z: -(one_hot * np.log(softmax(z))).sum(-1),
    ),
    Case(
        "sparse_categorical_crossentropy-axis-0",
        lambda t, z: ops.sparse_categorical_crossentropy(t, z, True, 0),
        [classes, x.T],
        lambda t, z: -(one_hot * np.log(softmax(z.T))).sum(-1),
    ),
    Case(
        "binary_crossentropy",
        ops.binary_crossentropy,
        [one_hot, p],
        lambda t, o: -(t * np.log(clipped(o)) + (1 - t) * np.log(1 - clipped(o))),
        [1],
    ),
    Case(
        "binary_crossentropy-logits",
        lambda t, z: ops.binary_crossentropy(t, z, from_logits=True),
        [smooth, x],
        lambda t, z: -(t * np.log(sigmoid(z)) + (1 - t) * np.log(1 - sigmoid(z))),
    ),
    Case(
        "binary_crossentropy-of-sigmoid",
        lambda t, z: ops.binary_crossentropy(t, ops.sigmoid(z)),
        [smooth, x],
        lambda t, z: -(t * np.log(sigmoid(z)) + (1 - t) * np.log(1 - sigmoid(z))),
    ),
    Case(
        "binary_crossentropy-certain",
        ops.binary_crossentropy,
        [np.array([0.0, 1.0]), np.array([0.0, 1.0])],
        lambda t, o: -np.log(1 - EPSILON) + 0 * o,
        differentiable=False,
        tolerance=0.3,
    ),
    Case(
        "psnr",
        lambda a, b: ops.psnr(a, b, 2.0),
        [x, x + 0.1 * x[::-1]],
        lambda a, b: 10 * np.log10(4 / np.mean((a - b) ** 2)),
    ),
]
