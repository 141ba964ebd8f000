"""Loops: values and gradients against the same steps unrolled by hand."""

import numpy as np
import pytest

from kcore import ops
from kcore.graph import Function, Variable, gradients, placeholder, scan

rng = np.random.default_rng(3)


def rnn(x, h, w, u, reverse=False, loop=True):
    """A simple recurrent network; with ``loop=False`` unrolled (x of known length)."""

    def step(xt, ht):
        return ops.tanh(ops.matmul(xt, w) + ops.matmul(ht, u))

    if loop:

        def body(slices, states):
            new = step(slices[0], states[0])
            return [new * 2.0, slices[0] * states[0][:, :1]], [new]

        (outputs, products), (final,) = scan(body, [x], [h], reverse=reverse)
        return outputs, products, final
    steps = x.shape[0]
    outputs, products = [None] * steps, [None] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        new = step(x[t], h)
        outputs[t], products[t], h = new * 2.0, x[t] * h[:, :1], new
    return ops.stack(outputs), ops.stack(products), h


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_scan_equals_unrolled(steps, reverse):
    w = Variable(rng.standard_normal((3, 4)), "float64")
    u = Variable(rng.standard_normal((4, 4)), "float64")
    arrays = [rng.standard_normal((steps, 2, 3)), rng.standard_normal((2, 4))]
    results = []
    for loop in (True, False):
        x = placeholder((None if loop else steps, None if loop else 2, 3), "float64")
        h = placeholder((2, 4), "float64")
        outputs, products, final = rnn(x, h, w, u, reverse, loop)
        loss = ops.sum(outputs * outputs) + ops.sum(products) * 0.5 + ops.sum(final * 3.0)
        grads = gradients(loss, [x, h, w, u])
        results.append(Function([x, h], [outputs, products, final, *grads])(arrays))
    for looped, unrolled in zip(*results, strict=True):
        np.testing.assert_allclose(looped, unrolled, rtol=1e-10, atol=1e-12)


def test_unused_outputs_and_integer_sequences():
    table = Variable(rng.standard_normal((5, 3)), "float64")
    ids = placeholder((None, 2), "int32")
    (_, sums), _ = scan(
        lambda s, h: (
            [s[0] * 2, h[0] + ops.take(table, s[0], axis=0)],
            [h[0] * 0.5 + ops.take(table, s[0], axis=0)],
        ),
        [ids],
        [ops.zeros((2, 3), "float64")],
    )
    (g,) = gradients(sums, [table])
    a = np.array([[0, 1], [1, 4], [2, 2]], "int32")
    value, grad = Function([ids], [sums, g])([a])
    h, want = np.zeros((2, 3)), []
    for row in a:
        want.append(h + table.numpy()[row])
        h = h * 0.5 + table.numpy()[row]
    np.testing.assert_allclose(value, want)
    numeric = np.zeros((5, 3))
    for index in np.ndindex(5, 3):
        total = 0.0
        for sign in (1, -1):
            moved = table.numpy()
            original = moved.copy()
            moved[index] += sign * 1e-6
            table.write(moved)
            total += sign * Function([ids], [sums])([a])[0].sum()
            table.write(original)
        numeric[index] = total / 2e-6
    np.testing.assert_allclose(grad, numeric, atol=1e-6)


def test_second_derivative_through_a_loop():
    x = placeholder((3, 1), "float64")
    w = Variable([[0.7]], "float64")

    def run(loop):
        if loop:
            _, (final,) = scan(
                lambda s, h: ([], [ops.tanh(h[0] * w[0] + s[0])]), [x], [ops.zeros((1,), "float64")]
            )
            return final
        h = ops.zeros((1,), "float64")
        for t in range(3):
            h = ops.tanh(h * w[0] + x[t])
        return h

    a = rng.standard_normal((3, 1))
    values = []
    for loop in (True, False):
        (g,) = gradients(run(loop), [w])
        (gg,) = gradients(g, [w])
        values.append(Function([x], [g, gg])([a]))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-10)


def test_zero_steps_keep_the_state():
    x = placeholder((None, 2))
    (y,), (final,) = scan(lambda s, h: ([s[0] + h[0]], [h[0] * 2.0]), [x], [ops.ones((2,))])
    out, state = Function([x], [y, final])([np.zeros((0, 2), "float32")])
    assert out.shape == (0, 2)
    np.testing.assert_array_equal(state, [1, 1])


def test_what_does_not_depend_on_the_step_is_computed_once():
    x = placeholder((4, 2, 2))
    w = Variable(np.eye(2, dtype="float32"))

    def body(slices, states):
        square = ops.matmul(w, w)
        return [ops.matmul(slices[0], square)], []

    (y,), _ = scan(body, [x], [])
    text = Function([x], [y]).describe([(4, 2, 2)])
    assert text.count("matmul") >= 1  # outside the loop
    a = rng.standard_normal((4, 2, 2)).astype("float32")
    np.testing.assert_allclose(Function([x], [y])([a])[0], a, rtol=1e-6)


def test_errors():
    x = placeholder((3, 2))
    with pytest.raises(ValueError, match="at least one sequence"):
        scan(lambda s, h: ([], []), [], [])
    with pytest.raises(ValueError, match="returned 0 states for 1"):
        scan(lambda s, h: ([], []), [x], [x])
    with pytest.raises(ValueError, match="sequences of 3 and 4 steps"):
        scan(lambda s, h: ([s[0]], []), [x, placeholder((4, 2))], [])
    _, (final,) = scan(lambda s, h: ([], [ops.reshape(h[0], (1, 2))]), [x], [ops.ones((2, 1))])
    with pytest.raises(ValueError, match="becomes one of shape"):
        Function([x], [final])([np.zeros((3, 2), "float32")])
