"""Millions of rows of an index, opened at once and read one by one without holding them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .columns import CODED, Columns, codes, conform, conformed_type, open_parquet
from .schema import KEY, NEEDED, ROW_GROUP

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_NO_TEST = {("status", "ok"), ("corrupt", 0)}
NOT_AN_INDEX = "is no index of pretexto; make one with `pretexto index`"


class Rows:
    """The readable rows of a Parquet index.

    Which rows are readable, and what they are, the rows say, whoever wrote them: columns that
    are not there count as empty, columns that nobody knows are left alone. Opening reads what
    is needed to choose the rows; the first row asked for brings the columns that readers need
    into memory, or for large indexes into a copy that is mapped into memory.

    Args:
        path: Parquet file.
        strict: leave out files in which the decoder found damage.
        unique: of rows with the same content leave out all but the first.
        kind: only rows of this kind.
        extra: further columns to read.

    Attributes:
        facts: the metadata written beside the rows.
        classes: labels of all rows, in the order of their numbers.

    Raises:
        InputError: not an index, or one without a column that an argument needs.
    """

    def __init__(
        self,
        path: Path,
        *,
        strict: bool = False,
        unique: bool = False,
        kind: str | None = None,
        extra: tuple[str, ...] = (),
    ):
        self.path, self.strict, self.unique = Path(path), strict, unique
        file = open_parquet(self.path, NOT_AN_INDEX)
        self._present = set(file.schema_arrow.names)
        wanted = ("path", *extra, *(["corrupt"] * strict), *(["kind"] * bool(kind)))
        wanted += ("duplicate_of",) * unique
        if missing := [name for name in wanted if name not in self._present]:
            raise InputError(f"{path}: {NOT_AN_INDEX} (no column {missing[0]!r})")
        self._names = [*NEEDED, *extra]
        self._columns = Columns(self.path, [n for n in self._names if n in self._present])
        # Read by few, and large: not held beside the others.
        self._apart = {name: Columns(self.path, [name], small=0) for name in ("timeline", "root")}
        self.facts = _facts(file)
        self._total = file.metadata.num_rows
        self._chosen = _choose(self.path, file, strict, kind)
        if unique:
            self._chosen = self._without_copies()
        self.classes = tuple(self._classes(file))

    def __len__(self) -> int:
        return self._total if self._chosen is None else len(self._chosen)

    def has(self, column: str) -> bool:
        """Whether the file has this column."""
        return column in self._present

    def place(self, i: int) -> int:
        """The number in the file of row i of the readable ones."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        return i if self._chosen is None else int(self._chosen[i])

    def row(self, i: int) -> dict[str, Any]:
        """Row i of the readable ones, by column."""
        batch, at = self._columns.locate(self.place(i))
        found = {name: batch.column(k)[at].as_py() for k, name in enumerate(self._columns.names)}
        return {name: found.get(name) for name in self._names}

    def value(self, i: int, column: str) -> Any:
        """One value of row i, None where the file has no such column."""
        if column not in self._present:
            return None
        batch, at = self._columns.locate(self.place(i))
        return batch.column(self._columns.names.index(column))[at].as_py()

    def timeline(self, i: int) -> bytes | None:
        """Where the packets of row i's file lie in time, if it was kept."""
        return self._value_apart(i, "timeline")

    def root(self, i: int) -> str | None:
        """The folder of row i's file, as it was written."""
        return self._value_apart(i, "root")

    def _value_apart(self, i: int, column: str) -> Any:
        if column not in self._present:
            return None
        batch, at = self._apart[column].locate(self.place(i))
        return batch.column(0)[at].as_py()

    def roots(self) -> list[str]:
        """The folders that the rows name."""
        file = open_parquet(self.path, NOT_AN_INDEX)
        if known := _constant(file, "root"):
            return [known]
        return sorted(_distinct(self.path, file, "root") - {None, ""})

    def counts(self, column: str) -> Counter:
        """How often each value of a column occurs in the readable rows."""
        found: Counter = Counter()
        for (part,) in self.batches((column,)):
            values, numbers = codes(part)
            for value, count in zip(
                values, np.bincount(numbers, minlength=len(values)), strict=True
            ):
                found[value] += int(count)
        return +found

    def rows(self, *columns: str) -> Iterator[tuple]:
        """These columns of all readable rows in order, batch by batch."""
        for batch in self.batches(columns):
            yield from zip(*(column.to_pylist() for column in batch), strict=True)

    def everything(self, *columns: str) -> Iterator[tuple]:
        """These columns of all rows, the unreadable ones too."""
        for batch in _scan(self.path, columns):
            yield from zip(*(column.to_pylist() for column in batch), strict=True)

    def batches(
        self, columns: tuple[str, ...], rows: NDArray[np.integer] | None = None
    ) -> "Iterator[list[pa.Array]]":
        """These columns of the readable rows of these numbers (None: of all), batch by batch."""
        places = self._chosen
        if rows is not None:
            places = rows if places is None else places[rows]
        if places is not None and np.any(places[1:] < places[:-1]):
            yield from self._scattered(columns, places)
            return
        begin = 0
        for batch in _scan(self.path, columns):
            end = begin + len(batch[0])
            if places is None:
                yield batch
            else:
                # In the type of the places: any other has them all converted.
                low, high = np.searchsorted(places, np.array([begin, end], places.dtype))
                if low < high:
                    yield [column.take(places[low:high] - begin) for column in batch]
            begin = end

    def _scattered(self, columns: tuple[str, ...], places: NDArray) -> "Iterator[list[pa.Array]]":
        """Rows in any order, out of the columns that lie in memory."""
        import pyarrow as pa

        for start in range(0, len(places), ROW_GROUP):
            values: list[list] = [[] for _ in columns]
            for place in places[start : start + ROW_GROUP].tolist():
                batch, at = self._columns.locate(place)
                for k, name in enumerate(columns):
                    known = name in self._present
                    index = self._columns.names.index(name) if known else 0
                    values[k].append(batch.column(index)[at].as_py() if known else None)
            yield [
                pa.array(v, conformed_type(name)) for v, name in zip(values, columns, strict=True)
            ]

    def _classes(self, file: "pq.ParquetFile") -> list[str]:
        """Labels in the order of their numbers; those written beside the rows, if they fit."""
        from .labels import order

        found = {str(label) for label in _distinct(self.path, file, "label") - {None, ""}}
        if "labels" in self._present:
            for (values,) in _scan(self.path, ("labels",)):
                found.update(values.flatten().drop_null().unique().to_pylist())
        written = self.facts.get("classes")
        if isinstance(written, list) and found <= set(written):
            return written
        return order(found)

    def _without_copies(self) -> "NDArray":
        """The chosen rows without those whose content an earlier one of them has."""
        keep, seen = np.ones(len(self), bool), set()
        copied = set()
        for (values,) in self.batches(("duplicate_of",)):
            copied.update(values.drop_null().unique().to_pylist())
        rows = self.rows("path", "duplicate_of", "start", "end")
        for i, (path, original, start, end) in enumerate(rows):
            if original is None and path not in copied:
                continue
            content = (original or path, start, end)
            keep[i] = content not in seen
            seen.add(content)
        kept = np.flatnonzero(keep)
        return kept if self._chosen is None else self._chosen[kept]


