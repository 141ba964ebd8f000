"""Rows of convolutions, pooling, padding and resizing."""

from layer_checks import LayerCase

from kcore import layers as L

STEPS = [(2, 6, 3)]
IMAGE = [(2, 5, 4, 2)]
KERNEL = ["kernel", "bias"]
SEPARABLE = ["depthwise_kernel", "pointwise_kernel", "bias"]

CASES = [
    LayerCase("conv1d", lambda **k: L.Conv1D(2, 3, activation="tanh", **k), STEPS, [1], True, KERNEL),
    LayerCase(
        "conv1d_same", lambda **k: L.Conv1D(2, 3, strides=2, padding="same", **k), STEPS, [1], True, KERNEL
    ),
    LayerCase(
        "conv1d_causal",
        lambda **k: L.Conv1D(2, 2, padding="causal", dilation_rate=2, **k),
        STEPS,
        [1],
        True,
        KERNEL,
    ),
    LayerCase("conv1d_groups", lambda **k: L.Conv1D(6, 2, groups=3, **k), STEPS, [1], True, KERNEL),
    LayerCase("conv2d", lambda **k: L.Conv2D(3, (3, 2), **k), IMAGE, [1, 2], True, KERNEL),
    LayerCase("conv2d_same", lambda **k: L.Conv2D(3, 3, padding="same", **k), IMAGE, [1, 2], True, KERNEL),
    LayerCase(
        "conv2d_strides",
        lambda **k: L.Conv2D(2, 3, (2, 1), "same", use_bias=False, **k),
        IMAGE,
        [1, 2],
        True,
        ["kernel"],
    ),
    LayerCase(
        "conv2d_dilation", lambda **k: L.Conv2D(2, 2, dilation_rate=(2, 1), **k), IMAGE, [1, 2], True, KERNEL
    ),
    LayerCase("conv2d_groups", lambda **k: L.Conv2D(4, 2, groups=2, **k), IMAGE, [1, 2], True, KERNEL),
    LayerCase(
        "conv2d_transpose", lambda **k: L.Conv2DTranspose(3, 3, **k), [(2, 3, 2, 2)], [1, 2], True, KERNEL
    ),
    LayerCase(
        "conv2d_transpose_same",
        lambda **k: L.Conv2DTranspose(2, 3, strides=2, padding="same", output_padding=(1, 0), **k),
        [(2, 3, 2, 2)],
        [1, 2],
        True,
        KERNEL,
    ),
    LayerCase(
        "depthwise_conv2d",
        lambda **k: L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, **k),
        IMAGE,
        [1, 2],
        True,
        ["depthwise_kernel", "bias"],
    ),
    LayerCase("separable_conv1d", lambda **k: L.SeparableConv1D(2, 3, **k), STEPS, [1], True, SEPARABLE),
    LayerCase(
        "separable_conv2d",
        lambda **k: L.SeparableConv2D(3, 2, padding="same", depth_multiplier=2, **k),
        IMAGE,
        [1, 2],
        True,
        SEPARABLE,
    ),
    LayerCase("up_sampling_1d", lambda: L.UpSampling1D(3), STEPS, [1]),
    LayerCase("up_sampling_2d", lambda **k: L.UpSampling2D((2, 3), **k), IMAGE, [1, 2], True),
    LayerCase(
        "up_sampling_2d_bilinear",
        lambda **k: L.UpSampling2D((2, 3), interpolation="bilinear", **k),
        IMAGE,
        [1, 2],
        True,
    ),
    LayerCase("zero_padding_1d", lambda: L.ZeroPadding1D((2, 1)), STEPS, [1]),
    LayerCase("zero_padding_2d", lambda **k: L.ZeroPadding2D(((1, 2), (0, 3)), **k), IMAGE, [1, 2], True),
    LayerCase("cropping_1d", lambda: L.Cropping1D((2, 1)), STEPS, [1]),
    LayerCase("cropping_2d", lambda **k: L.Cropping2D(((1, 0), (0, 2)), **k), IMAGE, [1, 2], True),
    LayerCase("max_pooling_1d", lambda **k: L.MaxPooling1D(2, **k), STEPS, [1], True),
    LayerCase("max_pooling_2d", lambda **k: L.MaxPooling2D((3, 2), 2, "same", **k), IMAGE, [1, 2], True),
    LayerCase("average_pooling_1d", lambda **k: L.AveragePooling1D(4, 2, "same", **k), STEPS, [1], True),
    LayerCase(
        "average_pooling_2d", lambda **k: L.AveragePooling2D((3, 2), 1, "same", **k), IMAGE, [1, 2], True
    ),
    LayerCase("global_max_pooling_1d", lambda **k: L.GlobalMaxPooling1D(**k), STEPS, [1], True),
    LayerCase("global_max_pooling_2d", lambda **k: L.GlobalMaxPooling2D(**k), IMAGE, [1, 2], True),
    LayerCase(
        "global_average_pooling_1d", lambda **k: L.GlobalAveragePooling1D(**k), STEPS, [1], True, mask="used"
    ),
    LayerCase(
        "global_average_pooling_2d",
        lambda **k: L.GlobalAveragePooling2D(keepdims=True, **k),
        IMAGE,
        [1, 2],
        True,
    ),
]
