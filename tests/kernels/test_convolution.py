"""conv2d, depthwise_conv2d and their gradients against float64 sums over taps."""

import itertools

import numpy as np
import pytest
from native import run, run1

from kcore import _core


def span(kernel, dilation):
    return (kernel - 1) * dilation + 1


class Case:
    """One geometry, with operands and the reference results in float64."""

    def __init__(
        self,
        x_shape,
        kernel_size,
        filters,
        strides=(1, 1),
        padding=(0, 0, 0, 0),
        dilation=(1, 1),
        groups=1,
        depthwise=False,
        dtype="float32",
    ):
        rng = np.random.default_rng(7)
        self.groups, self.depthwise, self.dtype = groups, depthwise, dtype
        self.strides, self.padding, self.dilation = strides, padding, dilation
        batch, rows, cols, channels = x_shape
        last = (channels, filters) if depthwise else (channels // groups, filters)
        self.x = rng.uniform(-1, 1, x_shape).astype(dtype)
        self.kernel = rng.uniform(-1, 1, (*kernel_size, *last)).astype(dtype)
        top, bottom, left, right = padding
        self.out = [
            (extent + before + after - span(k, d)) // s + 1
            for extent, before, after, k, d, s in zip(
                (rows, cols), (top, left), (bottom, right), kernel_size, dilation, strides, strict=True
            )
        ]
        outputs = channels * filters if depthwise else filters
        self.dy = rng.uniform(-1, 1, (batch, *self.out, outputs)).astype(dtype)
        self.bias = rng.uniform(-1, 1, outputs).astype(dtype)
        self.attributes = {"strides": strides, "padding": padding, "dilation": dilation}
        if not depthwise:
            self.attributes["groups"] = groups

    def windows(self, padded):
        """(tap row, tap column, what every output reads there), as views of the padded images."""
        for u, v in itertools.product(*map(range, self.kernel.shape[:2])):
            at = [
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip((u, v), self.dilation, self.out, self.strides, strict=True)
            ]
            yield u, v, padded[:, at[0], at[1]]

    def padded(self):
        top, bottom, left, right = self.padding
        return np.pad(self.x.astype("float64"), ((0, 0), (top, bottom), (left, right), (0, 0)))

    def product(self, window, kernel):
        if self.depthwise:
            return (window[..., None] * kernel).reshape(*window.shape[:3], kernel.size)
        parts = zip(np.split(window, self.groups, -1), np.split(kernel, self.groups, -1), strict=True)
        return np.concatenate([w @ k for w, k in parts], -1)

    def forward(self):
        y = np.zeros(self.dy.shape)
        for u, v, window in self.windows(self.padded()):
            y += self.product(window, self.kernel[u, v].astype("float64"))
        return y

    def data_gradient(self):
        padded = np.zeros(self.padded().shape)
        kernel = self.kernel.astype("float64")
        for u, v, window in self.windows(padded):
            if self.depthwise:
                window += (self.dy.reshape(*self.dy.shape[:3], *kernel.shape[2:]) * kernel[u, v]).sum(-1)
            else:
                parts = zip(
                    np.split(self.dy.astype("float64"), self.groups, -1),
                    np.split(kernel[u, v], self.groups, -1),
                    strict=True,
                )
                window += np.concatenate([d @ k.T for d, k in parts], -1)
        top, _, left, _ = self.padding
        return padded[:, top : top + self.x.shape[1], left : left + self.x.shape[2]]

    def weight_gradient(self):
        gradient = np.zeros(self.kernel.shape)
        dy = self.dy.astype("float64")
        for u, v, window in self.windows(self.padded()):
            if self.depthwise:
                dy5 = dy.reshape(*dy.shape[:3], *self.kernel.shape[2:])
                gradient[u, v] = np.einsum("nijc,nijcm->cm", window, dy5)
            else:
                parts = zip(np.split(window, self.groups, -1), np.split(dy, self.groups, -1), strict=True)
                gradient[u, v] = np.concatenate(
                    [np.tensordot(w, d, ((0, 1, 2), (0, 1, 2))) for w, d in parts], -1
                )
        return gradient

    def check(self, winograd=False):
        name = "depthwise_conv2d" if self.depthwise else "conv2d"
        taps = self.kernel.shape[0] * self.kernel.shape[1]
        inner = 1 if self.depthwise else self.kernel.shape[2]
        pixels = max(1, self.dy.size // max(1, self.dy.shape[3]))
        depths = {
            "forward": taps * inner,
            "data_gradient": taps * (self.dy.shape[3] // self.groups),
            "weight_gradient": pixels,
        }
        for which in depths:
            operands = {
                "forward": (name, [self.x, self.kernel], self.dy.shape),
                "data_gradient": (name + "_data_gradient", [self.dy, self.kernel], self.x.shape),
                "weight_gradient": (name + "_weight_gradient", [self.x, self.dy], self.kernel.shape),
            }[which]
            got = run1(
                operands[0], operands[1], (operands[2], self.dtype), exact=not winograd, **self.attributes
            )
            want = getattr(self, which)()
            # The rounding of a sum of that many products of numbers in [-1, 1].
            bound = 2 * np.finfo(self.dtype).eps * (4 + depths[which])
            if winograd:
                bound = 2e-5 * np.abs(want).max()
            np.testing.assert_allclose(got, want, rtol=0, atol=bound, err_msg=which)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 15, 16, 17, 31, 32, 33])
@pytest.mark.parametrize("filters", [1, 3, 16, 17, 32, 33, 70])
def test_channels(channels, filters):
    Case((2, 5, 7, channels), (3, 3), filters).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (3, 2), (5, 5), (7, 7), (1, 4)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1), (1, 2), (9, 5)])
