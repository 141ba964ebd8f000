"""What ``imdb`` and ``reuters`` have in common: texts as lists of word indices, by frequency."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from ..utils.files import get_file

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def load_word_index(path: str, name: str, file_hash: str) -> dict[str, int]:
    """The index of each word, 1 being the most frequent."""
    with open(get_file(path, ORIGIN + name, file_hash=file_hash), encoding="utf-8") as file:
        return json.load(file)


def shuffle(rows: list, labels: np.ndarray, random: np.random.RandomState) -> tuple[list, np.ndarray]:
    order = np.arange(len(rows))
    random.shuffle(order)
    return [rows[i] for i in order], labels[order]


def mark(rows: Sequence[Sequence[int]], start_char: int | None, index_from: int | None) -> list[list[int]]:
    """Rows with indices moved up to make room for special ones, and a start mark in front."""
    shift = index_from or 0
    start = [] if start_char is None else [start_char]
    return [start + [word + shift for word in row] for row in rows]


def shorter_than(rows: list, labels: np.ndarray, maxlen: int | None) -> tuple[list, np.ndarray]:
    """The rows of fewer than ``maxlen`` words, and their labels."""
    if not maxlen:
        return rows, labels
    kept = [index for index, row in enumerate(rows) if len(row) < maxlen]
    if not kept:
        raise ValueError(f"No sequence is shorter than maxlen={maxlen}. Increase maxlen.")
    return [rows[index] for index in kept], labels[kept]


def replace_rare(
    rows: list[list[int]], num_words: int | None, skip_top: int, oov_char: int | None
) -> list[list[int]]:
    """Indices from ``num_words`` on or below ``skip_top`` become ``oov_char``; if that is None, they go.

    Without ``num_words`` the largest index that occurs takes its place and is replaced itself, as in Keras.
    """
    if not num_words:
        num_words = max(max(row, default=0) for row in rows)
    if oov_char is None:
        return [[word for word in row if skip_top <= word < num_words] for row in rows]
    return [[word if skip_top <= word < num_words else oov_char for word in row] for row in rows]


def as_array(rows: list[list[int]]) -> np.ndarray:
    """An array of objects, whose rows are lists."""
    array = np.empty(len(rows), dtype=object)
    for index, row in enumerate(rows):
        array[index] = row
    return array
