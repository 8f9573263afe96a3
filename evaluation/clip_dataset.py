"""From files to encoder inputs: evenly spaced clips and fixed crops."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from ..datasets.packs.fetch_ahead import make_loader, visits
from ..datasets.source import Shards, Source
from ..modalities.input_spec import InputSpec, encoder_input
from ..modalities.media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from .distributed import neighbours


def clip_starts(spec: InputSpec, info: MediaInfo, clips: int) -> tuple[float, ...]:
    """Where the clips of one medium start, in seconds (of text at which token); equal ones (short
    media) only once."""
    if info.kind == "image":
        return (0.0,)
    starts = spec.starts(info, clips)
    return tuple(dict.fromkeys(starts))


def plan_clips(spec: InputSpec, info: MediaInfo, starts: tuple[float, ...]) -> Plan:
    """One plan for all clips, so that a file is opened and passed through once.

    Sound is read as the one segment that covers all clips.

    Raises:
        MediaError: the medium holds nothing that this spec could look at.
    """
    if spec.modality == "audio":
        if not info.has_audio:
            raise MediaError(info.path, "plan", "it has no sound and the encoder hears only sound")
        span = AudioSpan(starts[0], starts[-1] - starts[0] + spec.seconds, spec.rate)
        return Plan(audio=(span,), past_end="repeat")
    if info.kind == "audio":
        raise MediaError(info.path, "plan", "it has no picture and the encoder sees only pictures")
    if spec.modality == "flow" and not info.has_video:
        raise MediaError(info.path, "plan", "no video, and the encoder sees only optical flow")
    plans = [spec.plan(start) for start in starts]
    wanted = {
        k: tuple(t for p in plans for t in getattr(p, k)) for k in ("times", "flow", "tokens")
    }
    return replace(plans[0], **wanted)


def crop_clips(spec: InputSpec, sample: Sample, starts: tuple[float, ...], crops: int) -> Tensor:
    """The encoder inputs in what `plan_clips` asked for, clip by clip and crop by crop.

    Returns:
        [V, …] with V = clips x crops and the axes of `encoder_input` after it.
    """
    if spec.modality == "audio":
        return torch.stack([_segment(spec, sample, s - starts[0]) for s in starts])
    if spec.modality == "text":
        return encoder_input(spec, sample).unflatten(0, (len(starts), -1))
    whole = whole_clips(spec, sample, len(starts))
    return torch.stack([crop for clip in whole for crop in crop_squares(clip, spec.size, crops)])


def whole_clips(spec: InputSpec, sample: Sample, count: int) -> list[Tensor]:
    """Pictures, clips or flow of a sample of so many, as an encoder takes them, not yet cut."""
    return [encoder_input(spec, part) for part in _parts(sample, count)]


def _parts(sample: Sample, count: int) -> list[Sample]:
    """A sample of several clips as one of each."""
    if sample.flow is not None:
        return [Sample(flow=flow) for flow in sample.flow.chunk(count)]
    assert sample.frames is not None
    assert sample.times is not None
    pairs = zip(sample.frames.chunk(count), sample.times.chunk(count), strict=True)
    return [Sample(frames=frames, times=times) for frames, times in pairs]


def _segment(spec: InputSpec, sample: Sample, offset: float) -> Tensor:
    wave, length = encoder_input(spec, sample), round(spec.seconds * spec.rate)
    first = min(round(offset * spec.rate), max(wave.shape[-1] - length, 0))
    return wave[:, first : first + length]


def crop_squares(x: Tensor, size: int, crops: int) -> list[Tensor]:
    """Squares of `size` pixels from [..., H, W]: the centre one, or three along the longer side.

    Three are left, centre and right (top, centre and bottom of a tall picture).
    """
    height, width = x.shape[-2:]
    if min(height, width) < size:
        raise ValueError(f"frames of {height}x{width} pixels hold no square of {size}")
    places = (0.5,) if crops == 1 else (0.0, 0.5, 1.0)
    tall = height > width
    out = []
    for place in places:
        top = math.floor((height - size) * (place if tall else 0.5))
        left = math.floor((width - size) * (0.5 if tall else place))
        out.append(x[..., top : top + size, left : left + size])
    return out


class ClipSet(Dataset):
    """Example i as (i, stack of inputs) or, if it cannot be read, (i, "stage: reason")."""

    def __init__(self, source: Source, spec: InputSpec, clips: int, crops: int):
        self.source, self.spec, self.clips, self.crops = source, spec, clips, crops

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[int, Tensor | str]:
        try:
            info = self.source.info(i)
            starts = clip_starts(self.spec, info, self.clips)
            sample = self.source.read(i, plan_clips(self.spec, info, starts))
        except MediaError as error:
            return i, f"{error.stage}: {error.reason}"
        return i, crop_clips(self.spec, sample, starts, self.crops)


Loaded = tuple[list[int], list[int], Tensor | None, list[tuple[int, str]]]


def collate(items: list[tuple[int, Tensor | str]]) -> Loaded:
    """Numbers of the examples read, inputs of each, all inputs [V, …], and what failed."""
    good = [(i, x) for i, x in items if isinstance(x, Tensor)]
    failed = [(i, x) for i, x in items if isinstance(x, str)]
    stack = torch.cat([x for _, x in good]) if good else None
    return [i for i, _ in good], [len(x) for _, x in good], stack, failed


def loader(
    clips: ClipSet, batch_size: int, workers: int, pin: bool, part: range | None = None
) -> DataLoader[Any]:
    """Batches of whole media, about `batch_size` inputs each; of a part of the set, if given.

    They come in order, or shard by shard where that is best.
    """
    shards, order = shards_of(clips.source), np.arange(len(clips))
    order = order if part is None else order[part.start : part.stop]
    if shards:
        order = order[np.argsort(shards.numbers[order], kind="stable")]
    media = max(1, batch_size // (clips.clips * clips.crops))
    return make_loader(
        clips,
        BatchSampler(order.tolist(), media, drop_last=False),
        shards,
        lambda numbers: visits(numbers[order], np.arange(len(order)) // media),
        workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        # A generator of its own: an iterator would otherwise draw from the global one.
        generator=torch.Generator(),
    )


def shards_of(source: Source) -> Shards | None:
    """The shards of a source that is best read by them, with this process's share of the room."""
    shards = source.shards()
    return shards and shards.shared(neighbours())
