"""The files of CIFAR-10 and CIFAR-100 (A. Krizhevsky, 2009)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from .. import config
from .restricted_pickle import load


def load_batch(fpath: str | os.PathLike, label_key: str = "labels") -> tuple[np.ndarray, list[int]]:
    """Images (uint8, ``(n, 3, 32, 32)``) and labels of one file.

    The file is a pickle; it is read without running anything that it names.
    """
    with open(fpath, "rb") as file:
        content = load(file, encoding="bytes")
    content = {key.decode() if isinstance(key, bytes) else key: value for key, value in content.items()}
    if "data" not in content or label_key not in content:
        raise ValueError(f"{fpath} has no 'data' and {label_key!r}; it has {sorted(content)}.")
    data = np.asarray(content["data"], dtype=np.uint8)
    return data.reshape(-1, 3, 32, 32), list(content[label_key])


def load_files(directory: str, names: Sequence[str], label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels (``(n, 1)``) of several files, the images' axes as ``image_data_format`` says."""
    batches = [load_batch(os.path.join(directory, name), label_key) for name in names]
    images = np.concatenate([data for data, _ in batches])
    labels = np.concatenate([np.asarray(batch, dtype=np.uint8) for _, batch in batches])
    if len(images) != len(labels):
        raise ValueError(f"The files in {directory} hold {len(images)} images but {len(labels)} labels.")
    if config.image_data_format() == "channels_last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    return images, labels.reshape(-1, 1)
