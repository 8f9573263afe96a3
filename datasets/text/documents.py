"""Documents out of plain text, JSON lines, CSV, Parquet, or a folder of text files, one by one."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from ...errors import InputError

Documents = Literal["line", "blank", "file"]
MOST_BYTES = 32 << 20  # of a line, or of a document that is held as a whole
_PIECE = 1 << 20  # bytes that are tokenized at a time
_SPLITS = ("train", "val", "test")
_TABLES = (".jsonl", ".csv", ".tsv", ".parquet")


class Piece(NamedTuple):
    """Some text of a document.

    Attributes:
        text: what it says.
        last: whether the document ends with it.
        label: class of the document, "" where none is named.
        split: part of the data, likewise.
    """

    text: str
    last: bool = True
    label: str = ""
    split: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where tables say what."""

    text: str = "text"
    label: str = "label"
    split: str = "split"


def read_documents(
    path: str | Path,
    documents: Documents = "line",
    columns: Columns = Columns(),
) -> Iterator[Piece]:
    """The documents of a file or a folder in their order, never more than one in memory.

    Args:
        path: a text file, a table (.jsonl, .csv, .tsv, .parquet), or a folder of text files, whose
            folders name the class, and before it the split where they are called train, val, test.
        documents: what of a text file is one: each line that is not empty, what stands between
            empty lines, or all of it.
        columns: of a table.

    Raises:
        InputError: nothing there, an empty file, text that is not UTF-8, a line of more than
            32 MiB, a table without the column.
    """
    path = Path(path)
    if documents not in get_args(Documents):
        raise InputError(f"documents {documents!r}: take {', '.join(get_args(Documents))}")
    if not path.exists():
        raise InputError(f"{path}: no such file or folder of text")
    pieces = _folder(path, documents) if path.is_dir() else _file(path, documents, columns)
    found = False
    for piece in pieces:
        found = found or bool(piece.text.strip())
        yield piece
    if not found:
        raise InputError(f"{path}: holds no text; give a file with at least one document")


def _file(path: Path, documents: Documents, columns: Columns) -> Iterator[Piece]:
    kind = path.suffix.lower()
    if kind not in _TABLES:
        return _plain(path, documents)
    rows = {".jsonl": _json_lines, ".parquet": _parquet}.get(kind, _delimited)
    return _of_rows(path, rows(path, columns), columns)


def _folder(root: Path, documents: Documents) -> Iterator[Piece]:
    files = sorted(p for p in root.rglob("*.txt") if p.is_file() and not p.is_symlink())
    if not files:
        raise InputError(f"{root}: no .txt file in this folder; give text, or a table of it")
    for file in files:
        *above, _ = file.relative_to(root).parts
        split = above.pop(0) if above and above[0] in _SPLITS else ""
        label = above[0] if above else ""
        # A class is a property of whole files.
        for piece in _plain(file, "file" if label else documents):
            yield Piece(piece.text, piece.last, label, split)


def _plain(path: Path, documents: Documents) -> Iterator[Piece]:
    if documents == "line":
        return (Piece(line) for _, block in _blocks(path) for line in block if line.strip())
    return _paragraphs(path, whole=documents == "file")


def _paragraphs(path: Path, *, whole: bool) -> Iterator[Piece]:
    """Lines up to an empty one, or to the file's end; long documents come in pieces."""
    held: list[str] = []
    size, begun = 0, False
    for _, line in lines(path):
        ends = not whole and not line.strip()
        if size >= _PIECE or ends:
            # What follows may be nothing but empty lines: the last line is kept back.
            if ends and (held or begun):
                yield Piece("".join(held).rstrip("\n"))
                held, size, begun = [], 0, False
            elif not ends:
                yield Piece("".join(held), last=False)
                held, size, begun = [], 0, True
        if not ends:
            held.append(line + "\n")
            size += len(line) + 1
    if held or begun:
        yield Piece("".join(held).rstrip("\n"))


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file from number 1 on, without what ends them.

    Raises:
        InputError: a file that cannot be read, is not UTF-8, or has a line of more than 32 MiB.
    """
    for number, block in _blocks(path):
        yield from enumerate(block, number)


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The same lines, about a MiB of them together, behind the number of the first."""
    number = 1
    try:
        with path.open("rb") as file:
            while raw := file.read(_PIECE):
                # The line that was begun is read to its end, unless that is too far.
                raw += file.readline(MOST_BYTES + 1)
                block = _decoded(path, number, raw)
                yield number, block
                number += len(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decoded(path: Path, first: int, raw: bytes) -> list[str]:
    ended = raw.endswith(b"\n")
    stop = len(raw) - ended
    # Only the last line can be longer than a block.
    if stop - (raw.rfind(b"\n", 0, stop) + 1) > MOST_BYTES:
        number = first + raw.count(b"\n", 0, stop)
        raise InputError(
            f"{path}: line {number} is longer than {MOST_BYTES >> 20} MiB; cut it into lines"
        )
    encoding = "utf-8-sig" if first == 1 else "utf-8"
    try:
        block = raw.decode(encoding).split("\n")
    except UnicodeDecodeError:
        number, byte, at = _undecodable(raw)
        raise InputError(
            f"{path}: line {first + number} is not UTF-8 (byte {byte:#04x} at {at}); "
            "convert the file, for example with iconv"
        ) from None
    if ended:
        block.pop()
    return [line.rstrip("\r") for line in block] if b"\r" in raw else block


def _undecodable(raw: bytes) -> tuple[int, int, int]:
    """The line from 0 on in which text is not UTF-8, the first such byte, its place there."""
    for number, line in enumerate(raw.split(b"\n")):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            return number, line[error.start], error.start
    raise AssertionError("each line decodes, and all of them do not")


def _of_rows(path: Path, rows: Iterable[dict[str, Any]], columns: Columns) -> Iterator[Piece]:
    for number, row in enumerate(rows, 1):
        text = row.get(columns.text)
        if not isinstance(text, str):
            has = ", ".join(map(str, row)) or "none"
            raise InputError(
                f"{path}: row {number} has no text in the column {columns.text!r} (it has {has}); "
                "name the column with --text-column"
            )
        if len(text) > MOST_BYTES:
            raise InputError(f"{path}: row {number} is longer than {MOST_BYTES >> 20} MiB; cut it")
        label, split = (row.get(name) for name in (columns.label, columns.split))
        yield Piece(text, True, *("" if v is None else str(v) for v in (label, split)))


def _json_lines(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    for number, line in lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}: line {number} is not JSON ({error})") from None
        yield row if isinstance(row, dict) else {columns.text: row}


def _delimited(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    csv.field_size_limit(MOST_BYTES)
    text = (line + "\n" for _, line in lines(path))
    try:
        yield from csv.DictReader(text, delimiter=mark)
    except csv.Error as error:
        raise InputError(f"{path}: no readable table ({error})") from None


def _parquet(path: Path, columns: Columns) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = [n for n in file.schema_arrow.names if n in vars_of(columns)]
            for batch in file.iter_batches(1024, columns=wanted):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: no readable Parquet file ({error})") from None


def vars_of(columns: Columns) -> tuple[str, str, str]:
    """The names of a table's columns that are read."""
    return columns.text, columns.label, columns.split
