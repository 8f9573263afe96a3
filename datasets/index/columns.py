"""Columns of a Parquet file as Arrow batches: in memory, or mapped from an uncompressed copy."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..cache import made_once
from .schema import COLUMNS, ROW_GROUP, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

CODED = ("status", "kind", "label", "split", "root")
SMALL = 200_000  # rows that are simply held in memory


class Columns:
    """Some columns of all rows, read when the first row is asked for.

    A large file is spread once into an uncompressed copy in the cache folder, which all
    processes map into their memory.

    Args:
        path: Parquet file.
        names: its columns to read.
        small: number of rows up to which they are held in memory.
    """

    def __init__(self, path: Path, names: list[str], *, small: int = SMALL):
        self.path, self.names, self._small = path, names, small
        self._batches: list[pa.RecordBatch] | None = None
        self._starts = np.zeros(0, np.int64)

    def locate(self, place: int) -> "tuple[pa.RecordBatch, int]":
        """The batch that holds a row of the file, and its number in it."""
        if self._batches is None:
            self._batches = self._load()
            sizes = [batch.num_rows for batch in self._batches]
            self._starts = np.concatenate([[0], np.cumsum(sizes)])
        k = int(np.searchsorted(self._starts, place, "right")) - 1
        return self._batches[k], place - int(self._starts[k])

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_batches": None}

    def _load(self) -> "list[pa.RecordBatch]":
        import pyarrow as pa

        file = open_parquet(self.path, "is no longer there as it was opened")
        if file.metadata.num_rows <= self._small:
            return [
                self._batch(batch) for batch in file.iter_batches(self._small, None, self.names)
            ]
        status = self.path.stat()
        key = f"{self.path.resolve()}|{status.st_mtime_ns}|{status.st_size}|{self.names}"
        name = f"index-{hashlib.sha256(key.encode()).hexdigest()[:24]}"
        folder = made_once(name, self._spread)
        mapped = pa.ipc.open_file(pa.memory_map(str(folder / "rows.arrow")))
        return [mapped.get_batch(k) for k in range(mapped.num_record_batches)]

    def _spread(self, folder: Path) -> None:
        """Writes the columns uncompressed, to be mapped into memory."""
        import pyarrow as pa

        file = open_parquet(self.path, "is no longer there as it was opened")
        schema = pa.schema([(name, conformed_type(name, file)) for name in self.names])
        with pa.ipc.new_file(str(folder / "rows.arrow"), schema) as writer:
            for batch in file.iter_batches(ROW_GROUP, columns=self.names, use_threads=False):
                writer.write_batch(self._batch(batch))

    def _batch(self, batch: "pa.RecordBatch") -> "pa.RecordBatch":
        import pyarrow as pa

        columns = [conform(batch.column(name), name, str(self.path)) for name in self.names]
        return pa.RecordBatch.from_arrays(columns, names=self.names)


def open_parquet(path: Path, fault: str) -> "pq.ParquetFile":
    """The file, mapped into memory, columns of few values as codes.

    Raises:
        InputError: no such file, or one with the given fault.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        known = pq.read_metadata(path, memory_map=True)
        columns = map(known.schema.column, range(known.num_columns))
        texts = {column.path for column in columns if column.physical_type == "BYTE_ARRAY"}
        coded = [name for name in CODED if name in texts]
        return pq.ParquetFile(path, metadata=known, memory_map=True, read_dictionary=coded)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make it with `pretexto index`") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: {fault} ({error})") from None


@lru_cache
def _known_types() -> "dict[str, pa.DataType]":
    return {field.name: field.type for field in arrow_schema()}


def conformed_type(name: str, file: "pq.ParquetFile | None" = None) -> "pa.DataType":
    """The type in which readers get a column; that of the file for one that they do not know."""
    if name in COLUMNS:
        return _known_types()[name]
    assert file is not None
    return file.schema_arrow.field(name).type


def conform(column: "pa.Array", name: str, where: str, *, coded: bool = False) -> "pa.Array":
    """A column in the type that readers expect: other tools write text and numbers otherwise.

    Args:
        coded: texts may stay as codes.

    Raises:
        InputError: values that are of another kind.
    """
    import pyarrow as pa

    if name not in COLUMNS or column.type == conformed_type(name):
        return column
    wanted = conformed_type(name)
    if coded and isinstance(column, pa.DictionaryArray) and column.dictionary.type == wanted:
        return column
    column = decoded(column)
    if column.type == wanted:
        return column
    try:
        # Labels that are whole numbers, which tables with gaps hold as 3.0.
        if pa.types.is_floating(column.type) and pa.types.is_string(wanted):
            column = column.cast(pa.int64())
        return column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        reason = f"column {name!r} holds {column.type}, and an index has {wanted} there"
        raise InputError(f"{where}: {reason} ({error})") from None


def decoded(column: "pa.Array") -> "pa.Array":
    """The column with every value written out."""
    import pyarrow as pa

    coded = isinstance(column, pa.DictionaryArray)
    return column.dictionary.take(column.indices) if coded else column


def codes(column: "pa.Array") -> tuple[list, NDArray[np.integer]]:
    """The distinct values of a column, None last, and the number of each row's value in them."""
    coded = column.dictionary_encode()
    values = coded.dictionary.to_pylist()
    indices = coded.indices
    indices = indices.fill_null(len(values)) if indices.null_count else indices
    return [*values, None], indices.to_numpy(zero_copy_only=False)
