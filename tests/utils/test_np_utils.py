import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kcore.utils import normalize, to_categorical


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.integers(0, 6)))
def test_one_hot_rows_say_the_class(y):
    encoded = to_categorical(y, 7)
    shape = y.shape[:-1] if y.ndim > 1 and y.shape[-1] == 1 else y.shape
    assert encoded.shape == (*shape, 7)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded.argmax(-1), y.reshape(shape))
    np.testing.assert_array_equal(encoded.sum(-1), 1)


def test_number_of_classes_is_inferred():
    assert to_categorical([0, 3]).shape == (2, 4)
    assert to_categorical(np.array([1.0, 2.0]), dtype="int8").tolist() == [[0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("y", [[-1, 0], [0, 4]])
def test_classes_out_of_range(y):
    with pytest.raises(ValueError, match=r"must lie in \[0, 4\)"):
        to_categorical(y, 4)


def test_fractions_and_nothing():
    with pytest.raises(ValueError, match="whole numbers"):
        to_categorical([0.5], 2)
    with pytest.raises(ValueError, match="empty"):
        to_categorical([])
    assert to_categorical([], 3).shape == (0, 3)


def test_normalize():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalize(x), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(normalize(x, axis=0, order=1), [[1, 1], [0, 0]])
