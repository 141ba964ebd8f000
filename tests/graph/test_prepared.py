"""What programs keep from run to run: prologues, folded normalisations, prepared operands."""

import threading

import numpy as np
import pytest
from threads import ending, together, until

from kcore import Sequential, _core, layers, ops
from kcore import backend as K
from kcore.graph import Function, Variable, placeholder

RNG = np.random.default_rng(0)
RUNS = 3  # the second run with the same variables prepares operands, the third uses them


def body(function, shape):
    """What runs each time."""
    plan = function.compiled([shape]).plan
    return [i.name for i in plan.instructions[plan.prologue :]]


def filled(made):
    """The model with weights that are all of consequence."""
    made.set_weights([RNG.uniform(0.5, 1.5, w.shape) * (w.ndim < 2 or 0.1) for w in made.get_weights()])
    return made


def normalized_cnn():
    stack = [
        layers.Conv2D(20, 3, padding="same", input_shape=(12, 12, 3)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(24, 3, padding="same", use_bias=False),  # by Winograd's transforms
        layers.BatchNormalization(scale=False),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.BatchNormalization(center=False),
        layers.Conv2DTranspose(5, 2, strides=2),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dense(7),
        layers.BatchNormalization(),
    ]
    return filled(Sequential(stack))


def layer_by_layer(made, x):
    for layer in made.layers:
        x = Function([t := placeholder(x.shape)], [layer(t)])([x])[0]
    return x


X = RNG.standard_normal((4, 12, 12, 3)).astype("float32")


def assert_predicts(made, x=X):
    want = layer_by_layer(made, x)
    for _ in range(RUNS):
        np.testing.assert_allclose(made.predict(x), want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_normalisations_are_folded_into_products():
    made = normalized_cnn()
    names = body(made._predictor(), X.shape)
    assert names == ["conv2d", "conv2d", "depthwise_conv2d", "conv2d_data_gradient", "matmul"]
    assert_predicts(made)


@pytest.mark.parametrize("change", ["set_weights", "set_value", "fit", "load_weights", "assign"])
def test_predictions_follow_the_weights(change, tmp_path):
    made, other = normalized_cnn(), normalized_cnn()
    made.compile("sgd", "mse")
    assert_predicts(made)
    before = made.predict(X)
    if change == "set_weights":
        made.set_weights(other.get_weights())
    elif change == "set_value":
        K.set_value(made.layers[3].kernel, other.layers[3].get_weights()[0])
    elif change == "fit":
        made.fit(X, before + 1, epochs=2, verbose=0)
    elif change == "load_weights":
        other.save_weights(tmp_path / "weights.h5")
        made.load_weights(tmp_path / "weights.h5")
    else:
        made.layers[1].moving_variance.assign(np.full(20, 9.0))
    assert np.abs(made.predict(X) - before).max() > 1e-3
    assert_predicts(made)


def test_the_same_bits_in_every_run():
    made = Sequential([layers.Conv2D(20, 3, input_shape=(12, 12, 17)), layers.Flatten(), layers.Dense(33)])
    x = RNG.standard_normal((9, 12, 12, 17)).astype("float32")
    first = made.predict(x)
    for _ in range(RUNS):
        assert made.predict(x).tobytes() == first.tobytes()


def test_what_the_program_writes_is_not_prepared():
    w, frozen = Variable(np.eye(8) * 2), Variable(np.eye(8) * 3)
    x = placeholder((None, 8))
    y = ops.matmul(ops.matmul(x, w * 2.0), frozen * 2.0)
    step = Function([x], [y], [(w, w * 0.5)])
    plan = step.compiled([(2, 8)]).plan
    assert [t for i in plan.instructions[: plan.prologue] for t in i.inputs] == [frozen]
    for expected in (24.0, 12.0, 6.0):
        np.testing.assert_array_equal(step([np.ones((2, 8), "float32")])[0], np.full((2, 8), expected))


def test_other_uses_of_a_product_keep_it_as_it_is():
    w, scale = Variable(RNG.standard_normal((8, 8))), Variable(np.full(8, 2.0))
    x = placeholder((None, 8))
    y = ops.matmul(x, w)
    f = Function([x], [y * scale + 1.0, y])
    a = RNG.standard_normal((3, 8)).astype("float32")
    scaled, plain = f([a])
    np.testing.assert_allclose(plain, a @ w.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaled, 2 * plain + 1, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("transpose", [False, True])
def test_factors_divisors_and_offsets(transpose):
    w = Variable(RNG.standard_normal((8, 5) if transpose else (5, 8)), "float32")
    v = Variable(RNG.uniform(1, 2, 8), "float32")
    x = placeholder((None, 5))
    product = ops.matmul(x, ops.transpose(w) if transpose else w)
    f = Function([x], [((product - v) / v + 1.0) * v])
    a = RNG.standard_normal((3, 5)).astype("float32")
    kernel = w.numpy().T if transpose else w.numpy()
    for _ in range(RUNS):
        np.testing.assert_allclose(f([a])[0], a @ kernel, rtol=1e-5, atol=1e-5)
    assert body(f, (3, 5)) == ["matmul"]


@pytest.mark.parametrize(
    ("rows", "shape", "prepared"),
    [
        (1, (784, 512), 784 * 512),  # one row of many columns
        (4, (40, 33), 40 * 64),  # whole panels of 32 columns
        (64, (784, 500), 784 * 512),
        (64, (512, 10), 512 * 10),  # by dot products
        (1, (2048, 4128), 0),  # more than 32 MiB
        (64, (0, 10), 0),
    ],
)
def test_matrices_are_prepared(rows, shape, prepared):
    if _core.isa() != "avx512":
        pytest.skip("panels are as wide as the instruction set's vectors")
    x, w = placeholder((rows, shape[0])), Variable(np.zeros(shape), "float32")
    f = Function([x], [ops.matmul(x, w)])
    assert f.compiled([(rows, shape[0])]).plan.program.memory["prepared"] == -(-4 * prepared // 64) * 64


def test_the_report_counts_what_is_prepared():
    made = normalized_cnn()
    f = made._predictor()
    assert f.compiled([X.shape]).plan.program.memory["prepared"] > 0
    assert "prepared" in f.describe([X.shape])
    f.profile([X])


def test_weights_set_together_are_seen_together():
    made = Sequential([layers.Dense(64, input_shape=(8,)), layers.BatchNormalization()])
    x, done = np.ones((4, 8), "float32"), threading.Event()

    def weights(i):
        return [
            np.full((8, 64), i),
            np.full(64, -8.0 * i),
            np.ones(64),
            np.zeros(64),
            np.zeros(64),
            np.ones(64),
        ]

    made.set_weights(weights(0))

    def change():
        for i in range(60):
            made.set_weights(weights(i))

    together(
        ending(done, change),
        *[until(done, lambda: np.testing.assert_allclose(made.predict(x), 0, atol=1e-4))] * 3,
    )


def test_several_storages_are_written_or_none():
    storages = [_core.Storage("float32", (2,)) for _ in range(2)]
    _core.write_storages([*storages, storages[0]], [np.full(2, i, "float32") for i in range(3)])
    assert [s.read().tolist() for s in storages] == [[2, 2], [1, 1]]
    with pytest.raises(ValueError, match="value must be"):
        _core.write_storages(storages, [np.zeros(2, "float32"), np.zeros(3, "float32")])
    with pytest.raises(ValueError, match="2 storages and 1 values"):
        _core.write_storages(storages, [np.zeros(2, "float32")])
    with pytest.raises(TypeError):
        _core.write_storages([None], [np.zeros(2, "float32")])
    assert storages[0].read().tolist() == [2, 2]


def copies(*slots, prologue, residences):
    """A program that copies from slot to slot."""
    storage = _core.Storage("float32", (4,))
    details = {"storage": storage, "prepared": 0, "arena": 0, "external": None}
    buffers = [(r, "float32", (4,), details[r]) for r in residences]
    attributes = {
        "ops": ["identity"],
        "args": [0, -1, -1],
        "constants": [],
        "constant_dtypes": [],
        "stores": [1],
    }
    specs = [("elementwise", [a], [b], attributes) for a, b in slots]
    external = [i for i, r in enumerate(residences) if r == "external"]
    return storage, _core.Program(buffers, specs, [], external, 64, len(specs), prologue)


def test_a_prologue_runs_when_its_storage_has_changed():
    residences = ["storage", "prepared", "external"]
    storage, program = copies((0, 1), (1, 2), prologue=1, residences=residences)
    assert program.memory["prepared"] == 64
    for value in (0, 1, 1, 2):
        storage.write(np.full(4, value, "float32"))
        assert program.run([])[0].tolist() == [value] * 4


@pytest.mark.parametrize(
    ("slots", "prologue", "residences", "message"),
    [
        ([(0, 1)], 2, ["storage", "prepared"], "does not end by commit"),
        ([(0, 1)], -1, ["storage", "prepared"], "does not end by commit"),
        ([(0, 1)], 1, ["storage", "arena"], "writes what is not prepared"),
        ([(0, 1)], 0, ["storage", "prepared"], "after the prologue writes"),
        ([(0, 1)], 1, ["arena", "prepared"], "reads what may change"),
        ([(0, 1), (2, 0)], 1, ["storage", "prepared", "external"], "reads what may change"),
        ([(0, 1)], 1, ["prepared", "prepared"], "reads what it has not made"),
    ],
)
def test_a_malformed_prologue_is_refused(slots, prologue, residences, message):
    with pytest.raises(_core.InvalidProgram, match=message):
        copies(*slots, prologue=prologue, residences=residences)
