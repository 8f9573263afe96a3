"""Millions of rows of an index, opened at once and read one by one without holding them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..cache import made_once
from .schema import KEY, NEEDED, ROW_GROUP, VERSION

if TYPE_CHECKING:
    import pyarrow as pa

SMALL = 200_000  # rows that are simply held in memory
_NOT_AN_INDEX = "is no index of pretexto; make one with `pretexto index`"


class Rows:
    """The readable rows of a Parquet index.

    Opening reads the file's footer alone. The first row asked for brings the columns that
    readers need into memory, or for large indexes into an uncompressed copy in the cache folder
    that is mapped into memory and shared by all processes.

    Args:
        path: Parquet file.
        strict: leave out files in which the decoder found damage.
        extra: further columns to read.

    Attributes:
        facts: the metadata written beside the rows.
        classes: labels of the readable rows, in the order of their numbers.

    Raises:
        InputError: not an index.
    """

    def __init__(self, path: Path, *, strict: bool = False, extra: tuple[str, ...] = ()):
        self.path, self.strict = Path(path), strict
        self._columns = [*NEEDED, *extra]
        self._batches: list[pa.RecordBatch] | None = None
        self._starts = np.zeros(0, np.int64)
        file = _open(self.path)
        missing = [n for n in (*self._columns, "status") if n not in file.schema_arrow.names]
        if missing:
            raise InputError(f"{path}: {_NOT_AN_INDEX} (no column {missing[0]!r})")
        self.facts = _facts(file, self.path)
        self._total = file.metadata.num_rows
        self._chosen = self._choose(file)
        classes = self.facts.get("classes")
        self.classes = tuple(self._labels(file) if classes is None else classes)

    def __len__(self) -> int:
        return self.facts["ok"] if self._chosen is None else len(self._chosen)

    def row(self, i: int) -> dict[str, Any]:
        """Row i of the readable ones, by column."""
        batch, at = self._locate(i)
        return {name: batch.column(k)[at].as_py() for k, name in enumerate(self._columns)}

    def value(self, i: int, column: str) -> Any:
        """One value of row i."""
        batch, at = self._locate(i)
        return batch.column(self._columns.index(column))[at].as_py()

    def rows(self, *columns: str) -> Iterator[tuple]:
        """These columns of all readable rows in order, batch by batch."""
        if self._chosen is not None:
            yield from (tuple(self.value(i, c) for c in columns) for i in range(len(self)))
            return
        left = len(self)
        for batch in _open(self.path).iter_batches(ROW_GROUP, columns=list(columns)):
            lists = [batch.column(name).to_pylist()[:left] for name in columns]
            yield from zip(*lists, strict=True)
            left -= len(lists[0])
            if left <= 0:
                return

    def everything(self, *columns: str) -> Iterator[tuple]:
        """These columns of all rows, the unreadable ones too."""
        for batch in _open(self.path).iter_batches(ROW_GROUP, columns=list(columns)):
            lists = [batch.column(name).to_pylist() for name in columns]
            yield from zip(*lists, strict=True)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_batches": None}

    def _choose(self, file) -> "np.ndarray | None":
        """Row numbers of the wanted rows, None if they are the first ones of the file."""
        if "ok" in self.facts and not self.strict:
            return None
        table = file.read(["status", "corrupt"])
        good = table["status"].to_numpy() == "ok"
        if self.strict:
            good &= table["corrupt"].fill_null(0).to_numpy() == 0
        return np.flatnonzero(good)

    def _labels(self, file) -> list[str]:
        from .labels import order

        column = file.read(["label"])["label"]
        if self._chosen is not None:
            column = column.take(self._chosen)
        return order({label for label in column.unique().to_pylist() if label is not None})

    def _locate(self, i: int) -> "tuple[pa.RecordBatch, int]":
        if not 0 <= i < len(self):
            raise IndexError(i)
        if self._batches is None:
            self._batches = self._load()
            sizes = [batch.num_rows for batch in self._batches]
            self._starts = np.concatenate([[0], np.cumsum(sizes)])
        place = i if self._chosen is None else int(self._chosen[i])
        k = int(np.searchsorted(self._starts, place, "right")) - 1
        return self._batches[k], place - int(self._starts[k])

    def _load(self) -> "list[pa.RecordBatch]":
        import pyarrow as pa

        if self._total <= SMALL:
            table = _open(self.path).read(self._columns).select(self._columns)
            return table.combine_chunks().to_batches()
        status = self.path.stat()
        key = f"{self.path.resolve()}|{status.st_mtime_ns}|{status.st_size}|{self._columns}"
        name = f"index-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        folder = made_once(name, self._spread)
        file = pa.ipc.open_file(pa.memory_map(str(folder / "rows.arrow")))
        return [file.get_batch(k) for k in range(file.num_record_batches)]

    def _spread(self, folder: Path) -> None:
        """Writes the needed columns uncompressed, to be mapped into memory."""
        import pyarrow as pa

        file = _open(self.path)
        schema = pa.schema([file.schema_arrow.field(name) for name in self._columns])
        with pa.ipc.new_file(str(folder / "rows.arrow"), schema) as writer:
            for batch in file.iter_batches(ROW_GROUP, columns=self._columns, use_threads=False):
                writer.write_batch(batch.select(self._columns))


def _open(path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make it with `pretexto index`") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: {_NOT_AN_INDEX} ({error})") from None


def _facts(file, path: Path) -> dict[str, Any]:
    text = (file.schema_arrow.metadata or {}).get(KEY)
    facts = {} if text is None else json.loads(text)
    if facts.get("rows") != file.metadata.num_rows:
        return {}  # rewritten by another tool: the rows say everything
    if facts.get("version") != VERSION:
        raise InputError(f"{path}: made by another version of pretexto; index the media again")
    if not 0 <= facts["ok"] <= facts["rows"]:
        raise InputError(f"{path}: {_NOT_AN_INDEX} (its count of rows is wrong)")
    return facts
