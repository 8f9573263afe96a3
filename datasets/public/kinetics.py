"""Kinetics and Something-Something: videos beside the lists that are published with them."""

import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...modalities.decode.sandbox import Limits
from ..annotations import SPLITS, segment_cells, split_of_list
from ..delimited import read_json, rows_with_header
from ..source import Files
from .films import Films


def kinetics(
    path: str | Path, lists: Sequence[str | Path], *, isolated: Limits | None = None
) -> Files:
    """Kinetics (Kay et al. 2017, arXiv:1705.06950) by its CSV lists.

    A row (`label`, `youtube_id`, `time_start`, `time_end`, `split`) means the file
    `ID_START_END.mp4` with six digits each, or these seconds of the whole film `ID.mp4`, in the
    folder or below it in `LABEL/`, `SPLIT/` or `SPLIT/LABEL/`. Videos are lost from the site day
    by day: rows without a file are counted and named in a warning.

    Args:
        path: the folder of videos.
        lists: CSV files, as train.csv and val.csv.
        isolated: see `Files`.

    Raises:
        InputError: a list that cannot be read, lacks a column or has an impossible segment, or
            none of its videos there.
    """
    films = Films(Path(path), "Kinetics")
    for file in map(Path, lists):
        for line, row in rows_with_header(file, ("youtube_id", "split"), "Kinetics"):
            where = f"{file}, line {line}"
            start, end = segment_cells(row, "time_start", "time_end", where)
            part = SPLITS.get(row["split"].lower(), row["split"])
            about = (row.get("label", ""), row["youtube_id"], part)
            films.add(row["youtube_id"], start, end, *about)
    return films.source(isolated)


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
    films = Films(Path(path), "Something-Something")
    for file in map(Path, lists):
        part = split_of_list(file)
        for record in _records(file):
            label = re.sub(r"[\[\]]", "", str(record.get("template", "")))
            films.add(str(record["id"]), None, None, label, "", part, str(record.get("label", "")))
    return films.source(isolated)


def _records(file: Path) -> list[dict]:
    records = read_json(file, list, "Something-Something")
    if not all(isinstance(record, dict) and "id" in record for record in records):
        raise InputError(
            f"{file}: a list of Something-Something is a JSON array of records with id"
        )
    return records
