"""Updates against the formulas in float64, state, hyper-parameters, clipping, configs, custom rules."""

import copy
import pickle

import numpy as np
import pytest

from kcore import constraints, ops, optimizers
from kcore.config import floatx, set_floatx
from kcore.graph import Function, UpdateScope, Variable, gradients, placeholder
from kcore.optimizers import schedules

SHAPES = [(3, 4), (5,)]
STEPS = 6


@pytest.fixture
def float64():
    old = floatx()
    set_floatx("float64")
    yield
    set_floatx(old)


def sgd(w, g, s, t, lr, momentum=0.0, nesterov=False):
    s["m"] = momentum * s.get("m", 0) - lr * g
    return w + (momentum * s["m"] - lr * g if nesterov else s["m"])


def rmsprop(w, g, s, t, lr, rho=0.9, epsilon=1e-7, momentum=0.0, centered=False):
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g**2
    if not momentum and not centered:
        return w - lr * g / (np.sqrt(s["a"]) + epsilon)
    s["g"] = rho * s.get("g", 0) + (1 - rho) * g
    variance = s["a"] - s["g"] ** 2 if centered else s["a"]
    s["m"] = momentum * s.get("m", 0) + lr * g / np.sqrt(variance + epsilon)
    return w - s["m"]


def adagrad(w, g, s, t, lr, epsilon=1e-7, initial_accumulator_value=0.0):
    s["a"] = s.get("a", initial_accumulator_value) + g**2
    return w - lr * g / (np.sqrt(s["a"]) + epsilon)


def adadelta(w, g, s, t, lr, rho=0.95, epsilon=1e-7):
    s["a"] = rho * s.get("a", 0) + (1 - rho) * g**2
    step = g * np.sqrt(s.get("d", 0) + epsilon) / np.sqrt(s["a"] + epsilon)
    s["d"] = rho * s.get("d", 0) + (1 - rho) * step**2
    return w - lr * step


