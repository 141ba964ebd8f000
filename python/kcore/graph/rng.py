"""The global random stream: a seed, and a step that no two runs share."""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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


class LayerKey(int):
    """The key of a random op that belongs to a layer: of its name, and of what tells its ops apart."""

    layer: str
    detail: str

    def __new__(cls, layer: str, detail: str = "") -> LayerKey:
        key = super().__new__(cls, (1 << 32) | zlib.crc32(f"{layer}{detail}".encode()))
        key.layer, key.detail = layer, detail
        return key


_local = threading.local()


@contextmanager
def layer_names(names: Mapping[str, str]) -> Iterator[None]:
    """Inside the ``with`` block, ``resolved`` takes these names for layers instead of their own.

    A model calls its layers by their places, so that two models of the same architecture draw the same
    numbers whatever their layers are called.
    """
    _local.names = names
    try:
        yield
    finally:
        _local.names = {}


def resolved(key: int) -> int:
    """The key that the instruction gets."""
    names = getattr(_local, "names", {})
    if isinstance(key, LayerKey) and key.layer in names:
        return int(LayerKey(names[key.layer], key.detail))
    return int(key)


def key_from_name(layer: str, detail: str = "") -> LayerKey:
    """The key of an unseeded random op of a layer: a reloaded model draws the same numbers."""
    return LayerKey(layer, detail)
