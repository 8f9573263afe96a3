"""Kinetics and Something-Something: videos beside the lists that are published with them."""

import csv
import json
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import InputError, some
from ...modalities.decode.sandbox import Limits
from ..annotations import inside
from ..source import Entry, Files

_log = logging.getLogger(__name__)
_PARTS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
_SUFFIXES = (".mp4", ".webm", ".mkv", ".avi")


def kinetics(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """Kinetics (Kay et al. 2017, arXiv:1705.06950) by its CSV lists.

    A row (`label`, `youtube_id`, `time_start`, `time_end`, `split`) means the file
    `ID_START_END.mp4` with six digits each, or `ID.mp4`, in the folder or below it in `LABEL/`,
    `SPLIT/` or `SPLIT/LABEL/`. Videos are lost from the site day by day: rows without a file are
    counted and named in a warning.

    Args:
        path: the folder of videos.
        lists: CSV files, as train.csv and val.csv.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read or lacks a column, or none of its videos there.
    """
    root = Path(path)
    rows = [row for file in lists for row in _table(Path(file))]
    names = _files(root)
    entries, lost = [], []
    for row in rows:
        key = row["youtube_id"]
        if row["time_start"]:
            key += f"_{int(float(row['time_start'])):06}_{int(float(row['time_end'])):06}"
        found = names.get(key) or names.get(row["youtube_id"])
        if found is None:
            lost.append(key)
            continue
        entries.append(Entry(found, row["label"], row["youtube_id"], row["split"]))
    return _source(root, entries, lost, "Kinetics", isolated)


def something_something(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """Something-Something v2 (Goyal et al. 2017, arXiv:1706.04261) by its JSON lists.

    A record's `template` without its brackets is the class; its `id` the file `ID.webm`. Which
    part a list is, its file's name says: train, validation or test.

    Args:
        path: the folder of videos.
        lists: JSON files, as something-something-v2-train.json and …-validation.json.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, or none of its videos there.
    """
    root, names = Path(path), _files(Path(path))
    entries, lost = [], []
    for file in map(Path, lists):
        part = next((p for word, p in _PARTS.items() if word in file.stem.lower()), "")
        for record in _records(file):
            found = names.get(str(record["id"]))
            if found is None:
                lost.append(str(record["id"]))
                continue
            label = re.sub(r"[\[\]]", "", str(record.get("template", "")))
            entries.append(Entry(found, label, "", part))
    return _source(root, entries, lost, "Something-Something", isolated)


def _files(root: Path) -> dict[str, str]:
    """Paths below the root by the name without suffix."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the one that holds the videos")
    found = (p for p in sorted(root.rglob("*")) if p.suffix.lower() in _SUFFIXES)
    return {p.stem: inside(root, p) for p in found}


def _table(file: Path) -> Iterator[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: the list cannot be read: {error}") from error
    if not rows or not {"youtube_id", "split"} <= rows[0].keys():
        raise InputError(f"{file}: a list of Kinetics has the columns youtube_id, split and label")
    for row in rows:
        part = _PARTS.get(row["split"].lower(), row["split"])
        kept = {k: row.get(k) or "" for k in ("label", "time_start", "time_end")}
        yield {**kept, "youtube_id": row["youtube_id"], "split": part}


def _records(file: Path) -> list[dict]:
    try:
        records = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: the list cannot be read: {error}") from error
    if not isinstance(records, list) or not all(isinstance(r, dict) and "id" in r for r in records):
        raise InputError(
            f"{file}: a list of Something-Something is a JSON array of records with id"
        )
    return records


def _source(
    root: Path, entries: list[Entry], lost: list[str], title: str, isolated: Limits | None
) -> Files:
    if not entries:
        raise InputError(f"{root}: holds none of the {len(lost)} listed videos of {title}")
    if lost:
        _log.warning("%s: %d listed videos are not there: %s", root, len(lost), some(lost))
    classes = sorted({entry.label for entry in entries if entry.label})
    return Files(root, entries, classes, title=title, isolated=isolated)
