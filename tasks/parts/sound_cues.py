"""What may tell which sound belongs to what, without being understood, and probes of it.

A measure takes float sounds [B, 1, S] to [B, F]. A relation puts a measure beside the question:
it is what a Guard or an Audit calls as its probe once the measure is chosen.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Audit, Batch
from .guards import fine_detail

SILENT = 1e-3  # root mean square below which a segment counts as silence: -60 dB

Measure = Callable[[Tensor], Tensor]
Relation = Callable[[Measure, Batch], Tensor]


def loudness(x: Tensor) -> Tensor:
    """Log root mean square: [B, 1]."""
    return x.square().mean((1, 2)).clamp_min(1e-12).log()[:, None] / 2


def silence(x: Tensor) -> Tensor:
    """Share of the 100th parts that are silent: [B, 1]."""
    blocks = x[..., : x.shape[-1] // 100 * 100].unflatten(2, (100, -1))
    return (blocks.square().mean(3) < SILENT**2).float().mean(2)


def silent(x: Tensor) -> Tensor:
    """Which of float [..., 1, S], as they were read, are silent throughout: bool [...]."""
    return x.square().mean((-2, -1)) < SILENT**2


def room_tone(x: Tensor) -> Tensor:
    """Log energy, in eight bands up to half the rate, of the quietest tenth: [B, 8].

    Room, microphone and codec sound on where nothing happens. The mean over the bands, which is
    loudness, is taken off.
    """
    frames = x[:, 0].unfold(1, 512, 512) if x.shape[-1] >= 512 else x
    energy = torch.fft.rfft(frames.float()).abs().square()
    bands = torch.stack([band.mean(2) for band in energy.tensor_split(8, 2)], 2)
    quiet = bands.quantile(0.1, dim=1).clamp_min(1e-12).log()
    return quiet - quiet.mean(1, keepdim=True)


def bandwidth(x: Tensor) -> Tensor:
    """Share of half the rate up to which there is anything: [B, 1], 0 for silence.

    Above it no 64th of the spectrum comes within 60 decibels of the strongest one. A codec, or the
    rate at which a file was made, cuts there, alike in all of the file.
    """
    # Without a window the ends of a segment would fill all frequencies.
    window = torch.hann_window(x.shape[-1], device=x.device)
    power = torch.fft.rfft(x[:, 0].float() * window).abs().square()
    bands = torch.stack([band.mean(1) for band in power.tensor_split(64, 1)], 1)
    filled = bands > 1e-6 * bands.amax(1, keepdim=True).clamp_min(1e-12)
    top = torch.arange(1, 65, device=x.device) * filled
    return top.amax(1, keepdim=True) / 64


def coding(x: Tensor) -> Tensor:
    """What codec, microphone and data set leave in all of a file's sound: [B, 9]."""
    return torch.cat([bandwidth(x), room_tone(x)], 1)


def tint(pictures: Tensor) -> Tensor:
    """Mean colour of clips [B, 3, T, H, W]: [B, 3]."""
    return pictures.mean((2, 3, 4))


def movement(pictures: Tensor) -> Tensor:
    """Mean change from frame to frame of clips [B, 3, T, H, W]: [B, 1]."""
    return pictures.diff(dim=2).abs().mean((1, 2, 3, 4))[:, None]


def resolution(pictures: Tensor) -> Tensor:
    """Energy of fine detail in clips [B, 3, T, H, W], which coding and scaling leave: [B, 1]."""
    return fine_detail(pictures[:, None])[:, 0]


def of_both_segments(measure: Measure, batch: Batch) -> Tensor:
    """A measure of two segments, "first" and "second", of each recording: [B, 2, F]."""
    return torch.stack([measure(batch["first"]), measure(batch["second"])], 1)


def of_both_sides(
    pictures: Measure, partners: Measure, batch: Batch, *, other: str = "audio"
) -> Tensor:
    """A measure of clips, "inputs", and one of the sounds or flow that go with them: [B, 2, F].

    The shorter one is filled up with zeros.
    """
    sides = [pictures(batch["inputs"]), partners(batch[other])]
    longest = max(side.shape[1] for side in sides)
    return torch.stack([F.pad(side, (0, longest - side.shape[1])) for side in sides], 1)


def of_pairs(pictures: Measure, partners: Measure, batch: Batch, *, other: str = "audio") -> Tensor:
    """Both measures of the clip and the sound or flow of P pairs, and all their products.

    Measures are centred over the batch, so that a product says whether both are more than usual.

    Returns:
        [P, F + G + F · G].
    """
    one, two = pictures(batch["inputs"]), partners(batch[other])
    one, two = (one - one.mean(0))[batch["picture"]], (two - two.mean(0))[batch["partner"]]
    return torch.cat([one, two, (one[:, :, None] * two[:, None]).flatten(1)], 1)


CODEC = Audit(
    "codec",
    "the band that a file fills, which goes with its codec and its data set",
    "take an encoder of a lower rate, at which all files fill the band, or one data set at a time",
    partial(of_both_segments, bandwidth),
)


def marks_of_a_file(relation: Callable[[Measure, Measure, Batch], Tensor]) -> Audit:
    """The audit of tasks whose wrong answers are sounds of other files."""
    return Audit(
        "file",
        "codec, resolution and data set, of which picture and sound of a file bear marks",
        "take one data set at a time, or negatives of the same video: Synchrony, or AudioVisual "
        "with negatives: same_video",
        partial(relation, resolution, coding),
    )
