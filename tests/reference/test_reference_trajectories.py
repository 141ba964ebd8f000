"""Fifty training steps of each benchmark model against tf_keras: the loss of every step."""

import numpy as np
import pytest
from referee import family
from trajectories import losses

import kcore
import kcore.layers
import kcore.models
from kcore import backend, optimizers

CASES = family("trajectories")

# Double precision: learning rates and the like are kept in float32, which is an error of some 1e-8 in each update. It
# grows as training goes on, tenfold in twenty steps, but flips no unit: over 50 steps the losses differ by 1e-6.
FLOAT64_TOLERANCE = 1e-5

# Single precision: rounding (1e-7, in a Winograd convolution 1e-6) sooner or later puts a value on the other side of a
# kink of relu or max pooling, and from there the trajectories part; tf_keras in float32 parts from itself in float64
# just so. When that is depends on an instruction set's rounding and on how many units there are: here the first flip
# comes at the fifth step. Before it, ours may stray as far as theirs does, a few times over.
FLOAT32_STEPS = 4
FLOAT32_TOLERANCE = 2e-6


@pytest.fixture
def floatx():
    before = backend.floatx()
    yield backend.set_floatx
    backend.set_floatx(before)


@pytest.mark.parametrize("name", CASES)
def test_losses_in_double_precision(name, floatx):
    floatx("float64")
    got = losses(name, kcore, optimizers, "float64")
    np.testing.assert_allclose(got, CASES[name]["arrays"]["losses"], FLOAT64_TOLERANCE)


@pytest.mark.parametrize("name", CASES)
def test_losses_in_single_precision(name, floatx):
    floatx("float32")
    arrays = CASES[name]["arrays"]
    got = losses(name, kcore, optimizers, "float32")[:FLOAT32_STEPS]
    error = np.abs(got / arrays["losses"][:FLOAT32_STEPS] - 1)
    bound = FLOAT32_TOLERANCE + 4 * arrays["float32_error"][:FLOAT32_STEPS]
    assert (error <= bound).all(), f"errors {error}, bounds {bound}"
