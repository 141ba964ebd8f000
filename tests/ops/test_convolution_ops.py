"""What the common rows cannot say of convolutions: unknown extents, gradients of gradients, errors."""

import numpy as np
import pytest
from checks import assert_close
from hypothesis import given
from hypothesis import strategies as st

from kcore import ops
from kcore.graph import Function, gradients, placeholder
from kcore.utils import conv_utils

rng = np.random.default_rng(5)


def draw(*shape):
    return rng.uniform(-1, 1, shape)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, (3, 1)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("op", [ops.conv, ops.depthwise_conv, ops.conv_transpose])
def test_unknown_extents(op, data_format, strides, padding):
    kernel = draw(3, 2, 2, 2)
    shape = (None, None, None, 2) if data_format == "channels_last" else (None, 2, None, None)
    x = placeholder(shape, "float64")
    y = op(x, kernel, strides, padding, data_format=data_format)
    filters = 4 if op is ops.depthwise_conv else 2
    assert y.shape == tuple(d and filters for d in shape)
    (dx,) = gradients([ops.square(y)], [x])
    for batch, rows, cols in [(2, 7, 6), (1, 5, 5), (0, 5, 5)]:
        extents = (batch, rows, cols, 2) if data_format == "channels_last" else (batch, 2, rows, cols)
        value = draw(*extents)
        got, gradient = Function([x], [y, dx])([value])
        assert_close(got, op(value, kernel, strides, padding, data_format=data_format), 1e-12)
        known = placeholder(extents, "float64")
        again = op(known, kernel, strides, padding, data_format=data_format)
        assert again.shape == got.shape
        (want,) = Function([known], gradients([ops.square(again)], [known]))([value])
        assert_close(gradient, want, 1e-12)


def test_unknown_batch_leaves_the_rest_known():
    x = placeholder((None, 9, 8, 3), "float32")
    assert ops.conv(x, np.ones((3, 3, 3, 5)), 2, "same").shape == (None, 5, 4, 5)
    assert ops.conv_transpose(x, np.ones((3, 3, 5, 3)), 2).shape == (None, 19, 17, 5)


@pytest.mark.parametrize("op", [ops.conv, ops.depthwise_conv, ops.conv_transpose])
def test_gradients_of_gradients(op):
    """Of a product of both gradients, which differentiates all three passes again."""
    arrays = [draw(1, 5, 4, 2), draw(2, 3, 2, 2)]
    xs = [placeholder(a.shape, "float64") for a in arrays]
    first = gradients([ops.square(op(*xs, 2))], xs)
    value = [ops.square(first[0]), ops.square(first[1])]
    second = Function(xs, gradients(value, xs))(arrays)
    total = Function(xs, value)

    def at(moved):
        return sum(float(v.sum()) for v in total(moved))

    for i, got in enumerate(second):
        want = np.zeros_like(arrays[i])
        for index in np.ndindex(want.shape):
            moved = [[a.copy() for a in arrays] for _ in range(2)]
            moved[0][i][index] += 1e-5
            moved[1][i][index] -= 1e-5
            want[index] = (at(moved[0]) - at(moved[1])) / 2e-5
        assert_close(got, want, 1e-6, f"input {i}")


def test_integers_are_convolved_as_floats():
    y = ops.conv(np.arange(6).reshape(1, 6, 1), np.array([[[1]], [[2]]]))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y[0, :, 0], [2, 5, 8, 11, 14])


def test_bias_and_activation_join_the_convolution():
    x, bias = placeholder((2, 5, 5, 3), "float32"), draw(4).astype("float32")
    kernel = draw(3, 3, 3, 4).astype("float32")
    value = draw(2, 5, 5, 3).astype("float32")
    (got,) = Function([x], [ops.relu(ops.conv(x, kernel) + bias)])([value])
    assert_close(got, np.maximum(ops.conv(value.astype("float64"), kernel.astype("float64")) + bias, 0), 1e-6)


X, K = (2, 6, 6, 4), (3, 3, 4, 8)


