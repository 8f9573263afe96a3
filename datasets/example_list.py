"""The list of a source's examples in a file: names, labels, groups, and why some are left out."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .fingerprint import Columns, fingerprint
from .source import Source

NAME = "data.parquet"
CHUNK = 100_000


class LeftOut(NamedTuple):
    """Examples that are left out: their numbers int64 [K], ascending, and reasons, texts [K]."""

    rows: NDArray[np.int64]
    reasons: NDArray[np.object_]

    @classmethod
    def of(cls, parts: Iterable[tuple[NDArray[np.int64], str]]) -> "LeftOut":
        """All parts in order, each with one reason for all of its numbers."""
        found = list(parts)
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in found)])
        reasons = np.repeat(
            np.array([why for _, why in found], object), [len(rows) for rows, _ in found]
        )
        order = np.argsort(rows, kind="stable")
        return cls(rows[order], reasons[order])

    def between(self, begin: int, end: int) -> "list[str | None] | None":
        """The reason of each example from `begin` to before `end`; None where none has one."""
        low, high = np.searchsorted(self.rows, [begin, end])
        if low == high:
            return None
        out = np.full(end - begin, None, object)
        out[self.rows[low:high] - begin] = self.reasons[low:high]
        return out.tolist()


def write_listing(source: Source, folder: Path, left_out: LeftOut) -> str:
    """Writes FOLDER/data.parquet in one pass and little memory; returns the fingerprint.

    Columns: name, label, group, split; left_out, the reason, null for what is used.
    """
    part = folder / f"{NAME}.part"
    found = fingerprint(_written(source.columns(), part, left_out))
    os.replace(part, folder / NAME)
    return found


def _written(batches: Iterable[Columns], path: Path, left_out: LeftOut) -> Iterator[Columns]:
    """Passes batches of columns on and writes them meanwhile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ("name", "group", "split", "left_out")
    schema = pa.schema([*((n, pa.string()) for n in texts), ("label", pa.int64())])
    begin = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            end = begin + len(batch.labels)
            reasons = left_out.between(begin, end)
            columns = {
                "name": _texts(batch.names),
                "group": _texts(batch.groups),
                "split": _texts(batch.splits),
                "left_out": pa.array(reasons, pa.string()) if reasons else pa.nulls(end - begin),
                "label": pa.array(batch.labels),
            }
            writer.write_table(pa.table(columns).cast(schema))
            begin = end
            yield batch


def _texts(column: Any) -> Any:
    """A column of texts for Arrow; bytes of a name that are no UTF-8 become question marks."""
    import pyarrow as pa

    if isinstance(column, pa.Array):
        return column
    try:
        return pa.array(column, pa.string())
    except UnicodeEncodeError:
        return pa.array([text.encode("utf-8", "replace").decode() for text in column])


def read_listing(folder: Path, *columns: str) -> Iterator[tuple]:
    """These columns of FOLDER/data.parquet, row by row.

    Raises:
        InputError: no such file, or another one of that name.
    """
    for batch in _open(folder).iter_batches(CHUNK, columns=list(columns)):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def left_out_of(folder: Path) -> np.ndarray:
    """Numbers of the examples that are left out, int64 [K]."""
    column = _open(folder).read(["left_out"])["left_out"]
    if column.null_count == len(column):
        return np.zeros(0, np.int64)
    return np.flatnonzero(column.is_valid().to_numpy())


def _open(folder: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(folder / NAME)
        file.schema_arrow.field("left_out")
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{folder / NAME}: no list of examples is there") from error
    return file
