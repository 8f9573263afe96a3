"""A folder of media as a source: classes from sub-folders, or everything from a CSV table."""

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from ..errors import InputError, some
from ..modalities.decode.sandbox import Limits
from ..modalities.media import Kind
from .annotations import LISTS, SPLITS, Table, read_table
from .class_list import classes_of, name_classes
from .lookup import find_media, located, of_kind
from .source import Entry, Files
from .suffixes import ARCHIVES, SUFFIXES, kind_of

TABLE = "groups.csv"
_log = logging.getLogger(__name__)


class Folder(Files):
    """Media files below a folder, sorted by path. Hidden files are left out.

    Without a table the class is the first-level sub-folder, if there is more than one; media that
    lie beside the class folders have no class, and a line says so. Where the media lie in top
    folders named train, val or test (also training, valid, validation, dev, testing), those are
    the splits, and the classes are the folders below. A table is a list of the media that
    belong, see `annotations.read_table`; empty cells mean unlabelled, a group of its own, no
    split. `groups.csv` in the folder is taken as the table by itself.

    Args:
        path: a folder, or one media file.
        table: a list, looked for as given and then in the folder.
        kind: "video", "audio" or "image": which files to take, where there are several kinds.
        fold: the table's column that names the splits; otherwise "split", or the first column
            whose name starts with "fold".
        isolated: probe and decode in a child process under these limits: for files that nobody
            has looked at yet.

    Raises:
        InputError: nothing there, no media, media of several kinds and none chosen, or a table
            that does not fit the folder.
    """

    def __init__(
        self,
        path: str | Path,
        table: str | Path | None = None,
        *,
        kind: Kind | None = None,
        fold: str | None = None,
        isolated: Limits | None = None,
    ):
        root = Path(path)
        if kind is not None and kind not in get_args(Kind):
            raise InputError(f"no kind {kind!r}; choose {', '.join(get_args(Kind))}")
        _check_there(root)
        if root.is_file():
            root, media = root.parent, _single(root)
            file = table_file(root, table) if table else None
        else:
            file = table_file(root, table)
            media = _of_folder(root)
        found_table = read_table(file, fold) if file else None
        if found_table is None and fold is not None:
            raise InputError(f"{root}: fold={fold!r} needs a table with that column")
        if found_table is None:
            entries, known = from_folders(list(media)), None
        else:
            entries, known = from_table(media, found_table, root)
        taken = set(of_kind({e.path: media[e.path] for e in entries}, kind, root))
        entries = [entry for entry in entries if entry.path in taken]
        if found_table is None:
            _tell_unlabelled(entries, root)
            _tell_unread(root)
        super().__init__(root, entries, known or classes_of(entries), isolated=isolated)


def table_file(root: Path, table: str | Path | None) -> Path | None:
    """The table that is meant, or that lies in the folder by itself. Raises InputError."""
    if table is None:
        file = root / TABLE
        if not file.is_file():
            return None
        _log.info("%s: taken as the table of labels, groups and folds", file)
        return file
    for file in (Path(table), root / table):
        if file.is_file():
            return file
    raise InputError(f"{table}: no such table, neither there nor in {root}")


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such folder or file{nearest(path)}")
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        remedy = (
            "unpack it and give the folder that comes out (--data reads .zip and .tar in place)"
        )
        raise InputError(f"{path}: an archive; {remedy}")


def nearest(path: Path) -> str:
    """What stands beside a path that does not exist, as the end of a message."""
    if not path.parent.is_dir():
        return f" (nor its parent {path.parent})"
    beside = sorted(entry.name for entry in path.parent.iterdir() if entry.name[0] != ".")
    close = difflib.get_close_matches(path.name, beside, 3)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; {path.parent} holds {some(beside)}" if beside else f"; {path.parent} is empty"


