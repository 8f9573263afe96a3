"""A folder of media as a source: classes from sub-folders, or everything from a CSV table."""

import difflib
import logging
import os
from collections import Counter
from pathlib import Path
from typing import get_args

from ..errors import InputError, some
from ..modalities.decode.sandbox import Limits
from ..modalities.media import Kind
from .annotations import GROUPS, LABELS, Table, read_table
from .source import Entry, Files

TABLE = "groups.csv"
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_log = logging.getLogger(__name__)


class Folder(Files):
    """Media files below a folder, sorted by path. Hidden files are left out.

    Without a table the class is the first-level sub-folder if all media lie in sub-folders (more
    than one), else the media are unlabelled. Where all media lie in top folders named train,
    val or test (also training, valid, validation, dev, testing), those are the splits, and the
    classes are the folders below. A table lists the media that belong: columns `path` (relative
    to the folder), `class` or `label`, `source_group` or `group`, and `split` or `fold…`; empty
    cells mean unlabelled, a group of its own, no split. `groups.csv` in the folder is taken as
    the table by itself.

    Args:
        path: a folder, or one media file.
        table: a CSV file, looked for as given and then in the folder.
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
            found_table = _table(root, table) if table else None
        else:
            found_table = _table(root, table)
            media = _of_folder(root)
        if found_table is None and fold is not None:
            raise InputError(f"{root}: fold={fold!r} needs a table with that column")
        if found_table is not None:
            media = _listed(media, found_table, root)
        names = _of_kind(media, kind, root)
        if found_table is None:
            entries = from_folders(names, root)
        else:
            entries = from_table(names, found_table, fold)
        classes = in_order({entry.label for entry in entries if entry.label})
        super().__init__(root, entries, classes, isolated=isolated)


def _table(root: Path, table: str | Path | None) -> Table | None:
    if table is None:
        file = root / TABLE
        if not file.is_file():
            return None
        _log.info("%s: taken as the table of labels, groups and folds", file)
        return read_table(file)
    for file in (Path(table), root / table):
        if file.is_file():
            return read_table(file)
    raise InputError(f"{table}: no such table, neither there nor in {root}")


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path}: no such folder or file{nearest(path)}")
    if path.is_file() and path.suffix.lower() in ARCHIVES:
        raise InputError(f"{path}: an archive; unpack it and give the folder that comes out")


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


def _listed(media: dict[str, Kind], table: Table, root: Path) -> dict[str, Kind]:
    """The media that the table names."""
    missing = [name for name in table.rows if name not in media]
    absent = [name for name in missing if not (root / name).is_file()]
    if absent:
        raise InputError(f"{table.file}: {len(absent)} files are not in {root}: {some(absent)}")
    if missing:
        raise InputError(f"{table.file}: {len(missing)} files are no media: {some(missing)}")
    left_out = [name for name in media if name not in table.rows]
    if left_out:
        _log.warning(
            "%s: %d media are not in the table and left out: %s",
            table.file,
            len(left_out),
            some(left_out),
        )
    return {name: kind for name, kind in media.items() if name in table.rows}


def _of_kind(media: dict[str, Kind], kind: Kind | None, root: Path) -> list[str]:
    counts = Counter(media.values())
    held = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    if kind is None and len(counts) > 1:
        raise InputError(f"{root}: media of several kinds ({held}); choose one with --kind")
    if kind is not None and kind not in counts:
        raise InputError(f"{root}: no {kind} files; it holds {held}")
    if len(counts) > 1:
        _log.info("%s: of %s, only %s files are taken", root, held, kind)
    return [name for name, found in media.items() if kind in (None, found)]


def from_folders(names: list[str], root: Path) -> list[Entry]:
    parts = [tuple(name.split("/")) for name in names]
    splits = [""] * len(names)
    if all(len(part) > 1 and part[0].lower() in SPLITS for part in parts):
        splits = [SPLITS[part[0].lower()] for part in parts]
        parts = [part[1:] for part in parts]
    folders = {part[0] for part in parts if len(part) > 1}
    labelled = len(folders) > 1 and all(len(part) > 1 for part in parts)
    if len(folders) == 1 and not labelled:
        _log.info(
            "%s: all media of a sub-folder lie in %s; one class says nothing, so: unlabelled",
            root,
            *folders,
        )
    return [
        Entry(name, label=part[0] if labelled else "", split=split)
        for name, part, split in zip(names, parts, splits, strict=True)
    ]


def from_table(names: list[str], table: Table, fold: str | None) -> list[Entry]:
    label, group, split = table.first(LABELS), table.first(GROUPS), table.split_column(fold)
    entries = []
    for name in names:
        row = {"": ""} | table.rows[name]
        part = row[split or ""]
        part = SPLITS.get(part.lower(), part)
        entries.append(Entry(name, row[label or ""], row[group or ""], part))
    return entries


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Names in alphabetical order; numbers in the order of their values."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


SUFFIXES: dict[Kind, frozenset[str]] = {
    "video": frozenset(
        """.3g2 .3gp .asf .avi .dv .f4v .flv .gif .h264 .ivf .m1v .m2ts .m2v .m4s .m4v .mkv .mov
        .mp4 .mpeg .mpg .mts .mxf .ogv .rm .rmvb .ts .vob .webm .wmv""".split()
    ),
    "audio": frozenset(
        """.aac .ac3 .adts .aif .aiff .amr .caf .flac .m4a .mka .mp2 .mp3 .oga .ogg .opus .wav
        .wma""".split()
    ),
    "image": frozenset(".avif .bmp .jpeg .jpg .png .tif .tiff .webp".split()),
}
ARCHIVES = frozenset(".7z .bz2 .gz .rar .tar .tgz .xz .zip .zst".split())


def kind_of(name: str) -> Kind | None:
    """What a file holds, going by its suffix; None if that names no medium."""
    suffix = os.path.splitext(name)[1].lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def find_media(root: Path) -> tuple[dict[str, Kind], Counter[str]]:
    """Media below a folder, and what else is there.

    Returns:
        kinds by relative path with "/", in order of path, and a count of the other files by
        suffix. Hidden files and folders are left out; links are followed, each folder once.

    Raises:
        InputError: a folder cannot be listed.
    """
    media: dict[str, Kind] = {}
    others: Counter[str] = Counter()
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_stop):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(folder).relative_to(root)
        for file in sorted(name for name in files if not name.startswith(".")):
            kind = kind_of(file)
            if kind:
                media[(inside / file).as_posix()] = kind
            else:
                others[os.path.splitext(file)[1].lower()] += 1
    return dict(sorted(media.items())), others


def _stop(error: OSError):
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror})")
