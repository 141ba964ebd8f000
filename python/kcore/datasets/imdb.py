"""Film reviews from IMDB, good and bad (Maas et al., 2011, https://ai.stanford.edu/~amaas/data/sentiment/)."""

from __future__ import annotations

import numpy as np

from ..utils.files import get_file
from .restricted_pickle import load_rows
from .word_sequences import ORIGIN, as_array, load_word_index, mark, replace_rare, shorter_than, shuffle

SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
WORD_INDEX_MD5 = "bfafd718b763782e994055a2d397834f"


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """``(x_train, y_train), (x_test, y_test)``: 25,000 reviews each, downloaded when first asked for.

    A review is a list of word indices, the most frequent word being ``index_from + 1``; its label is 1 if it
    is favourable, else 0.

    Args:
        path: name in the cache (``~/.keras/datasets``).
        num_words: indices from here on become ``oov_char``.
        skip_top: indices below this do, too.
        maxlen: leave out reviews of this length or longer.
        seed: of the shuffling.
        start_char: stands in front of each review; ``None`` for nothing.
        oov_char: stands for left-out words; ``None`` drops them.
        index_from: added to all indices.
    """
    file = get_file(path, ORIGIN + "imdb.npz", file_hash=SHA256)
    rows = {part: load_rows(file, f"x_{part}") for part in ("train", "test")}
    random = np.random.RandomState(seed)
    parts, labels = {}, {}
    with np.load(file, allow_pickle=False) as arrays:
        for part in ("train", "test"):
            shuffled, labels[part] = shuffle(rows[part], arrays[f"y_{part}"], random)
            parts[part], labels[part] = shorter_than(
                mark(shuffled, start_char, index_from), labels[part], maxlen
            )
    cut = len(parts["train"])
    x = as_array(replace_rare(parts["train"] + parts["test"], num_words, skip_top, oov_char))
    return (x[:cut], labels["train"]), (x[cut:], labels["test"])


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The index of each word, 1 being the most frequent; ``load_data`` adds ``index_from`` to it."""
    return load_word_index(path, "imdb_word_index.json", WORD_INDEX_MD5)
