import numpy as np
import pytest
from native import run1

from kcore import _core


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 5), (70,)])
def test_fill(shape, dtype):
    got = run1("fill", [], (shape, dtype), value=3.0)
    np.testing.assert_array_equal(got, np.full(shape, 3, dtype))


def test_fill_needs_a_value():
    with pytest.raises(ValueError, match="fill: attribute 'value' is missing"):
        _core.Program([("external", "float32", (1,), None)], [("fill", [], [0], {})], [], [0], 0, 1)
