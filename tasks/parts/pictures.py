"""From tensors to what a person can look at."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...encoders.spectrogram import LogMel
from ...modalities.flow.colour import flow_to_rgb
from ..task import Batch, Picture

Strip = Callable[[int], tuple[list[Tensor], list[str]]]


def strip(clip: Tensor, most: int = 4) -> Tensor:
    """Up to `most` frames of a clip [3, T, H, W] side by side: float [3, H, W'] in [0, 1].

    A clip of flow [2, T, H, W] is shown in colours: hue is direction, saturation is length.
    """
    if len(clip) == 2:
        clip = flow_to_rgb(clip.detach().float().cpu().transpose(0, 1)).transpose(0, 1) / 255
    t = clip.shape[1]
    chosen = [round(k * (t - 1) / max(min(most, t) - 1, 1)) for k in range(min(most, t))]
    return torch.cat([clip[:, k] for k in chosen], -1).detach().float().cpu().clamp(0, 1)


@contextmanager
def observed(module: nn.Module) -> Iterator[None]:
    """A module that is only looked at: no gradients, and no statistics of batch norms."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def timed_strip(clip: Tensor, times: Tensor, most: int = 4) -> tuple[list[Tensor], list[str]]:
    """Up to `most` frames of a clip [3, T, H, W] and their times [T] in seconds as captions."""
    t = clip.shape[1]
    count = min(most, t)
    chosen = [round(k * (t - 1) / max(count - 1, 1)) for k in range(count)]
    images = [strip(clip[:, k : k + 1]) for k in chosen]
    return images, [f"{float(times[k]):.2f} s" for k in chosen]


def spectrogram(audio: Tensor, rate: int) -> Tensor:
    """A log-mel picture of sound [1, N]: float [3, mels, frames] in [0, 1], low tones below."""
    mel = LogMel(rate=rate)(audio.detach().float().cpu()[None])[0]
    low, high = mel.amin(), mel.amax()
    return ((mel - low) / (high - low).clamp_min(1e-6)).flip(1).expand(3, -1, -1)


def strip_over_sound(clip: Tensor, step: float, audio: Tensor, rate: int) -> Tensor:
    """A film strip above the spectrogram of the sound that starts with it, on one time axis.

    Args:
        clip: [3, T, H, W]; in each quarter of the sound stands the frame of its middle, nothing
            where the clip has ended.
        step: seconds between the frames.
        audio: [1, N].

    Returns:
        float [3, H', 4 W] in [0, 1].
    """
    middles = [(k + 0.5) / 4 * audio.shape[-1] / rate for k in range(4)]
    chosen = [int(t / step + 1e-6) for t in middles]
    blank = torch.ones_like(clip[:, :1])
    row = torch.cat([strip(clip[:, k : k + 1] if k < clip.shape[1] else blank) for k in chosen], 2)
    height, width = row.shape[1:]
    below = F.interpolate(spectrogram(audio, rate)[None], (height, width), mode="nearest")[0]
    return torch.cat([row, torch.ones(3, max(height // 16, 1), width), below], 1)


def moments_row(batch: Batch) -> Strip:
    """Shows row i of a batch of tuples: its moments, and where in the medium they are from."""
    return lambda i: (
        [strip(moment, 2) for moment in batch["inputs"][i]],
        [f"{float(t):.2f} s" for t in batch["times"][i]],
    )


def frames_row(batch: Batch) -> Strip:
    """Shows row i of a batch of clips: up to four frames and their times."""
    return lambda i: timed_strip(batch["inputs"][i], batch["times"][i])


def ranked_pairs(
    first: Tensor,
    second: Tensor,
    likeness: Tensor,
    draw: Callable[[Tensor], Tensor],
    captions: tuple[str, str] = ("one view", "another view of the same"),
) -> Callable[[], list[Picture]]:
    """Shows up to four pairs that belong together, and how well each finds its partner.

    Args:
        first, second: what both sides of the B pairs look or sound like, [B, …].
        likeness: float [B, B]; in row i, how like the first of pair i is to each second.
        draw: makes a picture [3, H, W] of one of them.
    """

    def pictures() -> list[Picture]:
        return [
            Picture(
                images=[draw(first[i]), draw(second[i])],
                captions=list(captions),
                answer="these two belong together",
                prediction=rank_text(likeness, i),
            )
            for i in range(min(len(first), 4))
        ]

    return pictures


def rank_text(likeness: Tensor, i: int) -> str:
    """At which place of all candidates [B, B] the partner of i stands."""
    return f"partner ranks {1 + int((likeness[i] > likeness[i, i]).sum())} of {likeness.shape[1]}"


def painted(
    seen: Tensor,
    made: Tensor,
    real: Tensor,
    answer: str,
    captions: tuple[str, str] = ("seen", "painted"),
) -> list[Picture]:
    """Up to four pictures that a task painted, between what it saw and what there was.

    Args:
        seen: float [B, 3, T, S, S] in [0, 1]; the frame in the middle is shown.
        made: float [B, 3, S, S].
        real: float [B, 3, S, S].
        answer: what was to be painted.
    """
    found = []
    for i in range(min(len(real), 4)):
        images = [seen[i][:, seen.shape[2] // 2], made[i], real[i]]
        shown = [image.detach().float().cpu().clamp(0, 1) for image in images]
        error = float((shown[1] - shown[2]).square().mean().clamp_min(1e-10))
        said = f"{-10 * math.log10(error):.1f} dB PSNR to it"
        found.append(Picture(shown, [*captions, "as it was"], answer, said))
    return found
