"""Lists of media as people have them: CSV, TSV, text and JSON lines, with or without a header."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .delimited import Cells, Row, rows_of_any
from .paths import leaves_folder
from .source import Entry
from .suffixes import ends_as_medium

LISTS = (".csv", ".tsv", ".txt", ".jsonl")
PATHS = tuple(
    "path file filename file_name filepath file_path video video_path audio image clip".split()
)
LABELS = ("class", "label", "label_name", "category")
SEVERAL = ("labels", "classes")
GROUPS = ("source_group", "group")
STARTS = ("start", "time_start", "start_time", "start_seconds", "start_timestamp")
ENDS = ("end", "time_end", "end_time", "end_seconds", "stop_timestamp")
CAPTIONS = ("caption", "text", "narration", "sentence")
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}

_NO_LABEL = re.compile(r"-\d+")
# What lists of data sets begin with that name films, not files.
_PUBLISHED = {
    "youtube_id": "kinetics",
    "narration_id": "epic_kitchens",
    "# segments csv": "audioset",
    "# ytid": "audioset",
}
_COLUMNS = frozenset((*PATHS, *LABELS, *SEVERAL, *GROUPS, *CAPTIONS))


@dataclass(frozen=True, slots=True)
class Table:
    """What a list says.

    Attributes:
        file: the list.
        columns: its columns, in lower case; of a list without header as they are understood.
        entries: its rows, paths as they are written.
        bare: without a header, as lists for training code are: labels are then numbers.
    """

    file: Path
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    bare: bool = False


def read_table(file: Path, fold: str | None = None) -> Table:
    """Reads a list of media.

    With a header, the columns `path` (or `file`, `filename`, `video` …), `class` or `label`,
    `labels` (several, with ";" or "|" between them), `source_group` or `group`, `split` or
    `fold…`, `start` and `end` in seconds or as hours:minutes:seconds, and `caption` are taken.
    Without one, each line is a path and its labels, with spaces, tabs or commas between them; a
    number below 0 means no label.

    Args:
        file: .csv, .tsv, .txt or .jsonl, in UTF-8.
        fold: the column that splits the examples; else "split", or the first "fold…".

    Raises:
        InputError: a file that cannot be read so, without rows, without paths, with a path or
            segment named twice, or with an impossible segment.
    """
    columns, rows = rows_of_any(file, _COLUMNS.__contains__)
    _refuse_published(file, columns or tuple(cells["path"] for _, cells in rows[:1]))
    bare = bool(rows) and not columns
    if bare:
        columns, rows = ("path", "label", "labels"), [_bare_entry(row, file) for row in rows]
    elif not any(name in columns for name in PATHS):
        has = ", ".join(columns) or "none"
        raise InputError(f'{file}: the table needs a column "path"; it has {has}')
    if not rows:
        raise InputError(f"{file}: the table has no rows; list the media or remove it")
    names = _Names(columns, file, fold)
    entries: dict[tuple, Entry] = {}
    for line, cells in rows:
        where = f"{file}, line {line}"
        entry = _entry(cells, names, where)
        if entries.setdefault((entry.path, entry.start, entry.end), entry) is not entry:
            raise InputError(f"{where}: {entry.path} is named twice; keep one row for it")
    return Table(file, columns, tuple(entries.values()), bare)


def _refuse_published(file: Path, words: Sequence[str]) -> None:
    """Raises InputError, naming the remedy, for lists that have an opener of their own."""
    for start, name in _PUBLISHED.items():
        if any(word.lower().startswith(start) for word in words) and not {*PATHS} & {*words}:
            raise InputError(
                f"{file}: a list of films, not of files; name its data set and the folder of the "
                f"list, as {name}:{file.parent}"
            )


class _Names:
    """Which of a table's columns say what; "" for those that it does not have."""

    def __init__(self, columns: tuple[str, ...], file: Path, fold: str | None):
        def first(names: Sequence[str]) -> str:
            return next((name for name in names if name in columns), "")

        self.path, self.label, self.labels = first(PATHS), first(LABELS), first(SEVERAL)
        self.group, self.caption = first(GROUPS), first(CAPTIONS)
        self.start, self.end = first(STARTS), first(ENDS)
        self.split = first(("split", *(c for c in columns if c.startswith("fold"))))
        if fold is not None:
            self.split = fold.lower()
            if self.split not in columns:
                has = ", ".join(columns)
                raise InputError(f"{file}: no column {fold!r} for the folds; the table has {has}")


