"""CIFAR-100: photographs of a hundred kinds of things (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file
from .cifar import load_files

ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(
    label_mode: str = "fine",
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 50,000 and 10,000 images, downloaded when first asked for.

    Images are uint8 of shape ``(n, 32, 32, 3)``, or ``(n, 3, 32, 32)`` with channels first; labels uint8 of
    shape ``(n, 1)``.

    Args:
        label_mode: ``"fine"`` for 100 classes, ``"coarse"`` for 20 superclasses.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f"`label_mode` must be 'fine' or 'coarse', got {label_mode!r}.")
    directory = get_file("cifar-100-python", ORIGIN, untar=True, file_hash=SHA256)
    label_key = f"{label_mode}_labels"
    return load_files(directory, ["train"], label_key), load_files(directory, ["test"], label_key)
