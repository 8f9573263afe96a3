"""Where the files of a pack lie: a folder, or anything fsspec reaches, with a bounded cache."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...errors import InputError
from ...modalities.media import MediaError
from ..cache import cache_root
from .claims import alone, claimed, claiming
from .format import File, describe

DEFAULT_CACHE = 50 * 2**30

Claim = Callable[[Collection[File]], None]


class Storage(ABC):
    """Gives the files of one folder as local paths."""

    @abstractmethod
    def fetch(self, name: str) -> Path:
        """A file that has no known hash, fresh."""

    @abstractmethod
    def get(self, file: File) -> Path:
        """A file with a known hash. Raises MediaError if it cannot be had or is damaged."""

    def claiming(self) -> AbstractContextManager[Claim]:
        """Gives what says which files are needed from now on: they stay while others can go."""
        return nullcontext(lambda files: None)

    def room(self, index: File, most: int) -> int | None:
        """How many files of at most this size, beside the index, stay there; None: all."""
        return None


class LocalFolder(Storage):
    """Files that lie here."""

    def __init__(self, folder: Path):
        self.folder = folder

    def fetch(self, name: str) -> Path:
        return self.folder / name

    def get(self, file: File) -> Path:
        path = self.folder / file.name
        if not path.is_file() or path.stat().st_size != file.bytes:
            reason = "is missing or cut short; `pretexto pack --verify` tells more"
            raise MediaError(str(path), "open", reason)
        return path


class RemoteFolder(Storage):
    """Files behind a URL, copied here whole when first needed; old copies are dropped.

    Args:
        url: that fsspec understands, such as s3://bucket/folder.
        cache: folder for the copies; one folder may serve many packs and processes.
        limit: bytes that the copies may take together; one file is always kept.
        options: for fsspec's file system (keys, endpoint).
    """

    def __init__(
        self,
        url: str,
        *,
        cache: Path | None = None,
        limit: int = DEFAULT_CACHE,
        options: dict[str, Any] | None = None,
    ):
        self.url, self.limit, self.options = url.rstrip("/"), limit, options or {}
        self.cache = cache or cache_root() / "packs"
        self.cache.mkdir(parents=True, exist_ok=True)

    def fetch(self, name: str) -> Path:
        key = hashlib.sha256(f"{self.url}/{name}".encode()).hexdigest()
        path = self.cache / f"{key}.manifest"
        with FileLock(f"{path}.lock"):
            self._download(name, path, None)
        return path

    def get(self, file: File) -> Path:
        path = self._copy(file)
        if not _used(path):
            # Whoever comes second waits, and finds the copy. The system frees a dead one's lock.
            with FileLock(f"{path}.lock"):
                if not _used(path):
                    self._make_room(path, file.bytes)
                    self._download(file.name, path, file)
        return path

    @contextmanager
    def claiming(self) -> Iterator[Claim]:
        with claiming(self.cache) as claim:
            yield lambda files: claim([self._copy(file).name for file in files])

    def room(self, index: File, most: int) -> int | None:
        return max((self.limit - index.bytes) // most, 0)

    def _copy(self, file: File) -> Path:
        """Where the copy of a file lies, if it is here."""
        return self.cache / f"{file.sha256}{os.path.splitext(file.name)[1]}"

    def _download(self, name: str, path: Path, file: File | None) -> None:
        import fsspec

        where = f"{self.url}/{name}"
        part = _part(path, file.bytes if file else 0)
        try:
            # Opened anew in each process: connections do not survive a fork.
            system, inside = fsspec.url_to_fs(where, **self.options)
            system.get_file(inside, str(part))
            if file and describe(part).sha256 != file.sha256:
                raise MediaError(where, "open", "arrived with other content than was written")
            with alone(self.cache):
                os.replace(part, path)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = f"cannot be fetched ({type(error).__name__}: {error})"
            raise MediaError(where, "open", " ".join(reason.split())[:300]) from error
        except ImportError as error:
            raise InputError(f"{where}: {error}; install the fsspec package it names") from None
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, path: Path, size: int) -> None:
        """Deletes what was not used for longest until a file of this size fits the limit too.

        Downloads under way count as whole; what a dead process has left of one goes first. What is
        claimed goes after all that is not.
        """
        with alone(self.cache):
            for left in self.cache.glob("*.part"):
                if _is_abandoned(left, path):
                    left.unlink(missing_ok=True)
            total = size + sum(int(p.name.rsplit(".", 2)[1]) for p in self.cache.glob("*.part"))
            held = sorted(_copies(self.cache, claimed(self.cache)))
            total += sum(bytes_ for _, _, bytes_, _ in held)
            for _, _, bytes_, copy in held:
                if total <= self.limit:
                    break
                # Processes that have it open keep what they have mapped, until their next shard.
                copy.unlink(missing_ok=True)
                total -= bytes_
            # From now on it counts for others, who cannot take its room.
            _part(path, size).touch()


def _used(path: Path) -> bool:
    """Marks a copy as used now; False if there is none."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _part(path: Path, size: int) -> Path:
    """What holds a download until it is whole: its name says how large that will be."""
    return path.with_name(f"{path.name}.{size}.part")


def _is_abandoned(part: Path, mine: Path) -> bool:
    """Whether nobody is downloading any more what this part was to become."""
    path = part.with_name(part.name.rsplit(".", 2)[0])
    if path == mine:
        return True
    try:
        with FileLock(f"{path}.lock", timeout=0):
            return True
    except Timeout:
        return False


def _copies(cache: Path, needed: set[str]) -> Iterator[tuple[int, int, int, Path]]:
    """How late each copy is to go, when it was used last, its bytes and its path.

    Readers come back to an index, small as it is, all the time: it goes last.
    """
    for path in cache.iterdir():
        if path.suffix in (".arrow", ".parquet"):
            with suppress(FileNotFoundError):  # somebody empties the cache
                status = path.stat()
                late = 2 if path.suffix == ".parquet" else int(path.name in needed)
                yield late, status.st_mtime_ns, status.st_size, path


def is_url(spec: str) -> bool:
    """Whether a specification names a place that fsspec reaches."""
    return "://" in spec
