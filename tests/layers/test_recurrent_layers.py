"""Recurrent layers: the equations by hand, states, masks, dropout, own cells."""

import numpy as np
import pytest

from kcore import backend as K
from kcore import layers as L
from kcore import ops
from kcore.graph import Function, evaluate, placeholder
from kcore.utils.serialization import CustomObjectScope

rng = np.random.default_rng(0)


def function(layer, shape, **kwargs):
    """A function of the layer's inputs that also makes its updates."""
    x = L.Input(batch_shape=shape)
    y = layer(x, **kwargs)
    return Function([x], y if isinstance(y, list) else [y], layer.get_updates_for(x))


def run(layer, x, training=False, **kwargs):
    results = function(layer, (None, *x.shape[1:]), **kwargs)([x], training)
    return results if len(results) > 1 else results[0]


def randomize(layer):
    layer.set_weights([rng.uniform(-1, 1, w.shape) for w in layer.weights])
    return layer.get_weights()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(name, x, weights):
    """The outputs of all steps, with plain loops."""
    w, u, b = (a.astype("float64") for a in weights)
    units = u.shape[0]
    h = np.zeros((len(x), units))
    c = np.zeros_like(h)
    outputs = []
    for t in range(x.shape[1]):
        if name == "simple":
            h = np.tanh(x[:, t] @ w + b + h @ u)
        elif name == "lstm":
            i, f, g, o = np.split(x[:, t] @ w + b + h @ u, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        elif name == "gru":
            xz, xr, xh = np.split(x[:, t] @ w + b, 3, axis=1)
            uz, ur, uh = np.split(u, 3, axis=1)
            z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
            h = z * h + (1 - z) * np.tanh(xh + (r * h) @ uh)
        else:
            xz, xr, xh = np.split(x[:, t] @ w + b[0], 3, axis=1)
            hz, hr, hh = np.split(h @ u + b[1], 3, axis=1)
            z, r = sigmoid(xz + hz), sigmoid(xr + hr)
            h = z * h + (1 - z) * np.tanh(xh + r * hh)
        outputs.append(h)
    return np.stack(outputs, 1)


KINDS = {
    "simple": lambda **k: L.SimpleRNN(3, **k),
    "lstm": lambda **k: L.LSTM(3, **k),
    "gru": lambda **k: L.GRU(3, **k),
    "gru_after": lambda **k: L.GRU(3, reset_after=True, **k),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_equations(kind):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    layer = KINDS[kind](return_sequences=True)
    run(layer, x)
    weights = randomize(layer)
    want = by_hand(kind, x, weights)
    np.testing.assert_allclose(run(layer, x), want, atol=1e-5)
    layer.return_sequences = False
    np.testing.assert_allclose(run(layer, x), want[:, -1], atol=1e-5)


@every_kind
def test_backwards_is_forwards_on_reversed_steps(kind):
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    forward = KINDS[kind](return_sequences=True, return_state=True)
    want = run(forward, np.ascontiguousarray(x[:, ::-1]))
    backward = KINDS[kind](return_sequences=True, return_state=True, go_backwards=True)
    run(backward, x)
    backward.set_weights(forward.get_weights())
    for a, b in zip(run(backward, x), want, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_default_biases():
    x = placeholder((None, 4, 2))
    lstm, gru, after = L.LSTM(3), L.GRU(3), L.GRU(3, reset_after=True)
    for layer in (lstm, gru, after):
        layer(x)
    np.testing.assert_array_equal(lstm.get_weights()[2], [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    assert gru.get_weights()[2].shape == (9,)
    assert after.get_weights()[2].shape == (2, 9)
    assert not L.LSTM(3, unit_forget_bias=False).cell.unit_forget_bias


@every_kind
def test_unroll_and_implementation_change_nothing(kind):
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    plain = KINDS[kind]()
    want = run(plain, x)
    options = [{"unroll": True}] if kind == "simple" else [{"unroll": True}, {"implementation": 1}]
    for option in options:
        layer = KINDS[kind](**option)
        run(layer, x)
        layer.set_weights(plain.get_weights())
        np.testing.assert_array_equal(run(layer, x), want)
    with pytest.raises(ValueError, match="unroll"):
        KINDS[kind](unroll=True)(placeholder((None, None, 3)))


# Masks.


@every_kind
def test_a_masked_tail_equals_a_shorter_input(kind):
    x = rng.normal(size=(2, 6, 3)).astype("float32")
    layer = KINDS[kind](return_state=True)
    want = run(layer, np.ascontiguousarray(x[:, :4]))
    mask = np.array([[True] * 4 + [False] * 2] * 2)
    for got, y in zip(run(layer, x, mask=K.constant(mask, "bool")), want, strict=True):
        np.testing.assert_allclose(got, y, atol=1e-6)


@every_kind
def test_masked_steps_repeat_the_output_and_hold_the_state(kind):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    mask = np.array([[True, False, True, True, False], [False, False, True, False, True]])
    layer = KINDS[kind](return_sequences=True, return_state=True)
    sequence, *states = run(layer, x, mask=K.constant(mask, "bool"))
    for row in range(2):
        kept = np.flatnonzero(mask[row])
        want, *want_states = run(layer, np.ascontiguousarray(x[row : row + 1, kept]))
        np.testing.assert_allclose(sequence[row, kept], want[0], atol=1e-6)
        for got, state in zip(states, want_states, strict=True):
            np.testing.assert_allclose(got[row], state[0], atol=1e-6)
        held = np.zeros(3)
        for t in range(5):
            held = sequence[row, t] if mask[row, t] else held
            np.testing.assert_array_equal(sequence[row, t], held)


def test_zero_output_for_mask():
    x = rng.normal(size=(1, 3, 2)).astype("float32")
    layer = L.LSTM(2, return_sequences=True, zero_output_for_mask=True)
    y = run(layer, x, mask=K.constant([[True, False, True]], "bool"))
    assert not y[0, 1].any()
    assert y[0, 2].any()
    assert L.LSTM.from_config(layer.get_config()).zero_output_for_mask


def test_masks_come_from_masking_layers():
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    x[:, 3:] = 0
    inputs = L.Input((None, 3))
    layer = L.GRU(2, return_sequences=True)
    y = layer(L.Masking()(inputs))
    out, mask = Function([inputs], [y, y._keras_mask])([x])
    np.testing.assert_array_equal(mask, [[True] * 3 + [False] * 2] * 2)
    np.testing.assert_array_equal(out[:, 3], out[:, 2])


# States.


@every_kind
def test_initial_states_continue_where_final_states_ended(kind):
    x = rng.normal(size=(2, 6, 3)).astype("float32")
    layer = KINDS[kind](return_sequences=True, return_state=True)
    whole, *final = run(layer, x)
    _, *states = run(layer, np.ascontiguousarray(x[:, :4]))
    inputs = L.Input((None, 3))
    given = [L.Input((3,)) for _ in states]
    as_argument = layer(inputs, initial_state=given)
    as_list = layer([inputs, *given])
    for y in (as_argument, as_list):
        results = Function([inputs, *given], y)([np.ascontiguousarray(x[:, 4:]), *states])
        np.testing.assert_allclose(results[0], whole[:, 4:], atol=1e-6)
        for a, b in zip(results[1:], final, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        assert y[0]._keras_history.layer is layer


def test_variables_and_arrays_as_initial_states():
    layer = L.SimpleRNN(2)
    x = np.zeros((3, 1, 2), "float32")
    start = rng.normal(size=(3, 2)).astype("float32")
    inputs = L.Input(batch_shape=(3, 1, 2))
    y = layer(inputs, initial_state=K.variable(start))
    want = np.tanh(start @ layer.get_weights()[1])
    np.testing.assert_allclose(Function([inputs], [y])([x])[0], want, atol=1e-6)
    np.testing.assert_allclose(layer(x, initial_state=start), want, atol=1e-6)
    assert y._keras_history.layer is layer


@every_kind
def test_stateful_layers_go_on_where_the_last_batch_ended(kind):
    x = rng.normal(size=(2, 6, 3)).astype("float32")
    plain = KINDS[kind]()
    want = run(plain, x)
    layer = KINDS[kind](stateful=True)
    f = function(layer, (2, 3, 3))
    layer.set_weights(plain.get_weights())
    first, second = np.ascontiguousarray(x[:, :3]), np.ascontiguousarray(x[:, 3:])
    begin = f([first])[0]
    np.testing.assert_allclose(f([second])[0], want, atol=1e-6)
    layer.reset_states()
    np.testing.assert_array_equal(f([first])[0], begin)
    assert len(layer.weights) == 3
    values = [np.ones((2, 3), "float32")] * len(layer.states)
    layer.reset_states(values)
    for state, value in zip(layer.states, values, strict=True):
        np.testing.assert_array_equal(K.get_value(state), value)


def test_errors_of_states():
    with pytest.raises(ValueError, match="batch size"):
        L.LSTM(2, stateful=True)(placeholder((None, 3, 2)))
    with pytest.raises(AttributeError, match="stateful"):
        L.LSTM(2).reset_states()
    layer = L.LSTM(2, stateful=True)
    layer(placeholder((4, 3, 2)))
    with pytest.raises(ValueError, match="expects 2 states"):
        layer.reset_states([np.zeros((4, 2))])
    with pytest.raises(ValueError, match=r"expected shape=\(4, 2\)"):
        layer.reset_states([np.zeros((4, 2)), np.zeros((3, 2))])
    with pytest.raises(ValueError, match="2 states but was passed 1"):
        L.LSTM(2)([L.Input((3, 2)), L.Input((2,))])
    with pytest.raises(ValueError, match="ndim=3"):
        L.LSTM(2)(placeholder((None, 2)))


# Dropout.


def test_one_mask_serves_all_steps():
    layer = L.SimpleRNN(
        4,
        activation="linear",
        dropout=0.5,
        kernel_initializer="identity",
        recurrent_initializer="zeros",
        return_sequences=True,
    )
    y = run(layer, np.ones((16, 6, 4), "float32"), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert set(np.unique(y)) == {0.0, 2.0}


def test_recurrent_dropout_masks_the_state_alone():
    layer = L.SimpleRNN(
        4,
        activation="linear",
        recurrent_dropout=0.5,
        kernel_initializer="zeros",
        recurrent_initializer="identity",
    )
    x, h = L.Input((3, 2)), L.Input((4,))
    f = Function([x, h], [layer(x, initial_state=h)])
    arrays = [np.zeros((64, 3, 2), "float32"), np.ones((64, 4), "float32")]
    np.testing.assert_array_equal(f(arrays)[0], 1)
    assert set(np.unique(f(arrays, True)[0])) == {0.0, 8.0}  # the same mask three times


def test_stacked_cells_drop_too():
    layer = L.RNN([L.GRUCell(3, dropout=0.5), L.LSTMCell(2, recurrent_dropout=0.5)])
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    f = function(layer, (None, 5, 3))
    np.testing.assert_array_equal(f([x])[0], f([x])[0])
    assert not np.array_equal(f([x], True)[0], f([x], True)[0])


# Own cells.


class Minimal(L.Layer):
    """``h' = x @ kernel + h @ recurrent_kernel``, output twice as wide as the state."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = 2 * units

    def build(self, input_shape):
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="ones", name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")
        self.built = True

    def call(self, inputs, states, constants=None):
        h = K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent_kernel)
        if constants:
            h = h + constants[0]
        return K.concatenate([h, h * 2.0]), [h]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_own_cell_with_wider_output():
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    layer = L.RNN(Minimal(2), return_sequences=True, return_state=True)
    y, h = run(layer, x)
    kernel, recurrent = layer.get_weights()
    want = np.zeros((2, 2))
    for t in range(4):
        want = x[:, t] @ kernel + want @ recurrent
        np.testing.assert_allclose(y[:, t], np.concatenate([want, 2 * want], 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(h, want, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, None, 3)) == [(None, None, 4), (None, 2)]
    assert layer.cell.weights == layer.weights
    mask = K.constant([[True, True, False, False]] * 2, "bool")
    masked = run(layer, x, mask=mask)
    np.testing.assert_array_equal(masked[0][:, 3], masked[0][:, 1])


def test_own_cell_round_trip():
    layer = L.RNN(Minimal(2))
    config = layer.get_config()
    with pytest.raises(ValueError, match="Minimal"):
        L.RNN.from_config(config)
    assert L.RNN.from_config(config, {"Minimal": Minimal}).cell.units == 2
    with CustomObjectScope({"Minimal": Minimal}):
        assert L.RNN.from_config(config).cell.units == 2


def test_constants_reach_the_cell():
    layer = L.RNN(Minimal(2))
    x, c = L.Input((4, 3)), L.Input((2,))
    y = layer(x, constants=c)
    arrays = [np.zeros((2, 4, 3), "float32"), np.ones((2, 2), "float32")]
    _, recurrent = layer.get_weights()
    h = np.zeros((2, 2))
    for _ in range(4):
        h = 1 + h @ recurrent
    np.testing.assert_allclose(Function([x, c], [y])(arrays)[0][:, :2], h, rtol=1e-5)
    copy = L.RNN.from_config(layer.get_config(), {"Minimal": Minimal})
    assert copy._num_constants == 1
    again = copy([x, c])
    copy.set_weights(layer.get_weights())
    np.testing.assert_allclose(Function([x, c], [again])(arrays)[0][:, :2], h, rtol=1e-5)


def test_what_is_no_cell():
    with pytest.raises(ValueError, match="call"):
        L.RNN(object())
    with pytest.raises(ValueError, match="state_size"):
        L.RNN(L.Dense(2))
    with pytest.raises(ValueError, match="call"):
        L.StackedRNNCells([object()])
    with pytest.raises(ValueError, match="constants"):
        L.RNN([L.GRUCell(2)])(L.Input((3, 2)), constants=L.Input((2,)))


def test_cells_on_their_own():
    x, h = rng.normal(size=(2, 3)).astype("float32"), rng.normal(size=(2, 4)).astype("float32")
    cell = L.GRUCell(4)
    cell.build((None, 3))
    cell.built = True
    y, states = cell.call(K.constant(x), [K.constant(h)])
    w, u, b = cell.get_weights()
    xz, xr, xh = np.split(x @ w + b, 3, axis=1)
    uz, ur, uh = np.split(u, 3, axis=1)
    z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
    want = z * h + (1 - z) * np.tanh(xh + (r * h) @ uh)
    for got in evaluate([y, states[0]]):
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_regularizers_and_constraints_reach_the_weights():
    layer = L.LSTM(2, kernel_regularizer="l2", recurrent_regularizer="l1", bias_constraint="non_neg")
    layer(placeholder((None, 3, 2)))
    assert len(layer.losses) == 2
    assert layer.weights[2].constraint is not None
    assert layer.units == 2
    assert layer.activation is layer.cell.activation


def test_a_layer_in_float64():
    y = L.LSTM(2, dtype="float64")(placeholder((None, 3, 2), "float64"))
    assert y.dtype == "float64"
    assert ops.shape(y)[1] == 2
