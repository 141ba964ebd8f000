import itertools
import threading

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcore.training import data_adapter
from kcore.training.data_adapter import adapt
from kcore.training.standardize import Spec
from kcore.utils import HDF5Matrix, Sequence

X, Y = [Spec("x", (None, 2), "float32")], [Spec("y", (None, 1), "float32")]


def rows(n, dtype="float32"):
    return np.arange(2 * n, dtype=dtype).reshape(n, 2), np.arange(n, dtype=dtype).reshape(n, 1)


def collect(batches, epoch=0):
    """Copies of an epoch's batches: their arrays may be reused."""
    return [
        ([a.copy() for a in x], [a.copy() for a in y], [None if a is None else a.copy() for a in w])
        for x, y, w in batches.epoch(epoch)
    ]


def ids(batches, epoch=0):
    return [y[0][:, 0].astype(int).tolist() for _, y, _ in collect(batches, epoch)]


@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from([False, True, "batch"]))
def test_every_row_comes_once_and_rows_stay_together(n, batch_size, shuffle):
    x, y = rows(n)
    batches = adapt(
        x, y, np.arange(n) + 0.5, inputs=X, targets=Y, batch_size=batch_size, shuffle=shuffle, seed=1
    )
    seen = collect(batches)
    assert len(seen) == batches.steps == -(-n // batch_size)
    assert all(len(b[0][0]) == batch_size for b in seen) or n % batch_size
    order = np.concatenate([b[1][0][:, 0] for b in seen]).astype(int)
    assert sorted(order) == list(range(n))
    np.testing.assert_array_equal(np.concatenate([b[0][0] for b in seen]), x[order])
    np.testing.assert_array_equal(np.concatenate([b[2][0] for b in seen]), order + 0.5)
    if not shuffle:
        assert order.tolist() == list(range(n))


def test_orders_depend_on_seed_and_epoch_only():
    x, y = rows(50)

    def order(seed, epoch):
        return ids(adapt(x, y, inputs=X, targets=Y, shuffle=True, seed=seed), epoch)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    resumed = adapt(x, y, inputs=X, targets=Y, shuffle=True, seed=1)
    assert ids(resumed, 7) == order(1, 7)


def test_numpys_seed_is_the_default():
    x, y = rows(50)
    np.random.seed(4)
    first = ids(adapt(x, y, inputs=X, targets=Y, shuffle=True))
    np.random.seed(4)
    assert ids(adapt(x, y, inputs=X, targets=Y, shuffle=True)) == first


def test_only_what_is_shuffled_draws_a_seed():
    def draws(*data, shuffle=True):
        np.random.seed(4)
        adapt(*data, inputs=X, targets=Y, shuffle=shuffle)
        return np.random.randint(1000) != first

    np.random.seed(4)
    first = np.random.randint(1000)
    assert draws(*rows(5))
    assert draws(Epochs())
    assert not draws(*rows(5), shuffle=False)
    assert not draws(endless())


def test_shuffled_batches_are_neighbours():
    x, y = rows(20)
    order = ids(adapt(x, y, inputs=X, targets=Y, batch_size=6, shuffle="batch", seed=0))
    assert sorted(order) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17], [18, 19]]
    assert order != sorted(order)


def test_unshuffled_arrays_are_not_copied():
    x, y = rows(8)
    (first, *_), _, _ = next(adapt(x, y, inputs=X, targets=Y, batch_size=4).epoch())
    assert np.shares_memory(first, x)


