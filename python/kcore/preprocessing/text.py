"""Text as sequences or bags of word indices."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(
    text: str, filters: str = _FILTERS, lower: bool = True, split: str = " "
) -> list[str]:
    """The words of a text.

    Args:
        text: to split.
        filters: characters that are replaced by ``split``.
        lower: in lower case.
        split: what stands between words.
    """
    if lower:
        text = text.lower()
    text = text.translate({ord(character): split for character in filters})
    return [word for word in text.split(split) if word]


def hashing_trick(
    text: str,
    n: int,
    hash_function: Callable[[str], int] | str | None = None,
    filters: str = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """The words' hashes, in ``[1, n)``; different words may get the same.

    Args:
        text: to split into words.
        n: size of the space.
        hash_function: of a string to an integer; ``"md5"``, which is the same in every process; by default
            Python's ``hash``, which isn't.
        filters, lower, split: see :func:`text_to_word_sequence`.
        analyzer: a function that splits the text instead.
    """
    if hash_function is None:
        function: Callable[[str], int] = hash
    elif hash_function == "md5":
        function = _md5
    elif callable(hash_function):
        function = hash_function
    else:
        raise ValueError(f"`hash_function` must be None, 'md5' or a function, got {hash_function!r}.")
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [function(word) % (n - 1) + 1 for word in words]


def _md5(word: str) -> int:
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


def one_hot(
    input_text: str,
    n: int,
    filters: str = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """:func:`hashing_trick` with Python's ``hash``."""
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer:
    """Numbers the words of texts by their frequency: 1 is the most frequent one, 0 is no word.

    Args:
        num_words: use only the ``num_words - 1`` most frequent words.
        filters, lower, split: see :func:`text_to_word_sequence`.
        char_level: every character is a word.
        oov_token: takes the place of unknown and too rare words, as number 1; without it they are left out.
        analyzer: a function that splits a text into words instead.

    Texts may also be given as lists of words.
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], Iterable[str]] | None = None,
        document_count: int = 0,
    ):
        self.num_words = num_words
        self.filters = filters
        self.lower = lower
        self.split = split
        self.char_level = char_level
        self.oov_token = oov_token
        self.analyzer = analyzer
        self.document_count = document_count
        self.word_counts: OrderedDict[str, int] = OrderedDict()
        self.word_docs: dict[str, int] = defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}
        self.index_docs: dict[int, int] = defaultdict(int)

    def _words(self, text) -> list[str]:
        if self.char_level or isinstance(text, list):
            if not self.lower:
                return list(text)
            return list(text.lower()) if isinstance(text, str) else [word.lower() for word in text]
        if self.analyzer is not None:
            return list(self.analyzer(text))
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable) -> None:
        """Counts the words of texts and numbers them anew; earlier texts keep counting."""
        for text in texts:
            self.document_count += 1
            words = self._words(text)
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] += 1
        by_frequency = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        if self.oov_token is not None:
            by_frequency = [self.oov_token, *(word for word in by_frequency if word != self.oov_token)]
        self.word_index = {word: index for index, word in enumerate(by_frequency, start=1)}
        self.index_word = {index: word for word, index in self.word_index.items()}
        self.index_docs = defaultdict(int)
        for word, count in self.word_docs.items():
            self.index_docs[self.word_index[word]] = count

    def fit_on_sequences(self, sequences: Iterable[Iterable[int]]) -> None:
        """Counts the documents of each index, for texts that are numbered already (``"tfidf"`` needs it)."""
        for sequence in sequences:
            self.document_count += 1
            for index in set(sequence):
                self.index_docs[index] += 1

    def _known(self, index: int | None) -> bool:
        return index is not None and (self.num_words is None or index < self.num_words)

    def texts_to_sequences_generator(self, texts: Iterable) -> Iterator[list[int]]:
        """Each text's list of word indices."""
        unknown = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        for text in texts:
            indices = (self.word_index.get(word) for word in self._words(text))
            replaced = (index if self._known(index) else unknown for index in indices)
            yield [index for index in replaced if index is not None]

    def texts_to_sequences(self, texts: Iterable) -> list[list[int]]:
        """The texts' lists of word indices."""
        return list(self.texts_to_sequences_generator(texts))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """Each sequence's words, with spaces between them."""
        for sequence in sequences:
            found = (
                self.index_word.get(index, self.oov_token) if self._known(index) else self.oov_token
                for index in sequence
            )
            yield " ".join(word for word in found if word is not None)

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The sequences' words, with spaces between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def texts_to_matrix(self, texts: Iterable, mode: str = "binary") -> np.ndarray:
        """:meth:`sequences_to_matrix` of texts."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences, mode: str = "binary") -> np.ndarray:
        """Bags of words: row ``i`` has a number for each index in sequence ``i``.

        Args:
            sequences: lists of indices.
            mode: ``"binary"``: 1; ``"count"``: how often; ``"freq"``: how often, divided by the length;
                ``"tfidf"``: ``(1 + log count) * log(1 + documents / (1 + documents with the word))``.

        Returns:
            Array of shape ``(len(sequences), num_words)``.
        """
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"`mode` must be 'binary', 'count', 'freq' or 'tfidf', got {mode!r}.")
        if not self.num_words and not self.word_index:
            raise ValueError("Specify `num_words`, or call `fit_on_texts` first.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Mode 'tfidf' needs `fit_on_texts` or `fit_on_sequences` first.")
        columns = self.num_words or len(self.word_index) + 1
        matrix = np.zeros((len(sequences), columns))
        for row, sequence in zip(matrix, sequences, strict=True):
            for index, count in Counter(i for i in sequence if i < columns).items():
                if mode == "binary":
                    row[index] = 1
                elif mode == "count":
                    row[index] = count
                elif mode == "freq":
                    row[index] = count / len(sequence)
                else:
                    documents = self.index_docs.get(index, 0)
                    row[index] = (1 + math.log(count)) * math.log(1 + self.document_count / (1 + documents))
        return matrix

    def get_config(self) -> dict:
        """Arguments and counts, the latter as JSON. An ``analyzer`` isn't kept."""
        counts = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
        return {
            "num_words": self.num_words,
            "filters": self.filters,
            "lower": self.lower,
            "split": self.split,
            "char_level": self.char_level,
            "oov_token": self.oov_token,
            "document_count": self.document_count,
            **{name: json.dumps(getattr(self, name)) for name in counts},
        }

    def to_json(self, **kwargs) -> str:
        """The tokenizer as JSON, for :func:`tokenizer_from_json`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **kwargs)


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """The tokenizer that ``to_json`` wrote."""
    config = dict(json.loads(json_string)["config"])
    counts = {
        name: json.loads(config.pop(name))
        for name in ("word_counts", "word_docs", "index_docs", "index_word", "word_index")
    }
    tokenizer = Tokenizer(**config)
    tokenizer.word_counts = OrderedDict(counts["word_counts"])
    tokenizer.word_docs = defaultdict(int, counts["word_docs"])
    tokenizer.word_index = counts["word_index"]
    # JSON's keys are strings.
    tokenizer.index_docs = defaultdict(int, {int(key): value for key, value in counts["index_docs"].items()})
    tokenizer.index_word = {int(key): value for key, value in counts["index_word"].items()}
    return tokenizer
