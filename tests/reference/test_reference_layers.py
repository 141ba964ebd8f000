"""Every layer against tf_keras: outputs, masks, gradients, moving statistics, states; both float widths."""

import pytest
from referee import DTYPES, TOLERANCE, arrays_of, as_dtype, assert_all_close, assert_close, family

from kcore import layers
from kcore.graph import Function, gradients, placeholder

NAMES = ("layers_core", "layers_convolution", "layers_recurrent")
CASES = [pytest.param(name, case, id=case) for name in NAMES for case in family(name)]
ONCE = [c for c in CASES if "calls" not in family(c.values[0])[c.values[1]]]
STATEFUL = [c for c in CASES if "calls" in family(c.values[0])[c.values[1]]]
# A 3x3 convolution with stride 1 may use Winograd's algorithm, whose error is larger.
WINOGRAD = 1e-4


def build_layer(class_name, config, dtype, **extra):
    """The layer of a fixture's configuration; wrappers hold another configuration."""
    config = {**config, **extra}
    if "layer" in config:
        inner = config.pop("layer")
        layer = build_layer(inner["class_name"], inner["config"], dtype)
        return getattr(layers, class_name)(layer, dtype=dtype, **config)
    return getattr(layers, class_name)(dtype=dtype, **config)


def tolerance_of(case, dtype):
    if dtype == "float32" and case["class"] == "Conv2D" and case["config"]["kernel_size"] in (3, [3, 3]):
        return WINOGRAD
    return TOLERANCE[dtype]


def flat(outputs):
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "case"), ONCE)
def test_layer(name, case, dtype):
    case = family(name)[case]
    inputs = arrays_of(case, "input", case["inputs"], dtype)
    layer = build_layer(case["class"], case["config"], dtype)
    xs = [layers.Input(batch_shape=x.shape, dtype=x.dtype.name) for x in inputs]
    feeds, arrays, kwargs = list(xs), list(inputs), {}
    if "mask" in case["arrays"]:
        mask = case["arrays"]["mask"]
        kwargs["mask"] = placeholder(mask.shape, "bool")
        feeds.append(kwargs["mask"])
        arrays.append(mask)
    if "training" in case:
        kwargs["training"] = case["training"]
    if case.get("initial_state"):
        kwargs["initial_state"] = xs[1:]
    ys = flat(layer(xs[0] if len(xs) == 1 or "initial_state" in case else xs, **kwargs))
    weights = arrays_of(case, "weight", case["weights"], dtype)
    layer.set_weights(weights)
    assert all(y.dtype == dtype for y in ys)

    cotangents = arrays_of(case, "cotangent", case["outputs"], dtype)
    seeds = [placeholder(d.shape, dtype) for d in cotangents]
    wanted = {f"grad_input{i}": x for i, x in enumerate(xs)} | {
        f"grad_weight{i}": w for i, w in enumerate(layer.weights)
    }
    wanted = {key: x for key, x in wanted.items() if key in case["arrays"]}
    assert len(layer.trainable_weights) == sum(key.startswith("grad_weight") for key in wanted)
    grads = gradients(ys, list(wanted.values()), seeds)
    missing = [key for key, g in zip(wanted, grads, strict=True) if g is None]
    assert not missing, f"no gradient: {missing}"
    function = Function([*feeds, *seeds], [*ys, *grads], layer.updates)
    results = function([*arrays, *cotangents])

    tolerance = tolerance_of(case, dtype)
    assert_all_close(results[: len(ys)], arrays_of(case, "output", case["outputs"]), tolerance, "output")
    for key, got in zip(wanted, results[len(ys) :], strict=True):
        assert_close(got, case["arrays"][key], tolerance, key)
    if "output_mask" in case["arrays"]:
        got = Function(xs, [layer.compute_mask(xs[0], None)])(inputs)[0]
        assert_close(got, case["arrays"]["output_mask"], 0, "mask")
    if "moving_mean" in case["arrays"]:
        expected = [case["arrays"]["moving_mean"], case["arrays"]["moving_variance"]]
        assert_all_close(layer.get_weights()[-2:], expected, tolerance, "moving statistics ")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "case"), ONCE)
def test_layer_on_arrays(name, case, dtype):
    """The same layers called on NumPy arrays, with unknown extents behind a symbolic call."""
    case = family(name)[case]
    if "mask" in case["arrays"] or case.get("initial_state"):
        pytest.skip("takes more than inputs")
    inputs = arrays_of(case, "input", case["inputs"], dtype)
    layer = build_layer(case["class"], case["config"], dtype)
    kwargs = {"training": case["training"]} if "training" in case else {}
    unknown = [layers.Input(batch_shape=(None, *x.shape[1:]), dtype=x.dtype.name) for x in inputs]
    symbolic = flat(layer(unknown[0] if len(unknown) == 1 else unknown, **kwargs))
    expected = arrays_of(case, "output", case["outputs"])
    for y, want in zip(symbolic, expected, strict=True):
        assert tuple(y.shape) == (None, *want.shape[1:])
    layer.set_weights(arrays_of(case, "weight", case["weights"], dtype))
    outputs = flat(layer(inputs[0] if len(inputs) == 1 else inputs, **kwargs))
    assert_all_close(outputs, expected, tolerance_of(case, dtype), "output")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "case"), STATEFUL)
def test_stateful_layer(name, case, dtype):
    """The state of one call is the start of the next; ``reset_states`` forgets it."""
    case = family(name)[case]
    layer = build_layer(case["class"], case["config"], dtype, batch_input_shape=tuple(case["batch_shape"]))
    x = layers.Input(batch_shape=case["batch_shape"], dtype=dtype)
    y = layer(x)
    layer.set_weights(arrays_of(case, "weight", case["weights"], dtype))
    function = Function([x], [y], layer.updates)
    for _ in range(2):
        layer.reset_states()
        for call in range(case["calls"]):
            inputs = as_dtype(case["arrays"][f"input0_call{call}"], dtype)
            expected = case["arrays"][f"output0_call{call}"]
            assert_close(function([inputs])[0], expected, TOLERANCE[dtype], f"call {call}")