def test_kernels_and_strides(kernel, strides, dtype):
    Case((2, 11, 9, 5), kernel, 6, strides, dtype=dtype).check()
    top, left = kernel[0] // 2, (kernel[1] - 1) // 2
    padding = (top, kernel[0] - 1 - top, left, kernel[1] - 1 - left)
    Case((2, 11, 9, 5), kernel, 6, strides, padding, dtype=dtype).check()


@pytest.mark.parametrize("dilation", [(2, 2), (1, 3), (4, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3), (4, 2), (6, 6)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (2, 1, 0, 2)])
def test_dilation(dilation, strides, padding):
    Case((2, 13, 12, 4), (3, 2), 5, strides, padding, dilation).check()
    Case((2, 13, 12, 4), (3, 2), 2, strides, padding, dilation, depthwise=True).check()


@pytest.mark.parametrize("padding", [(2, 0, 0, 0), (0, 2, 0, 1), (0, 0, 2, 0), (1, 2, 2, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_asymmetric_padding(padding, strides):
    Case((3, 6, 5, 3), (3, 3), 4, strides, padding).check()
    Case((3, 6, 5, 3), (3, 3), 1, strides, padding, depthwise=True).check()


def test_padding_wider_than_the_image():
    Case((2, 1, 2, 3), (7, 7), 4, padding=(6, 9, 8, 6)).check()
    Case((2, 1, 2, 3), (7, 7), 2, padding=(6, 9, 8, 6), depthwise=True).check()


@pytest.mark.parametrize(
    ("channels", "filters", "groups"), [(4, 6, 2), (6, 6, 6), (32, 64, 2), (34, 17, 17), (9, 99, 3)]
)
@pytest.mark.parametrize("strides", [(1, 1), (2, 1)])
def test_groups(channels, filters, groups, strides):
    Case((2, 6, 7, channels), (3, 3), filters, strides, (1, 1, 1, 1), groups=groups).check()


@pytest.mark.parametrize(
    ("x_shape", "filters", "padding"),
    [
        ((1, 32, 33, 3), 40, (1, 1, 1, 1)),
        ((7, 28, 28, 1), 32, (0, 0, 0, 0)),
        ((33, 4, 4, 40), 48, (1, 1, 1, 1)),
        ((3, 26, 26, 32), 64, (0, 0, 0, 0)),
        ((1, 8, 8, 256), 128, (1, 1, 1, 1)),
        ((129, 1, 1, 20), 33, (1, 1, 1, 1)),
    ],
)
def test_many_blocks(x_shape, filters, padding):
    Case(x_shape, (3, 3), filters, padding=padding).check()


@pytest.mark.parametrize(
    ("x_shape", "filters", "padding"),
    [
        ((2, 16, 16, 16), 16, (1, 1, 1, 1)),
        ((3, 18, 18, 32), 64, (0, 0, 0, 0)),
        ((2, 19, 13, 17), 33, (1, 1, 1, 1)),
        ((5, 15, 17, 31), 16, (2, 0, 0, 2)),
        ((70, 4, 4, 40), 50, (1, 1, 1, 1)),
        ((4, 8, 8, 512), 20, (1, 1, 1, 1)),
        ((4, 8, 8, 20), 512, (1, 1, 1, 1)),
        ((1, 36, 36, 16), 72, (2, 2, 2, 2)),
        ((3, 14, 15, 8), 8, (1, 1, 1, 1)),
        ((3, 14, 15, 9), 13, (1, 1, 1, 1)),
        ((1, 8, 8, 64), 40, (1, 1, 1, 1)),
        ((2, 30, 31, 24), 33, (1, 1, 1, 1)),  # several pieces of the weight gradient
        ((7, 11, 10, 64), 64, (1, 1, 1, 1)),  # two blocks of a piece
        ((6, 33, 33, 80), 72, (1, 1, 1, 1)),  # two groups of it
        ((1, 8, 8, 32), 32, (1, 1, 1, 1)),  # too few tiles of 4 x 4
        ((1, 8, 8, 150), 140, (1, 1, 1, 1)),
        ((2, 7, 5, 33), 47, (1, 1, 1, 1)),
        ((1, 9, 6, 100), 64, (0, 0, 0, 0)),
    ],
)
def test_winograd(x_shape, filters, padding):
    Case(x_shape, (3, 3), filters, padding=padding).check(winograd=True)


def test_winograd_in_a_phase_of_strides():
    Case((4, 34, 33, 16), (6, 5), 16, (2, 2), (2, 3, 2, 2)).check(winograd=True)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("x_shape", [(3, 13, 14, 16), (1, 7, 9, 40)])
def test_winograd_with_bias_and_activation(x_shape, activation):
    case = Case(x_shape, (3, 3), 40, padding=(1, 1, 1, 1))
    operands = [case.x, case.kernel, case.bias]
    got = run1("conv2d", operands, (case.dy.shape, "float32"), activation=activation, padding=(1, 1, 1, 1))
    want = ACTIVATIONS[activation](case.forward() + case.bias)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-4)


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("depthwise", [False, True])
def test_small_batches(batch, depthwise):
    Case((batch, 5, 5, 3), (3, 3), 2, depthwise=depthwise).check()
    Case((batch, 5, 5, 3), (3, 3), 2, (2, 2), (1, 1, 1, 1), depthwise=depthwise).check()


@pytest.mark.parametrize(("channels", "filters"), [(1, 1), (3, 20), (17, 9), (70, 33), (512, 48)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
def test_pointwise(channels, filters, strides):
    Case((2, 6, 7, channels), (1, 1), filters, strides).check()


@pytest.mark.parametrize(
    ("x_shape", "filters", "strides"),
    [
        ((5, 9, 8, 20), 40, (1, 1)),  # all panels of a tile of pixels after each other
        ((5, 9, 8, 500), 33, (1, 1)),  # depth in blocks
        ((3, 11, 9, 1024), 20, (1, 1)),  # pixels a page apart
        ((2, 9, 11, 512), 17, (2, 2)),
        ((2, 21, 23, 70), 1100, (1, 1)),  # more of the kernel than is kept in a cache
    ],
)
def test_pointwise_of_many_pixels(x_shape, filters, strides):
    Case(x_shape, (1, 1), filters, strides).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("cols", [11, 14, 17, 28, 33])
@pytest.mark.parametrize(("channels", "filters"), [(7, 16), (6, 11), (3, 41)])
def test_rows_of_one_vector_of_columns(channels, filters, cols, taps, dtype):
    half = taps // 2
    Case((2, 6, cols, channels), (taps, taps), filters, padding=(half,) * 4, dtype=dtype).check()


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
@pytest.mark.parametrize("filters", [1, 2, 3, 4, 5, 7, 13])
def test_few_columns_with_bias_and_activation(filters, activation):
    case = Case((2, 14, 15, 20), (3, 3), filters, padding=(1, 1, 1, 1))
    operands = [case.x, case.kernel, case.bias]
    attributes = {"activation": activation, "exact": True, **case.attributes}
    got = run1("conv2d", operands, (case.dy.shape, "float32"), **attributes)
    want = ACTIVATIONS[activation](case.forward() + case.bias)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)


def test_channels_a_page_apart():
    Case((2, 6, 7, 1024), (3, 3), 6, padding=(1, 1, 1, 1)).check()
    Case((2, 7, 8, 512), (3, 2), 20, (2, 2), padding=(1, 1, 0, 1)).check()


def test_weight_gradient_of_a_large_kernel():
    """Its partial sums are too large to have many: what tasks read is copied once for all."""
    Case((3, 6, 5, 256), (5, 5), 330, (2, 1), (2, 2, 2, 2)).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x_shape", "kernel", "filters", "strides", "padding", "dilation", "groups"),
    [
        pytest.param((3, 13, 14, 40), (3, 3), 50, (2, 2), (1, 1, 1, 1), (1, 1), 1, id="panels of x"),
        pytest.param((3, 13, 14, 45), (1, 1), 130, (2, 3), (0, 0, 0, 0), (1, 1), 1, id="strides jump pixels"),
        pytest.param(
            (2, 17, 16, 33), (2, 3), 70, (2, 2), (3, 0, 5, 0), (2, 4), 1, id="and all of its taps do"
        ),
        pytest.param((2, 15, 14, 48), (3, 2), 20, (1, 1), (2, 2, 1, 0), (2, 1), 1, id="dilated rows"),
        pytest.param((2, 15, 14, 60), (3, 3), 65, (1, 2), (1, 1, 1, 1), (1, 1), 5, id="panels of groups"),
        pytest.param((2, 15, 14, 15), (3, 3), 9, (1, 1), (1, 1, 1, 1), (1, 2), 3, id="short runs of groups"),
        pytest.param((2, 15, 14, 11), (5, 5), 64, (1, 1), (2, 2, 2, 2), (1, 1), 1, id="rows of taps"),
        pytest.param((2, 15, 14, 11), (1, 3), 64, (1, 1), (0, 0, 1, 1), (1, 1), 1, id="few rows of taps"),
        pytest.param((9, 15, 14, 40), (1, 1), 24, (1, 1), (0, 0, 0, 0), (1, 1), 1, id="few tiles"),
        pytest.param((2, 1, 3, 40), (5, 5), 40, (1, 1), (4, 5, 6, 4), (1, 1), 1, id="mostly padding"),
        pytest.param((1, 9, 9, 40), (2, 2), 40, (3, 3), (9, 9, 9, 9), (3, 3), 1, id="rows of padding"),
    ],
)
def test_weight_gradient_operands(x_shape, kernel, filters, strides, padding, dilation, groups, dtype):
    """The places where tiles read x and dy: as they are, with padding, in panels."""
    Case(x_shape, kernel, filters, strides, padding, dilation, groups, dtype=dtype).check()


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
def test_bias_and_activation_after_blocks_of_depth(activation):
    case = Case((2, 5, 6, 150), (3, 3), 35, padding=(1, 1, 1, 1))
    got = run1(
        "conv2d",
        [case.x, case.kernel, case.bias],
        (case.dy.shape, "float32"),
        activation=activation,
        exact=True,
        **case.attributes,
    )
    want = ACTIVATIONS[activation](case.forward() + case.bias)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "x_shape", "kernel", "filters", "strides", "depthwise"),
    [
        ("", (3, 30, 31, 17), (3, 3), 33, (1, 1), False),
        ("", (2, 15, 14, 512), (3, 3), 40, (2, 2), False),
        ("", (5, 20, 20, 64), (1, 1), 70, (1, 1), False),
        ("_data_gradient", (3, 30, 31, 17), (3, 3), 33, (2, 2), False),
        ("_data_gradient", (3, 33, 32, 12), (5, 5), 33, (1, 1), False),
        ("_weight_gradient", (3, 30, 31, 17), (3, 3), 33, (1, 1), False),
        ("_weight_gradient", (4, 15, 14, 512), (3, 3), 500, (2, 2), False),
        ("_weight_gradient", (9, 33, 30, 70), (1, 1), 130, (1, 1), False),
        ("", (4, 40, 41, 37), (5, 5), 1, (1, 1), True),
        ("_data_gradient", (4, 40, 41, 37), (3, 3), 1, (2, 2), True),
        ("_weight_gradient", (4, 60, 61, 37), (3, 3), 1, (1, 1), True),
    ],
)
def test_threads_do_not_change_bits(name, x_shape, kernel, filters, strides, depthwise):
    case = Case(x_shape, kernel, filters, strides, depthwise=depthwise)
    inputs, out = {
        "": ([case.x, case.kernel], case.dy.shape),
        "_data_gradient": ([case.dy, case.kernel], case.x.shape),
        "_weight_gradient": ([case.x, case.dy], case.kernel.shape),
    }[name]
    instruction = ("depthwise_conv2d" if depthwise else "conv2d") + name
    before = _core.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            _core.set_num_threads(threads)
            results.append(run1(instruction, inputs, (out, "float32"), exact=True, **case.attributes))
    finally:
        _core.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_no_channels():
    bias = np.array([1.5, -2], "float32")
    x, kernel = np.zeros((2, 4, 4, 0), "float32"), np.zeros((3, 3, 0, 2), "float32")
    y = run1("conv2d", [x, kernel, bias], ((2, 2, 2, 2), "float32"), activation="relu")
    np.testing.assert_array_equal(y, np.broadcast_to([1.5, 0], y.shape))
    dy, kernel = np.zeros((2, 2, 2, 0), "float32"), np.zeros((3, 3, 3, 0), "float32")
    dx = run1("conv2d_data_gradient", [dy, kernel], ((2, 4, 4, 3), "float32"))
    np.testing.assert_array_equal(dx, np.zeros((2, 4, 4, 3)))


