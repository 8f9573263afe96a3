"""Lists of classes beside lists of media: what the numbers in them stand for."""

import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, some
from .annotations import Table
from .delimited import lines_of
from .source import Entry

_log = logging.getLogger(__name__)
NAMES = ("classInd.txt", "class_ind.txt", "class_ind.csv", "classes.txt", "label_map.txt")
_MOST = 65_536  # a larger number is no class


@dataclass(frozen=True, slots=True)
class ClassList:
    """Names of classes in the order of their numbers, by the numbers that lists write."""

    file: Path
    names: dict[str, str]


def read_class_list(file: Path) -> ClassList:
    """A class a line: "1 Archery", "1,Archery", or only its name, then counted from 0.

    Raises:
        InputError: a file that cannot be read, or with a number or a name twice.
    """
    names: dict[str, str] = {}
    lines = lines_of(file)
    found = [re.fullmatch(r"(\d+)[\s,;:]+(.+)", line) for line in lines]
    if lines and not found[0] and all(found[1:]) and len(lines) > 1:
        lines, found = lines[1:], found[1:]  # a header, as id,name
    for k, line in enumerate(lines):
        match = found[k] if all(found) else None
        number, name = (str(int(match[1])), match[2].strip()) if match else (str(k), line)
        if number in names or name in names.values():
            raise InputError(f"{file}: {line!r}: a class is named twice")
        names[number] = name
    if not names:
        raise InputError(f"{file}: the list of classes is empty")
    return ClassList(file, dict(sorted(names.items(), key=lambda item: int(item[0]))))


def find_class_list(folder: Path) -> ClassList | None:
    """The list of classes that lies in a folder under one of the usual names."""
    return next((read_class_list(folder / n) for n in NAMES if (folder / n).is_file()), None)


def name_classes(
    entries: list[Entry], table: Table, folder: Path, classes: str | Path | None = None
) -> tuple[list[Entry], tuple[str, ...] | None]:
    """`named`, by this list of classes or by one that lies beside the list or in the folder."""
    if classes:
        known = read_class_list(Path(classes))
    else:
        known = find_class_list(table.file.parent) or find_class_list(folder)
    if known:
        _log.info("%s: taken as the list of classes", known.file)
    return named(entries, known, str(table.file), bare=table.bare)


def named(
    entries: list[Entry], known: ClassList | None, where: str, *, bare: bool
) -> tuple[list[Entry], tuple[str, ...] | None]:
    """Entries with names for labels, and the classes in the order of their numbers.

    The classes are None where nothing but the labels that occur says which there are.

    Args:
        entries: whose labels are names or numbers.
        known: what the numbers stand for.
        where: the list, for messages.
        bare: a list for training code, whose numbers are those of the classes: class 7 is number
            7 in the list of training and of validation, whichever classes occur in them.

    Raises:
        InputError: labels that the list of classes does not have.
    """
    labels = {name for e in entries for name in (e.label, *e.labels) if name}
    numeric = bool(labels) and all(label.isdecimal() for label in labels)
    if known and (numeric or labels <= set(known.names.values())):
        return _by_list(entries, labels, known, where), tuple(known.names.values())
    if bare and numeric and max(map(int, labels)) < _MOST:
        plain = {label: str(int(label)) for label in labels}
        return _renamed(entries, plain), tuple(map(str, range(max(map(int, labels)) + 1)))
    return entries, None


def _by_list(entries: list[Entry], labels: set[str], known: ClassList, where: str) -> list[Entry]:
    names = {**{name: name for name in known.names.values()}, **known.names}
    if unknown := sorted(label for label in labels if _plain(label) not in names):
        numbers = list(known.names)
        raise InputError(
            f"{where}: label {some(unknown)} is not among the classes {numbers[0]} … {numbers[-1]} "
            f"of {known.file}; give the list of classes that belongs to it"
        )
    return _renamed(entries, {label: names[_plain(label)] for label in labels})


def _plain(label: str) -> str:
    return str(int(label)) if label.isdecimal() else label


def _renamed(entries: list[Entry], names: dict[str, str]) -> list[Entry]:
    names = {"": "", **names}
    return [
        replace(e, label=names[e.label], labels=tuple(names[name] for name in e.labels))
        for e in entries
    ]


def classes_of(entries: list[Entry]) -> tuple[str, ...]:
    """The labels that occur, in order."""
    return in_order({name for entry in entries for name in (entry.label, *entry.labels) if name})


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Names in alphabetical order; numbers in the order of their values."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))
