"""Files and folders that are made once: whole or not at all, by one process at a time."""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..progress import progress

_CHUNK = 1 << 20


def cache_root() -> Path:
    """`$PRETEXTO_CACHE`, else `~/.cache/pretexto`."""
    chosen = os.environ.get("PRETEXTO_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pretexto"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `make(folder)` if it is not there.

    It is made under another name and then renamed: an interrupted run leaves nothing behind
    that a later one could mistake for the whole. Of two processes the second waits for the first.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = cache_root() / name
    if folder.is_dir():
        return folder
    with ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder))
            part = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=folder.parent))
        except OSError as error:
            raise InputError(
                f"{folder.parent}: the cache cannot be written ({error.strerror or error}); "
                "set PRETEXTO_CACHE to a folder that can"
            ) from error
        try:
            if not folder.is_dir():
                make(part)
                part.chmod(0o755)
                part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


@contextmanager
def locked(path: Path, refusal: str | None = None) -> Iterator[None]:
    """Holds a file or folder for this process; a hidden file beside it stands for the lock.

    Args:
        path: what is held; it need not be there.
        refusal: what to say if another process holds it; None: wait for it.

    Raises:
        InputError: another process holds it.
        OSError: no file can be made there.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if refusal is None else 0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(refusal or "") from None
    try:
        yield
    finally:
        # While it is held: a process that opened it meanwhile sees that it is gone, and retries.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def sha256(path: str | os.PathLike, label: str = "") -> str:
    """SHA-256 of a file in hexadecimal; with a label its progress is shown. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        chunks = iter(lambda: file.read(_CHUNK), b"")
        if label:
            chunks = progress(chunks, os.path.getsize(path) // _CHUNK + 1, label)
        for chunk in chunks:
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Writes as a whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Process and thread keep two writers from sharing one temporary file.
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    part.write_text(text, encoding="utf-8")
    replace(part, path)


def replace(part: Path, out: Path) -> None:
    """Puts a finished file in its place, so that it is there whole or not at all."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, out)
