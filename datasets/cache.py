"""Folders that are made once: whole or not at all, also when two processes start together."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError


def cache_root() -> Path:
    """`$PRETEXTO_CACHE`, else `~/.cache/pretexto`."""
    chosen = os.environ.get("PRETEXTO_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pretexto"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `make(folder)` if it is not there.

    It is made under another name and then renamed: an interrupted run leaves nothing behind
    that a later one could mistake for the whole, and of two processes the first to finish wins.

    Raises:
        InputError: the cache cannot be written.
    """
    folder = cache_root() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}.part-", dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the cache cannot be written ({error.strerror}); "
            "set PRETEXTO_CACHE to a folder that can"
        ) from error
    try:
        make(part)
        part.chmod(0o755)
        _publish(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes as a whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process's number keeps two writers from sharing one temporary file.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    os.replace(part, path)


def replace(part: Path, out: Path) -> None:
    """Puts a finished file in its place, so that it is there whole or not at all."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, out)
