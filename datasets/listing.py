"""The list of a source's examples in a file: names, labels, groups, and why some are left out."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError
from .source import Record, Source, fingerprint

NAME = "data.parquet"
CHUNK = 100_000


def write_listing(source: Source, folder: Path, left_out: Mapping[int, str]) -> str:
    """Writes FOLDER/data.parquet in one pass and little memory; returns the fingerprint.

    Columns: name; group, null where it is the name; label; split, null where there is none;
    left_out, the reason, null for what is used.
    """
    import os

    part = folder / f"{NAME}.part"
    found = fingerprint(_written(source.records(), part, left_out))
    os.replace(part, folder / NAME)
    return found


def _written(
    records: Iterable[Record], path: Path, left_out: Mapping[int, str]
) -> Iterator[Record]:
    """Passes the records on and writes them meanwhile."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ("name", "group", "split", "left_out")
    schema = pa.schema([*((n, pa.string()) for n in names), ("label", pa.int64())])
    number, records = 0, iter(records)
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        while chunk := list(islice(records, CHUNK)):
            columns = {
                "name": [r[0] for r in chunk],
                "group": [r[2] if r[2] != r[0] else None for r in chunk],
                "split": [r[3] or None for r in chunk],
                "left_out": [left_out.get(i) for i in range(number, number + len(chunk))]
                if left_out
                else pa.nulls(len(chunk), pa.string()),
                "label": [r[1] for r in chunk],
            }
            writer.write_table(pa.table(columns, schema=schema))
            number += len(chunk)
            yield from chunk


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
