"""Array helpers for targets and features."""

from __future__ import annotations

import numpy as np


def to_categorical(y, num_classes: int | None = None, dtype="float32") -> np.ndarray:
    """One-hot rows of integer classes.

    Args:
        y: integers in ``[0, num_classes)``, any shape; a last axis of size 1 is dropped.
        num_classes: length of the new last axis; by default the largest class plus one.
        dtype: of the result.

    Returns:
        Array of shape ``y.shape + (num_classes,)``.

    Raises:
        ValueError: a class is negative or not below ``num_classes``, or a value isn't an integer.
    """
    given = np.asarray(y)
    classes = given.astype(np.intp)
    if given.dtype.kind not in "iub" and not np.array_equal(classes, given):
        raise ValueError("to_categorical needs integer classes; some values are not whole numbers.")
    shape = classes.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    classes = classes.ravel()
    if num_classes is None:
        if classes.size == 0:
            raise ValueError("to_categorical can't infer `num_classes` from an empty array; pass it.")
        num_classes = int(classes.max()) + 1
    if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
        raise ValueError(
            f"to_categorical got classes from {classes.min()} to {classes.max()}, "
            f"but they must lie in [0, {num_classes})."
        )
    encoded = np.zeros((classes.size, num_classes), dtype=dtype)
    encoded[np.arange(classes.size), classes] = 1
    return encoded.reshape((*shape, num_classes))


def normalize(x, axis: int = -1, order: int = 2) -> np.ndarray:
    """Divides by the norm of the given order along an axis; vectors of zeros stay zeros."""
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return np.asarray(x) / np.expand_dims(norm, axis)