def _entry(cells: Cells, names: _Names, where: str) -> Entry:
    path = cells[names.path].replace("\\", "/")
    if not path:
        raise InputError(f"{where}: the path is empty")
    below = path if not Path(path).is_absolute() else path.removeprefix(Path(path).anchor)
    if leaves_folder(below):
        raise InputError(
            f"{where}: {path} leads out of the folder; paths in the table start at the folder"
        )
    several = tuple(filter(None, re.split(r"\s*[;|]\s*", cells.get(names.labels, ""))))
    label = cells.get(names.label, "")
    if len(several) == 1:
        label, several = label or several[0], ()
    start, end = segment_cells(cells, names.start, names.end, where)
    part = cells.get(names.split, "")
    return Entry(
        Path(path).as_posix(),
        label,
        cells.get(names.group, ""),
        SPLITS.get(part.lower(), part),
        start,
        end,
        several,
        cells.get(names.caption, ""),
    )


def segment_cells(
    cells: Cells, first: str, last: str, where: str
) -> tuple[float | None, float | None]:
    """Start and end in seconds out of a row's cells, None where it means the whole file.

    Args:
        first, last: the columns; "" where the list has none.
        where: file and line, for messages.

    Raises:
        InputError: no numbers, one cell without the other, or an end that is not after the start.
    """
    texts = cells.get(first, ""), cells.get(last, "")
    if not any(texts):
        return None, None
    for name, text, other in ((first, texts[0], last), (last, texts[1], first)):
        if name and not text:
            raise InputError(
                f"{where}: {other} without {name}; give both, or neither for all of it"
            )
    start, end = (seconds(text, where) if text else None for text in texts)
    if end is not None and end <= (start or 0.0):
        raise InputError(f"{where}: the segment ends at {end:g} s, before it starts")
    return start, end


def seconds(text: str, where: str) -> float:
    """Seconds of "12.5" or "1:02:03.5". Raises InputError."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = [-1.0]
    total = sum(part * 60**k for k, part in enumerate(reversed(parts)))
    if not all(0 <= part < float("inf") for part in parts) or len(parts) > 3:
        raise InputError(f"{where}: {text!r} is no time; give seconds or hours:minutes:seconds")
    return total


def _bare_entry(row: Row, file: Path) -> Row:
    """A line of a path and labels, as cells by column."""
    number, cells = row
    path, labels = cells["path"], [cell for key, cell in cells.items() if key != "path" and cell]
    where = f"{file}, line {number}"
    if len(labels) > 1 and not all(label.isdecimal() for label in labels):
        raise InputError(
            f"{where}: {len(labels) + 1} cells and no header; write one, as path,label,start,end"
        )
    if len(labels) == 2 and not ends_as_medium(path):
        raise InputError(
            f"{where}: {path} is no medium by its suffix; lists of folders of frames (folder, "
            "frames, label) cannot be read, list the videos themselves"
        )
    one = labels[0] if len(labels) == 1 and not _NO_LABEL.fullmatch(labels[0]) else ""
    if len(labels) == 1:
        labels = []
    return number, {"path": path, "label": one, "labels": ";".join(labels)}


def split_of_list(file: Path) -> str:
    """The split that a list's own name tells, "" if it tells none."""
    return next((part for word, part in SPLITS.items() if word in file.stem.lower()), "")
