"""Fashion-MNIST: clothes, 28 x 28 (Zalando Research, https://arxiv.org/abs/1708.07747)."""

from __future__ import annotations

import gzip
import os

import numpy as np

from ..utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images, downloaded when first asked for.

    Images are uint8 of shape ``(n, 28, 28)``; labels uint8 of shape ``(n,)``: T-shirt, trouser, pullover,
    dress, coat, sandal, shirt, sneaker, bag, ankle boot.
    """
    parts = []
    for part in ("train", "t10k"):
        names = (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        subdirectory = os.path.join("datasets", "fashion-mnist")
        images, labels = (_read_idx(get_file(n, ORIGIN + n, cache_subdir=subdirectory)) for n in names)
        if len(images) != len(labels):
            raise ValueError(f"Fashion-MNIST's files hold {len(images)} images but {len(labels)} labels.")
        parts.append((images, labels))
    return parts[0], parts[1]


def _read_idx(path: str) -> np.ndarray:
    """An array of bytes in the IDX format: two zeros, type 8, number of axes, their big-endian lengths."""
    with gzip.open(path, "rb") as file:
        content = file.read()
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is no IDX file of bytes.")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, offset=4).astype(int)
    data = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if data.size != shape.prod():
        raise ValueError(f"{path} holds {data.size} bytes, but its header says {tuple(shape.tolist())}.")
    return data.reshape(shape)
