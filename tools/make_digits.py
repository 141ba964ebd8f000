"""Writes python/kcore/datasets/digits.npz from scikit-learn's copy of the data set. Run it from anywhere."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "python" / "kcore" / "datasets" / "digits.npz"


def main() -> None:
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    if not np.array_equal(images, digits.images):
        raise ValueError("the images are not whole numbers below 256")
    np.savez_compressed(TARGET, x=images, y=digits.target.astype(np.uint8))
    print(f"{TARGET}: {len(images)} images, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
