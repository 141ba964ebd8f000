"""Seeds: one call that makes a run repeat, and the seeds of initializers that were given none."""

from __future__ import annotations

import random

import numpy as np

from kcore.graph import rng


def set_random_seed(seed: int) -> None:
    """Seed Python's ``random``, ``np.random`` and the random ops: what follows repeats from run to run.

    Raises:
        ValueError: ``seed`` is not an integer in ``[0, 2**32)``.
    """
    if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"a random seed must be an integer in [0, 2**32), got {seed!r}")
    random.seed(int(seed))
    np.random.seed(int(seed))
    rng.set_seed(int(seed))


def draw_seed() -> int:
    """A seed for an initializer that was given none.

    It comes from ``np.random``'s global state, as in Keras 2, so ``np.random.seed(1)`` before a model is
    built is enough for its initial weights to repeat.
    """
    return int(np.random.randint(2**31 - 1))