def test_a_batch_outlives_the_next():
    x, y = rows(6)
    seen = []
    for inputs, _, _ in adapt(x, y, inputs=X, targets=Y, batch_size=1, shuffle=True, seed=0).epoch():
        seen.append(inputs[0])
        if len(seen) > 1:
            assert seen[-1][0, 0] != seen[-2][0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "float16", "bool", ">f4", ">f8"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_other_dtypes_are_converted(monkeypatch, dtype, shuffle, limit):
    monkeypatch.setattr(data_adapter, "_CONVERT_AT_ONCE_BYTES", limit)
    x, y = rows(9)
    given_x = x.astype(dtype)
    for inputs, targets, _ in adapt(given_x, y, inputs=X, targets=Y, batch_size=4, shuffle=shuffle, seed=3):
        assert inputs[0].dtype == np.float32
        assert inputs[0].dtype.isnative
        assert inputs[0].flags.c_contiguous
        expected = given_x.astype("float32")[targets[0][:, 0].astype(int)]
        np.testing.assert_array_equal(inputs[0], expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_strided_readonly_and_unaligned_arrays(shuffle):
    x, y = rows(10)
    strided = np.asfortranarray(x)
    readonly = x.copy()
    readonly.flags.writeable = False
    packed = np.zeros(10, dtype=[("tag", "u1"), ("x", "f4", 2)])
    packed["x"] = x
    for data in (strided, readonly, packed["x"], np.repeat(x, 2, axis=0)[::2]):
        for inputs, targets, _ in adapt(data, y, inputs=X, targets=Y, batch_size=3, shuffle=shuffle, seed=0):
            np.testing.assert_array_equal(inputs[0], x[targets[0][:, 0].astype(int)])


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_memory_map_is_converted_batch_by_batch(tmp_path, shuffle):
    x, y = rows(10)
    np.save(tmp_path / "x.npy", x.astype("float64"))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    batches = adapt(mapped, y, inputs=X, targets=Y, batch_size=4, shuffle=shuffle, seed=0)
    for inputs, targets, _ in batches:
        assert inputs[0].dtype == np.float32
        np.testing.assert_array_equal(inputs[0], x[targets[0][:, 0].astype(int)])


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("wrap", [lambda file, path: file["x"], lambda file, path: HDF5Matrix(path, "x")])
def test_hdf5(tmp_path, shuffle, wrap):
    x, y = rows(23, "float64")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = x, y[:, 0]
    with h5py.File(path, "r") as file:
        batches = adapt(
            wrap(file, path), file["y"], inputs=X, targets=Y, batch_size=5, shuffle=shuffle, seed=2
        )
        for epoch in range(2):
            seen = collect(batches, epoch)
            order = np.concatenate([b[1][0][:, 0] for b in seen]).astype(int)
            assert sorted(order) == list(range(23))
            np.testing.assert_array_equal(np.concatenate([b[0][0] for b in seen]), x[order])
            assert seen[0][0][0].dtype == np.float32
        assert batches.peek()[0][0].shape == (5, 2)


def test_a_reader_that_is_left_early_ends(tmp_path):
    x, y = rows(100)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = x
        epoch = adapt(file["x"], y, inputs=X, targets=Y, batch_size=1).epoch()
        next(epoch)
        epoch.close()
    assert "kcore-generator" not in {thread.name for thread in threading.enumerate()}


def test_dictionaries_several_inputs_and_none_weights():
    x, y = rows(4)
    specs = [Spec("a", (None, 2), "float32"), Spec("b", (None, 1), "int32")]
    batches = adapt({"b": y, "a": x}, [y, x], inputs=specs, targets=[Spec("p"), Spec("q")], batch_size=3)
    inputs, targets, weights = next(batches.epoch())
    assert [a.dtype.name for a in inputs] == ["float32", "int32"]
    assert [a.shape for a in targets] == [(3, 1), (3, 2)]
    assert weights == [None, None]


def test_predicting_needs_no_targets():
    x, _ = rows(4)
    inputs, targets, weights = next(adapt(x, inputs=X, targets=[]).epoch())
    assert len(inputs) == 1
    assert targets == weights == []


def test_class_weights_of_arrays():
    x, _ = rows(4)
    batches = adapt(x, [0, 1, 1, 0], inputs=X, targets=Y, class_weight={0: 2.0, 1: 3.0}, batch_size=4)
    assert next(batches.epoch())[2][0].tolist() == [2, 3, 3, 2]
    assert next(batches.epoch())[2][0].dtype == np.float32


def test_steps():
    x, y = rows(10)
    assert ids(adapt(x, y, inputs=X, targets=Y, batch_size=2, steps=2)) == [[0, 1], [2, 3]]
    assert [len(b) for b in ids(adapt(x, y, inputs=X, targets=Y, steps=3))] == [4, 4, 2]
    assert len(ids(adapt(x, y, inputs=X, targets=Y))) == 1
    with pytest.warns(UserWarning, match="give only 5"):
        assert adapt(x, y, inputs=X, targets=Y, batch_size=2, steps=9).steps == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"steps": 0}, "steps"),
        ({"shuffle": "rows"}, "shuffle"),
    ],
)
def test_wrong_options(options, message):
    x, y = rows(3)
    with pytest.raises(ValueError, match=message):
        adapt(x, y, inputs=X, targets=Y, **options)