@pytest.mark.parametrize("symbolic", [False, True])
@pytest.mark.parametrize(
    ("op", "shapes", "arguments", "message"),
    [
        (ops.conv, [(6, 4), K], {}, r"conv: inputs must have 3 axes .* got the shape \(6, 4\)"),
        (ops.conv, [X, (3, 4, 8)], {}, "need a kernel of 4 axes"),
        (ops.conv, [X, (3, 3, 3, 8)], {}, r"inputs of 4 channels don't fit a kernel of shape \(3, 3, 3, 8\)"),
        (ops.conv, [X, (3, 3, 2, 7)], {}, "inputs of 4 channels don't fit a kernel"),
        (ops.conv, [X, (0, 3, 4, 8)], {}, "must be known and not empty"),
        (ops.conv, [X, (7, 3, 4, 8)], {}, "the kernel is larger than the padded image"),
        (ops.conv, [X, K], {"dilation_rate": 3}, "the kernel is larger than the padded image"),
        (ops.conv, [X, K], {"strides": 0}, "`strides` argument must be positive"),
        (ops.conv, [X, K], {"strides": (1, 2, 3)}, "`strides` argument must be an integer or a tuple of 2"),
        (ops.conv, [X, K], {"dilation_rate": 1.5}, "`dilation_rate` argument must be an integer"),
        (ops.conv, [X, K], {"padding": "causal"}, "padding must be 'valid' or 'same'"),
        (ops.conv, [X, K], {"padding": "full"}, "padding must be 'valid' or 'same'"),
        (ops.conv, [X, K], {"data_format": "NHWC"}, "data_format must be"),
        (ops.conv, [X, K], {"data_format": "channels_first"}, "inputs of 6 channels don't fit"),
        (ops.depthwise_conv, [X, (3, 3, 2, 1)], {}, "depthwise_conv: inputs of 4 channels don't fit"),
        (ops.separable_conv, [X, (3, 3, 4, 1), (3, 1, 4, 2)], {}, "the pointwise kernel must be of size 1"),
        (ops.separable_conv, [X, (3, 3, 4, 1), (1, 1, 3, 2)], {}, "inputs of 4 channels don't fit"),
        (ops.conv_transpose, [X, K], {}, "conv_transpose: inputs of 4 channels don't fit"),
        (ops.conv_transpose, [X, (3, 3, 8, 4)], {"padding": "causal"}, "padding must be 'valid' or 'same'"),
        (ops.conv_transpose, [X, (3, 3, 8, 4)], {"output_padding": 1}, "must be less than the strides"),
        (
            ops.conv_transpose,
            [X, (2, 2, 8, 4)],
            {"padding": "same", "output_padding": 0},
            "no image of extent 5 gives inputs of extent 6",
        ),
    ],
)
def test_errors(op, shapes, arguments, message, symbolic):
    operands = [placeholder(s, "float32") if symbolic else np.zeros(s, "float32") for s in shapes]
    with pytest.raises(ValueError, match=message):
        op(*operands, **arguments)


@pytest.mark.parametrize(
    ("padding", "lengths"),
    [("valid", [3, 2, 1]), ("same", [7, 4, 3]), ("causal", [7, 4, 3]), ("full", [11, 6, 4])],
)
def test_conv_output_length(padding, lengths):
    assert [conv_utils.conv_output_length(7, 3, padding, s, 2) for s in (1, 2, 3)] == lengths
    assert conv_utils.conv_output_length(None, 3, padding, 1) is None


@given(
    n=st.integers(1, 20),
    k=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.sampled_from(["valid", "same"]),
)
def test_lengths_undo_each_other(n, k, stride, padding):
    m = conv_utils.deconv_length(n, stride, k, padding, None)
    assert conv_utils.conv_output_length(m, k, padding, stride) == n
    if padding == "valid":
        least = conv_utils.conv_input_length(n, k, padding, stride)
        assert conv_utils.conv_output_length(least, k, padding, stride) == n
        assert n == 1 or conv_utils.conv_output_length(least - 1, k, padding, stride) == n - 1
        assert conv_utils.deconv_length(n, stride, k, padding, 0) == least


def test_deconv_length():
    assert conv_utils.deconv_length(None, 2, 3, "same", None) is None
    assert conv_utils.deconv_length(4, 2, 3, "full", None) == 5
    assert [conv_utils.deconv_length(4, 2, 3, p, 1) for p in ("valid", "same", "full")] == [10, 8, 6]
    assert conv_utils.deconv_length(4, 1, 3, "valid", None, dilation=2) == 8
    with pytest.raises(ValueError, match="padding must be one of same, valid, full; got 'causal'"):
        conv_utils.deconv_length(4, 2, 3, "causal", None)


def test_normalize():
    assert conv_utils.normalize_tuple(3, 2, "strides") == (3, 3)
    assert conv_utils.normalize_tuple([1, np.int64(2)], 2, "strides") == (1, 2)
    for wrong in ("ab", (1,), (1, 2.0), None):
        with pytest.raises(
            ValueError, match="`strides` argument must be an integer or a tuple of 2 integers"
        ):
            conv_utils.normalize_tuple(wrong, 2, "strides")
    assert conv_utils.normalize_padding("SAME") == "same"
    with pytest.raises(ValueError, match="`padding` argument must be one of"):
        conv_utils.normalize_padding("full")


def test_convert_kernel():
    kernel = draw(2, 3, 4, 5)
    converted = conv_utils.convert_kernel(kernel)
    np.testing.assert_array_equal(converted, kernel[::-1, ::-1])
    assert not np.shares_memory(converted, kernel)
    with pytest.raises(ValueError, match="Invalid kernel shape"):
        conv_utils.convert_kernel(draw(2, 3))
