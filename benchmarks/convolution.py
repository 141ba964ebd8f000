"""Rows of kernels.py for convolutions: the three passes of layers of known networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np


class Layer(NamedTuple):
    network: str
    batch: int
    size: int
    channels: int
    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    depthwise: bool = False
    dilation: int = 1
    groups: int = 1

    @property
    def out(self) -> int:
        span = (self.kernel - 1) * self.dilation + 1
        return (self.size + 2 * self.padding - span) // self.stride + 1

    def __str__(self) -> str:
        filters = "depthwise" if self.depthwise else self.filters
        extents = f"{self.size}x{self.channels}->{filters} {self.kernel}x{self.kernel}/{self.stride}"
        dilation = f" d{self.dilation}" if self.dilation > 1 else ""
        groups = f" g{self.groups}" if self.groups > 1 else ""
        return f"{self.network} {extents}{dilation}{groups}"


LAYERS = [
    Layer("mnist", 128, 28, 1, 32),
    Layer("mnist", 128, 26, 32, 64),
    Layer("cnn100", 32, 100, 3, 32),
    Layer("cnn100", 32, 98, 32, 32),
    Layer("cnn100", 32, 48, 32, 64),
    Layer("cnn100", 32, 46, 64, 64),
    Layer("vgg", 64, 32, 3, 64, padding=1),
    Layer("vgg", 64, 32, 64, 64, padding=1),
    Layer("vgg", 64, 16, 64, 128, padding=1),
    Layer("vgg", 64, 16, 128, 128, padding=1),
    Layer("vgg", 64, 8, 128, 256, padding=1),
    Layer("vgg", 64, 8, 256, 256, padding=1),
    Layer("resnet", 8, 224, 3, 64, kernel=7, stride=2, padding=3),
    Layer("resnet", 8, 56, 64, 256, kernel=1),
    Layer("resnet", 8, 28, 128, 128, stride=2, padding=1),
    Layer("lenet", 64, 28, 16, 32, kernel=5, padding=2),
    Layer("decoder", 64, 28, 32, 1, padding=1),
    Layer("decoder", 64, 32, 64, 3, kernel=5, padding=2),
    Layer("one", 1, 32, 64, 64, padding=1),
    Layer("mobilenet", 8, 112, 32, 32, padding=1, depthwise=True),
    Layer("mobilenet", 8, 112, 64, 64, stride=2, padding=1, depthwise=True),
    Layer("mobilenet", 8, 14, 512, 512, padding=1, depthwise=True),
]
# Sizes that no network has been tuned for, next to those above; b is the batch.
NEIGHBOURS = [
    Layer("b5", 5, 101, 3, 17),
    Layer("b16", 16, 64, 3, 100, padding=1),
    Layer("b1", 1, 224, 3, 64, kernel=7, stride=2, padding=3),
    Layer("b7", 7, 96, 5, 33, kernel=5, stride=2, padding=2),
    Layer("b32", 32, 33, 1, 20, kernel=5),
    Layer("b9", 9, 31, 17, 33, kernel=5, padding=2),
    Layer("b8", 8, 30, 100, 100, kernel=5, padding=2),
    Layer("b8", 8, 30, 33, 17, stride=2, padding=1),
    Layer("b8", 8, 31, 64, 100, stride=3, padding=1),
    Layer("b16", 16, 14, 512, 512, stride=2, padding=1),
    Layer("b1", 1, 56, 128, 128, stride=2, padding=1),
    Layer("b8", 8, 30, 64, 64, padding=2, dilation=2),
    Layer("b8", 8, 31, 33, 100, padding=2, dilation=2),
    Layer("b8", 8, 28, 128, 128, padding=1, groups=4),
    Layer("b5", 5, 30, 100, 100, padding=1, groups=5),
    Layer("b7", 7, 31, 33, 17, kernel=1),
    Layer("b5", 5, 30, 100, 100, kernel=1),
    Layer("b8", 8, 14, 256, 1024, kernel=1),
    Layer("b8", 8, 14, 1024, 256, kernel=1),
    Layer("b1", 1, 7, 512, 2048, kernel=1),
    Layer("b8", 8, 56, 256, 512, kernel=1, stride=2),
    Layer("b7", 7, 31, 100, 33, kernel=1, stride=2),
    Layer("b8", 8, 31, 96, 96, kernel=5, padding=2, depthwise=True),
    Layer("b8", 8, 56, 13, 13, padding=1, depthwise=True),
    Layer("b5", 5, 31, 100, 100, stride=2, padding=1, depthwise=True),
    Layer("b8", 8, 30, 64, 64, kernel=5, stride=2, padding=2, depthwise=True),
    Layer("b8", 8, 30, 33, 33, stride=3, padding=1, depthwise=True),
    Layer("b8", 8, 31, 64, 64, padding=2, dilation=2, depthwise=True),
    Layer("b1", 1, 112, 32, 32, padding=1, depthwise=True),
]
QUICK = [
    Layer("quick", 2, 8, 3, 5, padding=1),
    Layer("quick", 2, 8, 5, 5, stride=2, depthwise=True),
    Layer("quick", 2, 8, 6, 4, dilation=2, groups=2),
]


def torch_calls(torch, layer: Layer, x, kernel, dy) -> dict:
    """The three passes by PyTorch on channels-last tensors."""

    def images(a):
        return torch.from_numpy(a).permute(0, 3, 1, 2)

    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))).contiguous(
        memory_format=torch.channels_last
    )
    groups = layer.channels if layer.depthwise else layer.groups
    steps = ([layer.stride] * 2, [layer.padding] * 2, [layer.dilation] * 2)
    xs, dys = images(x), images(dy)

    def backward(data: bool):
        mask = [data, not data, False]
        return partial(
            torch.ops.aten.convolution_backward, dys, xs, weight, None, *steps, False, [0, 0], groups, mask
        )

    return {
        "forward": partial(torch.conv2d, xs, weight, None, *steps, groups),
        "data": backward(True),
        "weights": backward(False),
    }


def tensorflow_calls(tf, layer: Layer, x, kernel, dy) -> dict:
    """Those of the three passes that TensorFlow has on a CPU."""
    pads = [layer.padding] * 2
    xs, kernels, dys = map(tf.constant, (x, kernel, dy))
    settings = {
        "strides": [1, layer.stride, layer.stride, 1],
        "dilations": [1, layer.dilation, layer.dilation, 1],
        "padding": "EXPLICIT",
        "explicit_paddings": [0, 0, *pads, *pads, 0, 0],
    }
    if layer.depthwise:
        forward, name = tf.raw_ops.DepthwiseConv2dNative, "DepthwiseConv2dNativeBackprop"
    else:
        forward, name = tf.raw_ops.Conv2D, "Conv2DBackprop"
    data, weights = getattr(tf.raw_ops, name + "Input"), getattr(tf.raw_ops, name + "Filter")
    calls = {
        "forward": partial(forward, input=xs, filter=kernels, **settings),
        "data": partial(data, input_sizes=x.shape, filter=kernels, out_backprop=dys, **settings),
        "weights": partial(weights, input=xs, filter_sizes=kernel.shape, out_backprop=dys, **settings),
    }

    def runs(call) -> bool:
        try:
            call()
        except tf.errors.OpError:
            return False
        return True

    return {label: call for label, call in calls.items() if runs(call)}


def rows(layers: list[Layer], row: type, program, peers: Mapping) -> Iterator:
    rng = np.random.default_rng(0)
    for layer in layers:
        x = rng.standard_normal((layer.batch, layer.size, layer.size, layer.channels), "float32")
        dy = rng.standard_normal((layer.batch, layer.out, layer.out, layer.filters), "float32")
        inputs = 1 if layer.depthwise else layer.channels // layer.groups
        shape = (layer.kernel, layer.kernel, inputs, layer.filters)
        kernel = rng.standard_normal(shape, "float32")
        native = kernel.reshape(layer.kernel, layer.kernel, layer.channels, 1) if layer.depthwise else kernel
        name = "depthwise_conv2d" if layer.depthwise else "conv2d"
        attributes = {
            "strides": [layer.stride] * 2,
            "padding": [layer.padding] * 4,
            "dilation": [layer.dilation] * 2,
        }
        if not layer.depthwise:
            attributes["groups"] = layer.groups
        passes = {
            "forward": (name, [x, native], dy.shape),
            "data": (name + "_data_gradient", [dy, native], x.shape),
            "weights": (name + "_weight_gradient", [x, dy], native.shape),
        }
        calls = {}
        if "torch" in peers:
            calls["torch"] = torch_calls(peers["torch"], layer, x, kernel, dy)
        if "tensorflow" in peers:
            calls["tensorflow"] = tensorflow_calls(peers["tensorflow"], layer, x, native, dy)
        for label, (instruction, inputs, out) in passes.items():
            yield row(
                f"{layer} {label}",
                program(instruction, inputs, [(out, "float32")], **attributes),
                {peer: timed[label] for peer, timed in calls.items() if label in timed},
                flops=2.0 * dy.size * layer.kernel**2 * shape[2],
                bytes=4.0 * (x.size + dy.size + kernel.size),
            )
