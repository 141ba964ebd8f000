"""The data sets that are downloaded, with small files in their formats in the place of the real ones."""

import gzip
import hashlib
import json
import pickle
import tarfile

import numpy as np
import pytest

from kcore import config
from kcore.datasets import (
    boston_housing,
    cifar,
    cifar10,
    cifar100,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
    word_sequences,
)

RANDOM = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Puts a file in a module's ORIGIN's place, with its digest."""

    def publish(module, path):
        monkeypatch.setattr(module, "ORIGIN", path.as_uri())
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())

    return publish


def test_mnist(tmp_path, publish):
    path = tmp_path / "m.npz"
    arrays = {
        "x_train": RANDOM.randint(0, 256, (6, 28, 28)).astype("uint8"),
        "y_train": np.arange(6, dtype="uint8"),
        "x_test": np.zeros((2, 28, 28), "uint8"),
        "y_test": np.ones(2, "uint8"),
    }
    np.savez(path, **arrays)
    publish(mnist, path)
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
    for name, got in zip(arrays, (x_train, y_train, x_test, y_test), strict=True):
        np.testing.assert_array_equal(got, arrays[name])
    path.unlink()
    assert len(mnist.load_data()[0][0]) == 6  # from the cache


def test_a_manipulated_download_is_not_used(tmp_path, publish):
    path = tmp_path / "m.npz"
    np.savez(path, x_train=[1])
    publish(mnist, path)
    np.savez(path, x_train=[2])
    with pytest.raises(ValueError, match="discarded"):
        mnist.load_data()


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype("uint8").tobytes()


def test_fashion_mnist(tmp_path, monkeypatch):
    origin = tmp_path / "origin"
    origin.mkdir()
    images = RANDOM.randint(0, 256, (3, 28, 28))
    for part, count in (("train", 3), ("t10k", 2)):
        for kind, array in (("images-idx3", images[:count]), ("labels-idx1", np.arange(count))):
            (origin / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    monkeypatch.setattr(fashion_mnist, "ORIGIN", origin.as_uri() + "/")
    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    np.testing.assert_array_equal(x_train, images)
    np.testing.assert_array_equal(y_train, [0, 1, 2])
    assert x_test.shape == (2, 28, 28)
    assert y_test.dtype == np.uint8
    cached = tmp_path / "cache" / "datasets" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    cached.write_bytes(gzip.compress(idx(np.arange(5))))
    with pytest.raises(ValueError, match="2 images but 5 labels"):
        fashion_mnist.load_data()


@pytest.mark.parametrize("content", [b"", b"\0\0\x0d\x01\0\0\0\0", idx(np.zeros((2, 2)))[:-1]])
def test_damaged_idx_files(tmp_path, content):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"IDX|header"):
        fashion_mnist._read_idx(path)


def cifar_batch(count, **labels):
    data = RANDOM.randint(0, 256, (count, 3072)).astype("uint8")
    return data, pickle.dumps({b"data": data, **{key.encode(): value for key, value in labels.items()}}, 2)


def archive(tmp_path, directory, files):
    (tmp_path / directory).mkdir()
    for name, content in files.items():
        (tmp_path / directory / name).write_bytes(content)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / directory, directory)
    return tmp_path / "a.tar.gz"


def test_cifar10(tmp_path, publish):
    batches = [cifar_batch(2, labels=[i, i + 1]) for i in range(5)]
    test, content = cifar_batch(3, labels=[9, 8, 7])
    files = {f"data_batch_{i + 1}": stream for i, (_, stream) in enumerate(batches)}
    publish(cifar10, archive(tmp_path, "cifar-10-batches-py", {**files, "test_batch": content}))
    (x_train, y_train), (_, y_test) = cifar10.load_data()
    expected = np.concatenate([data for data, _ in batches]).reshape(10, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(x_train, expected)
    assert x_train.flags.c_contiguous
    assert y_train.shape == (10, 1)
    assert y_train[:4, 0].tolist() == [0, 1, 1, 2]
    assert y_test[:, 0].tolist() == [9, 8, 7]
    config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(cifar10.load_data()[1][0], test.reshape(3, 3, 32, 32))
    finally:
        config.set_image_data_format("channels_last")


def test_cifar100(tmp_path, publish):
    content = cifar_batch(2, fine_labels=[5, 6], coarse_labels=[1, 2])[1]
    publish(cifar100, archive(tmp_path, "cifar-100-python", {"train": content, "test": content}))
    (_, y_train), (x_test, _) = cifar100.load_data()
    assert y_train.tolist() == [[5], [6]]
    assert x_test.shape == (2, 32, 32, 3)
    assert cifar100.load_data("coarse")[0][1].tolist() == [[1], [2]]
    with pytest.raises(ValueError, match="label_mode"):
        cifar100.load_data("medium")


def test_an_unpacked_directory_is_enough(tmp_path):
    directory = tmp_path / "cache" / "datasets" / "cifar-100-python"
    directory.mkdir(parents=True)
    for name in ("train", "test"):
        (directory / name).write_bytes(cifar_batch(1, fine_labels=[3], coarse_labels=[1])[1])
    assert cifar100.load_data()[0][1].tolist() == [[3]]


def test_a_cifar_file_can_not_run_anything(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("hacked").touch, ())

    (tmp_path / "batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}, 2))
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        cifar.load_batch(tmp_path / "batch")
    assert not (tmp_path / "hacked").exists()
    (tmp_path / "batch").write_bytes(cifar_batch(1, labels=[1])[1])
    with pytest.raises(ValueError, match="coarse_labels"):
        cifar.load_batch(tmp_path / "batch", "coarse_labels")


def test_boston_housing(tmp_path, publish):
    path = tmp_path / "b.npz"
    np.savez(path, x=np.arange(20.0).reshape(10, 2), y=np.arange(10.0))
    publish(boston_housing, path)
    (x_train, y_train), (x_test, y_test) = boston_housing.load_data(test_split=0.35, seed=1)
    assert (len(x_train), len(x_test)) == (6, 4)
    np.testing.assert_array_equal(
        np.concatenate([x_train, x_test])[:, 0], 2 * np.concatenate([y_train, y_test])
    )
    order = np.arange(10)
    np.random.RandomState(1).shuffle(order)
    assert y_train.tolist() == order[:6].tolist()
    with pytest.raises(ValueError, match="test_split"):
        boston_housing.load_data(test_split=1.0)


ROWS = [[5, 1, 9], [2], [7, 7, 7, 3], [4, 12], [1, 2, 3], [6, 6], [8], [11, 10, 1, 2, 3]]


@pytest.fixture
def texts(tmp_path, monkeypatch):
    origin = tmp_path / "origin"
    origin.mkdir()
    rows = word_sequences.as_array(ROWS)
    labels = np.arange(8)
    np.savez(origin / "imdb.npz", x_train=rows[:5], y_train=labels[:5], x_test=rows[5:], y_test=labels[5:])
    np.savez(origin / "reuters.npz", x=rows, y=labels)
    index = json.dumps({"the": 1, "of": 2}).encode()
    for module, name in ((imdb, "imdb"), (reuters, "reuters")):
        (origin / f"{name}_word_index.json").write_bytes(index)
        monkeypatch.setattr(module, "ORIGIN", origin.as_uri() + "/")
        content = (origin / f"{name}.npz").read_bytes()
        monkeypatch.setattr(module, "SHA256", hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(module, "WORD_INDEX_MD5", hashlib.md5(index).hexdigest())
    monkeypatch.setattr(word_sequences, "ORIGIN", origin.as_uri() + "/")


def check(x, y, expect):
    """Labels are the rows' numbers."""
    assert len(x) == len(y)
    for row, label in zip(x, y, strict=True):
        assert row == expect(ROWS[label])