def _facts(file: "pq.ParquetFile") -> dict[str, Any]:
    """What is written beside the rows, as far as it can be read."""
    text = (file.schema_arrow.metadata or {}).get(KEY, b"{}")
    try:
        facts = json.loads(text)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _choose(path: Path, file: "pq.ParquetFile", strict: bool, kind: str | None) -> "NDArray | None":
    """Numbers of the wanted rows, None if all are."""
    tests: list[tuple[str, Callable[[Any], bool]]] = [("status", lambda v: v in ("ok", None))]
    if strict:
        tests.append(("corrupt", lambda v: not v))
    if kind:
        tests.append(("kind", lambda v: v == kind))
    wanted = None
    for name, test in tests:
        if name not in file.schema_arrow.names or (name, _constant(file, name)) in _NO_TEST:
            continue
        mask = where((column for (column,) in _scan(path, (name,))), test)
        wanted = mask if wanted is None else wanted & mask
    if wanted is None or wanted.all():
        return None
    numbers = np.flatnonzero(wanted)
    return numbers.astype(np.int32) if len(wanted) < 2**31 else numbers


def where(column: "Iterable[pa.Array]", test: Callable[[Any], bool]) -> "NDArray[np.bool_]":
    """Which values of a column pass the test, asked once per distinct value."""
    parts = [np.zeros(0, bool)]
    for values in column:
        distinct, numbers = codes(values)
        parts.append(np.array([test(value) for value in distinct])[numbers])
    return np.concatenate(parts)


def _constant(file: "pq.ParquetFile", column: str) -> Any:
    """The value that all rows have, if the file's statistics, as old as the rows, say so."""
    meta, found = file.metadata, set()
    paths = [file.schema.column(k).path for k in range(meta.num_columns)]
    if column not in paths:
        return None
    for k in range(meta.num_row_groups):
        said = meta.row_group(k).column(paths.index(column)).statistics
        if said is None or not said.has_min_max or not said.has_null_count or said.null_count:
            return None
        found |= {said.min, said.max}
    return found.pop() if len(found) == 1 else None


def _distinct(path: Path, file: "pq.ParquetFile", column: str) -> set:
    """The distinct values of a column; none where the file does not have it."""
    if column not in file.schema_arrow.names:
        return set()
    return {value for (part,) in _scan(path, (column,)) for value in part.unique().to_pylist()}


def _scan(path: Path, columns: tuple[str, ...]) -> "Iterator[list[pa.Array]]":
    """Columns of all rows in order as Arrow arrays; nulls where the file has no such column."""
    import pyarrow as pa

    file = open_parquet(path, NOT_AN_INDEX)
    present = [name for name in columns if name in file.schema_arrow.names]
    for batch in file.iter_batches(ROW_GROUP, columns=present):
        yield [
            conform(batch.column(name), name, str(path), coded=name in CODED)
            if name in present
            else pa.nulls(batch.num_rows, conformed_type(name))
            for name in columns
        ]
