"""House prices in Boston (Harrison and Rubinfeld, 1978), with the ethical problems of its variable B."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/boston_housing.npz"
SHA256 = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(
    path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 506 districts of 13 numbers, and the median price in $1000.

    Args:
        path: name in the cache (``~/.keras/datasets``).
        test_split: fraction for testing, in [0, 1).
        seed: of the shuffling before the split.
    """
    if not 0 <= test_split < 1:
        raise ValueError(f"`test_split` must lie in [0, 1), got {test_split}.")
    with np.load(get_file(path, ORIGIN, file_hash=SHA256), allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)
    x, y = x[order], y[order]
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])
