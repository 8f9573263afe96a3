"""Opening a list of media by what stands in it: anybody's, or one that is published with a set."""

from pathlib import Path
from typing import Any

from .annotations import LISTS
from .listed import ListFile
from .source import Files


def is_list(spec: str) -> bool:
    """Whether a specification names a list, as LIST or LIST:FOLDER."""
    return _parts(spec)[0].suffix.lower() in LISTS


def open_list(spec: str, **options: Any) -> Files:
    """The source that a list names, as LIST or LIST:FOLDER; see `ListFile`."""
    file, root = _parts(spec)
    return ListFile(file, root, **options)


def _parts(spec: str) -> tuple[Path, Path | None]:
    """The list, and the folder that its paths count from."""
    file, colon, folder = spec.rpartition(":")
    if colon and Path(file).suffix.lower() in LISTS:
        return Path(file).expanduser(), Path(folder).expanduser()
    return Path(spec).expanduser(), None
