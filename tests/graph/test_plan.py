"""Where the planner puts things in memory."""

import itertools

import numpy as np
import pytest

from kcore.graph.plan import ALIGNMENT, _pack


def random_blocks(rng, count, instructions):
    first = rng.integers(0, instructions, count)
    last = np.minimum(first + rng.geometric(0.2, count) - 1, instructions - 1)
    return np.stack([rng.integers(0, 40, count) * ALIGNMENT, first, last], 1).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_blocks_that_live_at_once_lie_apart(seed):
    blocks = random_blocks(np.random.default_rng(seed), 120, 50)
    offsets, end, live = _pack(blocks)
    for instruction in range(50):
        here = sorted(
            (offset, offset + size)
            for offset, (size, first, last) in zip(offsets, blocks, strict=True)
            if first <= instruction <= last and size
        )
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(here))
        assert sum(b - a for a, b in here) <= live
        assert not here or here[-1][1] <= end
    assert live <= end <= 1.2 * live
    assert all(offset % ALIGNMENT == 0 for offset in offsets)


def test_no_blocks_take_no_memory():
    assert _pack([]) == ([], 0, 0)


def test_a_training_step_takes_what_lives_at_once():
    """As forward values are freed in the order in which they came, backwards, nothing need lie between them."""
    from kcore.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D
    from kcore.models import Sequential

    model = Sequential([Input((20, 20, 3)), Conv2D(8, 3, activation="relu"), MaxPooling2D()])
    for layer in (Conv2D(16, 3, activation="relu"), Flatten(), Dense(10, activation="softmax")):
        model.add(layer)
    model.compile("adam", "categorical_crossentropy")
    model.train_on_batch(np.zeros((16, 20, 20, 3), "float32"), np.zeros((16, 10), "float32"))
    (step,) = model._steps.values()
    (compiled,) = step.function._programs.values()
    assert compiled.plan.live_bytes <= compiled.plan.arena_bytes <= 1.05 * compiled.plan.live_bytes
