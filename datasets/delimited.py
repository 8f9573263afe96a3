"""Lists as rows of cells: CSV, TSV, text with spaces and JSON lines, with or without a header."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import InputError
from .suffixes import ends_as_medium

Cells = dict[str, str]
Row = tuple[int, Cells]  # the number of its line, and its cells by column


def read_text(file: Path) -> str:
    """A list as text. Raises InputError if it cannot be read as UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: the list cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not a list in UTF-8: {error}") from error


def lines_of(file: Path) -> list[str]:
    """The lines that are not empty. Raises InputError if the file cannot be read as text."""
    return [line.strip() for line in read_text(file).split("\n") if line.strip()]


def read_json(file: Path, kind: type, what: str):
    """A list that is one JSON value.

    Raises:
        InputError: a file that cannot be read, or a value of another kind.
    """
    try:
        value = json.loads(read_text(file))
    except ValueError as error:
        raise InputError(f"{file}: the list cannot be read as JSON: {error}") from None
    if not isinstance(value, kind):
        raise InputError(f"{file}: a list of {what} is a JSON {_JSON_NAMES[kind]}")
    return value


_JSON_NAMES = {list: "array", dict: "object"}


def rows_with_header(file: Path, columns: Sequence[str], what: str) -> list[Row]:
    """The rows of a list with commas, tabs or semicolons, by column in lower case.

    Args:
        columns: that no cell may be empty in.
        what: the data set, for messages.

    Raises:
        InputError: the file cannot be read, is empty, or lacks one of these cells.
    """
    text = read_text(file)
    head = text.partition("\n")[0].lower()
    _, rows = _table(file, text, next((s for s in "\t;" if s in head and "," not in head), ","))
    for line, row in rows:
        missing = [name for name in columns if not row.get(name)]
        if missing:
            raise InputError(f"{file}, line {line}: no {missing[0]}; a list of {what} has it")
    if not rows:
        raise InputError(f"{file}: the list of {what} is empty")
    return rows


def rows_of_any(file: Path, known: Callable[[str], bool]) -> tuple[tuple[str, ...], list[Row]]:
    """The rows of a list whatever its form.

    Args:
        known: whether a text is the name of a column.

    Returns:
        the columns in lower case and the rows by column; without a header no columns, and each
        row's path under "path" and the rest under "0", "1" ….

    Raises:
        InputError: a file that cannot be read as a list in UTF-8.
    """
    text = read_text(file)
    if file.suffix.lower() == ".jsonl":
        return _json_lines(file, text)
    head = next((line for line in text.split("\n") if line.strip()), "")
    separator, has_header = _form(head, known, file.suffix.lower())
    if has_header:
        return _table(file, text, separator)
    return (), list(_bare_rows(text, separator))


def _form(head: str, known: Callable[[str], bool], suffix: str) -> tuple[str, bool]:
    """What stands between the cells, and whether the first line names columns."""
    for separator in "\t,; ":
        cells = [cell.strip() for cell in next(csv.reader([head], delimiter=separator), [])]
        if any(ends_as_medium(cell) for cell in cells):
            return separator, False
        if any(known(cell.lower()) for cell in cells):
            return separator, True
    if "\t" in head:
        return "\t", True
    spaced = " " in head.strip() and "," not in head
    return (" ", False) if spaced or suffix == ".txt" else (",", True)


def _table(file: Path, text: str, separator: str) -> tuple[tuple[str, ...], list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        columns = tuple(name.strip().lower() for name in next(reader, ()))
        empty = dict.fromkeys(columns, "")
        rows = [
            (reader.line_num, empty | {k: v.strip() for k, v in zip(columns, cells, strict=False)})
            for cells in reader
            if any(cells)
        ]
    except csv.Error as error:
        raise InputError(f"{file}: not a CSV table in UTF-8: {error}") from error
    return columns, rows


def _bare_rows(text: str, separator: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        cells = [cell.strip() for cell in next(csv.reader([line.strip()], delimiter=separator), [])]
        if separator == " " or len(cells) == 1:
            path, rest = _path_and_rest(line.strip())
            words = rest.split()
            # "3 7" are two labels, "playing cello" is one.
            cells = [path, *(words if all(word.isdecimal() for word in words) else [rest])]
        if any(cells):
            yield number, {"path": cells[0], **{str(k): c for k, c in enumerate(cells[1:])}}


def _path_and_rest(line: str) -> tuple[str, str]:
    """A path, which may hold spaces, and what stands behind it."""
    for gap in re.finditer(r"\s+", line):
        if ends_as_medium(line[: gap.start()]):
            return line[: gap.start()], line[gap.end() :]
    numbers = re.search(r"(\s+\d+)+$", line)
    if ends_as_medium(line) or not numbers:
        return line, ""
    return line[: numbers.start()], numbers[0].strip()


def _json_lines(file: Path, text: str) -> tuple[tuple[str, ...], list[Row]]:
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise InputError(f"{file}, line {number}: no JSON: {error}") from None
        if not isinstance(values, dict):
            raise InputError(f'{file}, line {number}: a line is an object, as {{"path": "a.mp4"}}')
        rows.append((number, {str(k).lower(): _cell(v) for k, v in values.items()}))
    return tuple(dict.fromkeys(name for _, row in rows for name in row)), rows


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ";".join(map(_cell, value))
    return "" if value is None else str(value).strip()
