"""Newswires from Reuters on 46 topics (Reuters-21578)."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file
from .restricted_pickle import load_rows
from .word_sequences import ORIGIN, as_array, load_word_index, mark, replace_rare, shorter_than, shuffle

SHA256 = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
WORD_INDEX_MD5 = "4d44cc38712099c9e383dc6e5f11a921"

_LABEL_NAMES = (
    "cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton "
    "carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal "
    "livestock retail ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog "
    "lead"
)


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 11,228 newswires, downloaded when first asked for.

    A newswire is a list of word indices, the most frequent word being ``index_from + 1``; its label is the
    number of its topic, see :func:`get_label_names`.

    Args:
        test_split: fraction for testing, in [0, 1).
        path, num_words, skip_top, maxlen, seed, start_char, oov_char, index_from: see ``imdb.load_data``.
    """
    if not 0 <= test_split < 1:
        raise ValueError(f"`test_split` must lie in [0, 1), got {test_split}.")
    file = get_file(path, ORIGIN + "reuters.npz", file_hash=SHA256)
    rows = load_rows(file, "x")
    with np.load(file, allow_pickle=False) as arrays:
        rows, labels = shuffle(rows, arrays["y"], np.random.RandomState(seed))
    rows, labels = shorter_than(mark(rows, start_char, index_from), labels, maxlen)
    x = as_array(replace_rare(rows, num_words, skip_top, oov_char))
    cut = int(len(x) * (1 - test_split))
    return (x[:cut], labels[:cut]), (x[cut:], labels[cut:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The index of each word, 1 being the most frequent; ``load_data`` adds ``index_from`` to it."""
    return load_word_index(path, "reuters_word_index.json", WORD_INDEX_MD5)


def get_label_names() -> tuple[str, ...]:
    """The topics' names, in the order of the labels."""
    return tuple(_LABEL_NAMES.split())
