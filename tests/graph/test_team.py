"""The threads that share out kernels: teams of any size, asleep or awake, and jobs brought from several sides."""

import time
from functools import partial

import numpy as np
import pytest
from threads import together

from kcore.config import num_threads, set_num_threads
from kcore.graph import Function, native, placeholder
from kcore.ops import exp, matmul, relu

pytestmark = pytest.mark.skipif(not native.has_openmp(), reason="built without OpenMP")

ROWS, COLS = 96, 512  # a product and a chain of 25 MFLOP and 49 k exponentials: both are shared out


@pytest.fixture(autouse=True)
def _team_as_before():
    before = num_threads()
    yield
    set_num_threads(before)


@pytest.fixture
def function():
    x, w = placeholder((None, 256)), placeholder((256, COLS))
    return Function([x, w], [exp(relu(matmul(x, w)) * -1.0)])


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype("float32") for shape in [(ROWS, 256), (256, COLS)]]


@pytest.fixture
def alone(function, arrays):
    """What one thread computes."""
    set_num_threads(1)
    (result,) = function(arrays)
    np.testing.assert_allclose(result, np.exp(-np.maximum(arrays[0] @ arrays[1], 0)), rtol=1e-4, atol=1e-6)
    return result


def test_teams_grow_and_shrink(function, arrays, alone):
    for threads in (2, 5, 3, 8, 1, 2):
        set_num_threads(threads)
        for _ in range(5):
            np.testing.assert_array_equal(function(arrays)[0], alone)


@pytest.mark.parametrize(
    "idle", [0, 0.0001, 0.002, 0.01], ids=["at once", "spinning", "falling asleep", "asleep"]
)
def test_a_team_is_found_awake_and_asleep(function, arrays, alone, idle):
    set_num_threads(3)
    for _ in range(20 if idle else 500):
        time.sleep(idle)
        np.testing.assert_array_equal(function(arrays)[0], alone)


def test_who_finds_the_team_taken_works_alone(function, arrays, alone):
    def work(threads):
        for _ in range(100):
            set_num_threads(threads)
            np.testing.assert_array_equal(function(arrays)[0], alone)

    together(*(partial(work, threads) for threads in (2, 3, 1, 4)))
