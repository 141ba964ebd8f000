"""Programs as Keras users write them, from end to end."""

import numpy as np
import pytest

from kcore import backend as K
from kcore import callbacks, losses, metrics, optimizers, regularizers
from kcore.layers import (
    GRU,
    LSTM,
    RNN,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Lambda,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    TimeDistributed,
)
from kcore.models import Model, Sequential, load_model
from kcore.utils import to_categorical


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_cnn_with_channels_first_and_callbacks(rng, tmp_path):
    K.set_image_data_format("channels_first")
    try:
        model = Sequential()
        model.add(Conv2D(8, kernel_size=(3, 3), activation="relu", input_shape=(1, 12, 12)))
        model.add(MaxPooling2D(pool_size=(2, 2)))
        model.add(BatchNormalization(axis=1))
        model.add(Flatten())
        model.add(Dense(10, activation="softmax", kernel_regularizer=regularizers.l2(0.01)))
    finally:
        K.set_image_data_format("channels_last")
    model.compile(optimizers.Adadelta(), losses.categorical_crossentropy, ["accuracy"])
    x, y = rng.random((64, 1, 12, 12)), to_categorical(rng.integers(0, 10, 64), 10)
    history = model.fit(
        x,
        y,
        epochs=2,
        verbose=0,
        validation_split=0.25,
        callbacks=[
            callbacks.ModelCheckpoint(str(tmp_path / "w.{epoch:02d}.h5")),
            callbacks.EarlyStopping(patience=3),
            callbacks.ReduceLROnPlateau(),
            callbacks.CSVLogger(str(tmp_path / "log.csv")),
        ],
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.csv", "w.01.h5", "w.02.h5"]
    assert len(history.history["val_accuracy"]) == 2
    np.testing.assert_array_equal(load_model(tmp_path / "w.02.h5").predict(x), model.predict(x))


def test_text_classifier_and_its_inside(rng):
    model = Sequential(
        [
            Embedding(100, 8, mask_zero=True),
            Bidirectional(LSTM(4, dropout=0.5, recurrent_dropout=0.5, return_sequences=True)),
            GRU(4),
            Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", metrics.AUC()])
    x, y = rng.integers(1, 100, (32, 10)), rng.integers(0, 2, 32)
    assert set(model.fit(x, y, verbose=0).history) == {"loss", "accuracy", "auc"}
    inside = K.function([model.layers[0].input, K.learning_phase()], [model.layers[2].output])
    still, again, noisy = inside([x, 0])[0], inside([x, 0])[0], inside([x, 1])[0]
    np.testing.assert_array_equal(still, again)
    assert not np.array_equal(still, noisy)


def test_siamese_network(rng):
    def distance(pair):
        a, b = pair
        return K.sqrt(K.maximum(K.sum(K.square(a - b), axis=1, keepdims=True), K.epsilon()))

    def contrastive(y, p):
        return K.mean(y * K.square(p) + (1 - y) * K.square(K.maximum(1 - p, 0)))

    def accuracy(y, p):
        return K.mean(K.equal(y, K.cast(p < 0.5, y.dtype)))

    base = Sequential([Dense(8, activation="relu", input_shape=(6,)), Dropout(0.1), Dense(4)])
    a, b = Input(shape=(6,)), Input(shape=(6,))
    model = Model([a, b], Lambda(distance, output_shape=lambda s: (s[0][0], 1))([base(a), base(b)]))
    model.compile(loss=contrastive, optimizer="rmsprop", metrics=[accuracy])
    pairs = [rng.random((64, 6)), rng.random((64, 6))]
    history = model.fit(pairs, rng.integers(0, 2, 64), epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_variational_autoencoder(rng):
    def sample(args):
        mean, log_variance = args
        noise = K.random_normal(shape=(K.shape(mean)[0], K.int_shape(mean)[1]))
        return mean + K.exp(0.5 * log_variance) * noise

    x = Input((20,))
    h = Dense(8, activation="relu")(x)
    mean, log_variance = Dense(2)(h), Dense(2)(h)
    z = Lambda(sample, output_shape=(2,))([mean, log_variance])
    out = Dense(20, activation="sigmoid")(Dense(8, activation="relu")(z))
    model = Model(x, out)
    kl = -0.5 * K.sum(1 + log_variance - K.square(mean) - K.exp(log_variance), axis=-1)
    model.add_loss(K.mean(losses.binary_crossentropy(x, out) * 20 + kl))
    model.compile(optimizer="adam")
    losses_ = model.fit(rng.random((64, 20)).round(), epochs=10, verbose=0).history["loss"]
    assert losses_[-1] < losses_[0]


@pytest.mark.filterwarnings("ignore:Discrepancy")
def test_adversarial_pair(rng):
    critic = Sequential([Dense(8, input_dim=2), LeakyReLU(0.2), Dense(1, activation="sigmoid")])
    critic.compile("adam", "binary_crossentropy")
    maker = Sequential([Dense(8, input_dim=3, activation="relu"), Dense(2)])
    critic.trainable = False
    z = Input((3,))
    both = Model(z, critic(maker(z)))
    both.compile("adam", "binary_crossentropy")
    frozen, moving = critic.get_weights()[0], maker.get_weights()[0]
    both.train_on_batch(rng.random((8, 3)), np.ones((8, 1)))
    np.testing.assert_array_equal(critic.get_weights()[0], frozen)
    assert not np.array_equal(maker.get_weights()[0], moving)
    critic.train_on_batch(rng.random((8, 2)), np.ones((8, 1)))  # compiled while it was trainable
    assert not np.array_equal(critic.get_weights()[0], frozen)


def test_sequence_to_sequence(rng, tmp_path):
    source, target = Input((None, 5)), Input((None, 5))
    _, h, c = LSTM(7, return_state=True)(source)
    decoded, _, _ = LSTM(7, return_sequences=True, return_state=True)(target, initial_state=[h, c])
    model = Model([source, target], TimeDistributed(Dense(5, activation="softmax"))(decoded))
    model.compile("rmsprop", "categorical_crossentropy")
    model.fit([rng.random((8, 4, 5)), rng.random((8, 6, 5))], rng.random((8, 6, 5)), verbose=0)
    model.save(tmp_path / "s2s.h5")
    x = [rng.random((2, 3, 5)), rng.random((2, 2, 5))]
    np.testing.assert_array_equal(load_model(tmp_path / "s2s.h5").predict(x), model.predict(x))


def test_image_that_excites_a_filter(rng):
    model = Sequential([Conv2D(4, 3, input_shape=(8, 8, 3), name="c"), GlobalAveragePooling2D(), Dense(2)])
    loss = K.mean(model.get_layer("c").output[:, :, :, 1])
    grads = K.gradients(loss, model.input)[0]
    grads /= K.sqrt(K.mean(K.square(grads))) + 1e-5
    step = K.function([model.input], [loss, grads])
    image = rng.random((1, 8, 8, 3))
    first, slope = step([image])
    later, _ = step([image + slope])
    assert later > first


class MinimalCell(Layer):
    def __init__(self, units, **kwargs):
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent"
        )
        self.built = True

    def call(self, inputs, states):
        output = K.dot(inputs, self.kernel) + K.dot(states[0], self.recurrent)
        return output, [output]


def test_own_recurrent_cells(rng):
    x = Input((None, 5))
    model = Model(x, RNN([MinimalCell(4), MinimalCell(3)])(x))
    model.compile("sgd", "mse")
    a = rng.random((2, 3, 5)).astype("float32")
    k1, r1, k2, r2 = model.get_weights()
    h1, h2 = np.zeros((2, 4)), np.zeros((2, 3))
    for t in range(3):
        h1 = a[:, t] @ k1 + h1 @ r1
        h2 = h1 @ k2 + h2 @ r2
    np.testing.assert_allclose(model.predict(a), h2, rtol=1e-4, atol=1e-7)
    model.train_on_batch(a, rng.random((2, 3)))
    assert not np.array_equal(model.get_weights()[1], r1)


def test_schedule_and_generator(rng, capsys):
    model = Sequential([Dense(1, input_dim=3)])
    model.compile(optimizers.SGD(lr=0.1, decay=1e-3, clipnorm=1.0), "mse")

    def batches():
        while True:
            yield rng.random((8, 3)), rng.random((8, 1))

    model.fit_generator(
        batches(),
        steps_per_epoch=5,
        epochs=2,
        callbacks=[callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))],
        validation_data=batches(),
        validation_steps=2,
    )
    assert K.get_value(model.optimizer.lr) == pytest.approx(0.05)
    assert "5/5 [" in capsys.readouterr().out