def test_a_fixed_batch_size():
    x, y = rows(8)
    fixed = [Spec("x", (4, 2), "float32")]
    assert adapt(x, y, inputs=fixed, targets=Y, batch_size=4).steps == 2
    with pytest.raises(ValueError, match="fixed batch size of 4"):
        adapt(x, y, inputs=fixed, targets=Y, batch_size=2)
    with pytest.raises(ValueError, match=r"got 7\) a multiple"):
        adapt(x[:7], y[:7], inputs=fixed, targets=Y, batch_size=4)


def endless(start=0):
    for i in itertools.count(start):
        yield np.full((2, 2), i), np.full(2, i)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_generator_gives_no_more_than_its_steps(workers):
    generator = endless()
    with adapt(generator, inputs=X, targets=Y, steps=3, workers=workers) as batches:
        assert ids(batches) == [[0, 0], [1, 1], [2, 2]]
        assert ids(batches, 1) == [[3, 3], [4, 4], [5, 5]]
        assert not batches.exhausted
    assert next(generator)[0][0, 0] == 6


def test_a_generator_that_ends_too_early():
    batches = adapt(itertools.islice(endless(), 4), inputs=X, targets=Y, steps=3)
    assert len(ids(batches)) == 3
    with pytest.warns(UserWarning, match="ran out of data after 1"):
        assert len(ids(batches, 1)) == 1
    assert batches.exhausted


def test_a_generator_without_steps_lasts_one_epoch():
    batches = adapt(itertools.islice(endless(), 4), inputs=X, targets=Y)
    assert batches.steps is None
    assert len(ids(batches)) == 4
    with pytest.raises(ValueError, match="steps_per_epoch"):
        ids(batches, 1)


def test_an_iterable_starts_anew_each_epoch():
    class Loader:
        def __iter__(self):
            return itertools.islice(endless(), 3)

    batches = adapt(Loader(), inputs=X, targets=Y)
    assert ids(batches) == ids(batches, 1) == [[0, 0], [1, 1], [2, 2]]


def test_an_iterable_with_steps_goes_on():
    class Loader:
        def __iter__(self):
            return endless()

    batches = adapt(Loader(), inputs=X, targets=Y, steps=2)
    assert ids(batches) + ids(batches, 1) == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_peeking_takes_nothing_away():
    batches = adapt(endless(), inputs=X, targets=Y, steps=2)
    assert batches.peek()[1][0].tolist() == [[0], [0]]
    assert batches.peek()[1][0].tolist() == [[0], [0]]
    assert ids(batches) == [[0, 0], [1, 1]]


def test_a_model_that_does_not_know_its_inputs_yet():
    batches = adapt(endless(), steps=1)
    inputs, targets, _ = batches.peek()
    assert inputs[0].shape == (2, 2)
    assert targets[0].shape == (2, 1)
    batches.expect(X, Y)
    assert collect(batches)[0][0][0].dtype == np.float32
    x, y = rows(3)
    assert adapt([x, y], y).peek()[0][1].shape == (3, 1)


def test_weights_from_a_generator():
    def generate():
        yield np.ones((2, 2)), np.array([0, 1]), np.array([1.0, 2.0])
        yield np.ones((2, 2)), np.array([1, 1])

    seen = collect(adapt(generate(), inputs=X, targets=Y, class_weight={0: 10.0, 1: 1.0}))
    assert seen[0][2][0].tolist() == [10, 2]
    assert seen[1][2][0].tolist() == [1, 1]