@pytest.mark.parametrize("module", [imdb, reuters])
def test_words_are_shifted_and_marked(texts, module):
    (x_train, y_train), (x_test, y_test) = module.load_data(num_words=100)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        check(x, y, lambda row: [1, *(word + 3 for word in row)])
    assert sorted([*y_train, *y_test]) == list(range(8))
    assert list(y_train) != sorted(y_train)


@pytest.mark.parametrize("module", [imdb, reuters])
def test_rare_and_frequent_words(texts, module):
    options = {"start_char": None, "index_from": 0, "num_words": 10, "skip_top": 3}
    (x, y), _ = module.load_data(**options)
    check(x, y, lambda row: [word if 3 <= word < 10 else 2 for word in row])
    (x, y), _ = module.load_data(**options, oov_char=None)
    check(x, y, lambda row: [word for word in row if 3 <= word < 10])
    (x, y), (other_x, other_y) = module.load_data(start_char=None, index_from=None)
    check([*x, *other_x], [*y, *other_y], lambda row: [word if word < 12 else 2 for word in row])


@pytest.mark.parametrize("module", [imdb, reuters])
def test_long_texts_are_left_out(texts, module):
    (x_train, y_train), (x_test, y_test) = module.load_data(maxlen=4)
    assert sorted([*y_train, *y_test]) == [1, 3, 5, 6]
    assert all(len(row) < 4 for row in [*x_train, *x_test])
    with pytest.raises(ValueError, match="Increase maxlen"):
        module.load_data(maxlen=1)


def test_splits(texts):
    assert [len(part[0]) for part in imdb.load_data()] == [5, 3]
    assert [len(part[0]) for part in reuters.load_data()] == [6, 2]
    assert [len(part[0]) for part in reuters.load_data(test_split=0.5)] == [4, 4]
    with pytest.raises(ValueError, match="test_split"):
        reuters.load_data(test_split=-0.1)


@pytest.mark.parametrize("module", [imdb, reuters])
def test_word_index(texts, module):
    assert module.get_word_index() == {"the": 1, "of": 2}


def test_topics():
    names = reuters.get_label_names()
    assert len(names) == len(set(names)) == 46
    assert names[3] == "earn"
