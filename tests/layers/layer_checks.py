"""The checks that every layer gets from one row of a table.

A subject's rows are the ``CASES`` of its ``layer_cases_<subject>.py``; ``test_common.py`` finds them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from kcore import backend as K
from kcore import layers
from kcore.graph import Function, constant, gradients, placeholder
from kcore.graph.dtypes import is_float
from kcore.utils.serialization import CustomObjectScope


@dataclass
class LayerCase:
    """One layer on inputs of one or several shapes.

    Args:
        name: unique within the subject.
        make: makes the layer; keyword arguments (``data_format``) are passed on.
        shapes: of the inputs, batch first.
        unknown: axes of all inputs that may be unknown, besides the batch.
        data_format: whether the layer takes it; then both formats must agree.
        weights: the names of the weights, in order.
        mask: what becomes of a mask ``(batch, steps)``: ``"kept"``, ``"used"`` up, ``"refused"``; or
            ``"none"`` where the inputs have no time axis in common.
        random: whether training differs from inference by chance; ``"statistics"`` where it differs without.
        inputs: makes an array of a shape, for layers that want other numbers than normal ones.
        differentiable: whether the gradient with respect to inputs exists.
        custom_objects: what deserializing needs.
    """

    name: str
    make: Callable
    shapes: Sequence[tuple[int, ...]]
    unknown: Sequence[int] = ()
    data_format: bool = False
    weights: Sequence[str] = ()
    mask: str = "refused"
    random: bool | str = False
    inputs: Callable | None = None
    differentiable: bool = True
    custom_objects: dict = field(default_factory=dict)

    def arrays(self, dtype: str = "float32") -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        if self.inputs is not None:
            return [self.inputs(rng, shape) for shape in self.shapes]
        return [
            away_from_kinks(rng, shape, 0.003 + 0.005 * i).astype(dtype)
            for i, shape in enumerate(self.shapes)
        ]


def away_from_kinks(rng, shape, offset):
    """Distinct values no two of which, nor 0 or 1, come closer than finite differences reach."""
    size = int(np.prod(shape))
    values = (np.arange(size) + 0.5) / size * 4 - 2
    return rng.permutation(values).reshape(shape) + offset


def unpacked(tensors):
    return tensors[0] if len(tensors) == 1 else list(tensors)


def as_list(y):
    return list(y) if isinstance(y, (list, tuple)) else [y]


def fixed_function(inputs, outputs, updates=()):
    """A function that draws the same random numbers at each run."""
    return Function(inputs, outputs, updates, step=lambda: 3, seed=lambda: 5)


def set_random_weights(layer):
    """Weights off their initial zeros and ones; variances stay positive."""
    rng = np.random.default_rng(11)
    values = []
    for w in layer.weights:
        value = rng.uniform(-0.7, 0.7, w.shape)
        values.append(np.abs(value) + 0.4 if "variance" in w.name else value)
    layer.set_weights(values)


def run(layer, arrays, training=False):
    """The layer's outputs on arrays, and the layer, built and with random weights."""
    xs = [placeholder(a.shape, a.dtype.name) for a in arrays]
    ys = as_list(layer(unpacked(xs)))
    if not getattr(layer, "_weights_set", False):
        set_random_weights(layer)
        layer._weights_set = True
    return fixed_function(xs, ys)(arrays, training)


def check_shapes(case: LayerCase) -> None:
    """Inferred shapes, with known and with unknown extents, are those that are computed."""
    arrays = case.arrays()
    layer = case.make()
    computed = [y.shape for y in run(layer, arrays)]
    for hidden in [(), (0,), (0, *case.unknown)]:
        shapes = [tuple(None if i in hidden else d for i, d in enumerate(a.shape)) for a in arrays]
        xs = [placeholder(s, a.dtype.name) for s, a in zip(shapes, arrays, strict=True)]
        ys = as_list(layer(unpacked(xs)))
        for y, want in zip(ys, computed, strict=True):
            assert len(y.shape) == len(want)
            assert all(s in (None, d) for s, d in zip(y.shape, want, strict=True)), (hidden, y.shape, want)
            assert hidden or None not in y.shape, f"inferred {y.shape}, computed {want}"
            if hidden == (0,) and y.shape[0] is None:
                assert None not in y.shape[1:], f"an unknown batch makes {y.shape} of {want}"
        assert [y.shape for y in Function(xs, ys)(arrays)] == computed
        said = layer.compute_output_shape(unpacked(shapes))
        said = said if isinstance(said, list) else [said]
        for mine, y in zip(said, ys, strict=True):
            assert isinstance(mine, tuple)
            assert all(a == b or None in (a, b) for a, b in zip(mine, y.shape, strict=True)), (mine, y.shape)
        if not hidden:
            assert said == computed


def check_config(case: LayerCase) -> None:
    """A layer made from the config, through JSON, with the same weights gives the same outputs."""
    arrays = case.arrays()
    layer = case.make()
    want = run(layer, arrays)
    config = layer.get_config()
    assert config["name"] == layer.name
    with CustomObjectScope(case.custom_objects):
        copies = [type(layer).from_config(layer.get_config())]
    copies.append(layers.deserialize(json.loads(json.dumps(layers.serialize(layer))), case.custom_objects))
    for copy in copies:
        assert type(copy) is type(layer)
        assert json.dumps(copy.get_config()) == json.dumps(config)
        run(copy, arrays)
        copy.set_weights(layer.get_weights())
        for got, y in zip(run(copy, arrays), want, strict=True):
            np.testing.assert_array_equal(got, y)


