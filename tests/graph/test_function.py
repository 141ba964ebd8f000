"""Functions: shapes, phases, updates, memory, interruption."""

import os
import signal
import threading

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, UpdateScope, Variable, gradients, learning_phase, placeholder
from kcore.graph.primitives import broadcast_to, reduce_sum, shape_of, stop_gradient, switch, transpose


def test_unknown_dimensions_are_resolved_for_each_shape():
    x = placeholder((None, 3))
    f = Function([x], [ops.reshape(x, (shape_of(x)[0], 3, 1)), ops.reshape(x, (-1,))])
    for n in (0, 1, 5):
        a = np.arange(3 * n, dtype="float32").reshape(n, 3)
        y, z = f([a])
        np.testing.assert_array_equal(y, a.reshape(n, 3, 1))
        np.testing.assert_array_equal(z, a.ravel())


def test_programs_are_cached_by_shape_and_the_cache_is_bounded():
    x = placeholder((None,))
    f = Function([x], [x + 1.0])
    assert f.compiled([(3,)]) is f.compiled([(3,)])
    for n in range(200):
        f([np.zeros(n, "float32")])
    assert len(f._programs) <= 64


def test_again_runs_what_it_ran_last_and_nothing_else():
    x = placeholder((None, 2))
    f = Function([x], [switch(learning_phase(), x * 2.0, x * 3.0)])
    one, two = np.ones((1, 2), "float32"), np.ones((2, 2), "float32")
    assert f.again([one]) is None
    f([one])
    np.testing.assert_array_equal(f.again([one])[0], 3 * one)
    for inputs, training in [
        ([one], True),
        ([two], False),
        ([one.astype("float64")], False),
        ([one.tolist()], False),
        ([np.ones((4, 2), "float32")[::4][:, ::-1]], False),
        ([one, one], False),
    ]:
        assert f.again(inputs, training) is None
    f([two], training=True)
    assert f.again([two]) is None
    np.testing.assert_array_equal(f.again([two], training=True)[0], 2 * two)


def test_phase_selects_a_branch_and_the_other_costs_nothing():
    x = placeholder((2,))
    f = Function([x], [switch(learning_phase(), x * 3.0, ops.exp(x))])
    a = np.array([1.0, 2.0], "float32")
    np.testing.assert_allclose(f([a], training=True)[0], 3 * a)
    np.testing.assert_allclose(f([a], training=False)[0], np.exp(a), rtol=1e-6)
    assert "exp" not in f.describe([(2,)], training=True)


def test_phase_can_be_an_input():
    x = placeholder((2,))
    phase = learning_phase()
    f = Function([x, phase], [switch(phase, x * 3.0, x)])
    a = np.array([1.0, 2.0], "float32")
    np.testing.assert_array_equal(f([a, np.array(True)])[0], 3 * a)
    np.testing.assert_array_equal(f([a, np.array(False)])[0], a)


def test_updates_see_old_values():
    a, b = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    Function([], [], [(a, b), (b, a)])([])
    np.testing.assert_array_equal(a.numpy(), [3, 4])
    np.testing.assert_array_equal(b.numpy(), [1, 2])


def test_update_waits_for_other_readers_of_the_old_value():
    w = Variable(np.eye(3, dtype="float32"))
    x = placeholder((3, 3))
    new = w + x
    f = Function([x], [ops.matmul(new, w), w + 0.0], [(w, new)])
    a = np.arange(9, dtype="float32").reshape(3, 3)
    product, old = f([a])
    np.testing.assert_allclose(product, np.eye(3) + a)
    np.testing.assert_array_equal(old, np.eye(3))
    np.testing.assert_array_equal(w.numpy(), np.eye(3) + a)


def test_update_with_a_broadcast_read_of_itself():
    w = Variable(np.arange(3, dtype="float32"))
    f = Function([], [], [(w, w + w[0] + w[2])])
    f([])
    np.testing.assert_array_equal(w.numpy(), [2, 3, 4])


def test_one_value_for_two_variables():
    a, b = Variable([0.0]), Variable([0.0])
    x = placeholder((1,))
    value = x * 2.0
    result = Function([x], [value], [(a, value), (b, value)])([np.array([3.0], "float32")])
    assert (float(a.numpy()[0]), float(b.numpy()[0]), float(result[0][0])) == (6, 6, 6)


