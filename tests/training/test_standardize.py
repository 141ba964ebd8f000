import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcore.training.standardize import (
    RowRange,
    Spec,
    check_lengths,
    split_validation,
    standardize,
    standardize_weights,
)

DENSE = [Spec("dense_1_input", (None, 20), "float32")]
TWO = [Spec("left", (None, 3)), Spec("right", (None, 2))]


def test_single_arrays():
    x = np.zeros((4, 20))
    for data in (x, [x], {"dense_1_input": x}):
        assert standardize(data, DENSE)[0] is x
    assert standardize([[1, 2], [3, 4]], [Spec("a", (None, 2))])[0].tolist() == [[1, 2], [3, 4]]
    assert standardize([1, 2, 3], [Spec("a", (None, 1))])[0].shape == (3, 1)


def test_one_dimension_becomes_a_column_only_where_two_are_expected():
    x = np.arange(4)
    assert standardize(x, [Spec("a", (None, 1))])[0].shape == (4, 1)
    assert standardize(x, [Spec("a")])[0].shape == (4, 1)
    assert standardize(x, [Spec("a", (None,))])[0].shape == (4,)


def test_several_arrays():
    a, b = np.zeros((5, 3)), np.zeros((5, 2))
    for data in ([a, b], (a, b), {"right": b, "left": a}):
        left, right = standardize(data, TWO)
        assert left is a
        assert right is b
    assert standardize(None, []) == []


def test_other_kinds_of_arrays():
    class Frame:
        iloc = None

        def __array__(self, dtype=None, copy=None):
            return np.ones((2, 20))

    assert standardize(Frame(), DENSE)[0].shape == (2, 20)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 21)), r"expected dense_1_input to have shape \(20,\) but got array with shape \(21,\)"),
        (np.zeros((3, 20, 1)), r"expected dense_1_input to have 2 dimensions, .* shape \(3, 20, 1\)"),
        ([np.zeros((3, 20))] * 2, r"expected 1 array.*got 2 of shapes \[\(3, 20\), \(3, 20\)\]"),
        (None, "No data provided"),
        ({"dense_input": np.zeros((3, 20))}, "Did you mean it by 'dense_input'"),
        (np.array([["a"] * 20]), "numbers are needed"),
        (np.array([object()]), "numbers are needed"),
        (np.zeros((2, 20), complex), "complex128"),
        ([[1, 2], [3]], "no rectangular array"),
        (np.float32(3), "single number"),
    ],
)
def test_wrong_inputs_are_named(data, message):
    with pytest.raises(ValueError, match=message):
        standardize(data, DENSE)


def test_the_kind_is_named():
    with pytest.raises(ValueError, match="Error when checking target: expected out"):
        standardize(np.zeros((3, 2)), [Spec("out", (None, 1))], "target")


def test_missing_names():
    with pytest.raises(ValueError, match=r'"right" in the input dictionary.*\[\'left\', \'right\'\]'):
        standardize({"left": np.zeros((1, 3)), "rihgt": 0}, TWO)


def test_sparse_matrices_are_refused():
    class Csr:
        shape, dtype = (3, 20), np.dtype("float32")

        def toarray(self):
            raise AssertionError

        def __array__(self):
            raise AssertionError

    with pytest.raises(ValueError, match="sparse"):
        standardize(Csr(), DENSE)


def test_lengths():
    a, b = np.zeros((3, 1)), np.zeros((4, 1))
    assert check_lengths([a, a], [a], [None]) == 3
    with pytest.raises(ValueError, match="Found 3 input samples and 4 target samples"):
        check_lengths([a], [b])
    with pytest.raises(ValueError, match=r"All input arrays .* Got array shapes: \[\(3, 1\), \(4, 1\)\]"):
        check_lengths([a, b], [])
    with pytest.raises(ValueError, match="4 sample_weight samples"):
        check_lengths([a], [a], [np.zeros(4)])
    with pytest.raises(ValueError, match="no samples"):
        check_lengths([a[:0]], [a[:0]])


OUT = [Spec("out")]


def test_no_weights():
    assert standardize_weights([np.zeros((3, 1))], OUT) == [None]


