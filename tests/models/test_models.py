"""Sequential and functional models: building, weights, configs, copies."""

import json
import warnings

import numpy as np
import pytest

from kcore import ops
from kcore.layers import (
    LSTM,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    InputLayer,
    Lambda,
    Layer,
    add,
)
from kcore.models import Model, Sequential, clone_model, model_from_json


def two_by_two():
    """Two inputs, a shared layer, two outputs."""
    a, b = Input((4,), name="a"), Input((4,), name="b")
    shared = Dense(3, activation="relu", name="shared")
    x, y = shared(a), shared(b)
    merged = Concatenate(name="merged")([x, y])
    return Model([a, b], [Dense(2, name="left")(merged), Dense(1, name="right")(add([x, y]))])


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s).astype("float32") for s in shapes]


def test_sequential_list_and_add_agree():
    one = Sequential([Dense(3, input_dim=4), Dense(2)])
    two = Sequential()
    two.add(Dense(3, input_shape=(4,)))
    two.add(Dense(2))
    two.set_weights(one.get_weights())
    (x,) = arrays((5, 4))
    np.testing.assert_array_equal(one.predict(x), two.predict(x))
    assert one.output_shape == (None, 2)
    assert one.input_shape == (None, 4)
    assert [layer.name for layer in one.layers] == [one.layers[0].name, one.layers[1].name]
    assert len(one.layers) == 2


@pytest.mark.parametrize(
    "first",
    [
        lambda: [Dense(3, batch_input_shape=(None, 4))],
        lambda: [InputLayer(input_shape=(4,)), Dense(3)],
        lambda: [Input(shape=(4,)), Dense(3)],
        lambda: [Sequential([Dense(3, input_dim=4)])],
    ],
)
def test_ways_to_say_the_input_shape(first):
    model = Sequential(first())
    assert model.built
    assert model.input_shape == (None, 4)
    assert model.predict(np.zeros((2, 4))).shape == (2, 3)


def test_deferred_sequential_is_built_by_data():
    model = Sequential([Dense(3), Dense(2)])
    assert not model.built
    with pytest.raises(ValueError, match="not yet been built"):
        model.summary()
    with pytest.raises(RuntimeError, match="isn't built"):
        model.count_params()
    model.compile("sgd", "mse")
    model.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)
    assert model.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_pop():
    model = Sequential([Dense(3, input_dim=4), Dense(2)])
    model.pop()
    assert model.output_shape == (None, 3)
    model.add(Dense(5))
    assert model.predict(np.zeros((1, 4))).shape == (1, 5)
    model.pop()
    model.pop()
    with pytest.raises(TypeError, match="no layers"):
        model.pop()


def test_functional_with_shared_layers():
    model = two_by_two()
    a, b = arrays((3, 4), (3, 4))
    kernel, bias = model.get_layer("shared").get_weights()
    x, y = np.maximum(a @ kernel + bias, 0), np.maximum(b @ kernel + bias, 0)
    lk, lb = model.get_layer("left").get_weights()
    rk, rb = model.get_layer("right").get_weights()
    left, right = model.predict([a, b])
    np.testing.assert_allclose(left, np.concatenate([x, y], 1) @ lk + lb, atol=1e-5)
    np.testing.assert_allclose(right, (x + y) @ rk + rb, atol=1e-5)
    by_name = model.predict({"b": b, "a": a})
    np.testing.assert_array_equal(by_name[0], left)
    assert model.input_names == ["a", "b"]
    assert model.output_names == ["left", "right"]
    assert len(model.weights) == 6
    with pytest.raises(AttributeError, match="multiple inbound nodes"):
        _ = model.get_layer("shared").output
    assert model.get_layer("shared").get_output_at(1).shape == (None, 3)


def test_a_model_is_a_layer():
    inner = two_by_two()
    a, b = Input((4,)), Input((4,))
    left, right = inner([a, b])
    outer = Model([a, b], [Dense(1)(left), right])
    x = arrays((2, 4), (2, 4))
    np.testing.assert_array_equal(outer.predict(x)[1], inner.predict(x)[1])
    assert inner in outer.layers
    assert len(outer.weights) == 8