def test_fetches_of_inputs_variables_constants_and_views():
    x = placeholder((2, 3))
    w = Variable([5.0])
    y = x * 2.0
    f = Function([x], [x, w, ops.reshape(x, (6,)), y, ops.reshape(y, (3, 2)), y, ops.reshape(w, ())])
    a = np.arange(6, dtype="float32").reshape(2, 3)
    got = f([a])
    for g, want in zip(got, [a, [5.0], a.ravel(), 2 * a, (2 * a).reshape(3, 2), 2 * a, 5.0], strict=True):
        np.testing.assert_array_equal(g, want)
    got[0][:] = -1  # outputs are the caller's own
    np.testing.assert_array_equal(a, np.arange(6).reshape(2, 3))


def test_scope_makes_assignments_visible_to_later_reads():
    total = Variable(0.0)
    x = placeholder((None,))
    with UpdateScope() as scope:
        total.assign_add(reduce_sum(x, axes=(0,)))
        result = total * 10.0
    f = Function([x], [result], list(scope.values.items()))
    assert float(f([np.ones(3, "float32")])[0]) == 30
    assert float(f([np.ones(2, "float32")])[0]) == 50
    assert float(total.numpy()) == 5


def test_gradients():
    x = placeholder((2, 3), "float64")
    w = Variable(np.array([1.0, -2.0, 3.0]), "float64")
    y = x * w * w
    gx, gw = gradients(y, [x, w])
    a = np.arange(6.0).reshape(2, 3)
    dx, dw = Function([x], [gx, gw])([a])
    np.testing.assert_allclose(dx, np.broadcast_to(w.numpy() ** 2, (2, 3)))
    np.testing.assert_allclose(dw, (2 * a * w.numpy()).sum(0))


def test_gradients_of_gradients():
    x = placeholder((3,), "float64")
    y = x**3.0 + ops.exp(x)
    (g,) = gradients(y, [x])
    (gg,) = gradients(g, [x])
    a = np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(Function([x], [gg])([a])[0], 6 * a + np.exp(a), rtol=1e-12)


def test_gradient_is_none_where_there_is_no_path():
    x, z = placeholder((2,)), placeholder((2,))
    gx, gz = gradients(x * 2.0, [x, z])
    assert gx is not None
    assert gz is None


def test_stop_gradient():
    x = placeholder((2,))
    (g,) = gradients(stop_gradient(x) * x, [x])
    np.testing.assert_array_equal(Function([x], [g])([np.array([2.0, 3.0], "float32")])[0], [2, 3])


def test_integers_have_no_gradient():
    x = placeholder((2,), "int32")
    with pytest.raises(TypeError, match="dtype is int32"):
        Function([x], gradients(x * 2, [x]))([np.array([1, 2], "int32")])


def test_errors_name_what_came():
    x = placeholder((None, 3), name="features")
    f = Function([x], [x * 2.0], name="double")
    with pytest.raises(
        ValueError,
        match=r"double: input 0 \(features\) must have shape \(None, 3\), got an array of shape \(2, 4\)",
    ):
        f([np.zeros((2, 4), "float32")])
    with pytest.raises(ValueError, match="takes 1 inputs, got 2"):
        f([np.zeros((2, 3)), np.zeros(1)])
    with pytest.raises(ValueError, match="which is not among the inputs"):
        Function([], [x * 2.0])([])
    with pytest.raises(TypeError, match="no truth value while a model is built"):
        bool(x)
    with pytest.raises(ValueError, match="cannot assign to variable 'w'"):
        Variable([1.0, 2.0], name="w").write([1.0])


def test_inputs_are_converted():
    x = placeholder((None,))
    f = Function([x], [x + 1.0])
    for value in ([1, 2], np.array([1, 2]), np.array([1.0, 2.0]), np.arange(4.0)[1::2][:2] * 0 + [1, 2]):
        np.testing.assert_array_equal(f([value])[0], [2, 3])


def test_arrays_in_any_memory_are_taken():
    x = placeholder((2, 3))
    f = Function([x], [x * 2.0])
    want = np.arange(6, dtype="float32").reshape(2, 3) * 2
    unaligned = np.frombuffer(b"x" + (want / 2).tobytes(), "u1")[1:].view("float32").reshape(2, 3)
    frozen = want / 2
    frozen.flags.writeable = False
    for a in (
        unaligned,
        frozen,
        np.asfortranarray(want / 2),
        (want / 2).astype(">f4"),
        (want / 2)[::-1][::-1],
    ):
        np.testing.assert_array_equal(f([a])[0], want)