def test_batch_0_has_a_weight_gradient_of_zeros():
    x, dy = np.zeros((0, 5, 5, 3), "float32"), np.zeros((0, 3, 3, 4), "float32")
    got = run1("conv2d_weight_gradient", [x, dy], ((3, 3, 3, 4), "float32"))
    np.testing.assert_array_equal(got, np.zeros((3, 3, 3, 4)))


@pytest.mark.parametrize("channels", [1, 3, 4, 7, 8, 15, 16, 17, 33])
@pytest.mark.parametrize("multiplier", [1, 2, 3])
def test_depthwise_channels(channels, multiplier):
    Case((2, 9, 17, channels), (3, 3), multiplier, padding=(1, 1, 1, 1), depthwise=True).check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", [(1, 1), (2, 3), (5, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 1), (9, 5)])
def test_depthwise_kernels_and_strides(kernel, strides, dtype):
    Case((2, 11, 20, 5), kernel, 1, strides, depthwise=True, dtype=dtype).check()
    top, left = kernel[0] // 2, (kernel[1] - 1) // 2
    padding = (top, kernel[0] - 1 - top, left, kernel[1] - 1 - left)
    Case((2, 11, 20, 5), kernel, 1, strides, padding, depthwise=True, dtype=dtype).check()


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (7, 7)])
@pytest.mark.parametrize("cols", [8, 13, 20])
def test_depthwise_rows_of_pixels(cols, kernel, strides):
    half = kernel[0] // 2
    padding = (half, half, half, half)
    Case((2, 9, cols, 19), kernel, 1, strides, padding, depthwise=True).check()


