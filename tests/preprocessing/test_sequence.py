import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcore.preprocessing.sequence import (
    TimeseriesGenerator,
    make_sampling_table,
    pad_sequences,
    skipgrams,
    timeseries_generator_from_json,
)

SIDES = st.sampled_from(["pre", "post"])


@given(st.lists(st.lists(st.integers(1, 9), max_size=8)), st.integers(0, 10) | st.none(), SIDES, SIDES)
def test_padding(rows, maxlen, padding, truncating):
    padded = pad_sequences(rows, maxlen, padding=padding, truncating=truncating)
    length = max(map(len, rows), default=0) if maxlen is None else maxlen
    assert padded.shape == (len(rows), length)
    for row, given_row in zip(padded.tolist(), rows, strict=True):
        start = max(0, len(given_row) - length) if truncating == "pre" else 0
        kept = given_row[start : start + length]
        zeros = [0] * (length - len(kept))
        assert row == (zeros + kept if padding == "pre" else kept + zeros)


def test_padding_of_vectors_and_strings():
    padded = pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], dtype="float32", value=-1)
    assert padded.tolist() == [[[-1, -1], [1, 2]], [[3, 4], [5, 6]]]
    assert pad_sequences([["a"], ["b", "c"]], dtype=object, value="").tolist() == [["", "a"], ["b", "c"]]
    assert pad_sequences([np.array([1, 2]), (3,)], padding="post").tolist() == [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    ("sequences", "options", "message"),
    [
        ([1, 2], {}, "list of sequences"),
        (7, {}, "length"),
        ([[1]], {"padding": "middle"}, "`padding`"),
        ([[1]], {"truncating": "middle"}, "`truncating`"),
        ([[1]], {"value": "x"}, "dtype=object"),
        ([[[1, 2]], [[3]]], {}, r"sequence 1 have shape \(1,\)"),
    ],
)
def test_padding_mistakes(sequences, options, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(sequences, **options)


def test_sampling_table():
    table = make_sampling_table(6)
    # Computed by hand from Zipf's law.
    np.testing.assert_allclose(
        table, [0.00315225, 0.00315225, 0.00547597, 0.00741556, 0.00912817, 0.01068435], rtol=1e-5
    )
    assert make_sampling_table(10, 100.0).max() == 1


@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.booleans(),
)
def test_skipgrams(sequence, window, negative, categorical):
    pairs, labels = skipgrams(sequence, 10, window, negative, categorical=categorical, seed=1)
    expected = sorted(
        [a, b]
        for i, a in enumerate(sequence)
        for j, b in enumerate(sequence)
        if i != j and abs(i - j) <= window and a and b
    )
    yes, no = ([0, 1], [1, 0]) if categorical else (1, 0)
    true = [pair for pair, label in zip(pairs, labels, strict=True) if label == yes]
    false = [pair for pair, label in zip(pairs, labels, strict=True) if label == no]
    assert sorted(true) == expected
    assert len(false) == int(len(true) * negative)
    assert all(1 <= other < 10 and word in sequence for word, other in false)
    assert skipgrams(sequence, 10, window, negative, categorical=categorical, seed=1) == (pairs, labels)


def test_rare_words_are_kept_and_frequent_ones_dropped():
    pairs, _ = skipgrams([1, 2, 1, 2], 3, sampling_table=[0, 0, 1], negative_samples=0, seed=0)
    assert {word for word, _ in pairs} == {2}


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("rate", [1, 2])
@pytest.mark.parametrize("reverse", [False, True])
def test_windows(stride, rate, reverse):
    data = np.arange(40).reshape(20, 2)
    targets = np.arange(20) * 10
    windows = TimeseriesGenerator(
        data, targets, length=4, sampling_rate=rate, stride=stride, reverse=reverse, batch_size=3
    )
    times = list(range(4, 20, stride))
    assert len(windows) == -(-len(times) // 3)
    seen_x = np.concatenate([windows[i][0] for i in range(len(windows))])
    seen_y = np.concatenate([windows[i][1] for i in range(len(windows))])
    expected = np.stack([data[t - 4 : t : rate] for t in times])
    np.testing.assert_array_equal(seen_x, expected[:, ::-1] if reverse else expected)
    np.testing.assert_array_equal(seen_y, targets[times])


def test_windows_of_a_part():
    windows = TimeseriesGenerator(list(range(20)), list(range(20)), length=3, start_index=5, end_index=9)
    x, y = windows[0]
    assert x.tolist() == [[5, 6, 7], [6, 7, 8]]
    assert y.tolist() == [8, 9]


def test_random_windows_stay_inside():
    windows = TimeseriesGenerator(np.arange(30), np.arange(30), length=5, shuffle=True, batch_size=200)
    x, y = windows[0]
    assert len(x) == 200
    assert y.min() >= 5
    np.testing.assert_array_equal(x[:, -1], y - 1)


def test_windows_that_do_not_fit():
    with pytest.raises(ValueError, match="No window of length 10"):
        TimeseriesGenerator(np.arange(10), np.arange(10), length=10)
    with pytest.raises(ValueError, match="same length, got 3 and 4"):
        TimeseriesGenerator(np.arange(3), np.arange(4), length=1)


def test_windows_as_json():
    windows = TimeseriesGenerator(np.arange(12.0), np.arange(12), length=3, start_index=2, batch_size=4)
    back = timeseries_generator_from_json(windows.to_json())
    assert back.get_config() == windows.get_config()
    for got, expected in zip(back, windows, strict=True):
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])