def test_predicting_from_a_generator():
    generator = (np.full((1, 2), i) for i in range(3))
    assert [b[0][0][0, 0] for b in collect(adapt(generator, inputs=X, targets=[]))] == [0, 1, 2]
    with_targets = itertools.islice(endless(), 2)
    assert [len(b[1]) for b in collect(adapt(with_targets, inputs=X, targets=[]))] == [0, 0]


@pytest.mark.parametrize("item", [np.ones((2, 2)), (1, 2, 3, 4), (), "xy"])
def test_a_generators_items_of_another_form(item):
    with pytest.raises(ValueError, match=r"Output of generator should be a tuple"):
        collect(adapt(iter([item]), inputs=X, targets=Y))


def test_a_generators_wrong_shape_and_length():
    with pytest.raises(ValueError, match=r"expected x to have shape \(2,\) but got array with shape \(3,\)"):
        collect(adapt(iter([(np.ones((2, 3)), np.ones(2))]), inputs=X, targets=Y))
    with pytest.raises(ValueError, match="2 input samples and 3 target samples"):
        collect(adapt(iter([(np.ones((2, 2)), np.ones(3))]), inputs=X, targets=Y))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_generators_own_error(workers):
    def generate():
        yield np.ones((2, 2)), np.ones(2)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        collect(adapt(generate(), inputs=X, targets=Y, workers=workers))


def test_arguments_that_come_with_batches():
    with pytest.raises(ValueError, match="`y` must come with the batches"):
        adapt(endless(), np.ones(2), inputs=X, targets=Y)
    with pytest.raises(ValueError, match="`sample_weight` must come"):
        adapt(endless(), sample_weight=np.ones(2), inputs=X, targets=Y)
    with pytest.raises(ValueError, match="isn't for generators"):
        adapt(endless(), batch_size=2, inputs=X, targets=Y)


class Epochs(Sequence):
    """Batch i of epoch e holds 10 e + i."""

    def __init__(self, **options):
        super().__init__(**options)
        self.epoch = 0

    def __len__(self):
        return 4

    def __getitem__(self, index):
        value = 10 * self.epoch + index
        return np.full((2, 2), value), np.full((2, 1), value)

    def on_epoch_end(self):
        self.epoch += 1


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}]
)
@pytest.mark.parametrize("own", [False, True])
def test_a_sequence(options, own):
    sequence = Epochs(**options if own else {})
    with adapt(sequence, inputs=X, targets=Y, **{} if own else options) as batches:
        assert batches.steps == 4
        assert batches.peek()[0][0][0, 0] == 0
        assert ids(batches) == [[0, 0], [1, 1], [2, 2], [3, 3]]
        assert sequence.epoch == 1
        assert ids(batches, 1) == [[10, 10], [11, 11], [12, 12], [13, 13]]
        assert sequence.epoch == 2


def test_a_sequences_epochs_may_be_shorter_than_itself():
    with adapt(Epochs(), inputs=X, targets=Y, steps=3) as batches:
        assert [i for i, _ in ids(batches)] == [0, 1, 2]
        assert [i for i, _ in ids(batches, 1)] == [3, 10, 11]


def test_a_shuffled_sequence():
    with adapt(Epochs(), inputs=X, targets=Y, shuffle=True, seed=1) as batches:
        assert sorted(i for i, _ in ids(batches)) == [0, 1, 2, 3]


def test_an_object_that_only_looks_like_a_sequence():
    class Duck:
        __len__ = Epochs.__len__

        def __getitem__(self, index):
            return np.full((1, 2), index), np.full(1, index)

        def on_epoch_end(self):
            pass

    with adapt(Duck(), inputs=X, targets=Y) as batches:
        assert ids(batches) == [[0], [1], [2], [3]]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 3))
def test_two_epochs_through_buffers_do_not_mix(n, batch_size, seed):
    x, y = rows(n, "uint8")
    batches = adapt(x, y, inputs=X, targets=Y, batch_size=batch_size, shuffle=True, seed=seed)
    for epoch in range(2):
        for inputs, targets, _ in batches.epoch(epoch):
            np.testing.assert_array_equal(inputs[0], x[targets[0][:, 0].astype(int)])