def test_depthwise_in_many_tasks():
    Case((5, 30, 31, 20), (3, 3), 1, padding=(1, 1, 1, 1), depthwise=True).check()


ACTIVATIONS = {
    "none": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "softplus": lambda z: np.logaddexp(0, z),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("filters", [5, 16, 40])
def test_bias_and_activation(activation, filters):
    def expected(sums, bias):
        return ACTIVATIONS[activation](sums + bias)

    for depthwise in (False, True):
        case = Case((2, 6, 7, 3), (3, 2), filters, (1, 2), (1, 1, 0, 1), depthwise=depthwise)
        name = "depthwise_conv2d" if depthwise else "conv2d"
        got = run1(
            name,
            [case.x, case.kernel, case.bias],
            (case.dy.shape, "float32"),
            activation=activation,
            **case.attributes,
        )
        np.testing.assert_allclose(got, expected(case.forward(), case.bias), rtol=0, atol=1e-5)
    bias = np.linspace(-1, 1, 3).astype("float32")
    case = Case((2, 6, 7, 3), (1, 1), filters)
    got = run1("conv2d", [case.x, case.kernel, case.bias], (case.dy.shape, "float32"), activation=activation)
    np.testing.assert_allclose(got, expected(case.forward(), case.bias), rtol=0, atol=1e-5)
    case = Case((2, 6, 7, 3), (3, 2), filters, (1, 2), (1, 1, 0, 1))
    got = run1(
        "conv2d_data_gradient",
        [case.dy, case.kernel, bias],
        (case.x.shape, "float32"),
        activation=activation,
        **case.attributes,
    )
    np.testing.assert_allclose(got, expected(case.data_gradient(), bias), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("x_shape", "kernel_size", "filters", "strides", "dtype"),
    [
        pytest.param((2, 9, 10, 5), (3, 2), 4, (1, 1), "float32", id="direct"),
        pytest.param((2, 40, 41, 60), (1, 1), 7, (1, 1), "float64", id="pointwise"),
        pytest.param((1, 9, 10, 5), (3, 3), 4, (2, 3), "float32", id="phases"),
        pytest.param((3, 13, 14, 40), (3, 3), 20, (1, 1), "float32", id="winograd"),
        pytest.param((1, 9, 10, 40), (3, 3), 33, (1, 1), "float32", id="winograd of 2 x 2"),
        pytest.param((4, 34, 33, 16), (6, 5), 16, (2, 2), "float32", id="some phases by winograd"),
        pytest.param((0, 9, 10, 5), (3, 3), 4, (1, 1), "float32", id="no images"),
    ],
)
def test_gate_of_the_data_gradient(x_shape, kernel_size, filters, strides, dtype):
    """The gradient is nothing where the gate isn't positive: zero, negative or NaN."""
    case = Case(x_shape, kernel_size, filters, strides, dtype=dtype)
    gate = np.random.default_rng(3).choice([-1.5, -0.0, 0.0, 1e-30, 2.0, np.nan], x_shape).astype(dtype)
    got = run1(
        "conv2d_data_gradient", [case.dy, case.kernel, gate], (x_shape, dtype), gate=True, **case.attributes
    )
    plain = run1("conv2d_data_gradient", [case.dy, case.kernel], (x_shape, dtype), **case.attributes)
    np.testing.assert_array_equal(got, np.where(gate > 0, plain, 0))


def test_gate_after_a_bias():
    case = Case((3, 13, 14, 16), (3, 3), 20)
    bias, gate = np.linspace(-1, 1, 16).astype("float32"), case.x
    operands = [case.dy, case.kernel, bias, gate]
    got = run1("conv2d_data_gradient", operands, (case.x.shape, "float32"), gate=True, **case.attributes)
    want = np.where(gate > 0, case.data_gradient() + bias, 0)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-4)


