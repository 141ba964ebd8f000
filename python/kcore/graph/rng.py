"""The global random stream: a seed, and a step that no two runs share."""

from __future__ import annotations

import itertools
import zlib

import numpy as np

_seed: int | None = None
_steps = itertools.count()
_keys = itertools.count(1)


def get_seed() -> int:
    """The global seed; drawn from the operating system unless ``set_seed`` was called."""
    global _seed
    if _seed is None:
        _seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    return _seed


def set_seed(seed: int) -> None:
    """Start the global stream anew: what follows repeats from run to run."""
    global _seed, _steps, _keys
    if not 0 <= int(seed) < 2**63:
        raise ValueError(f"a seed must lie in [0, 2**63), got {seed!r}")
    _seed = int(seed)
    _steps = itertools.count()
    _keys = itertools.count(1)


def next_step() -> int:
    """A position in the stream that no other run has."""
    return next(_steps)


def next_key() -> int:
    """A key for a random op that was given no seed: ops of different keys are independent."""
    return next(_keys)


def key_from_name(name: str) -> int:
    """A key that depends on a layer's name alone, so that a reloaded model draws the same numbers."""
    return (1 << 32) | zlib.crc32(name.encode())