def check_training(case: LayerCase) -> None:
    """Training and inference differ where they should and nowhere else; ``training=`` fixes the phase."""
    arrays = case.arrays()
    layer = case.make()
    infer, train = run(layer, arrays), run(layer, arrays, training=True)
    same = all(np.array_equal(a, b) for a, b in zip(infer, train, strict=True))
    assert same == (not case.random)
    for training, want in ((False, infer), (True, train)):
        xs = [placeholder(a.shape, a.dtype.name) for a in arrays]
        ys = as_list(layer(unpacked(xs), training=training))
        got = fixed_function(xs, ys)(arrays, not training)
        if case.random is not True or not training:
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a, b)
        else:
            assert not all(np.array_equal(a, b) for a, b in zip(got, infer, strict=True))


def check_data_formats(case: LayerCase) -> None:
    """``channels_first`` on transposed inputs gives the transposed outputs, with the same weights."""
    arrays = case.arrays()
    last = case.make(data_format="channels_last")
    want = run(last, arrays)
    first = case.make(data_format="channels_first")
    transposed = [np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in arrays]
    got = run(first, transposed)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(np.moveaxis(a, 1, -1) if b.ndim > 2 else a, b, rtol=1e-5, atol=1e-6)
    shapes = [a.shape for a in transposed]
    assert first.compute_output_shape(unpacked(shapes)) == unpacked([y.shape for y in got])


def check_float_widths(case: LayerCase) -> None:
    """In float64 everything is float64, and agrees with float32."""
    narrow = run(case.make(), case.arrays("float32"))
    K.set_floatx("float64")
    try:
        layer = case.make()
        wide = run(layer, case.arrays("float64"))
    finally:
        K.set_floatx("float32")
    assert all(w.dtype == "float64" for w in layer.weights)
    for a, b in zip(narrow, wide, strict=True):
        if is_float(b.dtype.name):
            assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(b).max(initial=0)))


def check_gradients(case: LayerCase, step: float = 1e-6, tolerance: float = 2e-5) -> None:
    """Gradients for every input and weight, in training and at inference, against central differences."""
    K.set_floatx("float64")
    try:
        for training in [False, True] if case.random else [False]:
            layer = case.make()
            arrays = case.arrays("float64")
            run(layer, arrays)
            xs = [placeholder(a.shape, a.dtype.name) for a in arrays]
            ys = [y for y in as_list(layer(unpacked(xs))) if is_float(y.dtype)]
            rng = np.random.default_rng(0)
            cotangents = [rng.uniform(0.5, 1.5, y.shape) for y in ys]
            # Weights enter as inputs, so that one function serves all differences.
            wrt = [x for x in xs if is_float(x.dtype)] if case.differentiable else []
            weights = list(layer.trainable_weights)
            grads = gradients(ys, [*wrt, *weights], [constant(c) for c in cotangents])
            got = fixed_function(xs, [g for g in grads if g is not None])(arrays, training)
            forward = fixed_function(xs, ys)

            def value(forward=forward, cotangents=cotangents, arrays=arrays, training=training):
                results = forward(arrays, training)
                return sum(float((c * y).sum()) for c, y in zip(cotangents, results, strict=True))

            got = iter(got)
            for x, grad in zip([*wrt, *weights], grads, strict=True):
                array = arrays[xs.index(x)] if x in wrt else x.numpy()
                analytic = np.zeros(array.shape) if grad is None else next(got)
                numeric = np.zeros(array.shape)
                for index in np.ndindex(array.shape):
                    before, values = array[index], []
                    for sign in (1, -1):
                        array[index] = before + sign * step
                        if x not in wrt:
                            x.write(array)
                        values.append(value())
                    array[index] = before
                    if x not in wrt:
                        x.write(array)
                    numeric[index] = (values[0] - values[1]) / (2 * step)
                scale = max(1.0, float(np.abs(numeric).max(initial=0.0)))
                error = float(np.abs(analytic - numeric).max(initial=0.0)) / scale
                assert error < tolerance, f"{case.name}, training={training}: {x!r} is off by {error:.1e}"
    finally:
        K.set_floatx("float32")


def check_weights(case: LayerCase) -> None:
    """Names and order of the weights; what is set is what is got; wrong lists are refused unchanged."""
    layer = case.make()
    run(layer, case.arrays())
    assert [w.name for w in layer.weights] == [f"{layer.name}/{name}:0" for name in case.weights]
    values = [w + 1 for w in layer.get_weights()]
    layer.set_weights(values)
    for a, b in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(a, b)
    assert layer.count_params() == sum(v.size for v in values)
    with pytest.raises(ValueError, match=layer.name):
        layer.set_weights([*values, np.zeros(1)])
    if values:
        with pytest.raises(ValueError, match="shape"):
            layer.set_weights([np.zeros((9, 9, 9, 9)), *values[1:]])
        np.testing.assert_array_equal(layer.get_weights()[0], values[0])
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(values)


def check_mask(case: LayerCase) -> None:
    """A mask is kept, used up, or refused with an error that names the layer."""
    arrays = case.arrays()
    layer = case.make()
    xs = [placeholder(a.shape, a.dtype.name) for a in arrays]
    masks = []
    for x, a in zip(xs, arrays, strict=True):
        mask = np.ones(a.shape[:2], bool)
        mask[-1, 1:] = False
        x._keras_mask = placeholder(mask.shape, "bool")
        masks.append(mask)
    if case.mask == "refused":
        with pytest.raises(TypeError, match=layer.name):
            layer(unpacked(xs))
        return
    ys = as_list(layer(unpacked(xs)))
    given = [x._keras_mask for x in xs]
    made = [y._keras_mask for y in ys if y._keras_mask is not None]
    if case.mask == "used":
        assert made == []
    else:
        assert made
        for mask in Function([*xs, *given], made)([*arrays, *masks]):
            np.testing.assert_array_equal(mask, masks[0])
    fixed_function([*xs, *given], ys)([*arrays, *masks])
