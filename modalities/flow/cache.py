"""Computed flow kept on disk, so that a film's flow is computed once and not in every epoch."""

import hashlib
import logging
import os
import struct
import tempfile
import time
from collections.abc import Hashable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from ...errors import InputError
from .compression import compress, expand

SWITCH = "PRETEXTO_FLOW_CACHE"
DEFAULT_GB = 10.0
_HEAD = struct.Struct("<ii")
_LOOK = 32  # shares of the limit after which a process counts what all have written
_STALE = 3600  # seconds after which what a dead process has left may go
_log = logging.getLogger(__name__)


class FlowCache:
    """Fields of flow in files of a folder, which many processes may share.

    Those that were not used for longest go when there is no room. What cannot be written is named
    once, and flow is then computed every time.

    Args:
        folder: made when first needed.
        limit: bytes that the files may take together, about: each process looks again after it
            has written 1/32 of that.
    """

    def __init__(self, folder: Path, limit: int):
        self.folder, self.limit = folder, limit
        self._since = limit  # bytes written since the last look: the first comes at once
        self._broken = False

    def get(self, key: tuple[Hashable, ...]) -> Tensor | None:
        """The field float32 [2, H, W] of this key, if it is there and whole."""
        path = self._path(key)
        with suppress(OSError, ValueError, struct.error):
            data = path.read_bytes()
            os.utime(path)
            return expand(data[_HEAD.size :], *_HEAD.unpack(data[: _HEAD.size]))
        return None

    def put(self, key: tuple[Hashable, ...], field: Tensor) -> Tensor:
        """Keeps a field; gives it back as `get` will, whether it could be kept or not."""
        data = compress(field)
        size = (field.shape[1], field.shape[2])
        if not self._broken:
            try:
                self._write(self._path(key), _HEAD.pack(*size) + data)
            except OSError as error:
                self._broken = True
                _log.warning(
                    "%s: flow cannot be kept (%s); it is computed every time. Make room, set "
                    "PRETEXTO_CACHE to another folder, or %s=0",
                    self.folder,
                    error.strerror or error,
                    SWITCH,
                )
        return expand(data, *size)

    def _path(self, key: tuple[Hashable, ...]) -> Path:
        name = hashlib.sha256(repr(key).encode()).hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.flow"

    def _write(self, path: Path, data: bytes) -> None:
        if self._since >= self.limit // _LOOK:
            self._make_room()
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(suffix=".part", dir=path.parent)
        try:
            with open(number, "wb") as file:
                file.write(data)
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(part)
            raise
        self._since += len(data)

    def _make_room(self) -> None:
        """Deletes what was not used for longest, to a little below the limit."""
        self._since = 0
        found = []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                state = path.stat()
                if path.suffix == ".part" and state.st_mtime > time.time() - _STALE:
                    continue  # somebody is writing it
                used = 0.0 if path.suffix == ".part" else state.st_mtime
                found.append((used, state.st_size, path))
        total = sum(size for _, size, _ in found)
        room = self.limit - 2 * self.limit // _LOOK
        for used, size, path in sorted(found, key=lambda entry: entry[0]):
            if total <= room and used:
                break
            with suppress(OSError):
                path.unlink()
            total -= size


def shared_cache() -> FlowCache | None:
    """The cache of this machine: `$PRETEXTO_FLOW_CACHE` gigabytes, 10 unless it says otherwise, in
    the folder `flow` of `$PRETEXTO_CACHE`; None for 0.

    Raises:
        InputError: `$PRETEXTO_FLOW_CACHE` is no size.
    """
    root = os.environ.get("PRETEXTO_CACHE") or str(Path.home() / ".cache" / "pretexto")
    return _cache(os.environ.get(SWITCH, ""), root)


@lru_cache(maxsize=4)
def _cache(size: str, root: str) -> FlowCache | None:
    try:
        gigabytes = float(size) if size else DEFAULT_GB
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < 1e9:
        raise InputError(f"{SWITCH}={size}: give a number of gigabytes, or 0 for no cache")
    return FlowCache(Path(root) / "flow", int(gigabytes * 1e9)) if gigabytes else None
