"""The columns of an index, and how rows of it are written: one place for writer and readers."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...modalities.media import MediaInfo
from ..cache import replace

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 65_536
KEY = b"pretexto"

# Column → Arrow type. A reader takes from a file what it has of these, whoever wrote it.
COLUMNS = {
    "path": "string",
    "start": "float64",
    "end": "float64",
    "kind": "string",
    "duration": "float64",
    "fps": "float64",
    "frames": "int64",
    "height": "int32",
    "width": "int32",
    "rotation": "int16",
    "codec": "string",
    "audio_rate": "int32",
    "audio_channels": "int16",
    "audio_start": "float64",
    "audio_duration": "float64",
    "motion": "list<float>",
    "label": "string",
    "labels": "list<string>",
    "group": "string",
    "split": "string",
    "caption": "string",
    "corrupt": "int32",
    "status": "string",
    "reason": "string",
    "sha256": "string",
    "duplicate_of": "string",
    "loudness": "float32",
    "silence": "float32",
    "unmeasured": "string",
    "size": "int64",
    "modified": "int64",
    "root": "string",
    "timeline": "binary",
}
INFO = [name for name in MediaInfo.__slots__ if name in COLUMNS and name != "path"]
NEEDED = list(COLUMNS)[: list(COLUMNS).index("corrupt") + 1]
PLACE = ("label", "labels", "group", "split", "caption", "start", "end")


def arrow_schema(extra: Mapping[str, str] | None = None) -> "pa.Schema":
    """The Arrow schema of an index, with further columns if wanted."""
    import pyarrow as pa

    named = {"list<float>": pa.list_(pa.float32()), "list<string>": pa.list_(pa.string())}
    types = {**COLUMNS, **(extra or {})}
    return pa.schema([(n, named.get(t) or pa.type_for_alias(t)) for n, t in types.items()])


def write_rows(
    out: Path,
    rows: Iterable[dict[str, Any]],
    facts: Mapping[str, Any],
    extra: Mapping[str, str] | None = None,
) -> None:
    """Writes an index, whole or not at all.

    Args:
        out: Parquet file, replaced atomically.
        rows: one mapping per file or segment; a column missing in it is null.
        facts: the metadata: `classes`, the labels in order; anything else is kept beside them.
            None of it is believed where the rows say otherwise.
        extra: further columns and their Arrow types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = json.dumps(dict(facts), sort_keys=True)
    schema = arrow_schema(extra).with_metadata({KEY: meta})
    part = out.with_name(f"{out.name}.part")
    queue = iter(rows)
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        while group := list(islice(queue, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema), ROW_GROUP)
    replace(part, out)