def test_interrupt_leaves_variables_whole():
    """Ctrl-C in a long program raises, and none of its updates has happened."""
    n = 700
    x = placeholder((n, n))
    y = x
    for _ in range(400):
        y = ops.tanh(ops.matmul(y, x))
    w = Variable(np.zeros((n, n), "float32"))
    f = Function([x], [], [(w, y)])
    f.compiled([(n, n)])
    a = np.full((n, n), 1e-3, "float32")
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        f([a])
    timer.join()
    assert not w.numpy().any()


def test_describe_and_profile():
    x = placeholder((None, 4), name="x")
    w = Variable(np.ones((4, 8), "float32"))
    b = Variable(np.zeros(8, "float32"))
    f = Function([x], [ops.relu(ops.matmul(x, w) + b)])
    text = f.describe([(2, 4)])
    assert "1 instructions" in text
    assert "matmul+add+relu" in text
    assert "us" in f.profile([np.ones((2, 4), "float32")])


def test_fusion_stops_at_other_readers():
    x = placeholder((64, 64))
    e = ops.exp(x)
    y = e / broadcast_to(ops.reshape(reduce_sum(e, axes=(1,)), (64, 1)), shape=(64, 64))
    a = np.random.default_rng(0).standard_normal((64, 64)).astype("float32")
    want = np.exp(a) / np.exp(a).sum(1, keepdims=True)
    np.testing.assert_allclose(Function([x], [y])([a])[0], want, rtol=1e-5)


def test_transposes_become_flags_of_the_product():
    x, y = placeholder((3, 4)), placeholder((5, 4))
    f = Function([x, y], [ops.matmul(x, transpose(y, perm=(1, 0)))])
    assert "1 instructions" in f.describe([(3, 4), (5, 4)])
    a, b = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("float32")
    np.testing.assert_allclose(f([a[:3], b])[0], a[:3] @ b.T, rtol=1e-5)


def test_a_sum_of_squares_is_one_pass():
    x = placeholder((3, None, 5), "float64")
    total = ops.sum(ops.square(x), axis=1)
    f = Function([x], [total, *gradients(total, [x])])
    a = np.random.default_rng(0).standard_normal((3, 4, 5))
    y, dx = f([a])
    np.testing.assert_allclose(y, (a**2).sum(1), rtol=1e-14)
    np.testing.assert_allclose(dx, 2 * a)
    names = [str(i) for i in Function([x], [total]).compiled([a.shape]).plan.instructions]
    assert names == ["sum_of_squares"]


def test_sums_of_products_are_one_pass_each():
    x, h = placeholder((3, 4)), placeholder((3, 5))
    w, u, b = (Variable(np.ones(s), "float32") for s in [(4, 2), (5, 2), (2,)])
    values = [np.full((3, 4), 0.25, "float32"), np.full((3, 5), -0.25, "float32")]
    for z in [ops.matmul(x, w) + ops.matmul(h, u) + b, b + ops.matmul(x, w) + ops.matmul(h, u)]:
        f = Function([x, h], [ops.tanh(z)])
        assert "2 instructions" in f.describe([(3, 4), (3, 5)])
        np.testing.assert_allclose(f(values)[0], np.full((3, 2), np.tanh(0.75)), rtol=1e-5)


def test_a_product_is_added_to_a_state():
    x, y, total = placeholder((6, 4)), placeholder((6, 5)), placeholder((4, 5))
    f = Function([x, y, total], [total + ops.matmul(transpose(x, perm=(1, 0)), y)])
    assert "1 instructions" in f.describe([(6, 4), (6, 5), (4, 5)])
    values = [
        np.random.default_rng(i).standard_normal(s).astype("float32")
        for i, s in enumerate([(6, 4), (6, 5), (4, 5)])
    ]
    np.testing.assert_allclose(f(values)[0], values[2] + values[0].T @ values[1], rtol=1e-5, atol=1e-6)


def test_a_chain_takes_an_addition_along():
    x, w, v = placeholder((3, 4)), placeholder((4, 2)), placeholder((3, 2))
    for update in [lambda g: 0.9 * v + g, lambda g: 0.1 * (g + v)]:
        text = Function([x, w, v], [update(ops.matmul(x, w))]).describe([(3, 4), (4, 2), (3, 2)])
        assert "2 instructions" in text
        assert "matmul+add" not in text
