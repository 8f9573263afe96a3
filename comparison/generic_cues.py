"""Cues that no task names: what a network or a file might give away on any data."""

import os
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.source import Source
from ..tasks.task import Batch

Probe = Callable[[Batch], Tensor]


def generic_cues(batch: Batch) -> Iterator[tuple[str, str, Probe]]:
    """Name, words and probe of every cue that can be read off batches like this one."""
    if pictures(batch) is not None:
        yield "single frame", "one frame alone, 8 × 8 pixels", _picture_probe(single_frame)
        yield "borders", "the outermost pixels alone", _picture_probe(borders)
        yield "thumbnail", "all frames at 4 × 4 grey pixels", _picture_probe(thumbnail)
    if sounds(batch) is not None:
        yield "loudness", "how loud the sound is", _sound_probe
    if "times" in batch and "target" in batch:
        yield "timestamps", "from when in the medium it is, on average", mean_time


def pictures(batch: Batch) -> list[Tensor] | None:
    """What is seen of every question, float [R, …, 3, T, H, W], one for each side of a pair."""
    if "target" in batch and batch.get("inputs", torch.empty(0)).ndim >= 5:
        x = batch["inputs"]
        return [x[batch["picture"]] if "picture" in batch else x]
    if "first" in batch and batch["first"].ndim >= 5:
        return [batch["first"], batch["second"]]
    return None


def sounds(batch: Batch) -> list[Tensor] | None:
    """What is heard of every question, float [R, 1, N], one for each side of a pair."""
    if "target" in batch and "sound" in batch and "audio" in batch:
        return [batch["audio"][batch["sound"]]]
    if "first" in batch and batch["first"].ndim == 3:
        return [batch["first"], batch["second"]]
    return None


def _picture_probe(cue: Callable[[Tensor], Tensor]) -> Probe:
    def probe(batch: Batch) -> Tensor:
        sides = pictures(batch)
        assert sides is not None
        found = [cue(_frames(side)) for side in sides]
        return found[0] if len(found) == 1 else torch.stack(found, 1)

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


def borders(x: Tensor) -> Tensor:
    """Mean and deviation of the outermost two pixels of each side of [R, F, 3, H, W]: [R, 8 F]."""
    grey = x.mean(2)
    sides = [grey[..., :2, :], grey[..., -2:, :], grey[..., :2], grey[..., -2:]]
    flat = [side.flatten(2) for side in sides]
    return torch.cat([f(side) for side in flat for f in (_mean, _deviation)], 1)


def thumbnail(x: Tensor) -> Tensor:
    """All frames of [R, F, 3, H, W] at 4 × 4 grey pixels: [R, 16 F]."""
    return F.adaptive_avg_pool2d(x.mean(2), 4).flatten(1)


def mean_time(batch: Batch) -> Tensor:
    """Mean of the seconds at which the frames were taken: [R, 1]; each of them tells the order."""
    return batch["times"].flatten(1).mean(1, keepdim=True)


def file_facts(source: Source) -> Iterator[tuple[str, str, Callable[[Tensor], Tensor]]]:
    """Name, words and probe, from numbers of media to [R, F], of what is known of the files."""
    codecs: dict[str, int] = {}

    def of(facts: Callable[[int], list[float]]) -> Callable[[Tensor], Tensor]:
        return lambda media: torch.tensor([facts(i) for i in media.tolist()], dtype=torch.float32)

    def codec(i: int) -> list[float]:
        info = source.info(i)
        return [float(codecs.setdefault(info.codec, len(codecs))), info.fps, info.audio_rate]

    def resolution(i: int) -> list[float]:
        info = source.info(i)
        return [float(info.height), float(info.width), info.duration]

    yield "codec", "codec, frame rate and sample rate of the file", of(codec)
    yield "resolution", "height, width and length of the file", of(resolution)
    yield "file size", "bytes of the file", of(lambda i: [_size(source.info(i).path)])


def _size(path: str) -> float:
    return float(os.path.getsize(path)) if os.path.isfile(path) else 0.0


def _mean(x: Tensor) -> Tensor:
    return x.mean(-1)


def _deviation(x: Tensor) -> Tensor:
    return x.std(-1)