def _single(path: Path) -> dict[str, Kind]:
    kind = kind_of(path.name)
    if kind is None:
        known = " ".join(sorted(frozenset().union(*SUFFIXES.values())))
        raise InputError(f"{path}: no medium by its suffix; known are {known}")
    return {path.name: kind}


def _of_folder(path: Path) -> dict[str, Kind]:
    media, others = find_media(path)
    if media:
        return media
    if not others:
        raise InputError(f"{path}: the folder is empty; give one that holds media files")
    counts = ", ".join(f"{n} {suffix or 'without suffix'}" for suffix, n in others.most_common(3))
    archive = any(suffix in ARCHIVES for suffix in others)
    remedy = "unpack the archive" if archive else "give a folder of videos, sounds or images"
    raise InputError(f"{path}: no media in the folder, found files {counts}; {remedy}")


def from_folders(names: list[str]) -> list[Entry]:
    """Classes and splits of files by the folders in which they lie; see `Folder`."""
    parts = {name: tuple(name.split("/")) for name in names}
    inner = {name: part for name, part in parts.items() if len(part) > 1}
    splits = dict.fromkeys(names, "")
    if _rule(inner, names) and all(part[0].lower() in SPLITS for part in inner.values()):
        splits.update({name: SPLITS[part[0].lower()] for name, part in inner.items()})
        parts.update({name: part[1:] for name, part in inner.items()})
        inner = {name: parts[name] for name in inner if len(parts[name]) > 1}
    folders = {part[0] for part in inner.values()}
    labelled = len(folders) > 1 and _rule(inner, names)
    return [
        Entry(name, parts[name][0] if labelled and name in inner else "", "", splits[name])
        for name in names
    ]


def _rule(inner: dict[str, tuple[str, ...]], names: list[str]) -> bool:
    """Whether the files in folders are the rule and those beside them the exception."""
    return 2 * len(inner) > len(names)


def _tell_unread(root: Path) -> None:
    """Names lists in the folder that look as if they were meant."""
    lists = [f.name for f in root.glob("*.*") if f.suffix in LISTS and f.stem.lower() in SPLITS]
    if lists:
        text = "%s: %s not read; give a list itself, as %s, for its labels and parts"
        _log.warning(text, root, some(sorted(lists)), root / min(lists))


def _tell_unlabelled(entries: list[Entry], root: Path) -> None:
    """Says why files have no class, where their folders look as if they had."""
    without = [entry.path for entry in entries if not entry.label]
    folders = {path.split("/")[0] for path in without if "/" in path}
    if without and len(without) < len(entries):
        text = "%s: %d media lie beside the folders of classes and have no class: %s"
        _log.warning(text, root, len(without), some(without))
        return
    if not without:
        return
    if len(folders) > 1 and not folders <= SPLITS.keys():
        _log.warning(
            "%s: unlabelled, as most media lie in no sub-folder; move them into folders of classes",
            root,
        )
    elif len(folders) == 1:
        _log.info(
            "%s: all media of a sub-folder lie in %s; one class says nothing, so: unlabelled",
            root,
            *folders,
        )


def from_table(
    media: Mapping[str, str], table: Table, root: Path, absent: list[str] | None = None
) -> tuple[list[Entry], tuple[str, ...] | None]:
    """The media that a table names, by path, and their classes.

    Args:
        media: kinds by name.
        table: the list.
        root: the folder.
        absent: takes the names of files that are not there; None: they are a mistake.

    Raises:
        InputError: the table names files that are not there, or no media.
    """
    entries = [entry for entry in located(table, root, absent=absent) if entry.path in media]
    listed = {entry.path for entry in entries}
    left_out = [name for name in media if name not in listed]
    if left_out:
        count = len(left_out)
        text = "%s: %d media are not in the table and left out: %s"
        _log.warning(text, table.file, count, some(left_out))
    entries, classes = name_classes(entries, table, root)
    return sorted(entries, key=lambda e: (e.path, e.start or 0, e.end or 0)), classes
