"""A list of media as a source: the files that a CSV, TSV, text or JSON lines file names."""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..modalities.decode.sandbox import Limits
from ..modalities.media import Kind
from .annotations import LISTS, SPLITS, Table, read_table
from .class_list import classes_of, name_classes
from .lookup import Names, located, of_kind
from .paths import leaves_folder
from .source import Entry, Files
from .suffixes import kind_of

_log = logging.getLogger(__name__)


class ListFile(Files):
    """The media that a list names, in its order.

    Paths count from the list's folder, else from the folder above, the working directory or a
    folder beside the list, whichever holds the first file; or they are absolute. What the
    columns mean, `annotations.read_table` says. Numbers of classes are named by a class list
    (classInd.txt, class_ind.txt, classes.txt …) beside the list. A list called train, val or
    test, as trainlist01.txt or kinetics_val.csv, says the split of its rows.

    Args:
        path: the list, or a folder in which lists called train, val or test lie.
        root: folder that relative paths count from.
        classes: the list of classes.
        kind: "video", "audio" or "image": which files to take, where there are several kinds.
        fold: the column that names the splits.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, files that are not there, or media of several
            kinds and none chosen.
    """

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        *,
        classes: str | Path | None = None,
        kind: Kind | None = None,
        fold: str | None = None,
        isolated: Limits | None = None,
    ):
        where = Path(path)
        files = lists_in(where) if where.is_dir() else [where]
        if not files:
            raise InputError(f"{where}: no list called train, val or test lies there")
        tables = [read_table(file, fold) for file in files]
        folder = Path(root) if root else find_root(tables)
        remedy = f"remove the rows, or name the folder as {where}:FOLDER"
        found = [_split_by_name(located(table, folder, remedy), table.file) for table in tables]
        entries = [entry for part in found for entry in part]
        entries, names = name_classes(entries, tables[0], folder, classes)
        taken = set(of_kind({e.path: _kind(e.path) for e in entries}, kind, where))
        entries = [entry for entry in entries if entry.path in taken]
        if several := sum(len(entry.labels) > 1 for entry in entries):
            _log.info("%s: %d of %d media have several labels", where, several, len(entries))
        super().__init__(
            folder, entries, names or classes_of(entries), title=where.stem, isolated=isolated
        )


def lists_in(folder: Path) -> list[Path]:
    """The lists in a folder that are called train, val or test, in this order."""
    found = {part: [] for part in ("train", "val", "test")}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in LISTS and _part(file) and file.is_file():
            found[_part(file)].append(file)
    return [file for files in found.values() for file in files]


def _kind(name: str) -> Kind:
    kind = kind_of(name)
    assert kind is not None  # `located` has looked
    return kind


def find_root(tables: Sequence[Table]) -> Path:
    """The folder that the paths of lists count from. Raises InputError if they are of two kinds."""
    home = tables[0].file.parent
    paths = [entry.path for table in tables for entry in table.entries]
    absolute = [path for path in paths if Path(path).is_absolute()]
    if absolute:
        if len(absolute) < len(paths):
            file = tables[0].file
            raise InputError(f"{file}: some paths are absolute, some not; write all alike")
        above = Path(os.path.commonpath([os.path.dirname(path) for path in absolute]))
        inside = home.resolve()
        return inside if above.is_relative_to(inside) else above
    beside = sorted(entry for entry in home.iterdir() if entry.is_dir())
    for folder in (home, home.parent, Path(), *beside):
        if _exists(folder, paths[0]):
            return folder
    return home


def _exists(folder: Path, name: str) -> bool:
    return not leaves_folder(name) and bool(Names(folder).find(name))


def _split_by_name(entries: list[Entry], file: Path) -> list[Entry]:
    """Rows get the split that the list's name says, where no column says any."""
    if any(entry.split for entry in entries):
        return entries
    return [replace(entry, split=_part(file)) for entry in entries]


def _part(file: Path) -> str:
    """The split that a list's name says, as trainlist01.txt and kinetics400_val_list.txt do."""
    words = re.split(r"[^a-z]+", file.stem.lower().replace("list", " "))
    return next((SPLITS[word] for word in words if word in SPLITS), "")


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
