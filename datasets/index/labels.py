"""Label, group and split of each file of an index, by the rules of `Folder` or as published."""

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ..annotations import read_table
from ..folder import TABLE, from_folders, from_table, in_order
from ..source import Source

Place = dict[str, str | None]
_UNKNOWN: Place = {"label": None, "group": None, "split": None}


def find_places(
    root: Path, names: list[str], table: Path | None
) -> tuple[dict[str, Place], list[str]]:
    """What the table, or else the sub-folders, say of each file.

    Args:
        root: the folder.
        names: relative paths.
        table: CSV file; None: the folder's own `groups.csv` if it has one.

    Returns:
        places by name, and the names that only the table has.

    Raises:
        InputError: the table is not there or cannot be read.
    """
    chosen = table or root / TABLE
    if not chosen.is_file():
        if table:
            raise InputError(f"{table}: no such file; --table names a CSV file")
        entries, absent = from_folders(names, root), []
    else:
        found = read_table(chosen)
        have = set(names)
        entries = from_table([name for name in names if name in found.rows], found, None)
        absent = [name for name in found.rows if name not in have]
    places: dict[str, Place] = dict.fromkeys(names, _UNKNOWN)
    for entry in entries:
        said = {"label": entry.label, "group": entry.group, "split": entry.split}
        places[entry.name] = {key: value or None for key, value in said.items()}
    return places, absent


def places_of(source: Source) -> dict[str, Place]:
    """What a source says of each of its files, by name; of one listed twice, what it says first."""
    places: dict[str, Place] = {}
    for i in range(len(source)):
        name, label, group = source.name(i), source.label(i), source.group(i)
        said = {
            "label": source.classes[label] if label >= 0 else None,
            "group": group if group != name else None,
            "split": source.split(i) or None,
        }
        places.setdefault(name, said)
    return places


def order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their numbers."""
    return list(in_order(set(labels)))
