"""Cues that no task names: what a network or a file might give away on any data."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.source import Source
from ..tasks.parts.patch_cues import block_grid
from ..tasks.parts.picture_cues import borders, corners
from ..tasks.task import Batch

Probe = Callable[[Batch], Tensor]


@dataclass(frozen=True, slots=True)
class Cue:
    """A cue that no task names.

    Attributes:
        name: a word for it.
        cue: what it is, in words.
        remedy: what can be done about it, in words.
        probe: from a batch after `augment`, as a guard's; or, with `of_media`, from numbers of
            media int64 [R] to [R, F].
        of_media: whether it is a fact of the file, and not of what is shown of it.
        seen: whether a network could see it.
    """

    name: str
    cue: str
    remedy: str
    probe: Callable
    of_media: bool = False
    seen: bool = True


def generic_cues(batch: Batch, source: Source) -> Iterator[Cue]:
    """Every cue that can be read off batches like this one, and off the files of a source."""
    if pictures(batch) is not None:
        still = "see which single picture tells it; a task that asks for time should not be told so"
        edge = "cut the borders off the films"
        light = "see what light and colour go with the answer"
        yield Cue("single frame", "one frame, 8 × 8 pixels", still, _picture_probe(single_frame))
        yield Cue("borders", "the outermost pixels alone", edge, _picture_probe(borders))
        grid = "cut at random places, or enlarge, so that the grid begins anywhere"
        yield Cue("corners", "the four corners alone", edge, _picture_probe(corners))
        yield Cue("block grid", "where JPEG's blocks begin", grid, _picture_probe(blocks))
        yield Cue("thumbnail", "all frames, 4 × 4 grey pixels", light, _picture_probe(thumbnail))
    if sounds(batch) is not None:
        yield Cue("volume", "how loud the sound is", "level the files' loudness", _sound_probe)
    if "target" not in batch:
        return
    if "times" in batch:
        clock = "no network sees it, unless a clock runs in the picture: cut that off"
        about = "from when in the medium it is, on average"
        yield Cue("timestamps", about, clock, mean_time, seen=False)
    yield from _facts(source)


def pictures(batch: Batch) -> list[Tensor] | None:
    """What is seen of every question, or of all that are asked of one picture: float
    [R, …, 3, T, H, W], one for each side of a pair."""
    if "target" in batch and batch.get("inputs", torch.empty(0)).ndim >= 5:
        x = batch["inputs"]
        return [x[batch["picture"]] if "picture" in batch else x]
    if "first" in batch and batch["first"].ndim >= 5:
        return [batch["first"], batch["second"]]
    return None


def sounds(batch: Batch) -> list[Tensor] | None:
    """What is heard of every question, float [R, 1, N], one for each side of a pair."""
    if "target" in batch and "partner" in batch and "audio" in batch:
        return [batch["audio"][batch["partner"]]]
    if "first" in batch and batch["first"].ndim == 3:
        return [batch["first"], batch["second"]]
    return None


def _picture_probe(cue: Callable[[Tensor], Tensor]) -> Probe:
    def probe(batch: Batch) -> Tensor:
        sides = pictures(batch)
        assert sides is not None
        found = [cue(_frames(side)) for side in sides]
        if len(found) > 1:
            return torch.stack(found, 1)
        # Of one picture many things may be asked, as how each of its cells moves.
        return found[0].repeat_interleave(len(batch["target"]) // len(found[0]), 0)

    return probe


def _frames(x: Tensor) -> Tensor:
    """[R, 3, T, H, W] or [R, N, 3, T, H, W] as frames in the order shown: [R, F, 3, H, W]."""
    return x.transpose(-4, -3).flatten(1, -4)


def _sound_probe(batch: Batch) -> Tensor:
    sides = sounds(batch)
    assert sides is not None
    found = [x.square().mean((1, 2)).clamp_min(1e-12).log()[:, None] for x in sides]
    return found[0] if len(found) == 1 else torch.stack(found, 1)


def single_frame(x: Tensor) -> Tensor:
    """The frame in the middle of [R, F, 3, H, W], at 8 × 8 pixels: [R, 192]."""
    return F.adaptive_avg_pool2d(x[:, x.shape[1] // 2], 8).flatten(1)


def blocks(x: Tensor) -> Tensor:
    """Where a grid of 8 pixels begins in each of [R, F, 3, H, W], as waves: [R, …]."""
    return block_grid(x.unsqueeze(3))


def thumbnail(x: Tensor) -> Tensor:
    """All frames of [R, F, 3, H, W] at 4 × 4 grey pixels: [R, 16 F]."""
    return F.adaptive_avg_pool2d(x.mean(2), 4).flatten(1)


def mean_time(batch: Batch) -> Tensor:
    """Mean of the seconds at which the frames were taken: [R, 1]; each of them tells the order."""
    return batch["times"].flatten(1).mean(1, keepdim=True)


def _facts(source: Source) -> Iterator[Cue]:
    """What is known of the files without looking inside."""
    codecs: dict[str, int] = {}

    def codec(i: int) -> list[float]:
        info = source.info(i)
        return [float(codecs.setdefault(info.codec, len(codecs))), info.fps, info.audio_rate]

    def resolution(i: int) -> list[float]:
        info = source.info(i)
        return [float(info.height), float(info.width), info.duration]

    def size(i: int) -> list[float]:
        return [_size(source.info(i).path)]

    found = {
        "codec": ("codec, frame rate and sample rate of the file", codec),
        "resolution": ("height, width and length of the file", resolution),
        "file size": ("bytes of the file", size),
    }
    for name, (cue, facts) in found.items():
        remedy = "take files of one kind, or transcode them alike"
        yield Cue(name, cue, remedy, partial(_rows, facts), of_media=True)


def _rows(facts: Callable[[int], list[float]], media: Tensor) -> Tensor:
    return torch.tensor([facts(i) for i in media.tolist()], dtype=torch.float32)


def _size(path: str) -> float:
    return float(os.path.getsize(path)) if os.path.isfile(path) else 0.0
