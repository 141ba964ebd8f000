"""Sequences: padding, windows of time series, skip-grams."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence as Seq

import numpy as np

from ..utils.enqueuers import Sequence


def pad_sequences(
    sequences,
    maxlen: int | None = None,
    dtype="int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float | str = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array.

    Args:
        sequences: list of sequences; their steps are numbers or arrays of one shape.
        maxlen: length of all; by default that of the longest.
        dtype: of the result; ``object`` for strings.
        padding: where short ones are filled up with ``value``, ``"pre"`` or ``"post"``.
        truncating: where long ones are cut.
        value: to fill with.

    Returns:
        Array of shape ``(len(sequences), maxlen, ...)``.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f"`{name}` must be 'pre' or 'post', got {side!r}.")
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"`sequences` must have a length, got {type(sequences).__name__}.")
    for row in sequences:
        if not hasattr(row, "__len__"):
            raise ValueError(f"`sequences` must be a list of sequences. One of them is {row!r}.")
    if maxlen is None:
        maxlen = max((len(row) for row in sequences), default=0)
    if isinstance(value, str) and np.dtype(dtype).kind not in "OUS":
        raise ValueError(f"A `value` of {value!r} needs dtype=object, got {dtype!r}.")
    step = next((np.asarray(row[:1]).shape[1:] for row in sequences if len(row)), ())
    padded = np.full((len(sequences), maxlen, *step), value, dtype=dtype)
    if maxlen == 0:
        return padded
    for index, row in enumerate(sequences):
        kept = np.asarray(row[-maxlen:] if truncating == "pre" else row[:maxlen], dtype=dtype)
        if len(kept) == 0:
            continue
        if kept.shape[1:] != step:
            raise ValueError(
                f"The steps of sequence {index} have shape {kept.shape[1:]}, those of the first {step}."
            )
        if padding == "post":
            padded[index, : len(kept)] = kept
        else:
            padded[index, maxlen - len(kept) :] = kept
    return padded


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray:
    """Probability of keeping the word of each frequency rank, as in word2vec.

    ``p = min(1, sqrt(sampling_factor / f))``; by Zipf's law rank ``r`` has the frequency ``f`` with
    ``1 / f = r (log r + gamma) + 1/2 - 1 / (12 r)``. Index 0 is treated as rank 1.

    Source: Mikolov et al., Distributed Representations of Words and Phrases (2013), section 2.3.
    """
    rank = np.maximum(np.arange(size), 1)
    inverse_frequency = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)
    return np.minimum(1.0, np.sqrt(sampling_factor * inverse_frequency))


def skipgrams(
    sequence: Seq[int],
    vocabulary_size: int,
    window_size: int = 4,
    negative_samples: float = 1.0,
    shuffle: bool = True,
    categorical: bool = False,
    sampling_table: Seq[float] | None = None,
    seed: int | None = None,
) -> tuple[list[list[int]], list]:
    """Pairs of words that stand near each other (label 1) and random pairs (label 0).

    Args:
        sequence: word indices; 0 is no word and is skipped.
        vocabulary_size: the largest index plus one.
        window_size: two words this far apart or nearer make a pair.
        negative_samples: number of random pairs for each true one.
        shuffle: the order of the pairs.
        categorical: labels ``[0, 1]`` and ``[1, 0]`` instead of 1 and 0.
        sampling_table: probability with which each word is used as the first of a pair.
        seed: of everything random here.

    Returns:
        ``(pairs, labels)``, two lists of the same length.
    """
    generator = random.Random(seed)
    pairs: list[list[int]] = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < generator.random()):
            continue
        for j in range(max(0, i - window_size), min(len(sequence), i + window_size + 1)):
            if j != i and sequence[j]:
                pairs.append([word, sequence[j]])
    true_label, false_label = ([0, 1], [1, 0]) if categorical else (1, 0)
    labels: list = [true_label] * len(pairs)
    if negative_samples > 0 and pairs:
        count = int(len(pairs) * negative_samples)
        words = [word for word, _ in pairs]
        generator.shuffle(words)
        pairs += [[words[i % len(words)], generator.randint(1, vocabulary_size - 1)] for i in range(count)]
        labels += [false_label] * count
    if shuffle:
        order = list(range(len(pairs)))
        generator.shuffle(order)
        pairs, labels = [pairs[i] for i in order], [labels[i] for i in order]
    return pairs, labels


class TimeseriesGenerator(Sequence):
    """Batches of windows of a time series, each with the target that follows the window.

    Sample ``t`` is ``data[t - length : t : sampling_rate]`` and its target ``targets[t]``.

    Args:
        data: indexable by time along its first axis.
        targets: of the same length.
        length: of a window, in time steps of the data.
        sampling_rate: steps between the values taken within a window.
        stride: steps between successive windows.
        start_index, end_index: use only this part of the data, both included; default all.
        shuffle: windows at random rather than in order.
        reverse: the latest value first.
        batch_size: windows in a batch (the last may have fewer).
    """

    def __init__(
        self,
        data,
        targets,
        length: int,
        sampling_rate: int = 1,
        stride: int = 1,
        start_index: int = 0,
        end_index: int | None = None,
        shuffle: bool = False,
        reverse: bool = False,
        batch_size: int = 128,
    ):
        super().__init__()
        if len(data) != len(targets):
            raise ValueError(
                f"Data and targets must have the same length, got {len(data)} and {len(targets)}."
            )
        self.data = data
        self.targets = targets
        self.length = length
        self.sampling_rate = sampling_rate
        self.stride = stride
        self.start_index = start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle = shuffle
        self.reverse = reverse
        self.batch_size = batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"No window of length {length} fits between {start_index} and {self.end_index}: "
                f"`start_index + length` is {self.start_index}."
            )

    def __len__(self) -> int:
        windows = (self.end_index - self.start_index) // self.stride + 1
        return -(-windows // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.shuffle:
            times = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            last = min(first + self.batch_size * self.stride, self.end_index + 1)
            times = np.arange(first, last, self.stride)
        windows = np.array([self.data[time - self.length : time : self.sampling_rate] for time in times])
        targets = np.array([self.targets[time] for time in times])
        return (windows[:, ::-1] if self.reverse else windows), targets

    def get_config(self) -> dict:
        """All arguments; data and targets as JSON."""
        return {
            "data": json.dumps(np.asarray(self.data).tolist()),
            "targets": json.dumps(np.asarray(self.targets).tolist()),
            "length": self.length,
            "sampling_rate": self.sampling_rate,
            "stride": self.stride,
            "start_index": self.start_index - self.length,
            "end_index": self.end_index,
            "shuffle": self.shuffle,
            "reverse": self.reverse,
            "batch_size": self.batch_size,
        }

    def to_json(self, **kwargs) -> str:
        """The generator with its data, for :func:`timeseries_generator_from_json`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def timeseries_generator_from_json(json_string: str) -> TimeseriesGenerator:
    """The generator that ``to_json`` wrote."""
    config = dict(json.loads(json_string)["config"])
    data, targets = (np.array(json.loads(config.pop(name))) for name in ("data", "targets"))
    return TimeseriesGenerator(data, targets, **config)