@pytest.mark.parametrize("activation", ["none", "relu", "tanh"])
@pytest.mark.parametrize(
    ("x_shape", "kernel_size", "filters", "dtype"),
    [
        pytest.param((2, 8, 10, 5), (3, 3), 4, "float32", id="direct"),
        pytest.param((2, 7, 9, 5), (2, 2), 4, "float64", id="float64"),
        pytest.param((3, 13, 16, 17), (3, 3), 40, "float32", id="winograd"),
        pytest.param((2, 14, 15, 16), (3, 3), 16, "float32", id="winograd, even and odd"),
        pytest.param((1, 9, 11, 32), (3, 3), 40, "float32", id="winograd of 2 x 2"),
        pytest.param((0, 8, 10, 16), (3, 3), 16, "float32", id="no images"),
        pytest.param((2, 3, 9, 4), (3, 3), 4, "float32", id="no window"),
    ],
)
def test_pooled_convolution(x_shape, kernel_size, filters, dtype, activation):
    """As the convolution and then a max pool of 2 x 2, the places included."""
    case = Case(x_shape, kernel_size, filters, dtype=dtype)
    case.x[case.x < 0.5] = 0  # ties after relu, where nothing is positive
    operands = [case.x, case.kernel, case.bias - 1]
    attributes = {"activation": activation, **case.attributes}
    y = run1("conv2d", operands, (case.dy.shape, dtype), **attributes)
    shape = (y.shape[0], y.shape[1] // 2, y.shape[2] // 2, y.shape[3])
    windows = y[:, : shape[1] * 2, : shape[2] * 2].reshape(shape[0], shape[1], 2, shape[2], 2, filters)
    windows = windows.transpose(0, 1, 3, 2, 4, 5).reshape(*shape[:3], 4, filters)
    outputs = [(shape, dtype), (shape, "uint8")]
    pooled, places = run("conv2d", operands, outputs, pool=True, **attributes)
    np.testing.assert_array_equal(pooled, windows.max(3))
    np.testing.assert_array_equal(places, windows.argmax(3))
    np.testing.assert_array_equal(run1("conv2d", operands, outputs[0], pool=True, **attributes), pooled)


def test_nan_in_a_pooled_convolution():
    x = np.ones((1, 12, 12, 16), "float32")
    x[0, 5, 6, 3] = np.nan
    kernel = np.ones((3, 3, 16, 16), "float32")
    shape = (1, 5, 5, 16)
    pooled, places = run("conv2d", [x, kernel], [(shape, "float32"), (shape, "uint8")], pool=True)
    y = run1("conv2d", [x, kernel], ((1, 10, 10, 16), "float32"))
    windows = y.reshape(1, 5, 2, 5, 2, 16).transpose(0, 1, 3, 2, 4, 5).reshape(1, 5, 5, 4, 16)
    np.testing.assert_array_equal(pooled, windows.max(3))
    np.testing.assert_array_equal(places, windows.argmax(3))
    assert np.isnan(pooled).any()


def test_nan_stays_where_it_is_read():
    x = np.zeros((1, 8, 8, 2), "float32")
    x[0, 4, 4, 1] = np.nan
    kernel = np.ones((3, 3, 2, 3), "float32")
    y = run1("conv2d", [x, kernel], ((1, 8, 8, 3), "float32"), padding=(1, 1, 1, 1))
    expected = np.zeros((8, 8), bool)
    expected[3:6, 3:6] = True
    np.testing.assert_array_equal(np.isnan(y[0]), np.repeat(expected[..., None], 3, -1))


def program(name, shapes, out, dtype="float32", **attributes):
    buffers = [("external", dtype, shape, None) for shape in (*shapes, out)]
    ins = list(range(len(shapes)))
    return _core.Program(buffers, [(name, ins, [len(shapes)], attributes)], ins, [len(shapes)], 0, 1)


X, KERNEL, Y = (2, 6, 6, 4), (3, 3, 4, 8), (2, 4, 4, 8)


@pytest.mark.parametrize(
    ("shapes", "out", "attributes", "message"),
    [
        ([X], Y, {}, "takes x and kernel, optionally a bias, and has one output"),
        ([X, KERNEL, (8,), (8,)], Y, {}, "takes x and kernel"),
        ([(6, 4), KERNEL], Y, {}, r"x must have 4 axes, got the shape \(6, 4\)"),
        ([X, (3, 4, 8)], Y, {}, "kernel must have 4 axes"),
        ([X, KERNEL], (2, 4, 32), {}, "y must have 4 axes"),
        ([X, (3, 3, 5, 8)], Y, {}, r"the channels of x \(2, 6, 6, 4\) and kernel .* differ in 1 groups"),
        ([X, KERNEL], Y, {"groups": 3}, "do not divide into 3 groups"),
        ([X, KERNEL], Y, {"groups": 0}, "do not divide into 0 groups"),
        ([X, KERNEL], Y, {"groups": 2}, "differ in 2 groups"),
        ([X, (7, 3, 4, 8)], Y, {}, "extent 7 is larger than the padded image's 6"),
        ([X, KERNEL], Y, {"dilation": (1, 3)}, "extent 7 is larger than the padded image's 6"),
        ([X, (0, 3, 4, 8)], Y, {}, "the kernel has an extent of 0"),
        ([X, KERNEL], Y, {"padding": (2**30,) * 4}, "the padded images of x .* are too large"),
        ([X, KERNEL], Y, {"padding": (0, 0, 0, -1)}, "padding must be 4 integers of at least 0"),
        ([X, KERNEL], Y, {"padding": (1, 1)}, r"padding must be 4 integers of at least 0, got \(1, 1\)"),
        ([X, KERNEL], Y, {"strides": (0, 1)}, "strides must be 2 integers of at least 1"),
        ([X, KERNEL], Y, {"strides": (1, 2**40)}, "strides must be 2 integers"),
        ([X, KERNEL], Y, {"dilation": (1,)}, "dilation must be 2 integers of at least 1"),
        ([X, KERNEL], Y, {"strides": (2, 2)}, r"give \(2, 2, 2, 8\), but y has \(2, 4, 4, 8\)"),
        ([X, KERNEL], (3, 4, 4, 8), {}, r"give \(2, 4, 4, 8\), but y has \(3, 4, 4, 8\)"),
        ([X, KERNEL, (7,)], Y, {}, r"takes a bias of 8 float32 elements, got float32 \(7,\)"),
        ([X, KERNEL], Y, {"activation": "gauss"}, "there is no activation 'gauss'"),
        ([(0, 2**40, 6, 4), KERNEL], Y, {}, "x is too large"),
        ([X, KERNEL], Y, {"pool": True}, r"give \(2, 2, 2, 8\), but y has \(2, 4, 4, 8\)"),
        ([(2, 6, 4), (3, 4, 8)], (2, 4, 8), {"pool": True}, "pools images alone"),
    ],
)
def test_errors(shapes, out, attributes, message):
    with pytest.raises(ValueError, match="conv2d: .*" + message):
        program("conv2d", shapes, out, **attributes)


@pytest.mark.parametrize(
    ("name", "shapes", "out", "message"),
    [
        ("conv2d_data_gradient", [Y], X, "takes dy and kernel"),
        ("conv2d_data_gradient", [(2, 5, 4, 8), KERNEL], X, r"give \(2, 4, 4, 8\), but y has"),
        ("conv2d_data_gradient", [Y, KERNEL, (8,)], X, "takes a bias of 4 float32 elements"),
        ("conv2d_weight_gradient", [X, Y, (8,)], KERNEL, "takes x and dy and has one output"),
        ("conv2d_weight_gradient", [X, Y], (3, 3, 3, 8), "differ in 1 groups"),
        ("depthwise_conv2d", [X, (3, 3, 3, 2)], Y, "the channels of x .* differ"),
        ("depthwise_conv2d", [X, (3, 3, 4, 1)], Y, r"give \(2, 4, 4, 4\), but y has"),
        ("depthwise_conv2d_data_gradient", [Y, (3, 3, 4, 2), (4,)], X, "takes dy and kernel and has"),
        ("depthwise_conv2d_weight_gradient", [X, (2, 4, 4, 7)], (3, 3, 4, 2), "but y has"),
    ],
)
def test_errors_of_the_others(name, shapes, out, message):
    with pytest.raises(ValueError, match=name + ": .*" + message):
        program(name, shapes, out)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([Y], "takes dy and kernel, optionally a bias, a gate, and has one output"),
        ([Y, KERNEL], "takes dy and kernel, optionally a bias, a gate, and has one output"),
        ([Y, KERNEL, (4,), X, X], "takes dy and kernel, optionally a bias, a gate"),
        ([Y, KERNEL, Y], r"takes a gate like its output, float32 \(2, 6, 6, 4\), got float32 \(2, 4, 4, 8\)"),
        ([Y, KERNEL, X, (4,)], "takes a bias of 4 float32 elements"),
    ],
)
def test_errors_of_the_gate(shapes, message):
    with pytest.raises(ValueError, match="conv2d_data_gradient: .*" + message):
        program("conv2d_data_gradient", shapes, X, gate=True)


