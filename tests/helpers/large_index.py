"""Indexes of as many rows as are asked for."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pretexto.datasets.index.schema import KEY, ROW_GROUP, arrow_schema


def write_many(path: Path, count: int) -> None:
    """Writes an index of that many videos without any file."""
    facts = {"classes": ["0", "1", "2"]}
    schema = arrow_schema().with_metadata({KEY: json.dumps(facts)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, count, ROW_GROUP):
            at = np.arange(start, min(start + ROW_GROUP, count))
            known = {
                "path": pa.array([f"class/{i:09}.mp4" for i in at]),
                "duration": pa.array((at % 7).astype(float)),
                "kind": pa.array(["video"] * len(at)),
                "label": pa.array((at % 3).astype("U1")),
                "status": pa.array(["ok"] * len(at)),
                "split": pa.array(np.where(at % 5 == 0, "test", "train")),
            }
            columns = [
                known[f.name] if f.name in known else pa.nulls(len(at), f.type) for f in schema
            ]
            writer.write_table(pa.table(columns, schema=schema), ROW_GROUP)
