"""The manifest of a pack: its settings, its files with their hashes, and what was left out."""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..cache import replace, sha256

if TYPE_CHECKING:
    import pyarrow as pa


NAME = "manifest.json"
INDEX = "index.parquet"
_FORMAT = "pretexto-packs-"  # and a number: what a pack holds is told by its columns and keys
_SHARD = re.compile(r"shard-\d{5,9}\.arrow")
_OTHER = re.compile(r"(?!shard-)[a-z_]+-\d+\.\w+")  # as shards of another kind may be called
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a pack: name within the folder, bytes and SHA-256."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pack folder holds.

    Attributes:
        settings: see `PackSettings`.
        source: SHA-256 of the index that was packed, and which of its rows.
        index: the table of clips.
        shards: in the order of their numbers.
        quarantine: path, stage and reason of each file that could not be packed.
        flow: how optical flow was made, empty if there is none: `method` and its `preset`, the
            `interval` in seconds (by its `unit`; in frames of older packs), the `scale`, which is
            steps per pixel at most, the `bits` of a value, whether there is `backward` flow, the
            `pairs` of frames a whole interval apart, and how many `clips_without` one.
    """

    settings: dict[str, Any]
    source: dict[str, Any]
    index: File
    shards: tuple[File, ...]
    quarantine: tuple[dict[str, str], ...]
    flow: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """As it stands in the folder."""
        return _signed({"format": f"{_FORMAT}2", **asdict(self)})

    def write(self, folder: Path) -> None:
        """Puts it into the folder, whole or not at all."""
        part = folder / f"{NAME}.part"
        part.write_text(self.text(), encoding="utf-8")
        replace(part, folder / NAME)


def _signed(values: dict[str, Any]) -> str:
    """Values as they stand in a file: they have one text, with a hash of its own."""
    bare = json.dumps(values, sort_keys=True).encode()
    signed = {**values, "sha256": hashlib.sha256(bare).hexdigest()}
    return json.dumps(signed, indent=1, sort_keys=True) + "\n"


def read_manifest(path: Path, where: str) -> Manifest:
    """Reads and checks a manifest.

    Args:
        path: of the file.
        where: the pack, for messages.

    Raises:
        InputError: no manifest, or one that names files outside its folder or of unknown kinds.
            Keys that nobody knows are left alone.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not values["format"].startswith(_FORMAT):
            raise ValueError("of another format")
        values["index"] = _file(values["index"], INDEX)
        if strange := [v["name"] for v in values["shards"] if _OTHER.fullmatch(v["name"])]:
            raise InputError(
                f"{where}: {NAME} names {strange[0]}, a shard of a kind that this version does not "
                "know: take a newer pretexto, or pack again"
            )
        names = [f"shard-{k:05d}.arrow" for k in range(len(values["shards"]))]
        values["shards"] = tuple(map(_file, values["shards"], names))
        values["quarantine"] = tuple(values["quarantine"])
        if not isinstance(values.get("flow", {}), dict):
            raise ValueError("flow is no mapping")
        return Manifest(**{f.name: values[f.name] for f in fields(Manifest) if f.name in values})
    except OSError as error:
        raise InputError(f"{where}: no pack: {NAME} cannot be read ({error.strerror})") from None
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {NAME} is damaged ({error}); pack again") from None


def _file(value: dict[str, Any], name: str) -> File:
    file = File(**value)
    shard = name == INDEX or _SHARD.fullmatch(file.name)
    if file.name != name or not shard or not _HASH.fullmatch(file.sha256):
        raise ValueError(f"{name} expected, found {file.name!r}")
    return file


