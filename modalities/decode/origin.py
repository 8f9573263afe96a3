"""Where a medium's bytes come from: a file, bytes in memory, an open file object or a URL."""

import hashlib
import io
import itertools
import os
import stat
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO
from weakref import WeakKeyDictionary

from ...errors import InputError
from ..media import MediaError
from .failures import failing

_WHOLE = 2**23  # bytes of a medium up to which all of them count for its digest
_PIECES, _PIECE = 64, 2**16  # and how many of how many bytes beyond
Readable = str | os.PathLike | bytes | BinaryIO


@dataclass(frozen=True, slots=True)
class Origin:
    """A medium that is not open yet.

    Attributes:
        name: of the medium, for messages.
        key: changes when the content does.
        size: bytes.
        path: of a file on this machine, None of anything else.
        open: gives a binary file object at its start, which the caller closes.
    """

    name: str
    key: tuple[Hashable, ...]
    size: int
    path: str | None
    open: Callable[[], BinaryIO]

    def for_ffmpeg(self) -> Any:
        """What `av.open` takes: a name with a colon in it is not to be taken for a URL."""
        return self.open() if self.path is None else f"file:{self.path}"

    def content(self) -> tuple[Hashable, ...] | None:
        """What the content is known by, wherever it lies.

        A digest of all bytes, beyond 8 MiB of 64 pieces from end to end; of a URL what its store
        knows it by; None of a file object, which somebody else may be reading.
        """
        if self.path is not None:
            return (_digest_of_file(*self.key),)
        if self.key[0] == "bytes":
            return (_digest(self.open(), self.size),)
        return None if self.key[0] == "object" else self.key


@lru_cache(2**16)
def _digest_of_file(path: str, modified: int, size: int) -> str:
    with failing(path, "open"), open(path, "rb") as file:
        return _digest(file, size)


def _digest(file: BinaryIO, size: int) -> str:
    digest = hashlib.blake2b(b"%d" % size, digest_size=16)
    if size <= _WHOLE:
        digest.update(file.read())
    else:
        for k in range(_PIECES):
            file.seek(k * (size - _PIECE) // (_PIECES - 1))
            digest.update(file.read(_PIECE))
    return digest.hexdigest()


def origin_of(medium: Readable) -> Origin:
    """Where the bytes of this medium come from.

    Args:
        medium: a path; the file's bytes; a binary file object, which is left open, its position
            changed; or a URL that fsspec understands, such as s3://bucket/film.mp4.

    Raises:
        MediaError: no such thing, or one that is no regular file.
        InputError: a URL for which a package is missing, or something else altogether.
    """
    if isinstance(medium, (bytes, bytearray, memoryview)):
        data = bytes(medium)
        key = ("bytes", len(data), hash(data))
        return Origin(f"<{len(data)} bytes>", key, len(data), None, lambda: io.BytesIO(data))
    if isinstance(medium, (str, os.PathLike)):
        path = os.fspath(medium)
        return _remote(path) if is_url(path) else _local(path)
    if hasattr(medium, "read"):
        return _of_object(medium)
    raise InputError(
        f"a medium is a path, a URL, bytes or a file object, not {type(medium).__name__}"
    )


def is_url(spec: str) -> bool:
    """Whether a specification names a place that fsspec reaches."""
    return "://" in spec


def _local(path: str) -> Origin:
    with failing(path, "open"):
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError("a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for somebody to write into it.
            raise ValueError("no regular file, but a pipe or a device; save it to a file")
    key = (path, status.st_mtime_ns, status.st_size)
    return Origin(path, key, status.st_size, path, lambda: open(path, "rb"))


def _remote(url: str) -> Origin:
    import fsspec

    try:
        with failing(url, "open"):
            system, inside = fsspec.url_to_fs(url)
            if "file" in (system.protocol, *system.protocol):
                return _local(inside)
            size = int(system.info(inside)["size"] or 0)
            key = (url, size, system.ukey(inside))
    except MediaError as error:
        if isinstance(error.__cause__, ImportError):
            raise InputError(
                f"{url}: {error.__cause__}; install the fsspec package it names"
            ) from None
        raise
    return Origin(url, key, size, None, lambda: system.open(inside, "rb"))


class _Borrowed(io.RawIOBase):
    """A file object of the caller's, from its start, that closing leaves open."""

    def __init__(self, file: BinaryIO):
        self._file = file
        file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


_numbers: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_next = itertools.count()


def _of_object(file: Any) -> Origin:
    """A file object is known by a number of its own: its address may be another's tomorrow."""
    named = getattr(file, "name", None)
    name = named if isinstance(named, str) else "<file object>"
    with failing(name, "open"):
        if not file.seekable():
            return origin_of(file.read())
        size = file.seek(0, io.SEEK_END)
    try:
        number = _numbers.setdefault(file, next(_next))
    except TypeError:  # it cannot be remembered: what is learnt of it serves one reading
        number = next(_next)
    return Origin(name, ("object", number, size), size, None, lambda: _Borrowed(file))  # type: ignore
