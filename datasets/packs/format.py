"""The manifest of a pack: its settings, its files with their hashes, and what was left out."""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..cache import replace, sha256

if TYPE_CHECKING:
    import pyarrow as pa


NAME = "manifest.json"
INDEX = "index.parquet"
_FORMAT = "pretexto-packs-1"
_SHARD = re.compile(r"shard-\d{5,9}\.arrow")
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
    """

    settings: dict[str, Any]
    source: dict[str, Any]
    index: File
    shards: tuple[File, ...]
    quarantine: tuple[dict[str, str], ...]

    def text(self) -> str:
        """As it stands in the folder: one manifest has one text, with a hash of its own."""
        values = {"format": _FORMAT, **asdict(self)}
        bare = json.dumps(values, sort_keys=True).encode()
        values["sha256"] = hashlib.sha256(bare).hexdigest()
        return json.dumps(values, indent=1, sort_keys=True) + "\n"

    def write(self, folder: Path) -> None:
        """Puts it into the folder, whole or not at all."""
        part = folder / f"{NAME}.part"
        part.write_text(self.text(), encoding="utf-8")
        replace(part, folder / NAME)


def read_manifest(path: Path, where: str) -> Manifest:
    """Reads and checks a manifest.

    Args:
        path: of the file.
        where: the pack, for messages.

    Raises:
        InputError: no manifest, or one that names files outside its folder.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != _FORMAT:
            raise ValueError("made by another version of pretexto")
        values.pop("sha256")
        values["index"] = _file(values["index"], INDEX)
        names = [f"shard-{k:05d}.arrow" for k in range(len(values["shards"]))]
        values["shards"] = tuple(map(_file, values["shards"], names))
        values["quarantine"] = tuple(values["quarantine"])
        return Manifest(**values)
    except OSError as error:
        raise InputError(f"{where}: no pack: {NAME} cannot be read ({error.strerror})") from None
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
    same = (folder / NAME).read_bytes() == manifest.text().encode()
    yield NAME, None if same else "is not as it was written"
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


FLOW_SCALE = 64
_KEPT_CLIPS = 4096


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
        ]
    )


def write_clip(writer: "pa.RecordBatchFileWriter", clip: dict[str, Any]) -> None:
    """Appends one clip, a value per column of the schema."""
    import pyarrow as pa

    writer.write_batch(pa.RecordBatch.from_pylist([clip], shard_schema()))


@dataclass(frozen=True, slots=True)
class Clip:
    """Views into a shard; nothing is copied.

    Attributes:
        times: float64 [T], seconds at which each frame starts.
        frames: T JPEGs.
        audio: int16 [N, C].
        flow: T - 1 compressed fields, from each frame to the next, or none.
    """

    times: NDArray[np.float64]
    frames: "Pieces"
    audio: NDArray[np.int16]
    flow: "Pieces"


class Pieces:
    """Byte strings that lie one behind the other: `offsets` [n + 1] into `data`."""

    def __init__(self, offsets: NDArray[np.int64], data: memoryview):
        self.offsets, self.data = offsets, data

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, k: int) -> memoryview:
        return self.data[self.offsets[k] : self.offsets[k + 1]]


class Shard:
    """A shard file, opened for reading.

    Args:
        path: of the file.

    Raises:
        OSError, pyarrow.ArrowInvalid: not a shard.
    """

    def __init__(self, path: Path):
        import pyarrow as pa

        self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        if not self._file.schema.equals(shard_schema()):
            raise pa.ArrowInvalid("columns of another kind of file")
        self._clips: OrderedDict[int, Clip] = OrderedDict()

    def __len__(self) -> int:
        return self._file.num_record_batches

    def clip(self, number: int) -> Clip:
        """The clip in record batch `number`."""
        if number in self._clips:
            self._clips.move_to_end(number)
            return self._clips[number]
        batch = self._file.get_batch(number)
        batch.validate(full=True)
        clip = self._clips[number] = _clip(batch)
        if len(self._clips) > _KEPT_CLIPS:
            self._clips.popitem(last=False)
        return clip

    def paths(self) -> list[str]:
        """Names of the clips, in order."""
        return [self._file.get_batch(k).column(0)[0].as_py() for k in range(len(self))]


def _clip(batch: "pa.RecordBatch") -> Clip:
    times = batch.column("times")[0].values.to_numpy(zero_copy_only=True)
    channels = batch.column("channels")[0].as_py() or 1
    sound = batch.column("audio")[0].as_buffer()
    audio = np.frombuffer(sound, np.int16) if sound else np.empty(0, np.int16)
    return Clip(
        times, _pieces(batch, "frames"), audio.reshape(-1, channels), _pieces(batch, "flow")
    )


def _pieces(batch: "pa.RecordBatch", column: str) -> Pieces:
    values = batch.column(column)[0].values
    if values is None or not len(values):
        return Pieces(np.zeros(1, np.int64), memoryview(b""))
    _, offsets, data = values.buffers()
    every = np.frombuffer(offsets, np.int64)
    start = values.offset
    return Pieces(every[start : start + len(values) + 1], memoryview(data).cast("B"))
