"""Packs as a source: any clip by time out of memory-mapped shards, without a video decoder."""

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...modalities.flow import geometry
from ...modalities.image import resize
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ..index.columns import open_parquet
from ..index.source import TableSource, file_info
from ..index.table import Rows
from ..source import Shards
from .flow import StoredFlow
from .format import NAME, Clip, Manifest, Pieces, Shard, read_manifest
from .storage import DEFAULT_CACHE, LocalFolder, RemoteFolder, Storage, is_url
from .transcode import cut

EXTRA = {"shard": "int32", "batch": "int32", "item": "int32"}
_OPEN_SHARDS = 64
_TRIES = 3  # at opening a shard that others drop from the cache
_TICK = 0.2  # seconds until what the cache has dropped is let go
_KNOWN = 65_536  # clips of which the facts are remembered


class Packs(TableSource):
    """What `pretexto pack` wrote, from a folder or from S3-like storage.

    Needs torch, pyarrow and simplejpeg only. The frame given for a time is the one that
    `modalities.read.read` gives, out of those that were packed.

    Args:
        path: folder, or a URL that fsspec understands, such as s3://bucket/folder.
        cache: folder for copies of remote shards; default: `packs` in the cache folder.
        cache_bytes: that those copies may take together.
        options: for fsspec's file system (keys, endpoint).
        by_shard: train in an order that reads each shard once an epoch (see `shard_order`);
            None: where the pack is remote. Of files on this machine any order costs the same
            while they fit into its memory or lie on a solid-state disk.

    Raises:
        InputError: not a pack.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        cache: str | Path | None = None,
        cache_bytes: int = DEFAULT_CACHE,
        options: dict[str, Any] | None = None,
        by_shard: bool | None = None,
    ):
        self.path = str(path)
        self._by_shard = is_url(self.path) if by_shard is None else by_shard
        self._storage: Storage = LocalFolder(Path(path))
        if is_url(self.path):
            place = Path(cache) if cache else None
            self._storage = RemoteFolder(self.path, cache=place, limit=cache_bytes, options=options)
        self.manifest = read_manifest(self._storage.fetch(NAME), self.path)
        index = self._storage.get(self.manifest.index)
        # Older packs have one clip to a record batch, and no column of that.
        held = open_parquet(index, "is no index of packs").schema_arrow.names
        extra = tuple(name for name in EXTRA if name != "item" or name in held)
        super().__init__(Rows(index, extra=extra))
        self.title = self.path.rstrip("/").rsplit("/", 1)[-1]
        self._shards: OrderedDict[int, Shard] = OrderedDict()
        self._known: dict[int, _Facts] = {}
        self._watched_by = 0  # number of the process that has a thread for letting go

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_shards": OrderedDict(), "_known": {}, "_watched_by": 0}

    def shards(self) -> Shards | None:
        if not self._by_shard:
            return None
        numbers = np.concatenate([c.to_numpy() for (c,) in self.table.batches(("shard",))])
        files = self.manifest.shards
        return Shards(
            numbers,
            fetch=lambda number: self._storage.get(files[number]),
            claiming=self._claiming,
            room=self._storage.room(self.manifest.index, max(file.bytes for file in files)),
        )

    @contextmanager
    def _claiming(self) -> Iterator[Callable[[Collection[int]], None]]:
        files = self.manifest.shards
        with self._storage.claiming() as claim:
            yield lambda numbers: claim([files[number] for number in numbers])

    def info(self, i: int) -> MediaInfo:
        """The facts of what was packed: where that is a segment, its own."""
        info, segment = file_info(self.table.row(i)), self.segment(i)
        return replace(info, path=info.path + segment.fragment) if segment else info

    def read(self, i: int, plan: Plan) -> Sample:
        facts = self._facts(i)
        clip = self._clip(facts)
        out: dict[str, Any] = {}
        if plan.times:
            numbers = _numbers_at(clip, plan.times, facts, plan)
            out["frames"] = resized(_pixels(clip, numbers, facts), plan.short_side)
            out["times"] = torch.from_numpy(clip.times[numbers])
        if plan.audio:
            if not facts.audio_rate:
                raise MediaError(facts.path, "plan", "sound is asked of a clip without sound")
            about = (facts.audio_rate, facts.duration)
            spans = [cut(clip.audio, *about, s, plan.past_end, facts.path) for s in plan.audio]
            out["audio"], out["audio_rate"] = torch.cat(spans, 1), plan.audio[0].rate
        if plan.flow:
            out["flow"] = _flow(clip, self.manifest, facts, plan)
        return Sample(**out, note=plan.note)

    def _facts(self, i: int) -> "_Facts":
        found = self._known.get(i)
        if found is None:
            row = self.table.row(i)
            known: dict[str, Any] = {name: row.get(name) for name in _FACTS}
            known["item"] = known["item"] or 0
            found = _Facts(os.path.join(self.path, row["path"]), **known)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[i] = found
        return found

    def _clip(self, facts: "_Facts") -> Clip:
        try:
            return self._shard(facts.shard).clip(facts.batch, facts.item)
        except MediaError:
            raise
        except (OSError, ValueError, IndexError, AttributeError) as error:
            reason = f"shard {facts.shard} is damaged ({error}); see `pretexto pack --verify`"
            raise MediaError(facts.path, "open", reason) from error

    def _shard(self, number: int) -> Shard:
        shard = self._shards.get(number)
        if shard is None:
            shard = self._opened(number)
            self._let_go()
            self._shards[number] = shard
            if len(self._shards) > _OPEN_SHARDS:
                self._shards.popitem(last=False)
            self._watch()
        return shard

    def _opened(self, number: int) -> Shard:
        for _ in range(_TRIES):
            path = self._storage.get(self.manifest.shards[number])
            with suppress(FileNotFoundError):  # dropped meanwhile by another reader
                return Shard(path)
        raise MediaError(self.path, "open", f"shard {number} is dropped as soon as it is fetched")

    def _let_go(self) -> None:
        """Closes what the cache has dropped: it takes its room until nobody has it mapped."""
        for number, shard in list(self._shards.items()):
            if not shard.path.exists():
                self._shards.pop(number, None)

    def _watch(self) -> None:
        """From now on lets go at once in this process, also while it reads nothing."""
        if isinstance(self._storage, RemoteFolder) and self._watched_by != os.getpid():
            self._watched_by = os.getpid()
            threading.Thread(target=_watch, args=(weakref.ref(self),), daemon=True).start()


def _watch(packs: "weakref.ref[Packs]") -> None:
    while (held := packs()) is not None:
        held._let_go()
        del held
        time.sleep(_TICK)


class _Facts(NamedTuple):
    """What reading needs of a clip's row: Python values, which Arrow is slow to give."""

    path: str
    kind: str
    duration: float
    height: int
    width: int
    audio_rate: int
    codec: str
    shard: int
    batch: int
    item: int


