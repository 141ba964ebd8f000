"""Rows of kernels.py for convolutions: the three passes of layers of known networks."""

from __future__ import annotations

from collections.abc import Iterator
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

    @property
    def out(self) -> int:
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    def __str__(self) -> str:
        filters = "depthwise" if self.depthwise else self.filters
        return (
            f"{self.network} {self.size}x{self.channels}->{filters} {self.kernel}x{self.kernel}/{self.stride}"
        )


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
QUICK = [Layer("quick", 2, 8, 3, 5, padding=1), Layer("quick", 2, 8, 5, 5, stride=2, depthwise=True)]


def torch_calls(torch, layer: Layer, x, kernel, dy) -> dict:
    """The three passes by PyTorch on channels-last tensors."""

    def images(a):
        return torch.from_numpy(a).permute(0, 3, 1, 2)

    weight = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))).contiguous(
        memory_format=torch.channels_last
    )
    groups = layer.channels if layer.depthwise else 1
    steps = ([layer.stride] * 2, [layer.padding] * 2, [1, 1])
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


def rows(quick: bool, row: type, program, torch) -> Iterator:
    rng = np.random.default_rng(0)
    for layer in QUICK if quick else LAYERS:
        x = rng.standard_normal((layer.batch, layer.size, layer.size, layer.channels), "float32")
        dy = rng.standard_normal((layer.batch, layer.out, layer.out, layer.filters), "float32")
        shape = (layer.kernel, layer.kernel, 1 if layer.depthwise else layer.channels, layer.filters)
        kernel = rng.standard_normal(shape, "float32")
        native = kernel.reshape(layer.kernel, layer.kernel, layer.channels, 1) if layer.depthwise else kernel
        name = "depthwise_conv2d" if layer.depthwise else "conv2d"
        attributes = {"strides": [layer.stride] * 2, "padding": [layer.padding] * 4}
        passes = {
            "forward": (name, [x, native], dy.shape),
            "data": (name + "_data_gradient", [dy, native], x.shape),
            "weights": (name + "_weight_gradient", [x, dy], native.shape),
        }
        peers = {} if torch is None else torch_calls(torch, layer, x, kernel, dy)
        for label, (instruction, inputs, out) in passes.items():
            yield row(
                f"{layer} {label}",
                program(instruction, inputs, [(out, "float32")], **attributes),
                {"torch": peers[label]} if peers else {},
                flops=2.0 * dy.size * layer.kernel**2 * shape[2],
                bytes=4.0 * (x.size + dy.size + kernel.size),
            )
