"""The K namespace: each name against NumPy, on arrays and on tensors; updates, functions, loops."""

import numpy as np
import pytest

from kcore import backend as K
from kcore.graph import Function, Tensor, UpdateScope, placeholder

rng = np.random.default_rng(0)
x = rng.normal(size=(3, 4))
y = rng.normal(size=(3, 4))
image = rng.normal(size=(2, 4, 6, 3))
positive = np.abs(x) + 0.1
POINTWISE = rng.normal(size=(1, 1, 3, 2))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def l2_normalize(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


ROWS = [
    ("dot", K.dot, [x, y.T], np.dot),
    ("dot_nd", K.dot, [image, rng.normal(size=(5, 3, 2))], np.dot),
    ("batch_dot", lambda a, b: K.batch_dot(a, b, axes=1), [x, y], lambda a, b: (a * b).sum(1, keepdims=True)),
    ("transpose", K.transpose, [x], np.transpose),
    ("gather", K.gather, [x, np.array([2, 0])], lambda a, i: a[i]),
    ("max", lambda a: K.max(a, axis=1), [x], lambda a: a.max(1)),
    ("min", lambda a: K.min(a, axis=0, keepdims=True), [x], lambda a: a.min(0, keepdims=True)),
    ("sum", K.sum, [x], np.sum),
    ("prod", lambda a: K.prod(a, axis=-1), [x], lambda a: a.prod(-1)),
    ("cumsum", lambda a: K.cumsum(a, axis=1), [x], lambda a: a.cumsum(1)),
    ("cumprod", K.cumprod, [x], lambda a: a.cumprod(0)),
    ("var", lambda a: K.var(a, axis=0), [x], lambda a: a.var(0)),
    ("std", lambda a: K.std(a, axis=0), [x], lambda a: a.std(0)),
    ("mean", K.mean, [x], np.mean),
    ("mean_of_booleans", K.mean, [x > 0], np.mean),
    ("any", lambda a: K.any(a, axis=1), [x > 1], lambda a: a.any(1)),
    ("all", lambda a: K.all(a, axis=1), [x > -1], lambda a: a.all(1)),
    ("argmax", K.argmax, [x], lambda a: a.argmax(-1)),
    ("argmin", lambda a: K.argmin(a, axis=0), [x], lambda a: a.argmin(0)),
    ("square", K.square, [x], np.square),
    ("abs", K.abs, [x], np.abs),
    ("sqrt", K.sqrt, [x], lambda a: np.sqrt(np.maximum(a, 0))),
    ("exp", K.exp, [x], np.exp),
    ("log", K.log, [positive], np.log),
    ("logsumexp", lambda a: K.logsumexp(a, axis=1), [x], lambda a: np.log(np.exp(a).sum(1))),
    ("round", K.round, [x * 3], np.round),
    ("sign", K.sign, [x], np.sign),
    ("pow", lambda a: K.pow(a, 3), [x], lambda a: a**3),
    ("clip", lambda a: K.clip(a, -0.5, 0.5), [x], lambda a: np.clip(a, -0.5, 0.5)),
    ("clip_below", lambda a: K.clip(a, 0.1, None), [x], lambda a: np.maximum(a, 0.1)),
    ("equal", K.equal, [np.array([1, 2]), np.array([1, 3])], np.equal),
    ("not_equal", K.not_equal, [np.array([1, 2]), np.array([1, 3])], np.not_equal),
    ("greater", K.greater, [x, y], np.greater),
    ("greater_equal", K.greater_equal, [x, y], np.greater_equal),
    ("less", K.less, [x, y], np.less),
    ("less_equal", K.less_equal, [x, y], np.less_equal),
    ("maximum", K.maximum, [x, y], np.maximum),
    ("minimum", K.minimum, [x, y], np.minimum),
    ("sin", K.sin, [x], np.sin),
    ("cos", K.cos, [x], np.cos),
    ("concatenate", lambda a, b: K.concatenate([a, b]), [x, y], lambda a, b: np.concatenate([a, b], -1)),
    ("reshape", lambda a: K.reshape(a, (2, -1)), [x], lambda a: a.reshape(2, -1)),
    (
        "permute_dimensions",
        lambda a: K.permute_dimensions(a, (0, 3, 1, 2)),
        [image],
        lambda a: a.transpose(0, 3, 1, 2),
    ),
    (
        "resize_images",
        lambda a: K.resize_images(a, 2, 3, "channels_last"),
        [image],
        lambda a: a.repeat(2, 1).repeat(3, 2),
    ),
    ("repeat_elements", lambda a: K.repeat_elements(a, 3, 1), [x], lambda a: a.repeat(3, 1)),
    ("repeat", lambda a: K.repeat(a, 3), [x], lambda a: np.stack([a] * 3, 1)),
    ("tile", lambda a: K.tile(a, (2, 3)), [x], lambda a: np.tile(a, (2, 3))),
    ("flatten", K.flatten, [image], np.ravel),
    ("batch_flatten", K.batch_flatten, [image], lambda a: a.reshape(2, -1)),
    ("expand_dims", K.expand_dims, [x], lambda a: a[..., None]),
    ("squeeze", lambda a: K.squeeze(a, 0), [x[:1]], lambda a: a[0]),
    (
        "temporal_padding",
        lambda a: K.temporal_padding(a, (1, 2)),
        [image[0]],
        lambda a: np.pad(a, [(0, 0), (1, 2), (0, 0)]),
    ),
    (
        "spatial_2d_padding",
        lambda a: K.spatial_2d_padding(a, ((1, 2), (0, 3)), "channels_first"),
        [image],
        lambda a: np.pad(a, [(0, 0), (0, 0), (1, 2), (0, 3)]),
    ),
    ("stack", lambda a, b: K.stack([a, b], axis=1), [x, y], lambda a, b: np.stack([a, b], 1)),
    ("one_hot", lambda a: K.one_hot(a, 4), [np.array([[0, 3]])], lambda a: np.eye(4)[a]),
    ("reverse", lambda a: K.reverse(a, 1), [x], lambda a: a[:, ::-1]),
    ("slice", lambda a: K.slice(a, (1, 0), (2, 3)), [x], lambda a: a[1:3, :3]),
    ("zeros_like", K.zeros_like, [x], np.zeros_like),
    ("ones_like", K.ones_like, [x], np.ones_like),
    ("relu", lambda a: K.relu(a, 0.1, 1.0), [x], lambda a: np.where(a > 0, np.minimum(a, 1), 0.1 * a)),
    ("elu", K.elu, [x], lambda a: np.where(a > 0, a, np.expm1(a))),
    ("softmax", K.softmax, [x], softmax),
    ("softplus", K.softplus, [x], lambda a: np.log1p(np.exp(a))),
    ("softsign", K.softsign, [x], lambda a: a / (1 + np.abs(a))),
    ("sigmoid", K.sigmoid, [x], lambda a: 1 / (1 + np.exp(-a))),
    ("hard_sigmoid", K.hard_sigmoid, [x], lambda a: np.clip(0.2 * a + 0.5, 0, 1)),
    ("tanh", K.tanh, [x], np.tanh),
    ("l2_normalize", lambda a: K.l2_normalize(a, axis=-1), [x], l2_normalize),
    ("in_top_k", lambda p, t: K.in_top_k(p, t, 1), [x, x.argmax(1)], lambda p, t: np.ones(3, bool)),
    (
        "categorical_crossentropy",
        K.categorical_crossentropy,
        [np.eye(4)[[0, 1, 2]], softmax(x)],
        lambda t, p: -np.log((t * p).sum(-1)),
    ),
    (
        "sparse_categorical_crossentropy",
        lambda t, p: K.sparse_categorical_crossentropy(t, p, from_logits=True),
        [np.array([0, 1, 2]), x],
        lambda t, p: -np.log(softmax(p)[np.arange(3), t]),
    ),
    (
        "binary_crossentropy",
        K.binary_crossentropy,
        [(x > 0).astype(float), softmax(y)],
        lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)),
    ),
    ("bias_add", K.bias_add, [image, image[0, 0, 0]], np.add),
    (
        "bias_add_first",
        lambda a, b: K.bias_add(a, b, "channels_first"),
        [image, x[0]],
        lambda a, b: a + b[:, None, None],
    ),
    (
        "batch_normalization",
        lambda a, m, v, b, g: K.batch_normalization(a, m, v, b, g, epsilon=0.1),
        [x, x[0], positive[0], x[1], x[2]],
        lambda a, m, v, b, g: g * (a - m) / np.sqrt(v + 0.1) + b,
    ),
    (
        "normalize_batch_in_training",
        lambda a: K.normalize_batch_in_training(a, None, None, [0], 0.1)[0],
        [x],
        lambda a: (a - a.mean(0)) / np.sqrt(a.var(0) + 0.1),
    ),
    (
        "pool2d",
        lambda a: K.pool2d(a, (2, 2), (2, 2), pool_mode="avg"),
        [image],
        lambda a: a.reshape(2, 2, 2, 3, 2, 3).mean((2, 4)),
    ),
    ("conv2d", lambda a: K.conv2d(a, POINTWISE), [image], lambda a: a @ POINTWISE[0, 0]),
    ("map_fn", lambda a: K.map_fn(lambda row: row * 2.0 + 1.0, a), [x], lambda a: a * 2 + 1),
    (
        "foldl",
        lambda a: K.foldl(lambda acc, row: acc * 0.5 + row, a),
        [x],
        lambda a: (a[0] * 0.5 + a[1]) * 0.5 + a[2],
    ),
    (
        "foldr",
        lambda a: K.foldr(lambda acc, row: acc * 0.5 + row, a),
        [x],
        lambda a: (a[2] * 0.5 + a[1]) * 0.5 + a[0],
    ),
    ("switch", lambda a: K.switch(K.greater(a, 0), a, a * 0.1), [x], lambda a: np.where(a > 0, a, 0.1 * a)),
    ("cast", lambda a: K.cast(a, "int32"), [x * 3], lambda a: a.astype("int32")),
]
only_tensors = {"map_fn", "foldl", "foldr", "switch"}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_names_against_numpy(row):
    name, function, arrays, reference = row
    want = reference(*arrays)
    if name not in only_tensors:
        np.testing.assert_allclose(function(*arrays), want, rtol=1e-6, atol=1e-12)
    for hidden in (False, True):
        xs = [
            placeholder((None, *a.shape[1:]) if hidden and a.ndim > 1 else a.shape, a.dtype.name)
            for a in arrays
        ]
        result = function(*xs)
        assert isinstance(result, Tensor)
        np.testing.assert_allclose(Function(xs, [result])(arrays)[0], want, rtol=1e-6, atol=1e-12)


