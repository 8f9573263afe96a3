"""What the loaders of published data sets share: their folders and their lists."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from .files import Entry
from .folder import some


def only_below(root: Path, names: Sequence[str], what: str) -> Path:
    """The first of these folders in the root. Raises InputError, naming them, if there is none."""
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise InputError(f"{root}: {what} are not there; expected the folder {names[0]}")


def lines_of(file: Path) -> list[str]:
    """The lines that are not empty. Raises InputError if the file cannot be read as text."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: the list cannot be read: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def table_of(file: Path, columns: Sequence[str], what: str) -> list[dict[str, str]]:
    """The rows of a CSV list, columns in lower case.

    Raises:
        InputError: the file cannot be read, lacks one of these columns, or a cell of them is empty.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restval="")
            reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            rows = [
                {k: (v or "").strip() for k, v in row.items() if k in columns} for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file}: the list of {what} cannot be read: {error}") from error
    for number, row in enumerate(rows, 2):
        missing = [name for name in columns if not row.get(name)]
        if missing:
            raise InputError(f"{file}, line {number}: no {missing[0]}; a list of {what} has it")
    if not rows:
        raise InputError(f"{file}: the list of {what} is empty")
    return rows


def inside(root: Path, file: Path) -> str:
    """The path relative to the root, with forward slashes."""
    return file.relative_to(root).as_posix()


def check_present(root: Path, entries: Sequence[Entry], what: str) -> None:
    """Raises InputError if listed files are missing, or if a list leads out of the folder."""
    for entry in entries:
        if ".." in Path(entry.name).parts or Path(entry.name).is_absolute():
            raise InputError(f"{root}: a list of {what} leads out of the folder: {entry.name}")
    missing = [entry.name for entry in entries if not (root / entry.name).is_file()]
    if missing:
        raise InputError(
            f"{root}: {len(missing)} of the {len(entries)} files that {what} lists are not there: "
            f"{some(missing)}; unpack the whole archive"
        )