@pytest.mark.parametrize(
    "target", [np.array([0, 1, 1, 2]), np.array([[0], [1], [1], [2]]), np.eye(3)[[0, 1, 1, 2]]]
)
@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: [w], lambda w: {"out": w}])
def test_class_weights(target, wrap):
    weights = standardize_weights([target], OUT, class_weight=wrap({0: 1.0, 1: 0.5, 2: 4}))
    assert weights[0].tolist() == [1, 0.5, 0.5, 4]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_class_and_sample_weights_multiply(classes):
    target = np.array(classes)
    by_class = {cls: cls + 0.5 for cls in range(5)}
    sample = np.arange(len(classes)) + 1.0
    (weight,) = standardize_weights([target], OUT, sample, by_class)
    np.testing.assert_allclose(weight, sample * (target + 0.5))


def test_a_class_without_weight():
    with pytest.raises(ValueError, match=r"classes \[2\] of out exist in the data"):
        standardize_weights([np.array([0, 2])], OUT, class_weight={0: 1, 1: 1})
    with pytest.raises(ValueError, match="3 or more dimensions"):
        standardize_weights([np.zeros((2, 3, 4))], OUT, class_weight={0: 1})


def test_weights_per_timestep():
    target = np.zeros((2, 3, 5))
    for weight in (np.ones((2, 3)), np.ones((2, 3, 1))):
        assert standardize_weights([target], OUT, weight, modes=["temporal"])[0].shape == (2, 3)
    assert standardize_weights([target], OUT, np.ones(2))[0].shape == (2,)
    with pytest.raises(ValueError, match="temporal"):
        standardize_weights([target], OUT, np.ones(2), modes=["temporal"])
    with pytest.raises(ValueError, match="doesn't fit a target"):
        standardize_weights([target], OUT, np.ones((2, 4)))
    with pytest.raises(ValueError, match="doesn't fit a target"):
        standardize_weights([np.zeros((2, 1))], OUT, np.ones((2, 3)))
    assert standardize_weights([np.zeros((2, 1))], OUT, np.ones((2, 1)))[0].shape == (2,)
    with pytest.raises(ValueError, match="numbers are needed"):
        standardize_weights([target], OUT, ["a", "b"])


def test_weights_of_several_outputs():
    targets, specs = [np.zeros((2, 1)), np.ones((2, 1))], [Spec("a"), Spec("b")]
    weight = np.array([1.0, 2.0])
    assert standardize_weights(targets, specs, {"b": weight})[0] is None
    assert standardize_weights(targets, specs, [weight, None])[1] is None
    weights = standardize_weights(targets, specs, class_weight={"a": {0: 3}})
    assert weights[0].tolist() == [3, 3]
    with pytest.raises(ValueError, match="2 outputs"):
        standardize_weights(targets, specs, weight[:1])
    with pytest.raises(ValueError, match=r"Unknown entries in `sample_weight`: \['c'\]"):
        standardize_weights(targets, specs, {"c": weight})
    with pytest.raises(ValueError, match="Unknown entries in `class_weight`"):
        standardize_weights(targets, specs, class_weight={0: 1.0})


def test_validation_is_the_last_rows():
    x, y = np.arange(10).reshape(10, 1), {"a": np.arange(10), "b": np.arange(10)}
    training, validation = split_validation(x, y, None, 0.25)
    assert training[0][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert validation[0][:, 0].tolist() == [7, 8, 9]
    assert validation[1]["b"].tolist() == [7, 8, 9]
    assert validation[2] is None
    lists, _ = split_validation([x, x], None, np.ones(10), 0.5)
    assert [len(part) for part in lists[0]] == [5, 5]
    assert len(lists[2]) == 5


def test_validation_of_a_file_is_not_read(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(20).reshape(10, 2)
        training, validation = split_validation(file["x"], file["x"], None, 0.3)
        rows = validation[0]
        assert isinstance(rows, RowRange)
        assert rows.shape == (3, 2)
        assert rows[1:].tolist() == [[16, 17], [18, 19]]
        assert rows[[2, 0]].tolist() == [[18, 19], [14, 15]]
        assert len(training[1]) == 7


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 0.01])
def test_impossible_splits(fraction):
    with pytest.raises(ValueError, match="validation_split"):
        split_validation(np.zeros((3, 1)), validation_split=fraction if fraction != 0.01 else 0.99)


def test_generators_can_not_be_split():
    with pytest.raises(ValueError, match="needs arrays"):
        split_validation((i for i in range(3)), validation_split=0.5)