def verify(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Reads every byte of a pack; yields each file's name and what is wrong with it, or None.

    Raises:
        InputError: no manifest to compare with.
    """
    manifest = read_manifest(folder / NAME, str(folder))
    text = (folder / NAME).read_bytes()
    values = json.loads(text)
    values.pop("sha256", None)
    yield NAME, None if text == _signed(values).encode() else "is not as it was written"
    for file in (manifest.index, *manifest.shards):
        yield file.name, _fault(folder / file.name, file)


def _fault(path: Path, file: File) -> str | None:
    try:
        found = describe(path)
    except OSError as error:
        return error.strerror or str(error)
    if found.bytes != file.bytes:
        return f"has {found.bytes} bytes instead of {file.bytes}"
    return None if found.sha256 == file.sha256 else "has other content than was written"


def describe(path: Path) -> File:
    """Name, size and hash of a file."""
    return File(path.name, path.stat().st_size, sha256(path))


_KEPT_BATCHES = 256
_BATCH_BYTES, _BATCH_CLIPS = 1 << 20, 512  # at which a record batch is closed
_PIECES = ("frames", "flow", "flow_back")
_TIMES = ("times", "flow_to")


def shard_schema() -> "pa.Schema":
    """Columns of a shard."""
    import pyarrow as pa

    pieces = pa.list_(pa.large_binary())
    return pa.schema(
        [
            ("path", pa.string()),
            ("times", pa.list_(pa.float64())),
            ("frames", pieces),
            ("audio", pa.large_binary()),
            ("channels", pa.int16()),
            ("flow", pieces),
            ("flow_back", pieces),
            ("flow_to", pa.list_(pa.float64())),
        ]
    )


class ShardWriter:
    """Writes clips into a shard, many small ones to a record batch.

    Args:
        path: of the file, written over.

    Attributes:
        bytes: written or waiting so far, about.
    """

    def __init__(self, path: Path):
        import pyarrow as pa

        self._schema = shard_schema()
        self._writer = pa.ipc.new_file(str(path), self._schema)
        self._waiting: list[dict[str, Any]] = []
        self._batch, self._size, self.bytes = 0, 0, 0

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *_) -> None:
        self._flush()
        self._writer.close()

    def write(self, clip: dict[str, Any], size: int) -> tuple[int, int]:
        """Appends a clip of about `size` bytes, a value per column of the schema.

        Returns:
            numbers of its record batch and of its row therein.
        """
        place = self._batch, len(self._waiting)
        self._waiting.append(clip)
        self._size += size
        self.bytes += size
        if self._size >= _BATCH_BYTES or len(self._waiting) >= _BATCH_CLIPS:
            self._flush()
        return place

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._waiting, self._schema))
            self._waiting, self._size = [], 0
            self._batch += 1


class Clip(NamedTuple):
    """Views into a shard; nothing is copied.

    Attributes:
        times: float64 [T], seconds at which each frame starts.
        frames: T pictures as they are in files.
        audio: int16 [N, C].
        flow: compressed fields, from each frame to the one `interval` further, or none.
        flow_back: the same from there to here.
        flow_to: float64 [F], seconds at which the second frame of each field starts.
    """

    times: NDArray[np.float64]
    frames: "Pieces"
    audio: NDArray[np.int16]
    flow: "Pieces"
    flow_back: "Pieces"
    flow_to: NDArray[np.float64]


class Pieces:
    """Byte strings that lie one behind the other: `offsets` [n + 1] into `data`."""

    def __init__(self, offsets: NDArray[np.int64], data: memoryview):
        self.offsets, self.data = offsets, data

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, k: int) -> memoryview:
        return self.data[self.offsets[k] : self.offsets[k + 1]]


class Shard:
    """A shard file, opened for reading. Columns that it does not know are left alone.

    Args:
        path: of the file.

    Raises:
        OSError, pyarrow.ArrowInvalid: not a shard.
    """

    def __init__(self, path: Path):
        import pyarrow as pa

        self.path = path
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        mine = {field.name: field.type for field in self._file.schema}
        for column in shard_schema():
            optional = column.name in ("flow_back", "flow_to")  # which older packs lack
            if mine.get(column.name, column.type if optional else None) != column.type:
                raise pa.ArrowInvalid(f"no column {column.name} as a shard has it")
        self._batches: OrderedDict[int, _Batch] = OrderedDict()

    def clip(self, batch: int, row: int) -> Clip:
        """The clip in this row of a record batch."""
        found = self._batches.get(batch)
        if found is None:
            found = self._batches[batch] = _Batch(self._file.get_batch(batch))
            if len(self._batches) > _KEPT_BATCHES:
                self._batches.popitem(last=False)
        return found.clip(row)


class _Batch:
    """A record batch as arrays, whose offsets were checked once."""

    def __init__(self, batch: "pa.RecordBatch"):
        batch.validate(full=True)  # else a damaged offset would lead out of the file
        columns = {name: batch.column(name) for name in batch.schema.names}
        self._starts = {
            n: columns[n].offsets.to_numpy() for n in (*_TIMES, *_PIECES) if n in columns
        }
        self._times = {
            n: columns[n].values.to_numpy(zero_copy_only=True) for n in _TIMES if n in columns
        }
        self._pieces = {n: _binary(columns[n].values) for n in _PIECES if n in columns}
        self._channels = columns["channels"].fill_null(0).to_numpy(zero_copy_only=False)
        self._sound = _binary(columns["audio"])

    def clip(self, row: int) -> Clip:
        if not 0 <= row < len(self._channels):
            raise IndexError(f"no row {row}")
        sound = np.frombuffer(self._sound[row], np.int16)
        pieces = {name: self._part(name, row) for name in _PIECES}
        return Clip(
            audio=sound.reshape(-1, max(int(self._channels[row]), 1)),
            times=self._seconds("times", row),
            flow_to=self._seconds("flow_to", row),
            **pieces,
        )

    def _seconds(self, name: str, row: int) -> NDArray[np.float64]:
        if name not in self._times:
            return np.zeros(0)
        first, last = self._starts[name][row : row + 2]
        return self._times[name][first:last]

    def _part(self, name: str, row: int) -> Pieces:
        if name not in self._pieces:
            return Pieces(np.zeros(1, np.int64), memoryview(b""))
        first, last = self._starts[name][row : row + 2]
        every = self._pieces[name]
        return Pieces(every.offsets[first : last + 1], every.data)


def _binary(column: "pa.Array") -> Pieces:
    """The byte strings of a column; null ones are empty."""
    if not len(column):
        return Pieces(np.zeros(1, np.int64), memoryview(b""))
    _, offsets, data = column.buffers()
    every = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    return Pieces(every, memoryview(data).cast("B") if data else memoryview(b""))
