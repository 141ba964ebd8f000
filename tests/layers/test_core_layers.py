"""What the common checks can't know: dropout's statistics, shapes by hand, errors, functions in layers."""

import json

import numpy as np
import pytest
from layer_checks import fixed_function

from kcore import backend as K
from kcore import layers as L
from kcore import ops, regularizers
from kcore.graph import Function, constant, evaluate, placeholder
from kcore.utils.serialization import CustomObjectScope


def predict(layer, x, training=False):
    x = np.asarray(x)
    t = placeholder(x.shape, x.dtype.name)
    return Function([t], [layer(t)])([x], training)[0]


def test_dense_is_its_formula():
    layer = L.Dense(3, activation="tanh")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    y = predict(layer, x)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(y, np.tanh(x @ kernel + bias), atol=1e-6)
    assert bias.shape == (3,)
    assert not bias.any()


def test_layers_compute_at_once_on_arrays():
    layer = L.Dense(2)
    x = np.ones((3, 4), "float32")
    y = layer(x)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, x @ layer.get_weights()[0], atol=1e-6)


def test_weights_argument_sets_initial_weights():
    kernel, bias = np.full((4, 2), 0.5, "float32"), np.array([1.0, 2.0], "float32")
    layer = L.Dense(2, weights=[kernel, bias])
    np.testing.assert_allclose(predict(layer, np.ones((1, 4), "float32")), [[3.0, 4.0]])


@pytest.mark.parametrize("units", [0, -1, 2.5])
def test_dense_refuses_units(units):
    with pytest.raises(ValueError, match="units"):
        L.Dense(units)


def test_dense_needs_a_known_last_axis():
    with pytest.raises(ValueError, match="last dimension"):
        L.Dense(2)(placeholder((None, None)))


def test_inputs_must_fit_the_built_layer():
    layer = L.Dense(2)
    layer(placeholder((None, 3)))
    with pytest.raises(ValueError, match=rf"{layer.name}.*axis -1.*3"):
        layer(placeholder((None, 4)))


def test_unknown_keyword_is_named():
    with pytest.raises(TypeError, match="unitz"):
        L.Dense(2, unitz=3)


def test_regularizers_are_losses():
    layer = L.Dense(
        2, kernel_regularizer="l2", bias_regularizer=regularizers.l1(0.5), bias_initializer="ones"
    )
    layer(placeholder((None, 3)))
    kernel, _ = layer.get_weights()
    losses = evaluate(layer.losses)
    np.testing.assert_allclose(losses, [0.01 * (kernel**2).sum(), 1.0], rtol=1e-5)


def test_activity_regularization_adds_a_loss_of_the_input():
    layer = L.ActivityRegularization(l1=0.5, l2=2.0)
    x = placeholder((None, 2))
    y = layer(x)
    (loss,) = layer.get_losses_for(x)
    values = np.array([[1.0, -2.0], [3.0, 0.0]], "float32")
    out, value = Function([x], [y, loss])([values])
    np.testing.assert_array_equal(out, values)
    np.testing.assert_allclose(value, 0.5 * 6 + 2.0 * 14)


# Dropout and noise.


def test_dropout_zeroes_a_fraction_and_scales_the_rest():
    x = np.ones((200, 500), "float32")
    y = predict(L.Dropout(0.3), x, training=True)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / 0.7, rtol=1e-6)
    assert abs(kept.mean() - 0.7) < 0.01  # 100,000 draws: 7 standard deviations
    assert abs(y.mean() - 1) < 0.015


def test_dropout_draws_anew_at_each_run():
    x = placeholder((4, 50))
    f = Function([x], [L.Dropout(0.5)(x)])
    ones = np.ones((4, 50), "float32")
    assert not np.array_equal(f([ones], True)[0], f([ones], True)[0])
    np.testing.assert_array_equal(f([ones])[0], ones)