def test_nested_sequential_shares_weights():
    body = Sequential([Dense(4, activation="tanh", input_dim=4)])
    x = Input((4,))
    model = Model(x, body(body(x)))
    (a,) = arrays((2, 4))
    np.testing.assert_allclose(model.predict(a), body.predict(body.predict(a)), rtol=1e-6)
    assert len(model.weights) == 2


def test_unknown_dimensions():
    x = Input((None, 3))
    model = Model(x, Dense(2)(x))
    for steps in (1, 4):
        assert model.predict(np.zeros((2, steps, 3))).shape == (2, steps, 2)


def test_errors_of_building():
    x, y = Input((4,)), Input((4,))
    with pytest.raises(ValueError, match="Graph disconnected"):
        Model(x, add([Dense(2)(x), Dense(2)(y)]))
    with pytest.raises(ValueError, match="redundant"):
        Model([x, x], Dense(2)(x))
    with pytest.raises(ValueError, match="Lambda"):
        Model(x, Dense(2)(x) * 2.0)
    with pytest.raises(ValueError, match="All layer names should be unique"):
        Model(x, Dense(2, name="same")(Dense(2, name="same")(x)))
    with pytest.raises(TypeError, match="must be an instance of class Layer"):
        Sequential([Dense(2, input_dim=2), "dense"])
    with pytest.raises(ValueError, match="All layer names should be unique"):
        Sequential([Dense(2, name="d", input_dim=2), Dense(2, name="d")])
    with pytest.raises(ValueError, match="No such layer: shard; did you mean 'shared'"):
        two_by_two().get_layer("shard")
    with pytest.raises(ValueError, match="only has"):
        two_by_two().get_layer(index=99)
    with pytest.raises(TypeError, match="unexpected keyword argument 'inputdim'"):
        Dense(2, inputdim=3)
    with pytest.raises(ValueError, match="expected min_ndim=2"):
        Dense(2)(Input(batch_shape=(3,)))


def test_set_weights_changes_nothing_if_one_does_not_fit():
    model = Sequential([Dense(3, input_dim=4), Dense(2)])
    before = model.get_weights()
    wrong = [w + 1 for w in before]
    wrong[-1] = np.zeros(7)
    with pytest.raises(ValueError, match="not compatible"):
        model.set_weights(wrong)
    with pytest.raises(ValueError, match="expecting 4 weights"):
        model.set_weights(before[:2])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_json_round_trip():
    model = two_by_two()
    text = model.to_json()
    assert json.loads(text)["class_name"] == "Model"
    again = model_from_json(text)
    again.set_weights(model.get_weights())
    x = arrays((2, 4), (2, 4))
    for a, b in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nested_config_round_trip():
    x = Input((6,), dtype="int32")
    body = Sequential([Embedding(10, 4, input_length=6), LSTM(3), Dense(2)])
    model = Model(x, Dropout(0.5)(body(x)))
    again = Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    a = np.arange(12).reshape(2, 6) % 10
    np.testing.assert_array_equal(model.predict(a), again.predict(a))
    sequence = Sequential([Conv2D(2, 3, input_shape=(5, 5, 1)), BatchNormalization(), Flatten()])
    copy = Sequential.from_config(sequence.get_config())
    assert copy.output_shape == sequence.output_shape
    assert [layer.name for layer in copy.layers] == [layer.name for layer in sequence.layers]


def test_clone_model_has_its_own_weights():
    for model in (two_by_two(), Sequential([Dense(3, input_dim=4), Dense(2)])):
        copy = clone_model(model)
        assert [w.shape for w in copy.weights] == [w.shape for w in model.weights]
        assert not {id(w) for w in copy.weights} & {id(w) for w in model.weights}
        copy.set_weights(model.get_weights())
        x = arrays(*[(2, 4)] * len(model.inputs))
        first, second = (m.predict_on_batch(x if len(x) > 1 else x[0]) for m in (model, copy))
        if len(model.outputs) == 1:
            first, second = [first], [second]
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_trainable_is_honoured_after_compile():
    model = Sequential([Dense(3, input_dim=4, name="frozen"), Dense(2)])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 2
    before = model.get_weights()
    x, y = arrays((8, 4), (8, 2))
    model.train_on_batch(x, y)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])
    model.layers[0].trainable = True
    with pytest.warns(UserWarning, match="without calling `model.compile`"):
        model.train_on_batch(x[:4], y[:4], sample_weight=np.ones(4))
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train_on_batch(x, y)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_summary(capsys):
    two_by_two().summary()
    text = capsys.readouterr().out
    assert "Total params: 33" in text
    assert "shared" in text
    lines = []
    Sequential([Dense(3, input_dim=4)]).summary(print_fn=lines.append, line_length=70)
    assert any("Trainable params: 15" in line for line in lines)
    assert max(map(len, lines)) <= 70


