"""The manifest of a pack: its settings, its files with their hashes, and what was left out."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .records import replace

NAME = "manifest.json"
INDEX = "index.parquet"
_FORMAT = "pretexto-packs-1"
_SHARD = re.compile(r"shard-\d{5,9}\.arrow")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a pack: name within the folder, bytes and SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack folder holds.

    Attributes:
        settings: see `PackSettings`.
        source: SHA-256 of the index that was packed, and which of its rows.
        index: the table of clips.
        shards: in the order of their numbers.
        quarantine: path, stage and reason of each file that could not be packed.
    """

    settings: dict[str, Any]
    source: dict[str, Any]
    index: File
    shards: tuple[File, ...]
    quarantine: tuple[dict[str, str], ...]

    def text(self) -> str:
        """As it stands in the folder: one manifest has one text, with a hash of its own."""
        values = {"format": _FORMAT, **asdict(self)}
        bare = json.dumps(values, sort_keys=True).encode()
        values["sha256"] = hashlib.sha256(bare).hexdigest()
        return json.dumps(values, indent=1, sort_keys=True) + "\n"

    def write(self, folder: Path) -> None:
        """Puts it into the folder, whole or not at all."""
        part = folder / f"{NAME}.part"
        part.write_text(self.text(), encoding="utf-8")
        replace(part, folder / NAME)


def read_manifest(path: Path, where: str) -> Manifest:
    """Reads and checks a manifest.

    Args:
        path: of the file.
        where: the pack, for messages.

    Raises:
        InputError: no manifest, or one that names files outside its folder.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != _FORMAT:
            raise ValueError("made by another version of pretexto")
        values.pop("sha256")
        values["index"] = _file(values["index"], INDEX)
        names = [f"shard-{k:05d}.arrow" for k in range(len(values["shards"]))]
        values["shards"] = tuple(map(_file, values["shards"], names))
        values["quarantine"] = tuple(values["quarantine"])
        return Manifest(**values)
    except OSError as error:
        raise InputError(f"{where}: no pack: {NAME} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {NAME} is damaged ({error}); pack again") from None


def _file(value: dict[str, Any], name: str) -> File:
    file = File(**value)
    shard = name == INDEX or _SHARD.fullmatch(file.name)
    if file.name != name or not shard or not _HASH.fullmatch(file.sha256):
        raise ValueError(f"{name} expected, found {file.name!r}")
    return file


def verify(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Reads every byte of a pack; yields each file's name and what is wrong with it, or None.

    Raises:
        InputError: no manifest to compare with.
    """
    manifest = read_manifest(folder / NAME, str(folder))
    same = (folder / NAME).read_bytes() == manifest.text().encode()
    yield NAME, None if same else "is not as it was written"
    for file in (manifest.index, *manifest.shards):
        yield file.name, _fault(folder / file.name, file)


def _fault(path: Path, file: File) -> str | None:
    try:
        found = describe(path)
    except OSError as error:
        return error.strerror or str(error)
    if found.bytes != file.bytes:
        return f"has {found.bytes} bytes instead of {file.bytes}"
    return None if found.sha256 == file.sha256 else "has other content than was written"


def describe(path: Path) -> File:
    """Name, size and hash of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File(path.name, path.stat().st_size, digest)