_FACTS = _Facts._fields[1:]


def resized(x: Tensor, short_side: int | None) -> Tensor:
    """Frames or flow [..., C, H, W] with this shorter side, as they are for None."""
    return x if short_side is None or short_side == min(x.shape[-2:]) else resize(x, short_side)


def _pixels(clip: Clip, numbers: np.ndarray, facts: _Facts) -> Tensor:
    """uint8 [T, 3, H, W]: a view, pixels lie channel by channel in each place."""
    if not facts.codec.startswith("original"):
        pixels = decode(clip.frames, numbers, facts.height, facts.width, facts.path)
        return pixels.permute(0, 3, 1, 2)
    from ...modalities.decode.reader import read

    frames = read(bytes(clip.frames[0]), Plan((0.0,))).frames
    assert frames is not None
    return frames.expand(len(numbers), -1, -1, -1)


def decode(
    jpegs: Pieces, numbers: Sequence[int] | np.ndarray, height: int, width: int, path: str
) -> Tensor:
    """JPEGs of these numbers, uint8 [T, height, width, 3]. Raises MediaError."""
    from simplejpeg import decode_jpeg

    out = torch.empty(len(numbers), height, width, 3, dtype=torch.uint8)
    places = out.numpy()
    done: dict[int, int] = {}
    try:
        for k, number in enumerate(map(int, numbers)):
            if number in done:
                places[k] = places[done[number]]
                continue
            picture = decode_jpeg(jpegs[number], "RGB", buffer=places[k])
            if picture.shape != (height, width, 3):
                raise ValueError(f"a frame of {picture.shape[1]}x{picture.shape[0]} pixels")
            done[number] = k
    except ValueError as error:
        reason = f"a frame is damaged ({error}); see `pretexto pack --verify`"
        raise MediaError(path, "decode", reason) from error
    return out


def _numbers_at(clip: Clip, times: Sequence[float], facts: _Facts, plan: Plan) -> np.ndarray:
    """Number of the packed frame that is shown at each time."""
    if not len(clip.times):
        raise MediaError(facts.path, "plan", "frames are asked of a clip without video")
    if facts.kind == "image":
        return np.zeros(len(times), np.int64)
    wanted, duration = np.array(times, np.float64), facts.duration
    if min(times) < -1e-6 or max(times) >= duration:
        inside = (wanted >= -1e-6) & (wanted < duration)
        if plan.past_end == "error":
            reason = f"a frame is asked at {wanted[~inside][0]:.3f} s of {duration:.3f} s"
            raise MediaError(facts.path, "plan", reason)
        held = wanted % duration if plan.past_end == "wrap" else wanted.clip(0.0, duration)
        wanted = np.where(inside, wanted, held)
    # As in reading files: a time less than a microsecond before a frame means its start.
    return np.maximum(clip.times.searchsorted(wanted + 1e-6, "right") - 1, 0)


def _flow(clip: Clip, manifest: Manifest, facts: _Facts, plan: Plan) -> Tensor:
    """float32 [P, 2, H, W], pixels at the frames' size."""
    if facts.kind == "image":
        flow = torch.zeros(len(plan.flow), 2, facts.height, facts.width)
        return resized_flow(flow, plan.short_side)
    stored = StoredFlow.of(manifest, (facts.height, facts.width), facts.duration, facts.path)
    stored.check(plan.flow_method)
    times = [t for pair in plan.flow for t in pair]
    numbers = _numbers_at(clip, times, facts, plan).reshape(-1, 2).tolist()
    pairs = zip(plan.flow, numbers, strict=True)
    fields = [stored.field(clip, asked, between, plan.past_end) for asked, between in pairs]
    return resized_flow(torch.stack(fields), plan.short_side)


def resized_flow(flow: Tensor, short_side: int | None) -> Tensor:
    """Flow [..., 2, H, W] between frames of this shorter side, as it is for None."""
    return flow if short_side is None else geometry.resize(flow, short_side)
