"""The time to build a ResNet-50 and to compile its training step, in seconds.

python benchmarks/compile_time.py
python benchmarks/compile_time.py --batch 2 --profile 30     # and the functions that take the time
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time

import numpy as np

from kcore import layers, models, optimizers

BLOCKS = ((64, 3), (128, 4), (256, 6), (512, 3))


def convolution(x, filters: int, size: int, strides: int = 1):
    x = layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def bottleneck(x, filters: int, strides: int):
    shortcut = x
    if strides > 1 or x.shape[-1] != 4 * filters:
        shortcut = convolution(x, 4 * filters, 1, strides)
    y = layers.ReLU()(convolution(x, filters, 1, strides))
    y = layers.ReLU()(convolution(y, filters, 3))
    y = convolution(y, 4 * filters, 1)
    return layers.ReLU()(layers.Add()([shortcut, y]))


def resnet50(shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000):
    """He et al., 2015, table 1."""
    inputs = layers.Input(shape)
    x = layers.ReLU()(convolution(inputs, 64, 7, 2))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for stage, (filters, count) in enumerate(BLOCKS):
        for block in range(count):
            x = bottleneck(x, filters, 2 if stage and block == 0 else 1)
    x = layers.GlobalAveragePooling2D()(x)
    return models.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--profile", type=int, default=0, help="show so many functions")
    options = parser.parse_args()
    start = time.perf_counter()
    model = resnet50()
    model.compile(optimizers.SGD(0.1, momentum=0.9), "categorical_crossentropy", metrics=["accuracy"])
    built = time.perf_counter() - start
    x = np.zeros((options.batch, 224, 224, 3), "float32")
    y = np.eye(1000, dtype="float32")[np.zeros(options.batch, int)]
    profile = cProfile.Profile()
    times = []
    for step in range(4):
        if options.profile and step == 0:
            profile.enable()
        start = time.perf_counter()
        model.train_on_batch(x, y)
        times.append(time.perf_counter() - start)
        profile.disable()
    print(
        f"ResNet-50 ({model.count_params():,} weights): built in {built:.2f} s, first step {times[0]:.2f} s, "
        f"a step {min(times[1:]):.2f} s, so compiling {times[0] - min(times[1:]):.2f} s"
    )
    if options.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(options.profile)


if __name__ == "__main__":
    main()
