"""Handwritten digits, 8 by 8, that come with the package.

1,797 images of the digits 0 to 9, each of 8 x 8 pixels with 17 shades from 0 (paper) to 16 (ink): the test
set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine
Learning Repository, https://doi.org/10.24432/C50P49, licensed under CC BY 4.0. The images and their order are
unchanged; ``tools/make_digits.py`` wrote the file.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

# Every so many-th image is for testing: the writers come one after the other, so this draws on all of them.
_TEST_STRIDE = 5


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 1,437 images, and the 360 whose number is divisible by 5.

    Images are uint8 of shape ``(n, 8, 8)`` with values from 0 to 16; labels uint8 of shape ``(n,)``.

    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1437, 8, 8), (360, 8, 8))
    """
    path = resources.files("kcore.datasets").joinpath("digits.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    test = np.arange(len(x)) % _TEST_STRIDE == 0
    return (x[~test], y[~test]), (x[test], y[test])