def adam(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    s["max"] = np.maximum(s.get("max", 0), s["v"])
    rate = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
    return w - rate * s["m"] / (np.sqrt(s["max"] if amsgrad else s["v"]) + epsilon)


def adamw(w, g, s, t, lr, weight_decay=0.004, **kwargs):
    return adam(w * (1 - lr * weight_decay), g, s, t, lr, **kwargs)


def adamax(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["u"] = np.maximum(beta_2 * s.get("u", 0), np.abs(g))
    return w - lr / (1 - beta_1**t) * s["m"] / (s["u"] + epsilon)


def nadam(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7, schedule_decay=0.004):
    now, following = (beta_1 * (1 - 0.5 * 0.96 ** (i * schedule_decay)) for i in (t, t + 1))
    s["product"] = s.get("product", 1.0) * now
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    m = (1 - now) * g / (1 - s["product"]) + following * s["m"] / (1 - s["product"] * following)
    return w - lr * m / (np.sqrt(s["v"] / (1 - beta_2**t)) + epsilon)


def lion(w, g, s, t, lr, beta_1=0.9, beta_2=0.99):
    direction = np.sign(beta_1 * s.get("m", 0) + (1 - beta_1) * g)
    s["m"] = beta_2 * s.get("m", 0) + (1 - beta_2) * g
    return w - lr * direction


def lamb(w, g, s, t, lr, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["v"] = beta_2 * s.get("v", 0) + (1 - beta_2) * g**2
    step = s["m"] / (1 - beta_1**t) / (np.sqrt(s["v"] / (1 - beta_2**t)) + epsilon)
    return w - lr * np.linalg.norm(w) / np.linalg.norm(step) * step


def ftrl(w, g, s, t, lr, power=-0.5, l1=0.0, l2=0.0, shrinkage=0.0, beta=0.0):
    old = s.get("n", 0.1)
    s["n"] = old + g**2
    sigma = (s["n"] ** -power - old**-power) / lr
    s["z"] = s.get("z", 0) + g + 2 * shrinkage * w - sigma * w
    below = (beta + s["n"] ** -power) / lr + 2 * l2
    return np.where(np.abs(s["z"]) < l1, 0, (np.sign(s["z"]) * l1 - s["z"]) / below)


def adafactor(w, g, s, t, lr, epsilon_2=1e-3, clip_threshold=1.0, relative_step=True):
    def rms(x):
        return np.sqrt((x**2).mean())

    fresh, square = t**-0.8, g**2 + 1e-30
    if g.ndim >= 2:
        s["r"] = (1 - fresh) * s.get("r", 0) + fresh * square.mean(-1)
        s["c"] = (1 - fresh) * s.get("c", 0) + fresh * square.mean(-2)
        v = s["r"][..., None] * s["c"][..., None, :] / s["r"].mean(-1)[..., None, None]
    else:
        s["v"] = (1 - fresh) * s.get("v", 0) + fresh * square
        v = s["v"]
    step = g / np.sqrt(v)
    rate = min(lr, t**-0.5) if relative_step else lr
    return w - rate * max(epsilon_2, rms(w)) * step / max(1, rms(step) / clip_threshold)


CASES = [
    ("Lion", lion, {}),
    ("Lamb", lamb, {}),
    ("Ftrl", ftrl, {}),
    ("Adafactor", adafactor, {}),
    ("Adafactor", adafactor, {"epsilon_2": 2.0, "clip_threshold": 0.5, "relative_step": False}),
    ("SGD", sgd, {}),
    ("SGD", sgd, {"momentum": 0.9}),
    ("SGD", sgd, {"momentum": 0.8, "nesterov": True}),
    ("RMSprop", rmsprop, {}),
    ("RMSprop", rmsprop, {"rho": 0.7, "epsilon": 1e-2}),
    ("RMSprop", rmsprop, {"momentum": 0.6, "centered": True}),
    ("RMSprop", rmsprop, {"momentum": 0.6}),
    ("Adagrad", adagrad, {}),
    ("Adagrad", adagrad, {"initial_accumulator_value": 0.1, "epsilon": 1e-2}),
    ("Adadelta", adadelta, {}),
    ("Adadelta", adadelta, {"rho": 0.8, "epsilon": 1e-3}),
    ("Adam", adam, {}),
    ("Adam", adam, {"beta_1": 0.8, "beta_2": 0.7, "epsilon": 1e-3, "amsgrad": True}),
    ("AdamW", adamw, {}),
    ("AdamW", adamw, {"weight_decay": 0.2, "amsgrad": True}),
    ("Adamax", adamax, {"beta_1": 0.7, "beta_2": 0.8}),
    ("Nadam", nadam, {}),
    ("Nadam", nadam, {"beta_1": 0.8, "schedule_decay": 0.05}),
]
NAMES = sorted({name for name, _, _ in CASES})


def draw(seed=0):
    rng = np.random.RandomState(seed)
    weights = [rng.standard_normal(s) for s in SHAPES]
    grads = [[rng.standard_normal(s) for s in SHAPES] for _ in range(STEPS)]
    return weights, grads


def expected(rule, weights, grads, lr, **kwargs):
    states = [{} for _ in weights]
    for t, step in enumerate(grads, 1):
        rate = lr(t - 1) if callable(lr) else lr
        weights = [rule(w, g, s, t, rate, **kwargs) for w, g, s in zip(weights, step, states, strict=True)]
    return weights


def trained(optimizer, weights, grads):
    variables = [Variable(w) for w in weights]
    for step in grads:
        optimizer.apply_gradients(zip(step, variables, strict=True))
    return [v.numpy() for v in variables]


def check(optimizer, rule, lr, transform=lambda grads: grads, rtol=1e-10, **kwargs):
    weights, grads = draw()
    wanted = expected(rule, weights, [transform(step) for step in grads], lr, **kwargs)
    for got, want in zip(trained(optimizer, weights, grads), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("name", "rule", "kwargs"), CASES)
def test_rule(float64, name, rule, kwargs):
    optimizer = getattr(optimizers, name)(learning_rate=0.05, **kwargs)
    check(optimizer, rule, 0.05, **kwargs)
    assert optimizer.iterations.numpy() == STEPS


def test_ftrl_penalties(float64):
    names = {
        "l1_regularization_strength": 0.2,
        "l2_regularization_strength": 0.1,
        "l2_shrinkage_regularization_strength": 0.05,
        "learning_rate_power": -0.4,
        "beta": 0.3,
    }
    optimizer = optimizers.Ftrl(0.05, **names)
    check(optimizer, ftrl, 0.05, power=-0.4, l1=0.2, l2=0.1, shrinkage=0.05, beta=0.3)


@pytest.mark.parametrize(("name", "rule", "kwargs"), CASES)
def test_rule_in_float32(name, rule, kwargs):
    optimizer = getattr(optimizers, name)(learning_rate=0.05, **kwargs)
    weights, grads = draw()
    got = trained(optimizer, [w.astype("float32") for w in weights], grads)
    for g, want in zip(got, expected(rule, weights, grads, 0.05, **kwargs), strict=True):
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, want, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_decay(float64, name):
    rule = {n: r for n, r, _ in CASES}[name]
    optimizer = getattr(optimizers, name)(lr=0.05, decay=0.3)
    check(optimizer, rule, lambda t: 0.05 / (1 + 0.3 * t))


def test_clipping(float64):
    def clipped(grads, norm=None, value=None):
        length = np.sqrt(sum((g**2).sum() for g in grads))
        if norm is not None and length >= norm:
            grads = [g * norm / length for g in grads]
        return grads if value is None else [np.clip(g, -value, value) for g in grads]

    for kwargs, arguments in [
        ({"clipnorm": 1.5}, {"norm": 1.5}),
        ({"clipnorm": 100.0}, {"norm": 100.0}),
        ({"global_clipnorm": 0.5}, {"norm": 0.5}),
        ({"clipvalue": 0.3}, {"value": 0.3}),
        ({"clipnorm": 2.0, "clipvalue": 0.4}, {"norm": 2.0, "value": 0.4}),
    ]:
        check(optimizers.SGD(0.1, **kwargs), sgd, 0.1, lambda g, a=arguments: clipped(g, **a))


def test_hyperparameters_change_without_a_new_program(float64):
    w = Variable(np.zeros(2))
    optimizer = optimizers.SGD(1.0, momentum=0.5)
    g = placeholder((2,), "float64")
    with UpdateScope() as scope:
        optimizer.apply_gradients([(g, w)])
    step = Function([g], [], list(scope.values.items()))
    ones = [np.ones(2)]
    step(ones)
    np.testing.assert_allclose(w.numpy(), -1)
    optimizer.lr = 0.1
    step(ones)  # moment: 0.5 * -1 - 0.1
    np.testing.assert_allclose(w.numpy(), -1.6)
    optimizer.learning_rate.assign(0.2)
    optimizer.momentum = 0.0
    step(ones)
    np.testing.assert_allclose(w.numpy(), -1.8)
    optimizer.lr.write(0.3)
    step(ones)
    np.testing.assert_allclose(w.numpy(), -2.1)
    assert float(optimizer.lr) == pytest.approx(0.3)
    assert int(optimizer.iterations) == 4
    assert len(step._programs) == 1


def test_momentum_cannot_be_switched_on_later():
    optimizer = optimizers.SGD(0.1)
    optimizer.momentum = 0.5
    optimizer = optimizers.SGD(0.1)
    trained(optimizer, *draw())
    optimizer.momentum = 0.0
    with pytest.raises(ValueError, match="without momentum"):
        optimizer.momentum = 0.5


def test_an_update_is_one_pass_over_a_weight():
    weights = [Variable(np.zeros(s, "float32")) for s in [(64, 32), (32,)]]
    grads = [placeholder(w.shape) for w in weights]
    for optimizer in [optimizers.SGD(momentum=0.9), optimizers.RMSprop(), optimizers.Adam(amsgrad=True)]:
        with UpdateScope() as scope:
            optimizer.apply_gradients(zip(grads, weights, strict=True))
        function = Function(grads, [], list(scope.values.items()))
        instructions = function.compiled([w.shape for w in weights]).plan.instructions
        over_weights = [i for i in instructions if any(t.shape != () for t in i.outputs)]
        assert [i.name for i in over_weights] == ["elementwise", "elementwise"]
        assert all(t.shape == () for i in instructions if i not in over_weights for t in i.inputs)


def test_weights_order_and_round_trip(float64):
    weights, grads = draw()
    optimizer = optimizers.Adam(0.05, amsgrad=True)
    variables = [Variable(w) for w in weights]
    optimizer.build(variables)
    assert [w.shape for w in optimizer.get_weights()] == [()] + SHAPES * 3
    assert [v.name.rsplit("/")[-1] for v in optimizer.weights[1::2]] == ["m", "v", "vhat"]
    for step in grads[:3]:
        optimizer.apply_gradients(zip(step, variables, strict=True))
    state = optimizer.get_weights()
    assert state[0] == 3
    resumed = optimizers.Adam.from_config(optimizer.get_config())
    copies = [Variable(v.numpy()) for v in variables]
    resumed.build(copies)
    resumed.set_weights(state)
    for step in grads[3:]:
        optimizer.apply_gradients(zip(step, variables, strict=True))
        resumed.apply_gradients(zip(step, copies, strict=True))
    for a, b in zip(variables, copies, strict=True):
        assert (a.numpy() == b.numpy()).all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_alone(copied):
    w = Variable(np.ones(3), name="w")
    optimizer = optimizers.Adam(0.1)
    optimizer.apply_gradients([(np.ones(3), w)])
    other_w, other = copied((w, optimizer))
    assert other.iterations.numpy() == 1
    optimizer.apply_gradients([(np.ones(3), w)])
    assert other.iterations.numpy() == 1
    other.apply_gradients([(np.ones(3), other_w)])
    assert (other_w.numpy() == w.numpy()).all()
    assert len(other.get_weights()) == 4


def test_state_as_keras_2_stores_it():
    shapes = {
        "SGD": [*SHAPES],
        "RMSprop": [*SHAPES],
        "Adagrad": [*SHAPES],
        "Adadelta": [*SHAPES, *SHAPES],
        "Adam": [*SHAPES, *SHAPES, (1,), (1,)],
        "Adamax": [*SHAPES, *SHAPES],
        "Nadam": [(), *SHAPES, *SHAPES],
    }
    for name, wanted in shapes.items():
        optimizer = getattr(optimizers, name)()
        optimizer.build([Variable(np.zeros(s, "float32")) for s in SHAPES])
        assert [w.shape for w in optimizer.get_weights()] == [(), *wanted], name
    for name in ("RMSprop", "Adagrad", "Adadelta"):  # older files have no iterations
        optimizer = getattr(optimizers, name)()
        optimizer.build([Variable(np.zeros(s, "float32")) for s in SHAPES])
        optimizer.set_weights([np.ones_like(w) for w in optimizer.get_weights()[1:]])
        assert optimizer.iterations.numpy() == 0
        assert all((w == 1).all() for w in optimizer.get_weights()[1:])
    adam = optimizers.Adam()
    adam.build([Variable(np.zeros(s, "float32")) for s in SHAPES])
    adam.set_weights([np.ones_like(w) for w in adam.get_weights()[:5]])
    assert [w.max() for w in adam.get_weights()] == [1, 1, 1, 1, 1, 0, 0]
    assert optimizers.Adam(0.1, 0.9, 0.999, True).amsgrad  # Keras 2's fourth argument
    nadam = optimizers.Nadam()
    nadam.build([Variable(np.zeros(2, "float32"))])
    nadam.set_weights([np.int64(4), np.ones(2), np.ones(2)])
    assert [w.tolist() for w in nadam.get_weights()] == [4, 1.0, [1, 1], [1, 1]]


def test_set_weights_refuses():
    optimizer = optimizers.SGD()
    optimizer.build([Variable(np.zeros((2, 3), "float32"))])
    with pytest.raises(ValueError, match="2 variables, got 3 values"):
        optimizer.set_weights([0, np.zeros((2, 3)), np.zeros(1)])
    with pytest.raises(ValueError, match=r"has shape \(2, 3\), got a value of shape \(3, 2\)"):
        optimizer.set_weights([5, np.zeros((3, 2))])
    assert optimizer.iterations.numpy() == 0


def test_constraint_is_applied_after_the_update():
    w = Variable(np.array([1.0, -1.0]), constraint=constraints.NonNeg())
    optimizers.SGD(1.0).apply_gradients([(np.array([0.5, 0.5]), w)])
    np.testing.assert_allclose(w.numpy(), [0.5, 0.0])


def test_weight_decay_and_its_exceptions(float64):
    kernel, bias = Variable(np.ones(2), name="dense/kernel"), Variable(np.ones(2), name="dense/bias")
    optimizer = optimizers.SGD(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply_gradients([(np.ones(2), kernel), (np.ones(2), bias)])
    np.testing.assert_allclose(kernel.numpy(), 0.95 - 0.5)
    np.testing.assert_allclose(bias.numpy(), 0.5)


def test_moving_average_of_weights(float64):
    w = Variable(np.array([1.0]))
    optimizer = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    average = None
    value = 1.0
    for _ in range(4):
        optimizer.apply_gradients([(np.array([1.0]), w)])
        value -= 0.1
        average = value if average is None else 0.9 * average + 0.1 * value
    np.testing.assert_allclose(w.numpy(), value)
    optimizer.finalize_variable_values([w])
    np.testing.assert_allclose(w.numpy(), average)


def test_moving_average_overwrites(float64):
    w = Variable(np.array([1.0]))
    optimizer = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    for _ in range(2):
        optimizer.apply_gradients([(np.array([1.0]), w)])
    np.testing.assert_allclose(w.numpy(), 0.5 * 0.9 + 0.5 * 0.8)


def test_get_updates_minimises(float64):
    w = Variable(np.array([3.0, -2.0]))
    optimizer = optimizers.Adam(0.1)
    loss = ops.sum(ops.square(w - 1.0))
    updates = optimizer.get_updates(loss, [w])
    assert {v.name for v, _ in updates} >= {w.name, "iterations"}
    step = Function([], [loss], updates)
    losses = [float(step([])[0]) for _ in range(200)]
    assert losses[0] == 13.0
    assert losses[-1] < 1e-3
    assert optimizer.iterations.numpy() == 200


def test_gradients_are_required():
    w, other = Variable(np.ones(2)), Variable(np.ones(2), name="other")
    optimizer = optimizers.SGD()
    with pytest.raises(ValueError, match="does not depend on other"):
        optimizer.get_updates(ops.sum(ops.square(w)), [w, other])
    with pytest.raises(ValueError, match="no gradient for any weight"):
        optimizer.apply_gradients([(None, w)])
    with pytest.raises(ValueError, match=r"gradient of shape \(3,\)"):
        optimizer.apply_gradients([(np.ones(3), w)])
    with pytest.raises(TypeError, match="updates variables"):
        optimizer.build([np.ones(2)])
    optimizer.apply_gradients([(np.ones(2), w), (None, other)])
    np.testing.assert_allclose(w.numpy(), 0.99)


def test_custom_rule(float64):
    class Mine(optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, rho=0.9, **kwargs):
            super().__init__(learning_rate, **kwargs)
            self.rho = self.hyperparameter("rho", rho)
            self.epsilon = 1e-7

        def update(self, w, g, slot):
            slot.rms = self.rho * slot.rms + (1 - self.rho) * ops.square(g)
            return w - self.learning_rate * g / (ops.sqrt(slot.rms) + self.epsilon)

    check(Mine(0.05), rmsprop, 0.05)


def test_keras_2_subclass(float64):
    class Plain(optimizers.Optimizer):
        def __init__(self, lr=0.01, **kwargs):
            super().__init__(**kwargs)
            self.lr = Variable(lr, name="lr")

        def get_updates(self, loss, params):
            grads = self.get_gradients(loss, params)
            self.updates = [(self.iterations, self.iterations + 1)]
            accumulators = [Variable(np.zeros(p.shape)) for p in params]
            self.weights = [self.iterations, *accumulators]
            for p, g, a in zip(params, grads, accumulators, strict=True):
                total = a + ops.square(g)
                self.updates += [(a, total), (p, p - self.lr * g / (ops.sqrt(total) + 1e-7))]
            return self.updates

        def get_config(self):
            return {**super().get_config(), "lr": float(self.lr)}

    optimizer = Plain(lr=0.5, clipvalue=10.0)
    w = Variable(np.array([1.0, 2.0]))
    step = Function([], [], optimizer.get_updates(ops.sum(ops.square(w)), [w]))
    step([])
    np.testing.assert_allclose(w.numpy(), [0.5, 1.5], rtol=1e-6)
    assert len(optimizer.get_weights()) == 2
    assert optimizer.iterations.numpy() == 1
    copy = Plain.from_config(optimizer.get_config())
    assert float(copy.lr) == 0.5
    assert copy.clipvalue == 10.0


def test_rule_written_for_keras_2_trains_a_model():
    """Updates are values of one moment: ``iterations`` is still the old one after its update is made."""
    from kcore import backend as K
    from kcore.layers import Dense
    from kcore.models import Sequential
    from kcore.utils import set_random_seed

    class OldAdam(optimizers.Optimizer):
        def __init__(self, lr=0.001, **kwargs):
            super().__init__(**kwargs)
            with K.name_scope(type(self).__name__):
                self.iterations = K.variable(0, dtype="int64", name="iterations")
                self.lr = K.variable(lr, name="lr")
                self.beta_1 = K.variable(0.9, name="beta_1")

        def get_updates(self, loss, params):
            grads = self.get_gradients(loss, params)
            self.updates = [K.update_add(self.iterations, 1)]
            t = K.cast(self.iterations, K.floatx()) + 1
            rate = self.lr * (K.sqrt(1.0 - K.pow(0.999, t)) / (1.0 - K.pow(self.beta_1, t)))
            ms, vs = ([K.zeros(K.int_shape(p)) for p in params] for _ in range(2))
            self.weights = [self.iterations, *ms, *vs]
            for p, g, m, v in zip(params, grads, ms, vs, strict=True):
                new_m = self.beta_1 * m + (1.0 - self.beta_1) * g
                new_v = 0.999 * v + 0.001 * K.square(g)
                self.updates += [K.update(m, new_m), K.update(v, new_v)]
                self.updates.append(K.update(p, p - rate * new_m / (K.sqrt(new_v) + K.epsilon())))
            return self.updates

    x = np.random.RandomState(0).standard_normal((32, 4))
    results = []
    for optimizer in (optimizers.Adam(0.05), OldAdam(0.05)):
        set_random_seed(1)
        model = Sequential([Dense(3, activation="tanh", input_dim=4), Dense(1)])
        model.compile(optimizer, "mse")
        model.fit(x, x[:, 0], epochs=4, batch_size=16, shuffle=False, verbose=0)
        results.append(model.get_weights())
        assert K.get_value(optimizer.iterations) == 8
    assert len(optimizer.get_weights()) == 9
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_keras_3_subclass(float64):
    class Heavy(optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, momentum=0.5, **kwargs):
            super().__init__(learning_rate=learning_rate, **kwargs)
            self.momentum = momentum

        def build(self, variables):
            if self.built:
                return
            super().build(variables)

        def update_step(self, gradient, variable, learning_rate):
            m = self.add_variable_from_reference(variable, name="velocity")
            self.assign(m, m * self.momentum - gradient * learning_rate)
            self.assign_add(variable, m)

    check(Heavy(0.05), sgd, 0.05, momentum=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_configs(name):
    optimizer = getattr(optimizers, name)(learning_rate=0.02, clipnorm=3.0)
    config = optimizers.serialize(optimizer)
    assert config["class_name"] == name
    assert config["config"]["learning_rate"] == 0.02
    assert optimizers.serialize(optimizers.deserialize(config)) == config
    assert type(optimizers.get(name.lower())) is type(optimizer)
    assert type(optimizers.get({**config, "class_name": name.lower()})) is type(optimizer)
    assert optimizers.get(optimizer) is optimizer
    keras3 = {
        "module": "keras.optimizers",
        "class_name": name,
        "config": {
            "name": name.lower(),
            "learning_rate": 0.5,
            "weight_decay": None,
            "clipnorm": None,
            "global_clipnorm": None,
            "clipvalue": None,
            "use_ema": False,
            "ema_momentum": 0.99,
            "ema_overwrite_frequency": None,
            "loss_scale_factor": None,
            "gradient_accumulation_steps": None,
        },
        "registered_name": None,
    }
    assert float(optimizers.get(keras3).learning_rate) == 0.5
    old = {"class_name": name, "config": {"lr": 0.25, "decay": 0.0}}
    assert float(optimizers.get(old).lr) == 0.25


def test_keras_2_configs():
    assert optimizers.SGD(0.1, momentum=0.9, nesterov=True, decay=1e-6).get_config() == {
        "learning_rate": 0.1,
        "decay": 1e-6,
        "momentum": 0.9,
        "nesterov": True,
    }
    assert optimizers.Adam().get_config() == {
        "learning_rate": 0.001,
        "decay": 0.0,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
    }


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.get("adm"), ValueError, "did you mean 'adam'"),
        (lambda: optimizers.get("qqqq"), ValueError, "known are .*SGD"),
        (lambda: optimizers.get(3), ValueError, "could not interpret 3"),
        (lambda: optimizers.get(print), ValueError, "could not interpret .* as an optimizer"),
        (lambda: optimizers.SGD(learning_rat=1), TypeError, "did you mean 'learning_rate'"),
        (lambda: optimizers.SGD(-1.0), ValueError, "learning rate must not be negative"),
        (lambda: optimizers.SGD("fast"), ValueError, "must be a number or a LearningRateSchedule"),
        (lambda: optimizers.SGD(clipnorm=-1.0), ValueError, "clipnorm must not be negative"),
        (lambda: optimizers.SGD(clipnorm=1.0, global_clipnorm=1.0), ValueError, "not both"),
        (lambda: optimizers.SGD(momentum=2.0), ValueError, "momentum must lie in"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, r"beta_1 must lie in \[0, 1\)"),
        (lambda: optimizers.Adagrad(initial_accumulator_value=-1), ValueError, "must not be negative"),
        (lambda: optimizers.Ftrl(learning_rate_power=0.5), ValueError, "must not be positive"),
        (lambda: optimizers.Ftrl(initial_accumulator_value=-1), ValueError, "must not be negative"),
        (lambda: optimizers.SGD(loss_scale_factor=2.0), ValueError, "loss_scale_factor is not supported"),
        (lambda: optimizers.SGD(use_ema=True, ema_momentum=2.0), ValueError, "ema_momentum must lie in"),
        (lambda: optimizers.SGD(ema_overwrite_frequency=0), ValueError, "must be positive"),
        (lambda: optimizers.Optimizer().apply_gradients([(np.ones(1), Variable(np.ones(1)))]),
         NotImplementedError, "must define update"),
    ],
)  # fmt: skip
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- Schedules ----------------------------------------------------------------------------------------

ITERATIONS = [0, 1, 3, 7, 10, 11, 19, 20, 34, 100]


def cosine(t, start, steps, alpha):
    return start * ((1 - alpha) * 0.5 * (1 + np.cos(np.pi * min(t, steps) / steps)) + alpha)


def restarts(t, start, first, t_mul, m_mul, alpha):
    length, height = first, 1.0
    while t >= length:
        t, length, height = t - length, length * t_mul, height * m_mul
    return start * ((1 - alpha) * 0.5 * height * (1 + np.cos(np.pi * t / length)) + alpha)


def polynomial(t, start, steps, end, power, cycle):
    if cycle:
        steps *= max(1, np.ceil(t / steps))
    return (start - end) * (1 - min(t, steps) / steps) ** power + end


def warm(t):
    return 0.1 + 0.9 * t / 5 if t < 5 else cosine(t - 5, 1.0, 20, 0.1)


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
    (schedules.InverseTimeDecay(0.1, 10, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 10)),
    (schedules.InverseTimeDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 / (1 + 0.5 * (t // 10))),
    (
        schedules.PiecewiseConstantDecay([3, 10], [1.0, 0.5, 0.1]),
        lambda t: 1.0 if t <= 3 else 0.5 if t <= 10 else 0.1,
    ),
    (schedules.PolynomialDecay(0.1, 20, 0.01, 2.0), lambda t: polynomial(t, 0.1, 20, 0.01, 2.0, False)),
    (schedules.PolynomialDecay(0.1, 15, cycle=True), lambda t: polynomial(t, 0.1, 15, 1e-4, 1.0, True)),
    (schedules.CosineDecay(0.1, 20, alpha=0.2), lambda t: cosine(t, 0.1, 20, 0.2)),
    (schedules.CosineDecay(0.1, 20, alpha=0.1, warmup_target=1.0, warmup_steps=5), warm),
    (schedules.CosineDecayRestarts(0.1, 9, t_mul=1.5), lambda t: restarts(t, 0.1, 9, 1.5, 1.0, 0.0)),
    (
        schedules.CosineDecayRestarts(0.1, 9, 1.0, 0.5, 0.1),
        lambda t: restarts(t, 0.1, 9, 1.0, 0.5, 0.1),
    ),
]


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
def test_schedule(float64, schedule, formula):
    step = Variable(0, "int64")
    rate = Function([], [schedule(step)])
    for t in ITERATIONS:
        assert float(schedule(t)) == pytest.approx(formula(t), rel=1e-9, abs=1e-12)
        step.write(t)
        assert float(rate([])[0]) == pytest.approx(formula(t), rel=1e-9, abs=1e-12)
    config = schedules.serialize(schedule)
    assert schedules.serialize(schedules.deserialize(config)) == config
    check(optimizers.SGD(schedule), sgd, formula)
    check(optimizers.Adam(schedule), adam, formula)
    config = optimizers.serialize(optimizers.SGD(schedule))
    assert optimizers.serialize(optimizers.deserialize(config)) == config


def test_schedule_errors():
    with pytest.raises(ValueError, match="one value more than boundaries"):
        schedules.PiecewiseConstantDecay([1], [1.0])
    with pytest.raises(ValueError, match="must increase"):
        schedules.PiecewiseConstantDecay([2, 1], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="decay_steps must be positive"):
        schedules.CosineDecay(0.1, 0)
    with pytest.raises(ValueError, match="did you mean 'CosineDecay'"):
        schedules.deserialize({"class_name": "CosinDecay", "config": {}})
    with pytest.raises(TypeError, match="follows the schedule 'CosineDecay'"):
        optimizers.SGD(schedules.CosineDecay(0.1, 5)).lr = 0.1
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(0)


def test_gradients_of_a_loss_are_clipped(float64):
    w = Variable(np.array([3.0, 4.0]))
    loss = ops.sum(ops.square(w)) * 0.5
    (clipped,) = optimizers.SGD(clipnorm=1.0).get_gradients(loss, [w])
    np.testing.assert_allclose(clipped.numpy(), [0.6, 0.8])
    (plain,) = gradients(loss, [w])
    np.testing.assert_allclose(plain.numpy(), [3, 4])
