"""Trains one model in one library, an epoch for each line on standard input; prints each epoch's samples/s."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from train_models import MODELS, BenchmarkModel


def data(model: BenchmarkModel, samples: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.standard_normal((samples, *model.input_shape), dtype=np.float32)
    y = np.eye(model.classes, dtype=np.float32)[random.integers(0, model.classes, samples)]
    return x, y


def keras_like(library, model: BenchmarkModel, x: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """An epoch of ``fit`` in anything with Keras's interface."""
    kinds = {
        "dense": lambda units, activation: library.layers.Dense(units, activation=activation),
        "conv": lambda filters, size, activation, padding: library.layers.Conv2D(
            filters, size, activation=activation, padding=padding
        ),
        "pool": library.layers.MaxPooling2D,
        "dropout": library.layers.Dropout,
        "flatten": library.layers.Flatten,
    }
    layers = [library.layers.Input(model.input_shape)]
    net = library.models.Sequential([*layers, *(kinds[kind](*numbers) for kind, *numbers in model.layers)])
    name, arguments = model.optimizer
    classes = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam", "adadelta": "Adadelta"}
    optimizer = getattr(library.optimizers, classes[name])(**arguments)
    net.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return lambda: net.fit(x, y, batch_size=model.batch, epochs=1, verbose=0)


def torch_epoch(model: BenchmarkModel, x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[], None]:
    """An epoch of a plain training loop, channels_last for convolutions."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    modules: list[nn.Module] = []
    shape = model.input_shape
    for kind, *numbers in model.layers:
        if kind == "dense":
            modules.append(nn.Linear(shape[0], numbers[0]))
            if numbers[1] == "relu":
                modules.append(nn.ReLU())
            shape = (numbers[0],)
        elif kind == "conv":
            filters, size, _, padding = numbers
            modules += [nn.Conv2d(shape[2], filters, size, padding=padding), nn.ReLU()]
            lost = 0 if padding == "same" else size - 1
            shape = (shape[0] - lost, shape[1] - lost, filters)
        elif kind == "pool":
            modules.append(nn.MaxPool2d(numbers[0]))
            shape = (shape[0] // numbers[0], shape[1] // numbers[0], shape[2])
        elif kind == "dropout":
            modules.append(nn.Dropout(numbers[0]))
        else:
            modules.append(nn.Flatten())
            shape = (shape[0] * shape[1] * shape[2],)
    net = nn.Sequential(*modules)
    inputs = torch.from_numpy(x)
    if x.ndim == 4:
        net = net.to(memory_format=torch.channels_last)
        inputs = inputs.permute(0, 3, 1, 2)
    labels = torch.from_numpy(y.argmax(1))
    name, arguments = model.optimizer
    arguments = {{"learning_rate": "lr"}.get(k, k): v for k, v in arguments.items()}
    optimizers = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
    optimizer = optimizers.get(name, torch.optim.Adadelta)(net.parameters(), **arguments)
    loss_function = nn.CrossEntropyLoss()
    net.train()

    def epoch() -> None:
        order = torch.randperm(len(x))
        correct = torch.zeros((), dtype=torch.int64)
        total = torch.zeros(())
        for start in range(0, len(x), model.batch):
            rows = order[start : start + model.batch]
            batch, target = inputs[rows], labels[rows]
            optimizer.zero_grad(set_to_none=True)
            logits = net(batch)
            loss = loss_function(logits, target)
            loss.backward()
            optimizer.step()
            total += loss.detach()
            correct += (logits.argmax(1) == target).sum()
        float(total), int(correct)

    return epoch


def main() -> None:
    contender, name, threads, samples = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    model = MODELS[name]
    x, y = data(model, samples)
    if contender == "torch":
        epoch = torch_epoch(model, x, y, threads)
    elif contender == "kcore":
        import kcore
        import kcore.layers
        import kcore.models
        import kcore.optimizers

        kcore.config.set_num_threads(threads)
        epoch = keras_like(kcore, model, x, y)
    else:
        if contender == "keras-tf":
            import tensorflow as tf

            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        import keras

        epoch = keras_like(keras, model, x, y)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print(f"RATE {samples / (time.perf_counter() - start)}", flush=True)


if __name__ == "__main__":
    main()
