"""The CSV table beside a folder of media: labels, groups, splits and folds by path."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from ..errors import InputError, some
from .source import Entry

PATHS = ("path", "file", "filename")
LABELS = ("class", "label")
GROUPS = ("source_group", "group")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of a CSV file by the path they speak of.

    Attributes:
        file: the CSV file.
        columns: its columns, in lower case.
        rows: cells by column, by path relative to the folder, in the file's order.
    """

    file: Path
    columns: tuple[str, ...]
    rows: dict[str, dict[str, str]]

    def first(self, names: tuple[str, ...]) -> str | None:
        """The first of these columns that the table has."""
        return next((name for name in names if name in self.columns), None)

    def split_column(self, fold: str | None) -> str | None:
        """The column that splits the examples: `fold` if given, else "split", else "fold…".

        Raises:
            InputError: the table has no column of the name given.
        """
        if fold is None:
            folds = (name for name in self.columns if name.startswith("fold"))
            return "split" if "split" in self.columns else next(folds, None)
        if fold.lower() not in self.columns:
            raise InputError(
                f"{self.file}: no column {fold!r} for the folds; "
                f"the table has {', '.join(self.columns)}"
            )
        return fold.lower()


def read_table(file: Path) -> Table:
    """Reads a table.

    Raises:
        InputError: a file that cannot be read as UTF-8 CSV, without rows, without a column of
            paths, or with a path that is empty, named twice or leads out of the folder.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True, restkey="", restval="")
            columns = tuple((name or "").strip().lower() for name in reader.fieldnames or ())
            cells = [(reader.line_num, list(row.values())) for row in reader]
    except OSError as error:
        raise InputError(f"{file}: the table cannot be read ({error.strerror})") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a CSV table in UTF-8: {error}") from error
    column = next((name for name in PATHS if name in columns), None)
    if column is None:
        raise InputError(
            f'{file}: the table needs a column "path"; it has {", ".join(columns) or "none"}'
        )
    rows: dict[str, dict[str, str]] = {}
    for line, values in cells:
        row = dict(zip(columns, (str(value).strip() for value in values), strict=False))
        path = _inside(row[column], f"{file}, line {line}")
        if path in rows:
            raise InputError(f"{file}, line {line}: {path} is named twice; keep one row for it")
        rows[path] = row
    if not rows:
        raise InputError(f"{file}: the table has no rows; list the media or remove it")
    return Table(file, columns, rows)


def _inside(text: str, where: str) -> str:
    """A path that stays in the folder, with "/" and without "." parts."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not text:
        raise InputError(f"{where}: the path is empty")
    if path.is_absolute() or PureWindowsPath(text).drive or ".." in path.parts:
        raise InputError(
            f"{where}: {text} leads out of the folder; paths in the table start at the folder"
        )
    return path.as_posix()


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