def test_custom_layer_in_keras_2_style():
    class Scale(Layer):
        def __init__(self, factor=2.0, **kwargs):
            self.factor = factor
            super().__init__(**kwargs)

        def build(self, input_shape):
            self.gain = self.add_weight(
                name="gain", shape=(input_shape[-1],), initializer="ones", trainable=True
            )
            super().build(input_shape)

        def call(self, x):
            return x * self.gain * self.factor

        def compute_output_shape(self, input_shape):
            return input_shape

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    model = Sequential([Scale(3.0, input_shape=(4,)), Dense(1)])
    model.compile("sgd", "mse")
    x, y = arrays((8, 4), (8, 1))
    before = model.layers[0].get_weights()[0]
    model.fit(x, y, verbose=0)
    assert not np.array_equal(before, model.layers[0].get_weights()[0])
    again = model_from_json(model.to_json(), custom_objects={"Scale": Scale})
    assert again.layers[0].factor == 3.0
    with pytest.raises(ValueError, match="Scale"):
        model_from_json(model.to_json())


def test_custom_layer_that_branches_on_training():
    class Noisy(Layer):
        def call(self, x, training=False):
            if training:
                return x + 100.0
            return x

    x = Input((1,))
    model = Model(x, Noisy()(x))
    model.compile("sgd", "mse")
    zeros = np.zeros((4, 1), "float32")
    assert model.predict(zeros).max() == 0
    assert model.test_on_batch(zeros, zeros) == 0
    model.layers[-1].built = True
    trainable = Model(x, Dense(1, kernel_initializer="ones")(Noisy()(x)))
    trainable.compile("sgd", "mse")
    assert trainable.train_on_batch(zeros, zeros) == pytest.approx(1e4)


def test_subclassed_model():
    class Net(Model):
        def __init__(self):
            super().__init__()
            self.hidden = Dense(8, activation="relu")
            self.out = Dense(2)

        def call(self, x):
            return self.out(self.hidden(x))

    net = Net()
    net.compile("adam", "mse")
    x, y = arrays((16, 4), (16, 2))
    history = net.fit(x, y, epochs=5, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert len(net.weights) == 4
    assert net.predict(x).shape == (16, 2)


def test_layer_on_arrays_computes_at_once():
    layer = Dense(3, activation="relu")
    (x,) = arrays((2, 4))
    y = layer(x)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, np.maximum(x @ layer.get_weights()[0], 0), atol=1e-6)


def test_add_loss_and_activity_regularizer():
    x = Input((3,))
    h = Dense(2, activity_regularizer="l2", kernel_regularizer="l1")(x)
    model = Model(x, h)
    model.add_loss(ops.sum(h) * 0.0 + 7.0)
    model.compile("sgd", "mse")
    (a,) = arrays((4, 3))
    y = model.predict(a)
    kernel = model.layers[1].get_weights()[0]
    want = (y**2).mean() + 0.01 * (y**2).sum() + 0.01 * np.abs(kernel).sum() + 7
    assert model.test_on_batch(a, np.zeros((4, 2))) == pytest.approx(want, rel=1e-5)
    assert len(model.losses) == 3


def test_lambda_and_tensor_arithmetic():
    x = Input((4,))
    y = Lambda(lambda t: t[:, ::2] * 2 + 1)(x)
    model = Model(x, y)
    (a,) = arrays((3, 4))
    np.testing.assert_allclose(model.predict(a), a[:, ::2] * 2 + 1, rtol=1e-6)
