"""TimeDistributed and Bidirectional by what they are made of."""

import numpy as np
import pytest

from kcore import backend as K
from kcore import layers as L
from kcore.graph import Function, placeholder

rng = np.random.default_rng(0)


def run(layer, x, training=False, **kwargs):
    t = L.Input((*(None,) * 1, *x.shape[2:]) if x.ndim > 2 else x.shape[1:])
    y = layer(t, **kwargs)
    results = Function([t], y if isinstance(y, list) else [y])([x], training)
    return results if len(results) > 1 else results[0]


# TimeDistributed.


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: L.Dense(3), (2, 4, 5)),
        (lambda: L.Conv2D(2, 2), (2, 3, 4, 4, 2)),
        (lambda: L.LSTM(2), (2, 3, 4, 2)),
        (lambda: L.Flatten(), (2, 3, 4, 2)),
    ],
)
def test_time_distributed_is_the_layer_at_each_step(make, shape):
    x = rng.normal(size=shape).astype("float32")
    layer = make()
    y = run(L.TimeDistributed(layer), x)
    for t in range(shape[1]):
        step = placeholder((None, *shape[2:]))
        want = Function([step], [layer(step)])([np.ascontiguousarray(x[:, t])])[0]
        np.testing.assert_allclose(y[:, t], want, atol=1e-6)


def test_time_distributed_passes_masks():
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    x[1, 2] = 0
    t = L.Input((3, 2))
    y = L.TimeDistributed(L.Dense(2))(L.Masking()(t))
    mask = Function([t], [y._keras_mask])([x])[0]
    np.testing.assert_array_equal(mask, [[True] * 3, [True, True, False]])


def test_time_distributed_hands_inner_masks_to_the_layer():
    ids = np.array([[[1, 2, 0], [3, 0, 0]], [[0, 0, 0], [1, 1, 1]]], "int32")
    t = L.Input((2, 3), dtype="int32")
    embedded = L.TimeDistributed(L.Embedding(4, 2, mask_zero=True))(t)
    y = L.TimeDistributed(L.LSTM(2))(embedded)
    mask, outer, out = Function([t], [embedded._keras_mask, y._keras_mask, y])([ids])
    np.testing.assert_array_equal(mask, ids != 0)
    np.testing.assert_array_equal(outer, [[True, True], [False, True]])
    assert not out[1, 0].any()
    assert out[0].all()


def test_time_distributed_updates_and_losses_are_the_layers():
    inner = L.BatchNormalization(gamma_regularizer="l2")
    layer = L.TimeDistributed(inner)
    x = L.Input((3, 2))
    layer(x)
    assert len(layer.updates) == 2
    assert len(layer.losses) == 1
    assert len(layer.trainable_weights) == 2
    assert len(layer.non_trainable_weights) == 2
    inner.trainable = False
    assert layer.updates == []
    assert len(layer.non_trainable_weights) == 4


def test_wrappers_want_layers():
    with pytest.raises(ValueError, match="Layer"):
        L.TimeDistributed(lambda x: x)
    with pytest.raises(ValueError, match="recurrent"):
        L.Bidirectional(L.Dense(2))
    with pytest.raises(ValueError, match="merge mode"):
        L.Bidirectional(L.LSTM(2), merge_mode="max")
    with pytest.raises(ValueError, match="min_ndim=3"):
        L.TimeDistributed(L.Dense(2))(placeholder((None, 2)))


# Bidirectional.


