"""Products that an elementwise chain takes piece by piece: above all gradients of weights, by their updates."""

import numpy as np
import pytest

from kcore import backend as K
from kcore import ops
from kcore.graph import Function, placeholder

M, N, BATCH = 300, 260, 20
TAKEN = "matmul_elementwise"
rng = np.random.default_rng(0)


def draw(*shape):
    return rng.standard_normal(shape).astype("float32")


def layer(dtype="float32"):
    """Inputs, gradients of the outputs, weights, and the gradient of the weights."""
    x, dy = placeholder((None, M), dtype), placeholder((None, N), dtype)
    w = K.variable(draw(M, N), dtype)
    return x, dy, w, ops.dot(ops.transpose(x), dy)


def plan_of(f, batch=BATCH):
    return f.compiled([(batch, M), (batch, N)]).plan


def names(f, batch=BATCH):
    return [i.name for i in plan_of(f, batch).instructions]


@pytest.mark.parametrize("batch", [1, BATCH, 250])
def test_update_takes_the_gradient(batch):
    x, dy, w, gradient = layer()
    v = K.variable(draw(M, N))
    new_v = 0.9 * v - 0.1 * gradient
    f = Function([x, dy], [], updates=[(v, new_v), (w, w + new_v)])
    xs, dys = draw(batch, M), draw(batch, N)
    v_before, w_before = K.get_value(v), K.get_value(w)
    f([xs, dys])
    want = 0.9 * v_before - 0.1 * (xs.T @ dys)
    np.testing.assert_allclose(K.get_value(v), want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(K.get_value(w), w_before + want, rtol=1e-4, atol=1e-4)
    assert names(f, batch) == [TAKEN]  # nor a copy: both variables are written in place
    assert plan_of(f, batch).arena_bytes == 0


def test_gradient_that_something_else_reads_is_made_whole():
    x, dy, w, gradient = layer()
    for fetches, updates in [
        ([gradient], [(w, w - gradient)]),
        ([ops.sum(ops.square(gradient))], [(w, w - gradient)]),
        ([], [(w, w - gradient / ops.sqrt(ops.sum(ops.square(gradient))))]),
        ([], [(w, w - ops.reshape(gradient, (N, M))[:1, :1])]),
    ]:
        assert TAKEN not in names(Function([x, dy], fetches, updates=updates))


def test_small_product_or_one_of_larger_factors_is_made_whole():
    assert TAKEN in described(400, 260, 40)
    assert TAKEN not in described(200, 260, 40)
    assert TAKEN not in described(400, 260, 300)
    assert TAKEN not in described(260, 400, 300)


def described(m, n, k):
    x, w = placeholder((m, k)), placeholder((k, n))
    return Function([x, w], [ops.square(ops.dot(x, w))]).describe([(m, k), (k, n)])


def test_factor_that_is_updated_by_its_own_product():
    """The old value is read until the end, so the new one is written beside it."""
    w = K.variable(draw(280, 280))
    before = K.get_value(w)
    f = Function([], [], updates=[(w, w - ops.dot(w, w))])
    assert names_of(f) == [TAKEN, "elementwise"]
    f([])
    np.testing.assert_allclose(K.get_value(w), before - before @ before, rtol=1e-4, atol=1e-3)


def names_of(f):
    return [i.name for i in f.compiled([]).plan.instructions]


def test_epilogue_and_chain_behind_it():
    x, w, b = placeholder((None, 40)), placeholder((40, 300)), placeholder((300,))
    y = ops.dot(x, w) + b
    f = Function([x, w, b], [y * ops.sigmoid(y)])
    arrays = [draw(500, 40), draw(40, 300), draw(300)]
    (got,) = f(arrays)
    want = arrays[0] @ arrays[1] + arrays[2]
    np.testing.assert_allclose(got, want / (1 + np.exp(-want)), rtol=1e-4, atol=1e-4)
    assert TAKEN in f.describe([a.shape for a in arrays])


def test_chain_of_two_products_takes_one():
    x, dy, w, gradient = layer()
    other_x, other_dy = placeholder((None, M)), placeholder((None, N))
    both = gradient + ops.dot(ops.transpose(other_x), other_dy)
    f = Function([x, dy, other_x, other_dy], [], updates=[(w, w - both)])
    arrays = [draw(BATCH, M), draw(BATCH, N), draw(7, M), draw(7, N)]
    before = K.get_value(w)
    f(arrays)
    want = before - arrays[0].T @ arrays[1] - arrays[2].T @ arrays[3]
    np.testing.assert_allclose(K.get_value(w), want, rtol=1e-4, atol=1e-4)
    assert [i.name for i in f.compiled([a.shape for a in arrays]).plan.instructions] == ["matmul", TAKEN]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adadelta"])
def test_training_is_the_same_with_every_gradient_made_whole(optimizer, monkeypatch):
    from kcore.graph import fuse
    from kcore.layers import Dense, Input
    from kcore.models import Sequential

    x, y = draw(64, 100), draw(64, 10)
    results = []
    for smallest in (fuse.SMALLEST_TAKEN, 1 << 40):
        monkeypatch.setattr(fuse, "SMALLEST_TAKEN", smallest)
        model = Sequential(
            [Input((100,)), Dense(800, activation="relu"), Dense(300, activation="tanh"), Dense(10)]
        )
        model.set_weights(
            [
                np.random.default_rng(i).standard_normal(w.shape).astype("float32") / 10
                for i, w in enumerate(model.get_weights())
            ]
        )
        model.compile(optimizer, "mse")
        losses = [model.train_on_batch(x, y) for _ in range(5)]
        (step,) = model._steps.values()
        (compiled,) = step.function._programs.values()
        assert (TAKEN in [i.name for i in compiled.plan.instructions]) == (smallest < 1 << 40)
        results.append([losses, *model.get_weights()])
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got, want)