def test_dropout_noise_shape_drops_whole_features():
    y = predict(L.Dropout(0.5, noise_shape=(None, 1, None)), np.ones((8, 5, 16), "float32"), training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert 0 < (y == 0).mean() < 1


def test_spatial_dropout_drops_whole_channels():
    ones = np.ones((4, 16, 3, 5), "float32")
    first = predict(L.SpatialDropout2D(0.5, data_format="channels_first"), ones, training=True)
    np.testing.assert_array_equal(first, np.broadcast_to(first[:, :, :1, :1], first.shape))
    last = predict(L.SpatialDropout2D(0.5), ones, training=True)
    np.testing.assert_array_equal(last, np.broadcast_to(last[:, :1, :1], last.shape))
    assert 0 < (first == 0).mean() < 1
    assert 0 < (last == 0).mean() < 1


@pytest.mark.parametrize("rate", [0, 1])
def test_dropout_of_rate_zero_or_one_changes_nothing(rate):
    x = np.ones((3, 4), "float32")
    np.testing.assert_array_equal(predict(L.Dropout(rate), x, training=True), x)


def test_two_calls_of_a_dropout_layer_draw_different_masks():
    layer = L.Dropout(0.5)
    x = L.Input((64,))
    f = Function([x], [layer(x), layer(x)])
    a, b = f([np.ones((4, 64), "float32")], True)
    assert not np.array_equal(a, b)


def test_gaussian_noise_has_the_given_deviation():
    noise = predict(L.GaussianNoise(0.5), np.zeros((200, 500), "float32"), training=True)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 0.5) < 0.01


def test_gaussian_dropout_multiplies():
    y = predict(L.GaussianDropout(0.2), np.full((200, 500), 3.0, "float32"), training=True)
    assert abs(y.mean() - 3) < 0.03
    assert abs(y.std() - 3 * 0.5) < 0.03


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=(300, 500)).astype("float32")
    y = predict(L.AlphaDropout(0.2), x, training=True)
    assert abs(y.mean()) < 0.02
    assert abs(y.std() - 1) < 0.02


# Masks.


def test_masking_zeroes_and_masks_steps():
    x = np.array([[[1, 2], [0, 0], [0, 3]]], "float32")
    t = placeholder((None, 3, 2))
    y = L.Masking()(t)
    mask, out = Function([t], [y._keras_mask, y])([x])
    np.testing.assert_array_equal(mask, [[True, False, True]])
    np.testing.assert_array_equal(out, x)
    out = predict(L.Masking(mask_value=5), np.array([[[5, 5], [5, 1]]], "float32"))
    np.testing.assert_array_equal(out, [[[0, 0], [5, 1]]])


def test_embedding_looks_up_rows_and_masks_zero():
    t = placeholder((None, None), "int32")
    layer = L.Embedding(4, 2, mask_zero=True)
    y = layer(t)
    ids = np.array([[1, 3, 0], [2, 0, 0]], "int32")
    out, mask = Function([t], [y, y._keras_mask])([ids])
    np.testing.assert_array_equal(out, layer.get_weights()[0][ids])
    np.testing.assert_array_equal(mask, ids != 0)


def test_embedding_checks_the_input_length():
    layer = L.Embedding(4, 2, input_length=5)
    assert layer.batch_input_shape == (None, 5)
    assert layer.compute_output_shape((None, 5)) == (None, 5, 2)
    with pytest.raises(ValueError, match="input_length"):
        layer.compute_output_shape((None, 6))


def test_embedding_takes_floats_as_indices():
    layer = L.Embedding(4, 2)
    y = predict(layer, np.array([[1.0, 3.0]], "float32"))
    np.testing.assert_array_equal(y, layer.get_weights()[0][[[1, 3]]])


# Shapes.


def test_reshape_flatten_permute_and_repeat_by_hand():
    x = np.arange(24, dtype="float32").reshape(2, 3, 4)
    np.testing.assert_array_equal(predict(L.Reshape((2, -1)), x), x.reshape(2, 2, 6))
    np.testing.assert_array_equal(predict(L.Flatten(), x), x.reshape(2, 12))
    np.testing.assert_array_equal(
        predict(L.Flatten(data_format="channels_first"), x), x.swapaxes(1, 2).reshape(2, 12)
    )
    np.testing.assert_array_equal(predict(L.Permute((2, 1)), x), x.swapaxes(1, 2))
    np.testing.assert_array_equal(predict(L.RepeatVector(2), x[:, 0]), np.stack([x[:, 0]] * 2, 1))


def test_impossible_shapes_are_refused():
    with pytest.raises(ValueError, match=r"12.*\(5, -1\)|\(5, -1\)"):
        L.Reshape((5, -1))(placeholder((None, 3, 4)))
    with pytest.raises(ValueError, match="one -1"):
        L.Reshape((-1, -1))
    with pytest.raises(ValueError, match="permutation"):
        L.Permute((1, 3))
    with pytest.raises(ValueError, match="not fully defined"):
        L.Flatten()(placeholder((None, None, 4)))


