import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from kcore.utils import get_file, validate_file
from kcore.utils.files import cache_home, hash_file


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source" / "data.bin"
    path.parent.mkdir()
    path.write_bytes(b"kernel" * 100_000)
    return path


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_download_is_cached(source, cache, capsys):
    path = get_file("copy.bin", source.as_uri(), cache_dir=cache, file_hash=sha256(source))
    assert path == os.path.join(cache, "datasets", "copy.bin")
    assert sha256(path) == sha256(source)
    source.unlink()
    assert get_file("copy.bin", "file:///gone", cache_dir=cache) == path
    assert capsys.readouterr().out.count("Downloading") == 1


def test_the_name_comes_from_the_url(source, cache):
    assert Path(get_file(origin=source.as_uri(), cache_dir=cache, cache_subdir="x")).name == "data.bin"
    with pytest.raises(ValueError, match="fname"):
        get_file(origin="file:///")
    with pytest.raises(ValueError, match="origin"):
        get_file("a")


def test_a_wrong_hash_leaves_nothing_behind(source, cache):
    with pytest.raises(ValueError, match="discarded"):
        get_file("copy.bin", source.as_uri(), cache_dir=cache, file_hash="0" * 64)
    assert os.listdir(os.path.join(cache, "datasets")) == []


def test_a_damaged_cached_file_is_replaced(source, cache):
    expected = hashlib.md5(source.read_bytes()).hexdigest()
    path = get_file("copy.bin", source.as_uri(), cache_dir=cache)
    Path(path).write_bytes(b"half")
    assert get_file("copy.bin", source.as_uri(), md5_hash=expected, cache_dir=cache) == path
    assert sha256(path) == sha256(source)


def test_force_download(source, cache):
    path = get_file("copy.bin", source.as_uri(), cache_dir=cache)
    source.write_bytes(b"new")
    get_file("copy.bin", source.as_uri(), cache_dir=cache)
    assert Path(path).read_bytes() != b"new"
    get_file("copy.bin", source.as_uri(), cache_dir=cache, force_download=True)
    assert Path(path).read_bytes() == b"new"


def test_an_unreadable_url_is_an_os_error(tmp_path, cache):
    with pytest.raises(OSError, match="failed"):
        get_file("x", (tmp_path / "absent").as_uri(), cache_dir=cache)
    assert os.listdir(os.path.join(cache, "datasets")) == []


def make_tar(path, names, link=None):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)


def test_untar_gives_the_directory(tmp_path, cache):
    make_tar(tmp_path / "a.tar.gz", ["batches/one", "batches/deep/two"])
    directory = get_file("batches", (tmp_path / "a.tar.gz").as_uri(), untar=True, cache_dir=cache)
    assert Path(directory, "one").read_text() == "batches/one"
    assert Path(directory, "deep", "two").exists()
    Path(directory, "one").write_text("mine")
    get_file("batches", "file:///gone", untar=True, cache_dir=cache)
    assert Path(directory, "one").read_text() == "mine"


def test_extract_zip_and_tar(tmp_path, cache):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside/a.txt", "zipped")
    path = get_file("a.zip", (tmp_path / "a.zip").as_uri(), extract=True, cache_dir=cache)
    assert Path(path).name == "a.zip"
    assert (Path(path).parent / "inside" / "a.txt").read_text() == "zipped"
    make_tar(tmp_path / "b.tar", ["b.txt"])
    path = get_file(
        "b.tar", (tmp_path / "b.tar").as_uri(), extract=True, archive_format="tar", cache_dir=cache
    )
    assert (Path(path).parent / "b.txt").exists()
    with pytest.raises(ValueError, match="archive_format"):
        get_file("b.tar", "file:///gone", extract=True, archive_format="rar", cache_dir=cache)


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_an_archive_can_not_write_outside(tmp_path, cache, name):
    make_tar(tmp_path / "bad.tar.gz", ["fine", name])
    with pytest.raises(ValueError, match="outside its directory"):
        get_file("bad", (tmp_path / "bad.tar.gz").as_uri(), untar=True, cache_dir=cache)
    assert os.listdir(os.path.join(cache, "datasets")) == ["bad.tar.gz"]


def test_an_archive_can_not_bring_links(tmp_path, cache):
    make_tar(tmp_path / "bad.tar.gz", ["fine"], link="/etc/passwd")
    with pytest.raises(ValueError, match="link or device"):
        get_file("bad", (tmp_path / "bad.tar.gz").as_uri(), untar=True, cache_dir=cache)


def test_validate_file(source):
    assert validate_file(source, sha256(source))
    assert not validate_file(source, "0" * 64)
    assert validate_file(source, hash_file(source, "md5"), "md5")
    with pytest.raises(ValueError, match="hash_algorithm"):
        validate_file(source, "0", "crc")


def test_cache_home_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert cache_home() == str(tmp_path / "k")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == str(tmp_path / ".keras")
