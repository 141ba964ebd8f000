import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcore.preprocessing.text import (
    Tokenizer,
    hashing_trick,
    one_hot,
    text_to_word_sequence,
    tokenizer_from_json,
)

TEXTS = ["The cat sat on the mat.", "The dog, the dog!"]


def test_words():
    assert text_to_word_sequence("Hello, it's\tme!") == ["hello", "it's", "me"]
    assert text_to_word_sequence("A-b", lower=False, filters="") == ["A-b"]
    assert text_to_word_sequence("a;b,c", filters=",", split=";") == ["a", "b", "c"]
    assert text_to_word_sequence(" \n ") == []


@given(st.text(), st.integers(2, 50))
def test_hashes_lie_in_their_space(text, n):
    hashes = hashing_trick(text, n, "md5")
    assert len(hashes) == len(text_to_word_sequence(text))
    assert all(1 <= value < n for value in hashes)
    assert hashes == hashing_trick(text, n, "md5")


def test_hash_functions():
    assert hashing_trick("a bb ccc", 10, len) == [2, 3, 4]
    assert hashing_trick("a bb", 10, len, analyzer=list) == [2, 2, 2, 2]
    assert one_hot("a b a", 100)[0] == one_hot("a b a", 100)[2] == hash("a") % 99 + 1
    with pytest.raises(ValueError, match="hash_function"):
        hashing_trick("a", 10, "crc")


@pytest.fixture
def tokenizer():
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(TEXTS)
    return tokenizer


def test_numbers_go_by_frequency(tokenizer):
    assert tokenizer.word_index == {"the": 1, "dog": 2, "cat": 3, "sat": 4, "on": 5, "mat": 6}
    assert tokenizer.index_word[2] == "dog"
    assert tokenizer.word_counts["the"] == 4
    assert tokenizer.word_docs["the"] == 2
    assert tokenizer.index_docs[2] == 1
    assert tokenizer.document_count == 2


def test_there_and_back(tokenizer):
    assert tokenizer.texts_to_sequences(["the cat barks", ""]) == [[1, 3], []]
    assert tokenizer.sequences_to_texts([[1, 3, 99], []]) == ["the cat", ""]


def test_unknown_and_rare_words():
    tokenizer = Tokenizer(num_words=4, oov_token="<?>")
    tokenizer.fit_on_texts(TEXTS)
    assert tokenizer.word_index["<?>"] == 1
    assert tokenizer.texts_to_sequences(["the zebra dog sat"]) == [[2, 1, 3, 1]]
    assert tokenizer.sequences_to_texts([[2, 3, 5, 99]]) == ["the dog <?> <?>"]
    few = Tokenizer(num_words=2)
    few.fit_on_texts(TEXTS)
    assert few.texts_to_sequences(["the dog"]) == [[1]]


def test_characters_and_lists():
    tokenizer = Tokenizer(char_level=True)
    tokenizer.fit_on_texts(["abA"])
    assert tokenizer.texts_to_sequences(["ba c"]) == [[2, 1]]
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts([["New York", "b"], ["b"]])
    assert tokenizer.word_index == {"b": 1, "new york": 2}
    exact = Tokenizer(lower=False, analyzer=lambda text: text.split("|"))
    exact.fit_on_texts(["A|a|A"])
    assert exact.word_index == {"A": 1, "a": 2}


def test_fitting_again_adds(tokenizer):
    tokenizer.fit_on_texts(["mat mat mat mat mat"])
    assert tokenizer.word_index["mat"] == 1
    assert tokenizer.document_count == 3
    assert tokenizer.index_docs[1] == 2


def test_bags_of_words(tokenizer):
    texts = ["the dog the mat", "zebra"]
    assert tokenizer.texts_to_matrix(texts).tolist() == [[0, 1, 1, 0, 0, 0, 1], [0] * 7]
    assert tokenizer.texts_to_matrix(texts, "count")[0].tolist() == [0, 2, 1, 0, 0, 0, 1]
    assert tokenizer.texts_to_matrix(texts, "freq")[0].tolist() == [0, 0.5, 0.25, 0, 0, 0, 0.25]
    tfidf = tokenizer.texts_to_matrix(texts, "tfidf")[0]
    assert tfidf[1] == pytest.approx((1 + math.log(2)) * math.log(1 + 2 / 3))
    assert tfidf[2] == pytest.approx(math.log(1 + 2 / 2))
    assert Tokenizer(num_words=3).sequences_to_matrix([[1, 5]]).tolist() == [[0, 1, 0]]


def test_numbered_texts():
    tokenizer = Tokenizer(num_words=3)
    tokenizer.fit_on_sequences([[1, 2], [1]])
    assert tokenizer.sequences_to_matrix([[1]], "tfidf")[0, 1] == pytest.approx(math.log(1 + 2 / 3))


def test_bag_mistakes(tokenizer):
    with pytest.raises(ValueError, match="mode"):
        tokenizer.texts_to_matrix(TEXTS, "idf")
    with pytest.raises(ValueError, match="num_words"):
        Tokenizer().sequences_to_matrix([[1]])
    with pytest.raises(ValueError, match="tfidf"):
        Tokenizer(num_words=2).sequences_to_matrix([[1]], "tfidf")


def test_json(tokenizer):
    back = tokenizer_from_json(tokenizer.to_json())
    assert back.get_config() == tokenizer.get_config()
    assert back.texts_to_sequences(TEXTS) == tokenizer.texts_to_sequences(TEXTS)
    assert (back.texts_to_matrix(TEXTS, "tfidf") == tokenizer.texts_to_matrix(TEXTS, "tfidf")).all()
    back.fit_on_texts(["new words"])
    assert back.document_count == 3