@pytest.mark.parametrize("batch", [0, 1])
def test_empty_batches(batch):
    x = np.zeros((batch, 3, 4), "float32")
    for layer in (
        L.Flatten(),
        L.Reshape((4, 3)),
        L.Dense(2),
        L.Dropout(0.5),
        L.LSTM(2),
        L.TimeDistributed(L.Dense(2)),
    ):
        assert predict(layer, x, training=True).shape == (
            batch,
            *layer.compute_output_shape((None, 3, 4))[1:],
        )


# Lambda.


def shifted(x, by=0.0, mask=None):
    return x + by


def test_lambda_passes_arguments():
    layer = L.Lambda(shifted, arguments={"by": 2.0})
    np.testing.assert_array_equal(predict(layer, np.zeros((1, 2), "float32")), [[2, 2]])


def test_lambda_with_a_named_function_is_saved_by_name():
    config = json.loads(json.dumps(L.Lambda(shifted, arguments={"by": 2.0}).get_config()))
    assert config["function"] == "shifted"
    assert config["function_type"] == "function"
    with pytest.raises(ValueError, match="shifted"):
        L.Lambda.from_config(config)
    with CustomObjectScope({"shifted": shifted}):
        layer = L.Lambda.from_config(config)
    np.testing.assert_array_equal(predict(layer, np.zeros((1, 2), "float32")), [[2, 2]])


def test_lambda_bytecode_is_refused_unless_allowed():
    factor = 3.0
    config = json.loads(json.dumps(L.Lambda(lambda x: K.sum(x, axis=-1) * factor).get_config()))
    assert config["function_type"] == "lambda"
    with pytest.raises(ValueError, match="safe_mode=False"):
        L.Lambda.from_config(config)
    with pytest.raises(ValueError, match="safe_mode=False"):
        L.deserialize({"class_name": "Lambda", "config": config})
    layer = L.Lambda.from_config(config, safe_mode=False)
    np.testing.assert_array_equal(predict(layer, np.ones((1, 2), "float32")), [6])


def test_lambda_is_copied_whole_within_the_process():
    for function in (shifted, lambda x: x * 2.0):
        assert L.Lambda.from_config(L.Lambda(function).get_config()).function is function


def test_lambda_with_a_function_of_this_package_needs_nothing_else():
    for function in (K.abs, ops.softmax):
        config = json.loads(json.dumps(L.Lambda(function).get_config()))
        assert L.Lambda.from_config(config).function is function


def test_lambda_shapes_and_errors():
    assert L.Lambda(lambda x: x[:, :1]).compute_output_shape((None, 3)) == (None, 1)
    assert L.Lambda(shifted, output_shape=(7,)).compute_output_shape((None, 3)) == (None, 7)
    assert L.Lambda(shifted, output_shape=lambda s: (s[0], 9)).compute_output_shape((None, 3)) == (None, 9)
    with pytest.raises(TypeError, match="callable"):
        L.Lambda(3)
    with pytest.raises(TypeError, match="output_shape"):
        L.Lambda(shifted, output_shape=3)


def test_lambda_masks():
    x = placeholder((None, 3, 2))
    x._keras_mask = placeholder((None, 3), "bool")
    assert L.Lambda(shifted)(x)._keras_mask is None
    y = L.Lambda(shifted, mask=lambda inputs, mask: ops.logical_not(mask))(x)
    (mask,) = Function([x._keras_mask], [y._keras_mask])([np.array([[True, False, True]])])
    np.testing.assert_array_equal(mask, [[False, True, False]])


# Activations.


def test_advanced_activations_by_hand():
    x = np.array([[-2.0, -0.5, 0.25, 3.0]], "float32")
    np.testing.assert_allclose(predict(L.LeakyReLU(), x), [[-0.6, -0.15, 0.25, 3]], rtol=1e-6)
    np.testing.assert_allclose(predict(L.LeakyReLU(negative_slope=0.5), x), [[-1, -0.25, 0.25, 3]])
    np.testing.assert_allclose(predict(L.PReLU("ones"), x), [[-2, -0.5, 0.25, 3]])
    np.testing.assert_allclose(predict(L.ThresholdedReLU(0.25), x), [[0, 0, 0, 3]])
    np.testing.assert_allclose(predict(L.ReLU(2.0, 0.5, 0.5), x), [[-1.25, -0.5, -0.125, 2]])
    np.testing.assert_allclose(
        predict(L.ELU(2.0), x), [[2 * np.expm1(-2), 2 * np.expm1(-0.5), 0.25, 3]], rtol=1e-6
    )
    with pytest.raises(ValueError, match="max_value"):
        L.ReLU(max_value=-1)
    with pytest.raises(ValueError, match="negative_slope"):
        L.ReLU(negative_slope=-1)