def test_convolutions_agree_with_each_other():
    a, k = rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 3, 4))
    same = K.conv1d(a, k, padding="causal")
    np.testing.assert_allclose(same, K.conv1d(np.pad(a, [(0, 0), (1, 0), (0, 0)]), k), rtol=1e-10)
    first = K.conv1d(a.swapaxes(1, 2).copy(), k, padding="causal", data_format="channels_first")
    np.testing.assert_allclose(first, same.swapaxes(1, 2), rtol=1e-10)
    depth, point = rng.normal(size=(2, 2, 3, 2)), rng.normal(size=(1, 1, 6, 4))
    np.testing.assert_allclose(
        K.separable_conv2d(image, depth, point), K.conv2d(K.depthwise_conv2d(image, depth), point), rtol=1e-8
    )
    np.testing.assert_allclose(
        K.separable_conv1d(a, depth[0], point[0]),
        K.separable_conv2d(a[:, None], depth[:1], point)[:, 0],
        rtol=1e-8,
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_conv2d_transpose_is_the_gradient_of_conv2d(padding):
    t = placeholder(image.shape, "float64")
    kernel = rng.normal(size=(3, 2, 3, 5))
    conv = K.conv2d(t, K.constant(kernel, "float64"), (2, 2), padding)
    dy = rng.normal(size=conv.shape)
    (grad,) = K.gradients(K.sum(conv * dy), [t])
    want = K.function([t], [grad])([image])[0]
    np.testing.assert_allclose(
        K.conv2d_transpose(dy, kernel, image.shape, (2, 2), padding), want, rtol=1e-8, atol=1e-10
    )


# Variables and values.


def test_variables():
    v = K.variable([[1.0, 2.0]], name="v")
    assert K.is_variable(v)
    assert K.is_tensor(v)
    assert not K.is_placeholder(v)
    assert not K.is_sparse(v)
    assert K.dtype(v) == "float32"
    assert K.int_shape(v) == (1, 2)
    assert K.ndim(v) == 2
    assert K.count_params(v) == 2
    K.set_value(v, [[3.0, 4.0]])
    np.testing.assert_array_equal(K.get_value(v), [[3, 4]])
    np.testing.assert_array_equal(K.eval(v * 2), [[6, 8]])
    w = K.zeros((2,))
    K.batch_set_value([(v, [[0.0, 1.0]]), (w, [5.0, 6.0])])
    for got, want in zip(K.batch_get_value([v, w]), ([[0, 1]], [5, 6]), strict=True):
        np.testing.assert_array_equal(got, want)
    with pytest.raises(ValueError, match="shape"):
        K.set_value(v, [1.0])


def test_making_tensors():
    np.testing.assert_array_equal(K.eval(K.ones((2, 1))), [[1], [1]])
    np.testing.assert_array_equal(K.eval(K.eye(2)), np.eye(2))
    np.testing.assert_array_equal(K.eval(K.eye((2, 3))), np.eye(2, 3))
    np.testing.assert_array_equal(K.eval(K.constant(3, shape=(2,))), [3, 3])
    np.testing.assert_array_equal(K.eval(K.arange(1, 7, 2)), [1, 3, 5])
    assert K.random_uniform_variable((5,), 1, 2).numpy().min() >= 1
    assert K.random_normal_variable((5,), 0, 1, seed=1).shape == (5,)
    t = K.placeholder((None, 3))
    assert K.is_placeholder(t)
    assert K.placeholder(ndim=2).shape == (None, None)
    assert not K.is_keras_tensor(t)
    with pytest.raises(ValueError, match="instance of type"):
        K.is_keras_tensor(np.zeros(2))
    with pytest.raises(ValueError, match="sparse"):
        K.placeholder((2,), sparse=True)
    with pytest.raises(ValueError, match="ndim"):
        K.placeholder()


def test_shapes_that_are_tensors():
    t = K.placeholder((None, 3))
    size = K.shape(t)
    f = K.function([t], [size, K.zeros((size[0], 2)), K.ones(K.shape(t)), K.reshape(t, (3, size[0]))])
    shape, zeros, ones, reshaped = f([np.ones((4, 3))])
    np.testing.assert_array_equal(shape, [4, 3])
    assert zeros.shape == (4, 2)
    assert not zeros.any()
    assert ones.shape == (4, 3)
    assert ones.all()
    assert reshaped.shape == (3, 4)
    noise = K.random_normal((size[0], 2))
    assert K.function([t], [noise])([np.ones((5, 3))])[0].shape == (5, 2)


def test_random_tensors_are_drawn_at_each_run():
    for tensor in (
        K.random_normal((4, 5), 1.0, 2.0),
        K.random_uniform((4, 5), -1, 1),
        K.truncated_normal((4, 5)),
        K.random_binomial((40, 5), 0.5),
    ):
        f = K.function([], [tensor])
        assert not np.array_equal(f([])[0], f([])[0])


def test_dropout():
    t = K.placeholder((None, 100))
    out = K.function([t], [K.dropout(t, 0.25, noise_shape=(None, 100), seed=1)])([np.ones((50, 100))])[0]
    assert set(np.unique(out)) == {0.0, np.float32(1 / 0.75)}
    assert abs((out == 0).mean() - 0.25) < 0.05


# Functions, updates, gradients.


def test_function_updates_after_reading():
    v, t = K.variable(1.0), K.placeholder((2,))
    f = K.function([t], [K.sum(t) * v], updates=[(v, v + 1), *[K.update_add(K.variable(0.0), 1.0)]][:1])
    assert [float(f([[1.0, 2.0]])[0]) for _ in range(3)] == [3, 6, 9]
    assert float(K.get_value(v)) == 4


def test_updates_are_pairs():
    v = K.variable([1.0, 2.0])
    for pair, want in [
        (K.update(v, [5.0, 6.0]), [5, 6]),
        (K.update_add(v, 1.0), [2, 3]),
        (K.update_sub(v, 1.0), [0, 1]),
        (K.moving_average_update(v, K.constant([3.0, 0.0]), 0.75), [1.5, 1.5]),
    ]:
        assert pair[0] is v
        np.testing.assert_allclose(K.eval(pair[1]), want)
    with UpdateScope() as scope:
        K.update_add(v, 1.0)
        K.update_add(v, 1.0)
    np.testing.assert_allclose(K.eval(scope.values[v]), [3, 4])


def test_function_of_one_output_and_errors():
    t = K.placeholder((2,))
    assert K.function([t], K.sum(t))([np.ones(2)]) == 2
    with pytest.raises(ValueError, match="fetches"):
        K.function([t], [t], fetches=[])


def test_gradients():
    t = K.placeholder((3,), dtype="float64")
    (grad,) = K.gradients(K.sum(t * t * t), t)
    np.testing.assert_allclose(K.function([t], [grad])([[1.0, 2.0, 3.0]])[0], [3, 12, 27])
    stopped = K.gradients(K.sum(K.stop_gradient(t) * t), [t])
    np.testing.assert_allclose(K.function([t], stopped)([[1.0, 2.0, 3.0]])[0], [1, 2, 3])
    assert K.gradients(K.sum(t), [K.variable(1.0)]) == [None]


# Phases and branches.


def test_phases():
    t = K.placeholder((2,))
    y = K.in_train_phase(lambda: t * 2.0, t)
    z = K.in_test_phase(t * 3.0, t)
    f = K.function([t, K.learning_phase()], [y, z])
    np.testing.assert_array_equal(f([[1.0, 2.0], 1]), [[2, 4], [1, 2]])
    np.testing.assert_array_equal(f([[1.0, 2.0], 0]), [[1, 2], [3, 6]])
    np.testing.assert_array_equal(K.function([t], [y])([[1.0, 2.0]])[0], [1, 2])
    assert K.in_train_phase(1, 2, training=True) == 1
    assert K.in_train_phase(1, 2, training=0) == 2
    try:
        K.set_learning_phase(1)
        assert K.in_train_phase(1, 2) == 1
    finally:
        K.clear_session()
    assert isinstance(K.learning_phase(), Tensor)
    with pytest.raises(ValueError, match="0 or 1"):
        K.set_learning_phase(2)


def test_switch_on_scalars():
    c, t = K.placeholder((), dtype="bool"), K.placeholder((2,))
    f = K.function([c, t], [K.switch(c, lambda: t + 1.0, lambda: t - 1.0)])
    np.testing.assert_array_equal(f([True, [1.0, 2.0]])[0], [2, 3])
    np.testing.assert_array_equal(f([False, [1.0, 2.0]])[0], [0, 1])
    rows = K.placeholder((2,), dtype="bool")
    wide = K.function([rows, t], [K.switch(rows, K.stack([t, t]), K.zeros((2, 2)))])(
        [[True, False], [1.0, 2.0]]
    )
    np.testing.assert_array_equal(wide[0], [[1, 2], [0, 0]])
    with pytest.raises(ValueError, match="Rank"):
        K.switch(K.placeholder((2, 2), dtype="bool"), t, t)


# rnn.


def test_rnn():
    inputs, start = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 3))
    mask = np.array([[1, 1, 0, 1], [0, 1, 1, 0]], bool)
    t, s, m = (
        placeholder((None, 4, 3), "float64"),
        placeholder((None, 3), "float64"),
        placeholder((None, 4), "bool"),
    )

    def step(a, states):
        h = states[0] * 0.5 + a + states[1]
        return h * 2.0, [h]

    one = K.constant(1.0, "float64")
    for masked in (False, True):
        for backwards in (False, True):
            last, outputs, states = K.rnn(
                step, t, [s], go_backwards=backwards, mask=m if masked else None, constants=[one], unroll=True
            )
            feeds = [t, s, m] if masked else [t, s]
            got = Function(feeds, [last, outputs, states[0]])([inputs, start, mask][: len(feeds)])
            h, y, wanted = start, np.zeros((2, 3)), []
            for i in range(4)[:: -1 if backwards else 1]:
                keep = mask[:, i, None] if masked else np.ones((2, 1), bool)
                new = h * 0.5 + inputs[:, i] + 1
                y = np.where(keep, new * 2, y)
                h = np.where(keep, new, h)
                wanted.append(y)
            for a, b in zip(got, [y, np.stack(wanted, 1), h], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-10)
    with pytest.raises(ValueError, match="3D"):
        K.rnn(step, s, [s])


