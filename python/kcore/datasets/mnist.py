"""MNIST: handwritten digits, 28 x 28 (LeCun et al., 1998)."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: str = "mnist.npz") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 60,000 and 10,000 images, downloaded when first asked for.

    Images are uint8 of shape ``(n, 28, 28)``; labels uint8 of shape ``(n,)``.

    Args:
        path: name in the cache (``~/.keras/datasets``).
    """
    with np.load(get_file(path, ORIGIN, file_hash=SHA256), allow_pickle=False) as arrays:
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
