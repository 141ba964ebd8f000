"""CIFAR-10: photographs of ten kinds of things, 32 x 32 (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file
from .cifar import load_files

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 50,000 and 10,000 images, downloaded when first asked for.

    Images are uint8 of shape ``(n, 32, 32, 3)``, or ``(n, 3, 32, 32)`` with channels first; labels uint8 of
    shape ``(n, 1)``: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
    """
    directory = get_file("cifar-10-batches-py", ORIGIN, untar=True, file_hash=SHA256)
    training = load_files(directory, [f"data_batch_{number}" for number in range(1, 6)], "labels")
    return training, load_files(directory, ["test_batch"], "labels")