# Configuration.


def test_configuration():
    assert K.backend() == "kcore"
    assert K.epsilon() == 1e-7
    assert K.floatx() == "float32"
    assert K.image_data_format() == "channels_last"
    assert K.normalize_data_format("Channels_First") == "channels_first"
    with pytest.raises(ValueError, match="data_format"):
        K.normalize_data_format("nchw")
    try:
        K.set_epsilon(1e-3)
        K.set_image_data_format("channels_first")
        assert K.epsilon() == 1e-3
        assert K.normalize_data_format(None) == "channels_first"
    finally:
        K.set_epsilon(1e-7)
        K.set_image_data_format("channels_last")
    assert K.cast_to_floatx(np.arange(2)).dtype == "float32"
    first = K.get_uid("thing")
    assert K.get_uid("thing") == first + 1
    K.reset_uids()
    assert K.get_uid("thing") == 1
    with K.name_scope("outer"):
        assert K.name_scope_stack() == ["outer"]
    K.manual_variable_initialization(True)
    assert K.symbolic(len) is len
    assert K.eager(len) is len
    assert K.is_symbolic(K.placeholder((2,)))
    assert not K.is_symbolic(np.zeros(2))
    with K.control_dependencies([]):
        pass


def test_print_tensor(capsys):
    t = K.placeholder((2,))
    assert K.print_tensor(t, "here").shape == (2,)
    assert "here" in capsys.readouterr().out