def two_by_hand(layer, x, sequences):
    """The forward and the backward outputs, from two plain layers of the same weights."""
    results = []
    weights = layer.get_weights()
    half = len(weights) // 2
    for go_backwards, part in ((False, weights[:half]), (True, weights[half:])):
        plain = L.LSTM(2, return_sequences=sequences, return_state=True, go_backwards=go_backwards)
        run(plain, x)
        plain.set_weights(part)
        y, *states = run(plain, x)
        results.append((y[:, ::-1] if sequences and go_backwards else y, states))
    return results


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(
    ("mode", "merge"),
    [
        ("concat", lambda a, b: np.concatenate([a, b], -1)),
        ("sum", np.add),
        ("mul", np.multiply),
        ("ave", lambda a, b: (a + b) / 2),
        (None, lambda a, b: [a, b]),
    ],
)
def test_bidirectional_is_two_layers(mode, merge, sequences):
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer = L.Bidirectional(L.LSTM(2, return_sequences=sequences), merge_mode=mode)
    y = run(layer, x)
    (forward, _), (backward, _) = two_by_hand(layer, x, sequences)
    want = merge(forward, backward)
    for a, b in zip(*([y, want] if mode is None else [[y], [want]]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_bidirectional_returns_both_states():
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    layer = L.Bidirectional(L.LSTM(2, return_sequences=True, return_state=True))
    _, *states = run(layer, x)
    (_, forward), (_, backward) = two_by_hand(layer, x, True)
    for got, want in zip(states, [*forward, *backward], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
    assert layer.compute_output_shape((None, 5, 3)) == [(None, 5, 4)] + [(None, 2)] * 4


def test_bidirectional_takes_initial_states():
    x = rng.normal(size=(2, 6, 3)).astype("float32")
    layer = L.Bidirectional(L.GRU(2, return_state=True))
    t, states = L.Input((None, 3)), [L.Input((2,)), L.Input((2,))]
    y = layer(t, initial_state=states)
    start = [rng.normal(size=(2, 2)).astype("float32") for _ in states]
    out = Function([t, *states], y)([x, *start])
    for half, (inner, begin) in enumerate(
        zip((layer.forward_layer, layer.backward_layer), start, strict=True)
    ):
        tt, s = placeholder((None, 6, 3)), placeholder((None, 2))
        want = Function([tt, s], [inner(tt, initial_state=s)[1]])([x, begin])[0]
        np.testing.assert_allclose(out[1 + half], want, atol=1e-6)
    assert y[0]._keras_history.layer is layer
    with pytest.raises(ValueError, match="initial_state"):
        layer(t, initial_state=states[:1])


def test_bidirectional_holds_masks():
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    mask = np.array([[True] * 3 + [False] * 2] * 2)
    layer = L.Bidirectional(L.LSTM(2))
    want = run(layer, np.ascontiguousarray(x[:, :3]))
    np.testing.assert_allclose(run(layer, x, mask=K.constant(mask, "bool")), want, atol=1e-6)


def test_stateful_bidirectional():
    layer = L.Bidirectional(L.SimpleRNN(2, stateful=True))
    x = L.Input(batch_shape=(2, 3, 2))
    y = layer(x)
    assert layer.stateful
    assert len(layer.weights) == 6
    f = Function([x], [y], layer.updates)
    values = rng.normal(size=(2, 3, 2)).astype("float32")
    first = f([values])[0]
    assert not np.array_equal(f([values])[0], first)
    layer.reset_states()
    np.testing.assert_array_equal(f([values])[0], first)


def test_bidirectional_names_weights_and_config():
    layer = L.Bidirectional(L.LSTM(2, name="inner"), weights=None, name="both")
    layer(L.Input((None, 3)))
    assert layer.weights[0].name == "both/forward_inner/kernel:0"
    assert layer.weights[3].name == "both/backward_inner/kernel:0"
    config = layer.get_config()
    assert config["layer"]["class_name"] == "LSTM"
    assert config["merge_mode"] == "concat"
    copy = L.Bidirectional.from_config(config)
    assert copy.forward_layer.name == "forward_inner"
    assert copy.backward_layer.go_backwards


def test_bidirectional_takes_another_backward_layer():
    layer = L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(3, go_backwards=True))
    assert run(layer, rng.normal(size=(2, 4, 3)).astype("float32")).shape == (2, 5)
    with pytest.raises(ValueError, match="go_backwards"):
        L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(3))
    with pytest.raises(ValueError, match="return_sequences"):
        L.Bidirectional(L.LSTM(2), backward_layer=L.GRU(3, go_backwards=True, return_sequences=True))


def test_bidirectional_of_own_cells():
    class Cell(L.SimpleRNNCell):
        pass

    layer = L.Bidirectional(L.RNN(Cell(2)))
    assert isinstance(layer.backward_layer.cell, Cell)
