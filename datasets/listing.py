"""What an index is made of: the media of a folder, or those that a published set lists."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from .labels import Place, find_places, places_of
from .published import is_published, open_published
from .scan import find_media


@dataclass(frozen=True, slots=True)
class Listing:
    """Label, group and split of each file to be indexed, and what is left out.

    Attributes:
        root: folder to which the files' names are relative.
        places: by name, in the order of the rows.
        classes: the labels in order; None: those of the readable files.
        others: files that are no media, by suffix.
        absent: files that only the table has.
        misnamed: files whose names are no text, which no index can hold.
    """

    root: Path
    places: dict[str, Place]
    classes: tuple[str, ...] | None = None
    others: Counter[str] = field(default_factory=Counter)
    absent: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)


def list_media(spec: str | os.PathLike, table: str | os.PathLike | None = None) -> Listing:
    """The files of a folder, or of a published data set as "ucf101-1:PATH".

    Args:
        spec: which.
        table: CSV file with the folder's labels, groups and splits; see `find_places`.

    Raises:
        InputError: no media, a folder or lists that cannot be read, or a table beside a
            published set.
    """
    if is_published(str(spec)):
        if table:
            raise InputError(f"{spec}: --table applies to folders only; leave it out")
        source = open_published(str(spec))
        places = places_of(source)
        misnamed = [name for name in places if not _is_text(name)]
        kept = {name: place for name, place in places.items() if _is_text(name)}
        return Listing(source.path, kept, source.classes, misnamed=misnamed)
    root = Path(spec)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give one, or a published set as ucf101-1:PATH")
    media, others = find_media(root)
    names = [name for name in media if _is_text(name)]
    if not names:
        raise InputError(f"{root}: no media files in it (others: {dict(others) or 'none'})")
    places, absent = find_places(root, names, Path(table) if table else None)
    misnamed = [name for name in media if not _is_text(name)]
    return Listing(root, places, None, others, absent, misnamed)


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, as Arrow's strings are."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)
