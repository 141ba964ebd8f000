"""The models that are measured, as plain data that every contender builds from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BenchmarkModel:
    """A model as a list of layers, each a tuple of a kind and its numbers.

    ``("dense", units, activation)``, ``("conv", filters, size, activation, padding)``, ``("pool", size)``,
    ``("dropout", rate)``, ``("flatten",)``.
    """

    input_shape: tuple[int, ...]
    layers: tuple[tuple, ...]
    optimizer: tuple[str, dict]
    batch: int
    samples: int

    @property
    def classes(self) -> int:
        return self.layers[-1][1]

    @property
    def products(self) -> list[float]:
        """FLOPs of each layer's product for one sample: two per multiply-add."""
        shape, flops = self.input_shape, []
        for kind, *numbers in self.layers:
            if kind == "dense":
                flops.append(2.0 * shape[0] * numbers[0])
                shape = (numbers[0],)
            elif kind == "conv":
                filters, size, _, padding = numbers
                lost = 0 if padding == "same" else size - 1
                out = (shape[0] - lost, shape[1] - lost, filters)
                flops.append(2.0 * size * size * shape[2] * out[0] * out[1] * filters)
                shape = out
            elif kind == "pool":
                shape = (shape[0] // numbers[0], shape[1] // numbers[0], shape[2])
            elif kind == "flatten":
                shape = (shape[0] * shape[1] * shape[2],)
        return flops

    @property
    def training_flops(self) -> float:
        """Per sample: three products per layer, two for the first."""
        return 3 * sum(self.products) - self.products[0]


def _vgg_block(filters: int, count: int, padding: str) -> tuple[tuple, ...]:
    return (*(("conv", filters, 3, "relu", padding),) * count, ("pool", 2))


MODELS = {
    "mlp_small": BenchmarkModel(
        (20,),
        (
            ("dense", 64, "relu"),
            ("dropout", 0.5),
            ("dense", 64, "relu"),
            ("dropout", 0.5),
            ("dense", 10, "softmax"),
        ),
        ("sgd", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
        128,
        128 * 400,
    ),
    "mlp_mnist": BenchmarkModel(
        (784,),
        (
            ("dense", 512, "relu"),
            ("dropout", 0.2),
            ("dense", 512, "relu"),
            ("dropout", 0.2),
            ("dense", 10, "softmax"),
        ),
        ("rmsprop", {"learning_rate": 0.001}),
        128,
        128 * 120,
    ),
    "mlp_wide": BenchmarkModel(
        (1024,),
        (("dense", 2048, "relu"), ("dense", 2048, "relu"), ("dense", 100, "softmax")),
        ("adam", {"learning_rate": 0.001}),
        256,
        256 * 12,
    ),
    "mnist_cnn": BenchmarkModel(
        (28, 28, 1),
        (
            ("conv", 32, 3, "relu", "valid"),
            ("conv", 64, 3, "relu", "valid"),
            ("pool", 2),
            ("dropout", 0.25),
            ("flatten",),
            ("dense", 128, "relu"),
            ("dropout", 0.5),
            ("dense", 10, "softmax"),
        ),
        ("adadelta", {"learning_rate": 1.0}),
        128,
        128 * 16,
    ),
    "vgg_100": BenchmarkModel(
        (100, 100, 3),
        (
            *(("conv", 32, 3, "relu", "valid"),) * 2,
            ("pool", 2),
            ("dropout", 0.25),
            *(("conv", 64, 3, "relu", "valid"),) * 2,
            ("pool", 2),
            ("dropout", 0.25),
            ("flatten",),
            ("dense", 256, "relu"),
            ("dropout", 0.5),
            ("dense", 10, "softmax"),
        ),
        ("sgd", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
        32,
        32 * 5,
    ),
    "vgg_cifar": BenchmarkModel(
        (32, 32, 3),
        (
            *_vgg_block(64, 2, "same"),
            *_vgg_block(128, 2, "same"),
            *_vgg_block(256, 3, "same"),
            ("flatten",),
            ("dense", 512, "relu"),
            ("dense", 10, "softmax"),
        ),
        ("sgd", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
        64,
        64 * 4,
    ),
}
