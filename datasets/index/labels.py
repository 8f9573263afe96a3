"""Label, group, split and segment of each row of an index, by the rules of `Folder`."""

from collections.abc import Iterable
from typing import Any

from ..class_list import in_order
from ..source import Entry, Files


def place_of(entry: Entry) -> dict[str, Any]:
    """What a list says of a file or segment, by column of the index; None where it says nothing."""
    return {
        "label": entry.label or None,
        "labels": list(entry.labels) or None,
        "group": entry.group or None,
        "split": entry.split or None,
        "caption": entry.caption or None,
        "start": entry.start,
        "end": entry.end,
    }


def entries_of(source: Files) -> list[Entry]:
    """The rows of a list of files; of one that is listed twice, what it says first."""
    first: dict[str, Entry] = {}
    for i in range(len(source)):
        first.setdefault(source.name(i), source.entry(i))
    return [*first.values()]


def order(labels: Iterable[str]) -> list[str]:
    """Labels in the order of their numbers."""
    return list(in_order(set(labels)))


def unfit(names: Iterable[str]) -> list[str]:
    """Names that are no UTF-8, as Arrow's strings are."""
    return [name for name in dict.fromkeys(names) if any("\ud800" <= c <= "\udfff" for c in name)]