def test_constants_and_variables_enter_layers():
    y = L.Dense(2, kernel_initializer="ones")(constant(np.ones((1, 3), "float32")))
    np.testing.assert_array_equal(y.numpy(), [[3, 3]])


# Configs of other versions.


@pytest.mark.parametrize("dtype", [{"class_name": "DTypePolicy", "config": {"name": "float64"}}, "float64"])
def test_dtype_policies_of_keras_3(dtype):
    config = {"module": "keras", "name": "d", "units": 2, "dtype": dtype, "quantization_config": None}
    config.pop("module")
    assert L.Dense.from_config(config).dtype == "float64"
    mixed = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    assert L.Dense(2, dtype=mixed).dtype == "float32"


def test_seeds_survive_the_round_trip():
    for layer in (
        L.SpatialDropout1D(0.5, seed=3),
        L.GaussianNoise(0.1, seed=3),
        L.LSTM(2, dropout=0.5, seed=3),
    ):
        assert type(layer).from_config(layer.get_config()).seed == 3


def test_seeds_and_names_determine_what_is_dropped():
    x = placeholder((4, 64))

    def mask(layer):
        return fixed_function([x], [layer(x)])([np.ones((4, 64))], True)[0] == 0

    by_seed = [mask(L.Dropout(0.5, seed=seed, name=name)) for seed, name in ((7, "a"), (7, "b"), (8, "a"))]
    np.testing.assert_array_equal(by_seed[0], by_seed[1])
    assert not np.array_equal(by_seed[0], by_seed[2])
    by_name = [mask(L.Dropout(0.5, name=name)) for name in ("a", "a", "b")]
    np.testing.assert_array_equal(by_name[0], by_name[1])
    assert not np.array_equal(by_name[0], by_name[2])


def test_configs_of_later_versions_are_read():
    assert L.LSTM.from_config({"units": 2, "time_major": False, "use_cudnn": "auto"}).units == 2
    with pytest.raises(ValueError, match="time_major"):
        L.LSTM(2, time_major=True)
    renorm = {"renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99, "synchronized": False}
    assert L.BatchNormalization.from_config({"axis": [3], **renorm}).axis == 3
    assert L.ZeroPadding1D(2, data_format="channels_first").compute_output_shape((None, 3, 4)) == (None, 3, 8)
    assert (
        L.GlobalMaxPooling1D(keepdims=False).get_config().keys() == L.GlobalMaxPooling1D().get_config().keys()
    )


# Layers of layers, written by users.


class Block(L.Layer):
    """Two layers and a weight; branches on ``training`` in Python."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = L.Dense(units, kernel_initializer="ones")
        self.drop = L.Dropout(0.5)

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.built = True

    def call(self, inputs, training=None):
        y = self.inner(inputs)
        if training:
            y = self.drop(y, training=training)
        return y * self.scale

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_a_layer_of_layers():
    layer = Block(3)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(predict(layer, x), np.full((2, 3), 4))
    trained = predict(layer, np.ones((50, 4), "float32"), training=True)
    assert set(np.unique(trained)) == {0.0, 8.0}
    assert [w.name.split("/")[-1] for w in layer.weights] == ["scale:0", "kernel:0", "bias:0"]
    assert Block.from_config(layer.get_config()).units == 3


def test_a_layer_that_assigns_in_its_call():
    class Counter(L.Layer):
        def build(self, input_shape):
            self.count = self.add_weight("count", (), initializer="zeros", trainable=False)
            self.built = True

        def call(self, inputs):
            self.add_update([K.update_add(self.count, 1.0)])
            return inputs * 1.0

    layer = Counter()
    t = L.Input((2,))
    y = layer(t)
    assert len(layer.updates) == 1
    f = Function([t], [y], layer.updates)
    for _ in range(3):
        f([np.zeros((1, 2))])
    assert layer.get_weights() == [3.0]
