"""From files to encoder inputs: evenly spaced clips and fixed crops, or drawn ones."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datasets.source import Source
from ..modalities.input_spec import InputSpec, as_float, encoder_input
from ..modalities.media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import generator, permutation, uniform
from ..modalities.transforms.image import apply_crop, apply_gain, draw_crop, draw_flip, draw_gain

GAIN = 0.5  # greatest share by which the loudness of sound changes in training


def clip_starts(view: InputSpec, info: MediaInfo, clips: int) -> tuple[float, ...]:
    """Where the clips of one medium start, in seconds; equal ones (short media) only once."""
    if info.kind == "image":
        return (0.0,)
    starts = view.starts(info, clips)
    return tuple(dict.fromkeys(starts))


def plan_clips(view: InputSpec, info: MediaInfo, starts: tuple[float, ...]) -> Plan:
    """One plan for all clips, so that a file is opened and passed through once.

    Sound is read as the one stretch that covers all clips.

    Raises:
        MediaError: the medium holds nothing that this view could look at.
    """
    if view.modality == "audio":
        if not info.has_audio:
            raise MediaError(info.path, "plan", "it has no sound and the encoder hears only sound")
        span = AudioSpan(starts[0], starts[-1] - starts[0] + view.seconds, view.rate)
        return Plan(audio=(span,), past_end="repeat")
    if info.kind == "audio":
        raise MediaError(info.path, "plan", "it has no picture and the encoder sees only pictures")
    times = tuple(t for start in starts for t in view.plan(start).times)
    return Plan(times=times, short_side=view.size, past_end="repeat")


def cut_clips(view: InputSpec, sample: Sample, starts: tuple[float, ...], crops: int) -> Tensor:
    """The encoder inputs in what `plan_clips` asked for, clip by clip and crop by crop.

    Returns:
        [V, …] with V = clips x crops and the axes of `encoder_input` after it.
    """
    if view.modality == "audio":
        return torch.stack([_stretch(view, sample, s - starts[0]) for s in starts])
    assert sample.frames is not None
    assert sample.times is not None
    pairs = zip(sample.frames.chunk(len(starts)), sample.times.chunk(len(starts)), strict=True)
    whole = [encoder_input(view, Sample(frames=f, times=t)) for f, t in pairs]
    return torch.stack([crop for clip in whole for crop in crop_squares(clip, view.size, crops)])


def _stretch(view: InputSpec, sample: Sample, offset: float) -> Tensor:
    wave, length = encoder_input(view, sample), round(view.seconds * view.rate)
    first = min(round(offset * view.rate), max(wave.shape[-1] - length, 0))
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

    def __init__(self, source: Source, view: InputSpec, clips: int, crops: int):
        self.source, self.view, self.clips, self.crops = source, view, clips, crops

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[int, Tensor | str]:
        try:
            info = self.source.info(i)
            starts = clip_starts(self.view, info, self.clips)
            sample = self.source.read(i, plan_clips(self.view, info, starts))
        except MediaError as error:
            return i, f"{error.stage}: {error.reason}"
        return i, cut_clips(self.view, sample, starts, self.crops)


Loaded = tuple[list[int], list[int], Tensor | None, list[tuple[int, str]]]


def collate(items: list[tuple[int, Tensor | str]]) -> Loaded:
    """Numbers of the examples read, inputs of each, all inputs [V, …], and what failed."""
    good = [(i, x) for i, x in items if isinstance(x, Tensor)]
    failed = [(i, x) for i, x in items if isinstance(x, str)]
    stack = torch.cat([x for _, x in good]) if good else None
    return [i for i, _ in good], [len(x) for _, x in good], stack, failed


def loader(clips: ClipSet, batch_size: int, workers: int, pin: bool) -> DataLoader[Any]:
    """Batches of whole media, about `batch_size` inputs each."""
    media = max(1, batch_size // (clips.clips * clips.crops))
    return DataLoader(
        clips,
        batch_size=media,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        # A generator of its own: an iterator would otherwise draw from the global one.
        generator=torch.Generator(),
    )


class Readings(Dataset):
    """Random clips and crops to learn from: (epoch, i) gives (input, label) or (None, reason).

    Pictures come as float32 [3, (T,) size, size] in [0, 1], sound as [1, N] in [-1, 1] at a random
    gain. What is drawn depends on seed, epoch and i alone.

    Args:
        scale, flip: see `modalities.augment.draw_crop` and `draw_flip`.
    """

    def __init__(
        self, source: Source, view: InputSpec, seed: int, scale: tuple[float, float], flip: bool
    ):
        self.source, self.view, self.seed = source, view, seed
        self.scale, self.flip = scale, flip

    def __getitem__(self, drawn: tuple[int, int]) -> tuple[Tensor | None, int | str]:
        epoch, i = drawn
        rng = generator(self.seed, epoch, i)
        try:
            info = self.source.info(i)
            room = 0.0 if info.kind == "image" else max(info.duration - self.view.span - 1e-3, 0.0)
            # A margin about the picture, so that crops are rarely enlarged.
            side = round(self.view.size * 8 / 7)
            plan = self.view.plan(uniform(rng, 0, room), side)
            x = encoder_input(self.view, self.source.read(i, plan))
        except MediaError as error:
            return None, str(error)
        if self.view.modality == "audio":
            x = apply_gain(x[None], draw_gain(rng, GAIN)[None])[0]
        else:
            box, flip = draw_crop(rng, scale=self.scale), draw_flip(rng, 0.5 if self.flip else 0.0)
            x = apply_crop(as_float(x)[None], box[None], flip[None], self.view.size)[0]
        return x, self.source.label(i)


def training_loader(
    readings: Readings, epochs: int, batch_size: int, workers: int
) -> DataLoader[Any]:
    """Batches (inputs, labels, reasons of what failed); each epoch in an order of its own.

    A rest that fills no batch is left out, unless it is all there is.
    """
    count = len(readings.source)
    size = min(batch_size, count)
    order = []
    for epoch in range(epochs):
        shuffled = permutation(generator(readings.seed, epoch, 0), count).tolist()
        order += [[(epoch, i) for i in part] for part in _full(shuffled, size)]
    return DataLoader(
        readings,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=_examples,
        generator=torch.Generator(),
    )


def _full(order: list[int], size: int) -> list[list[int]]:
    return [order[k : k + size] for k in range(0, len(order) - size + 1, size)]


def _examples(items: list[tuple[Tensor | None, Any]]) -> tuple[Tensor, Tensor, list[str]]:
    good = [(x, y) for x, y in items if x is not None]
    stack = torch.stack([x for x, _ in good]) if good else torch.empty(0)
    return stack, torch.tensor([y for _, y in good]), [y for x, y in items if x is None]