def test_dtypes():
    with pytest.raises(ValueError, match="conv2d: has no kernel for int32"):
        program("conv2d", [X, KERNEL], Y, dtype="int32")
    buffers = [("external", d, s, None) for d, s in (("float32", X), ("float64", KERNEL), ("float32", Y))]
    with pytest.raises(ValueError, match="conv2d: kernel must be float32, got float64"):
        _core.Program(buffers, [("conv2d", [0, 1], [2], {})], [0, 1], [2], 0, 1)


def test_images_that_dilation_makes_too_large():
    far = 2**20
    with pytest.raises(ValueError, match="padding and dilation make the images too large"):
        program(
            "conv2d",
            [(1, 1, 1, 64), (2, 2, 64, 1)],
            (1, 1, 1, 1),
            dilation=(far, far),
            padding=(far, 0, far, 0),
        )


@pytest.mark.parametrize("depthwise", [False, True])
def test_one_dimension(depthwise):
    case = Case((3, 1, 19, 6), (1, 4), 3, (1, 2), (0, 0, 3, 1), (1, 2), depthwise=depthwise)
    name = "depthwise_conv2d" if depthwise else "conv2d"
    x, dy, kernel = case.x[:, 0], case.dy[:, 0], case.kernel[0]
    for suffix, inputs, want in [
        ("", [x, kernel], case.forward()[:, 0]),
        ("_data_gradient", [dy, kernel], case.data_gradient()[:, 0]),
        ("_weight_gradient", [x, dy], case.weight_gradient()[0]),
    ]:
        got = run1(name + suffix, inputs, (want.shape, "float32"), strides=[2], padding=[3, 1], dilation=[2])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="strides must be 1 integers"):
        program(name, [x.shape, kernel.shape], dy.shape, strides=[1, 2])
    with pytest.raises(ValueError, match="kernel must have 3 axes"):
        program(name, [x.shape, case.kernel.shape], dy.shape)
