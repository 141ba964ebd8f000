"""fit, evaluate, predict and the single-batch methods on real models."""

import threading

import h5py
import numpy as np
import pytest

import kcore
from kcore import backend as K
from kcore import callbacks, losses, metrics, ops, optimizers
from kcore.layers import LSTM, Dense, Dropout, Embedding, Input, Masking, TimeDistributed
from kcore.models import Model, Sequential
from kcore.utils import Sequence, set_random_seed, to_categorical


def classes(n=96, seed=0):
    """Three separable classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 6)).astype("float32") * 0.5
    x[np.arange(n), labels] += 3
    return x, labels


def classifier(loss="categorical_crossentropy", optimizer="adam", metrics=("accuracy",), dropout=0.0):
    set_random_seed(4)  # not every start is at its goal in a few epochs
    model = Sequential(
        [Dense(16, activation="relu", input_dim=6), Dropout(dropout), Dense(3, activation="softmax")]
    )
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def test_fit_learns_and_returns_history():
    x, labels = classes()
    model = classifier()
    history = model.fit(
        x, to_categorical(labels, 3), epochs=60, batch_size=16, validation_split=0.25, verbose=0
    )
    assert sorted(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch == list(range(60))
    assert history.history["accuracy"][-1] > 0.95
    assert history.history["val_accuracy"][-1] > 0.9
    assert all(isinstance(v, float) for values in history.history.values() for v in values)
    assert model.history is history


def test_evaluate_agrees_with_numpy():
    x, labels = classes(50)
    y = to_categorical(labels, 3)
    model = classifier()
    loss, accuracy = model.evaluate(x, y, batch_size=7, verbose=0)
    p = model.predict(x, batch_size=11)
    assert loss == pytest.approx(-np.log(p[np.arange(50), labels]).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(1) == labels).mean())
    assert model.metrics_names == ["loss", "accuracy"]
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "target", "units"),
    [
        ("sparse_categorical_crossentropy", lambda labels: labels, 3),
        ("sparse_categorical_crossentropy", lambda labels: labels[:, None].astype("float32"), 3),
        ("categorical_crossentropy", lambda labels: to_categorical(labels, 3), 3),
        ("binary_crossentropy", lambda labels: (labels == 1).astype("int64"), 1),
    ],
)
def test_accuracy_means_what_the_loss_and_shape_say(loss, target, units):
    x, labels = classes()
    model = Sequential([Dense(units, activation="softmax" if units > 1 else "sigmoid", input_dim=6)])
    model.compile("sgd", loss, metrics=["accuracy", "acc"])
    y = target(labels)
    _, accuracy, acc = model.evaluate(x, y, verbose=0)
    p = model.predict(x)
    want = (p.argmax(1) == labels).mean() if units > 1 else ((p[:, 0] > 0.5) == (labels == 1)).mean()
    assert accuracy == pytest.approx(want)
    assert acc == accuracy


def test_same_seed_same_bits_and_threads_do_not_matter():
    x, labels = classes()
    results = []
    for threads in (1, 2, 1):
        kcore.config.set_num_threads(threads)
        set_random_seed(5)
        model = classifier(dropout=0.3)
        model.fit(x, to_categorical(labels, 3), epochs=3, batch_size=16, verbose=0)
        results.append(model.get_weights())
    kcore.config.set_num_threads(2)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_sample_and_class_weights():
    x, labels = classes(20)
    y = to_categorical(labels, 3)
    model = classifier(metrics=[])
    each = -np.log(model.predict(x)[np.arange(20), labels])
    w = np.random.default_rng(0).uniform(0, 2, 20)
    assert model.test_on_batch(x, y, sample_weight=w) == pytest.approx((each * w).mean(), rel=1e-5)
    assert model.evaluate(x, y, sample_weight=w, batch_size=20, verbose=0) == pytest.approx(
        (each * w).mean(), rel=1e-5
    )
    weights = {0: 1.0, 1: 5.0, 2: 0.0}
    want = (each * np.vectorize(weights.get)(labels)).mean()
    history = model.fit(x, y, class_weight=weights, batch_size=20, epochs=1, shuffle=False, verbose=0)
    assert history.history["loss"][0] == pytest.approx(want, rel=1e-5)
    with pytest.raises(ValueError, match="must contain all classes"):
        model.fit(x, y, class_weight={0: 1.0}, verbose=0)


def test_weighted_metrics_use_weights_and_metrics_do_not():
    x, labels = classes(20)
    model = Sequential([Dense(3, activation="softmax", input_dim=6)])
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=[metrics.SparseCategoricalAccuracy(name="w")],
    )
    correct = model.predict(x).argmax(1) == labels
    w = np.arange(20.0)
    _, plain, weighted = model.test_on_batch(x, labels, sample_weight=w)
    assert plain == pytest.approx(correct.mean())
    assert weighted == pytest.approx((correct * w).sum() / w.sum())


def test_temporal_weights_and_masks():
    x = np.random.default_rng(0).standard_normal((4, 5, 2)).astype("float32")
    x[1, 3:] = 0
    y = np.ones((4, 5, 1))
    model = Sequential(
        [Masking(input_shape=(5, 2)), LSTM(3, return_sequences=True), TimeDistributed(Dense(1))]
    )
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    error = ((model.predict(x) - y) ** 2)[..., 0]
    w = np.random.default_rng(1).uniform(size=(4, 5))
    mask = np.ones((4, 5))
    mask[1, 3:] = 0
    assert model.test_on_batch(x, y, sample_weight=w) == pytest.approx(
        (error * w * mask).sum() / 20, rel=1e-4
    )
    with pytest.raises(ValueError, match="temporal"):
        model.test_on_batch(x, y, sample_weight=np.ones(4))


def test_several_outputs():
    x = Input((6,))
    h = Dense(8, activation="relu")(x)
    model = Model(x, [Dense(3, activation="softmax", name="kind")(h), Dense(1, name="size")(h)])
    model.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        metrics={"kind": "accuracy", "size": ["mae"]},
        loss_weights={"kind": 1.0, "size": 0.5},
    )
    assert model.metrics_names == ["loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"]
    a, labels = classes()
    sizes = a.sum(1)
    history = model.fit(
        a, {"kind": labels, "size": sizes}, epochs=2, verbose=0, validation_data=(a, [labels, sizes])
    )
    assert set(history.history) == {n for m in model.metrics_names for n in (m, f"val_{m}")}
    total, kind, size, _, mae = model.evaluate(a, [labels, sizes], verbose=0)
    assert total == pytest.approx(kind + 0.5 * size, rel=1e-5)
    assert mae == pytest.approx(np.abs(model.predict(a)[1][:, 0] - sizes).mean(), rel=1e-4)


def test_an_output_without_loss():
    x = Input((6,))
    model = Model(x, [Dense(1, name="used")(x), Dense(1, name="free")(x)])
    model.compile("sgd", {"used": "mse"})
    a, _ = classes()
    model.fit(a, {"used": np.zeros(96)}, verbose=0)
    assert len(model.predict(a)) == 2


def test_generators_and_sequences():
    x, labels = classes()
    y = to_categorical(labels, 3)

    class Batches(Sequence):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return x[i * 16 : (i + 1) * 16], y[i * 16 : (i + 1) * 16]

    def endless():
        while True:
            for i in range(6):
                yield x[i * 16 : (i + 1) * 16], y[i * 16 : (i + 1) * 16]

    plain = classifier()
    initial = plain.get_weights()
    plain.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for source, options in ((Batches(), {"shuffle": False}), (endless(), {"steps_per_epoch": 6})):
        model = classifier()
        model.set_weights(initial)
        model.fit_generator(source, epochs=2, verbose=0, **options)
        for a, b in zip(plain.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    loss = plain.evaluate(x, y, verbose=0)
    assert plain.evaluate_generator(Batches()) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_array_equal(
        plain.predict_generator(endless(), steps=6), plain.predict(x, batch_size=16)
    )


def test_hdf5_data(tmp_path):
    x, labels = classes()
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = x, to_categorical(labels, 3)
        model = classifier()
        history = model.fit(file["x"], file["y"], shuffle="batch", epochs=60, batch_size=16, verbose=0)
        assert history.history["accuracy"][-1] > 0.9
        np.testing.assert_allclose(model.predict(file["x"]), model.predict(x), rtol=1e-6)


def test_validation_options():
    x, labels = classes()
    y = to_categorical(labels, 3)
    model = classifier()
    history = model.fit(
        x, y, epochs=4, validation_data=(x, y, np.zeros(96)), validation_freq=2, verbose=0
    ).history
    assert history["val_loss"] == [0.0, 0.0]
    history = model.fit(
        x, y, epochs=3, validation_data=(x, y), validation_freq=[1, 3], validation_steps=1, verbose=0
    ).history
    assert len(history["val_loss"]) == 2
    history = model.fit(x, y, epochs=5, initial_epoch=3, verbose=0)
    assert history.epoch == [3, 4]


def test_single_batches():
    x, labels = classes(32)
    y = to_categorical(labels, 3)
    model = classifier()
    first = model.train_on_batch(x, y)
    assert len(first) == 2
    for _ in range(50):
        last = model.train_on_batch(x, y)
    assert last[0] < first[0]
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x))
    assert model.test_on_batch(x, y)[1] >= first[1]
    assert set(model.train_on_batch(x, y, return_dict=True)) == {"loss", "accuracy"}


def test_single_batches_like_the_last_one_give_the_same_bits():
    x, labels = classes(32)
    x, y = x.astype("float32"), to_categorical(labels, 3).astype("float32")
    results = []
    for as_given in (lambda a: a, lambda a: [a], lambda a: a.astype("float64")):
        model = classifier()
        model.set_weights([np.full(w.shape, 0.1, w.dtype) for w in model.get_weights()])
        found = [
            model.train_on_batch(as_given(a), as_given(b)) for a, b in [(x, y)] * 3 + [(x[:7], y[:7])] * 2
        ]
        found += [model.test_on_batch(as_given(x), as_given(y)) for _ in range(2)]
        found.append(model.train_on_batch(as_given(x), as_given(y), sample_weight=np.full(32, 0.5)))
        found += [model.train_on_batch(as_given(x), as_given(y)) for _ in range(2)]
        results.append((found, model.predict_on_batch(as_given(x)).tolist()))
    assert results[0] == results[1] == results[2]


def test_predict_classes_and_proba():
    x, labels = classes()
    model = classifier("sparse_categorical_crossentropy")
    model.fit(x, labels, epochs=100, verbose=0)
    assert (model.predict_classes(x) == labels).mean() > 0.9
    np.testing.assert_array_equal(model.predict_proba(x), model.predict(x))
    binary = Sequential([Dense(1, activation="sigmoid", input_dim=6)])
    assert set(np.unique(binary.predict_classes(x))) <= {0, 1}
    with pytest.warns(UserWarning, match="invalid probability"):
        Sequential([Dense(1, input_dim=6, bias_initializer="ones")]).predict_proba(x * 10)


def test_custom_loss_and_metric():
    def loss(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred) * 2.0, axis=-1)

    def largest(y_true, y_pred):
        return K.max(K.abs(y_true - y_pred), axis=-1)

    class Count(metrics.Metric):
        def __init__(self, name="count", **kwargs):
            super().__init__(name=name, **kwargs)
            self.total = self.add_weight(name="total", shape=(), initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.total.assign_add(ops.cast(ops.shape(y_true)[0], "float32"))

        def result(self):
            return self.total

    model = Sequential([Dense(2, input_dim=6)])
    model.compile("sgd", loss, metrics=[largest, Count()])
    x, _ = classes(40)
    y = np.zeros((40, 2))
    total, biggest, count = model.evaluate(x, y, batch_size=16, verbose=0)
    p = model.predict(x)
    assert total == pytest.approx((2 * p**2).mean(), rel=1e-5)
    assert biggest == pytest.approx(np.abs(p).max(1).mean(), rel=1e-5)
    assert count == 40
    assert model.metrics_names == ["loss", "largest", "count"]


def test_streaming_metrics_restart_each_epoch():
    x, labels = classes()
    model = Sequential([Dense(1, activation="sigmoid", input_dim=6)])
    model.compile("sgd", "binary_crossentropy", metrics=[metrics.AUC(), metrics.Precision(), "accuracy"])
    y = (labels == 1).astype("float32")
    history = model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y)).history
    first = model.evaluate(x, y, verbose=0)
    assert first == pytest.approx(model.evaluate(x, y, batch_size=5, verbose=0), rel=1e-4)
    assert len(history["accuracy"]) == 2


def test_loss_objects_and_reduction():
    x, labels = classes(10)
    model = Sequential([Dense(3, input_dim=6)])
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True, reduction="sum"))
    p = model.predict(x)
    log = p - np.log(np.exp(p).sum(1, keepdims=True))
    assert model.test_on_batch(x, to_categorical(labels, 3)) == pytest.approx(
        -log[np.arange(10), labels].sum(), rel=1e-5
    )


def test_learning_rate_can_be_changed_while_training():
    x, labels = classes()
    model = classifier(optimizer=optimizers.SGD(lr=0.0))
    before = model.get_weights()[0]
    model.fit(x, to_categorical(labels, 3), verbose=0)
    np.testing.assert_array_equal(before, model.get_weights()[0])
    K.set_value(model.optimizer.lr, 0.5)
    model.fit(x, to_categorical(labels, 3), verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])


def test_keras_2_style_optimizer():
    class Plain(optimizers.Optimizer):
        def __init__(self, lr=0.1, **kwargs):
            super().__init__(lr, **kwargs)

        def get_updates(self, loss, params):
            grads = self.get_gradients(loss, params)
            self.updates = [K.update_add(self.iterations, 1)]
            for p, g in zip(params, grads, strict=True):
                self.updates.append(K.update(p, p - self.lr * g))
            return self.updates

    x, labels = classes()
    y = to_categorical(labels, 3)
    model, reference = classifier(optimizer=Plain()), classifier(optimizer=optimizers.SGD(lr=0.1))
    model.set_weights(reference.get_weights())
    model.train_on_batch(x, y)
    reference.train_on_batch(x, y)
    for a, b in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_callbacks_stop_and_restore():
    x, labels = classes()
    y = to_categorical(labels, 3)
    model = classifier()
    stopper = callbacks.EarlyStopping(
        monitor="val_loss", patience=0, min_delta=100, restore_best_weights=True
    )
    history = model.fit(x, y, epochs=10, validation_data=(x, y), callbacks=[stopper], verbose=0)
    assert len(history.epoch) == 2
    seen = []
    model.fit(
        x,
        y,
        verbose=0,
        callbacks=[
            callbacks.LambdaCallback(
                on_batch_end=lambda b, logs: seen.append((b, logs["size"], logs["loss"]))
            )
        ],
    )
    assert [s[:2] for s in seen] == [(0, 32), (1, 32), (2, 32)]


def test_progress_output(capsys):
    x, labels = classes()
    y = to_categorical(labels, 3)
    model = classifier()
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=1)
    text = capsys.readouterr().out
    assert "Epoch 2/2" in text
    assert "val_accuracy:" in text
    model.fit(x, y, epochs=1, verbose=2)
    assert "loss:" in capsys.readouterr().out
    model.fit(x, y, epochs=1, verbose=0)
    assert capsys.readouterr().out == ""


def test_errors_of_compile():
    model = Sequential([Dense(2, input_dim=3)])
    x, y = np.zeros((4, 3)), np.zeros((4, 2))
    with pytest.raises(RuntimeError, match="You must compile"):
        model.fit(x, y)
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        model.compile("sgd", "mean_sqared_error")
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        model.compile("addam", "mse")
    with pytest.raises(ValueError, match="accuracy"):
        model.compile("sgd", "mse", metrics=["acuracy"])
    with pytest.raises(ValueError, match="Unknown entry in `loss`"):
        model.compile("sgd", {"nowhere": "mse"})
    with pytest.raises(ValueError, match="one entry per model output"):
        model.compile("sgd", ["mse", "mse"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'los'"):
        model.compile("sgd", los="mse")
    with pytest.raises(RuntimeError, match="You must compile"):  # failed compiles changed nothing
        model.evaluate(x, y)


def test_errors_of_data():
    model = Sequential([Dense(2, input_dim=3, name="first")])
    model.compile("sgd", "mse")
    x, y = np.zeros((4, 3)), np.zeros((4, 2))
    before = model.get_weights()
    model.predict(x)  # what follows could go the quick way of what is like it
    for wrong, message in [
        (lambda: model.fit(x, y[:3], verbose=0), "Found 4 input samples and 3 target samples"),
        (
            lambda: model.fit(np.zeros((4, 5)), y, verbose=0),
            r"expected first_input to have shape \(3,\) but got array with shape \(5,\)",
        ),
        (lambda: model.fit(x, np.zeros((4, 3)), verbose=0), r"expected first to have shape \(2,\) but got"),
        (lambda: model.fit([x, x], y, verbose=0), r"expected 1 array\(s\)"),
        (lambda: model.fit({"frist_input": x}, y, verbose=0), "first_input"),
        (lambda: model.fit(x[:0], y[:0], verbose=0), "no samples"),
        (lambda: model.fit(x, y, batch_size=float("nan"), verbose=0), "batch_size"),
        (lambda: model.fit(x, y, batch_size=0, verbose=0), "batch_size"),
        (lambda: model.fit(x, verbose=0), "No data provided"),
        (lambda: model.fit(x, y, validation_split=1.5, verbose=0), "validation_split"),
        (lambda: model.fit(x, y, validation_data=x, verbose=0), "validation_data"),
        (lambda: model.fit(np.array([["a"] * 3] * 4), y, verbose=0), "numbers are needed"),
        (lambda: model.predict(np.zeros((2, 3, 4))), "2 dimensions"),
        (lambda: model.predict(np.array(1.0)), "first_input is a single number"),
        (lambda: model.predict_on_batch(np.array(1.0)), "first_input is a single number"),
        (lambda: model.predict(x.astype("float32"), batch_size=0), "batch_size"),
        (lambda: model.predict(x.astype("float32")[:0]), "no samples"),
        (lambda: model.fit(x, y, sample_weight=np.ones(3), verbose=0), "sample"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        model.fit(x, y, epoch=3)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_integer_inputs_reach_embeddings():
    model = Sequential([Embedding(100, 4), LSTM(3), Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).integers(0, 100, (8, 5))
    model.fit(x, np.zeros(8), verbose=0)
    assert model.predict(x).shape == (8, 1)


def test_predict_from_many_threads():
    x, _ = classes()
    model = classifier()
    want = model.predict(x)
    wrong = []

    def work():
        for _ in range(20):
            for batch in (96, 32, 5):
                if not np.allclose(model.predict(x, batch_size=batch), want, rtol=1e-5):
                    wrong.append(batch)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def resident_kilobytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def test_memory_does_not_grow():
    x, _ = classes(32)
    model = classifier()
    for _ in range(500):
        model.predict(x)
    before = resident_kilobytes()
    for _ in range(10_000):
        model.predict(x)
    assert resident_kilobytes() - before < 2_000

    def rebuild():
        net = classifier()
        net.train_on_batch(x, np.eye(3)[np.zeros(32, int)])
        K.clear_session()

    for _ in range(20):
        rebuild()
    before = resident_kilobytes()
    for _ in range(200):
        rebuild()
    assert resident_kilobytes() - before < 20_000
