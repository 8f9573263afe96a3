"""One shard of a pack: an Arrow IPC file, one clip per record batch, mapped into memory.

Every frame is a JPEG of its own, so that any one is read without its neighbours. Sound is 16-bit
PCM, channels interleaved; flow is in 1/64 pixel, 16-bit, compressed frame by frame.
"""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

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
