"""Where the files of a pack lie: a folder, or anything fsspec reaches, with a bounded cache."""

import hashlib
import os
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...modalities.media import MediaError
from ..cache import cache_root
from .format import File, describe

DEFAULT_CACHE = 50 * 2**30


class Storage(ABC):
    """Gives the files of one folder as local paths."""

    @abstractmethod
    def fetch(self, name: str) -> Path:
        """A file that has no known hash, fresh."""

    @abstractmethod
    def get(self, file: File) -> Path:
        """A file with a known hash. Raises MediaError if it cannot be had or is damaged."""


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
    """Files behind a URL, copied here whole when first needed, oldest copies dropped.

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
        self._download(name, path, None)
        return path

    def get(self, file: File) -> Path:
        path = self.cache / f"{file.sha256}{os.path.splitext(file.name)[1]}"
        try:
            os.utime(path)  # marks it as used
        except FileNotFoundError:
            self._download(file.name, path, file)
            self._drop_oldest(path)
        return path

    def _download(self, name: str, path: Path, file: File | None) -> None:
        import fsspec

        where = f"{self.url}/{name}"
        handle, part = tempfile.mkstemp(dir=self.cache, suffix=".part")
        os.close(handle)
        try:
            # Opened anew in each process: connections do not survive a fork.
            system, inside = fsspec.url_to_fs(where, **self.options)
            system.get_file(inside, part)
            if file and describe(Path(part)).sha256 != file.sha256:
                raise MediaError(where, "open", "arrived with other content than was written")
            os.replace(part, path)
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = f"cannot be fetched ({type(error).__name__}: {error})"
            raise MediaError(where, "open", " ".join(reason.split())[:300]) from error
        except ImportError as error:
            raise InputError(f"{where}: {error}; install the fsspec package it names") from None
        finally:
            Path(part).unlink(missing_ok=True)

    def _drop_oldest(self, keep: Path) -> None:
        """Deletes what was not used for longest until the rest fits the limit."""
        found = []
        for path in self.cache.iterdir():
            if path.suffix in (".arrow", ".parquet"):
                try:
                    status = path.stat()
                except FileNotFoundError:  # another process was faster
                    continue
                found.append((path == keep, status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, _, size, _ in found)
        for newest, _, size, path in sorted(found):
            if total <= self.limit or newest:
                return
            # Processes that have it open keep what they have mapped.
            path.unlink(missing_ok=True)
            total -= size


def is_url(spec: str) -> bool:
    """Whether a specification names a place that fsspec reaches."""
    return "://" in spec
