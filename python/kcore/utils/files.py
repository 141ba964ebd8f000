"""Downloading, checking and unpacking files into the cache under ``~/.keras``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from .progbar import Progbar

if TYPE_CHECKING:
    import tarfile

# Networking and archives are imported where they are used: most programs need neither.

_CHUNK = 1 << 18
_TIMEOUT = 60  # seconds without an answer


def cache_home() -> str:
    """The cache: ``$KERAS_HOME``, else ``~/.keras``, else (not writeable) a temporary one."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    parent = home if os.path.isdir(home) else os.path.dirname(home) or "."
    if os.access(parent, os.W_OK):
        return home
    import tempfile

    return os.path.join(tempfile.gettempdir(), f".keras-{os.getuid() if hasattr(os, 'getuid') else 'user'}")


def _algorithm(file_hash: str, algorithm: str) -> str:
    if algorithm == "auto":
        return "sha256" if len(file_hash) == 64 else "md5"
    if algorithm not in ("sha256", "md5"):
        raise ValueError(f"`hash_algorithm` must be 'auto', 'sha256' or 'md5', got {algorithm!r}.")
    return algorithm


def hash_file(fpath: str, algorithm: str = "sha256", chunk_size: int = 65535) -> str:
    """The file's ``'sha256'`` or ``'md5'`` digest in hexadecimal."""
    import hashlib

    digest = hashlib.new(_algorithm("", algorithm))
    with open(fpath, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()


def validate_file(fpath: str, file_hash: str, algorithm: str = "auto", chunk_size: int = 65535) -> bool:
    """Whether the file has the given digest (``'auto'`` tells sha256 from md5 by its length)."""
    return hash_file(fpath, _algorithm(file_hash, algorithm), chunk_size) == str(file_hash).lower()


def get_file(
    fname: str | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: str | list[str] | None = "auto",
    cache_dir: str | None = None,
    force_download: bool = False,
) -> str:
    """The path of a file that is downloaded unless the cache has it already.

    Args:
        fname: name in the cache; by default the last part of ``origin``. An absolute path is taken as it is.
        origin: URL (``https:``, ``http:``, ``ftp:`` or ``file:``).
        untar: the download is a tar archive of a directory called ``fname``, whose path is returned.
        md5_hash: an older name of ``file_hash``.
        file_hash: expected sha256 or md5. A cached file with another digest is downloaded anew.
        cache_subdir: directory under ``cache_dir``, or an absolute path.
        hash_algorithm: ``"auto"``, ``"sha256"`` or ``"md5"``.
        extract: unpack an archive beside itself.
        archive_format: ``"auto"`` (tar or zip), ``"tar"``, ``"zip"``, a list of these, or ``None``.
        cache_dir: default ``~/.keras``.
        force_download: download even if the cache has it.

    Raises:
        ValueError: the download hasn't the expected digest, or an archive would write outside its directory.
        OSError: the URL can't be read.
    """
    if origin is None:
        raise ValueError("get_file needs `origin`, the URL to download from.")
    if fname is None:
        from urllib.parse import urlsplit

        fname = os.path.basename(urlsplit(origin).path)
        if not fname:
            raise ValueError(f"Can't infer a file name from origin={origin!r}; pass `fname`.")
    file_hash = file_hash or md5_hash
    directory = os.path.join(cache_dir or cache_home(), cache_subdir)
    os.makedirs(directory, exist_ok=True)
    unpacked = os.path.join(directory, fname)
    fpath = unpacked + ".tar.gz" if untar else unpacked

    if untar and os.path.isdir(unpacked) and not os.path.exists(fpath) and not force_download:
        return unpacked  # the archive was removed after it had been unpacked
    valid = os.path.exists(fpath)
    if valid and file_hash is not None and not validate_file(fpath, file_hash, hash_algorithm):
        print(f"The cached {fpath} doesn't match its expected hash and is downloaded again.")
        valid = False
    if force_download or not valid:
        _download(origin, fpath, file_hash, hash_algorithm)

    if untar:
        if not os.path.exists(unpacked) or force_download:
            _extract(fpath, directory, "tar")
        return unpacked
    if extract:
        _extract(fpath, directory, archive_format)
    return fpath


def _download(origin: str, fpath: str, file_hash: str | None, hash_algorithm: str) -> None:
    """Writes beside the target and renames, so that no reader and no later run ever sees half a file."""
    import tempfile
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    print(f"Downloading data from {origin}")
    handle, partial = tempfile.mkstemp(dir=os.path.dirname(fpath), prefix=os.path.basename(fpath) + ".")
    try:
        with os.fdopen(handle, "wb") as file, urlopen(origin, timeout=_TIMEOUT) as response:
            length = int(response.headers.get("Content-Length") or 0)
            progress = Progbar(length or None, unit_name="B")
            received = 0
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
                progress.update(received, finalize=False)
            if length and received != length:
                raise OSError(f"Download of {origin} broke off: got {received} of {length} bytes.")
            progress.update(received, finalize=True)
        if file_hash is not None and not validate_file(partial, file_hash, hash_algorithm):
            found = hash_file(partial, _algorithm(file_hash, hash_algorithm))
            raise ValueError(
                f"The file downloaded from {origin} was discarded: its hash is {found}, not {file_hash}."
            )
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, fpath)
    except HTTPError as error:
        raise OSError(f"Download of {origin} failed: HTTP {error.code} {error.reason}") from error
    except URLError as error:
        raise OSError(f"Download of {origin} failed: {error.reason}") from error
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _extract(fpath: str, directory: str, archive_format: str | list[str] | None) -> bool:
    """Unpacks an archive into the directory, if it is one: first aside, then moved in whole."""
    import shutil
    import tarfile
    import tempfile
    import zipfile

    formats = ["tar", "zip"] if archive_format == "auto" else archive_format
    if isinstance(formats, str):
        formats = [formats]
    for kind in formats or ():
        if kind not in ("tar", "zip"):
            raise ValueError(f"`archive_format` must be of 'auto', 'tar', 'zip' or None, got {kind!r}.")
        if not (tarfile.is_tarfile if kind == "tar" else zipfile.is_zipfile)(fpath):
            continue
        with tempfile.TemporaryDirectory(dir=directory) as aside:
            if kind == "tar":
                with tarfile.open(fpath) as archive:
                    if hasattr(tarfile, "data_filter"):  # from 3.10.12 and 3.11.4 on
                        archive.extraction_filter = tarfile.data_filter
                    archive.extractall(aside, members=_checked_members(archive, fpath))
            else:
                with zipfile.ZipFile(fpath) as archive:
                    archive.extractall(aside)
            for source in sorted(Path(aside).rglob("*")):
                target = Path(directory) / source.relative_to(aside)
                if source.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    shutil.move(source, target)
        return True
    return False


def _checked_members(archive: tarfile.TarFile, fpath: str) -> list[tarfile.TarInfo]:
    """The archive's plain files and directories; anything that would write elsewhere is an error."""
    members = []
    for member in archive:
        parts = Path(member.name).parts
        if member.name.startswith(("/", "\\")) or ".." in parts:
            raise ValueError(
                f"{fpath} holds {member.name!r}, which lies outside its directory; it wasn't unpacked."
            )
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"{fpath} holds {member.name!r}, a link or device; it wasn't unpacked.")
        member.mode = 0o755 if member.isdir() else 0o644
        members.append(member)
    return members
