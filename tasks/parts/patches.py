"""Patches of a picture: where they are cut, and what hides how they would fit together.

Of a clip a patch is the same place in all its frames: uint8 [3, T, S, S] in the worker, float
[B, N, 3, T, S, S] in [0, 1] on the device, N patches of each picture.
"""

import math

import torch
from torch import Generator, Tensor

from ...modalities.image import resize
from ...modalities.input_spec import as_float
from ...modalities.media import MediaInfo, Sample
from ...modalities.rng import coin, integer, uniform
from .letterbox import cut_letterbox

BLOCK = 8  # pixels of a JPEG block's side
NINE = tuple((row, column) for row in range(3) for column in range(3))

# Against green and magenta fringes (Doersch et al. 2015, section 3.1): what lies along (-1, 2, -1)
# of (red, green, blue) is taken out; grey stays as it is.
_FRINGE = torch.tensor([-1.0, 2.0, -1.0])
PROJECTION = torch.eye(3) - torch.outer(_FRINGE, _FRINGE) / _FRINGE.dot(_FRINGE)
_GREY = torch.tensor([0.299, 0.587, 0.114]).expand(3, 3)


def short_side(info: MediaInfo, least: int, most_pixels: int) -> int:
    """To which side a picture is read: its own, unless it has more pixels or is too small."""
    own, area = min(info.height, info.width), info.height * info.width
    return max(round(own * min(1.0, math.sqrt(most_pixels / max(area, 1)))), least)


def pictures(sample: Sample, side: int, letterbox: bool) -> Tensor:
    """A sample's frames [T, 3, H, W], enlarged where their shorter side is below `side` pixels.

    Args:
        letterbox: without the bars along their borders.
    """
    frames = cut_letterbox(sample, letterbox).frames
    assert frames is not None
    return resize(frames, side) if min(frames.shape[-2:]) < side else frames


def random_origin(rng: Generator, frames: Tensor, height: int, width: int) -> tuple[int, int]:
    """Top and left of a part of so many pixels of frames [..., H, W]."""
    h, w = frames.shape[-2:]
    return integer(rng, h - height + 1), integer(rng, w - width + 1)


def cut_patch(
    frames: Tensor, top: int, left: int, side: int, offsets: list[tuple[int, int]] | None = None
) -> Tensor:
    """One patch of frames [T, 3, H, W]: [3, T, side, side].

    Args:
        offsets: pixels (down, right) by which each colour channel is cut elsewhere.
    """
    shifts = offsets or [(0, 0)] * 3
    channels = [
        frames[:, c, top + y : top + y + side, left + x : left + x + side]
        for c, (y, x) in enumerate(shifts)
    ]
    return torch.stack(channels)


def pixelated(patch: Tensor, rng: Generator, least: float) -> Tensor:
    """A patch [3, T, S, S] shrunk to a random area from `least`² of its own on, and enlarged."""
    side = patch.shape[-1]
    small = max(round(side * math.sqrt(uniform(rng, least**2, 1))), 1)
    return resize(resize(patch, (small, small)), (side, side))


def one_channel_and_noise(patch: Tensor, rng: Generator) -> Tensor:
    """A patch uint8 [3, T, S, S] of which one random channel is left.

    The others are grey with noise of a hundredth of the deviation of what is left.
    """
    kept = integer(rng, 3)
    spread = float(patch[kept].float().std(correction=0)) / 100
    noise = 127.5 + spread * torch.randn(patch.shape, generator=rng)
    dropped = noise.round().to(torch.uint8)
    dropped[kept] = patch[kept]
    return dropped


def draw_channel_mix(rng: Generator, *, project: float = 0.0, grey: float = 0.0) -> Tensor:
    """Float [3, 3], how channels are mixed: to grey, else by the projection, else not at all.

    Args:
        project: probability of the projection where the picture is not made grey.
        grey: probability of grey.
    """
    if coin(rng, grey):
        return _GREY.clone()
    return PROJECTION.clone() if coin(rng, project) else torch.eye(3)


def mix_channels(x: Tensor, mix: Tensor) -> Tensor:
    """Float, of uint8 [B, N, 3, T, S, S], with channels mixed by each picture's [B, 3, 3]."""
    x = as_float(x)
    # About grey, so that grey stays grey.
    return 0.5 + torch.einsum("bdc,bnctij->bndtij", mix.to(x), x - 0.5)


def standardized(x: Tensor, *, each_channel: bool) -> Tensor:
    """Patches of mean 0.5 in every channel and deviation 1/4, in each channel or in all at once.

    A patch of one colour becomes grey.
    """
    axes = (-3, -2, -1) if each_channel else (-4, -3, -2, -1)
    centred = x - x.mean((-3, -2, -1), keepdim=True)
    spread = centred.square().mean(axes, keepdim=True).sqrt()
    # Below a step of 255 there is nothing but rounding to enlarge.
    return 0.5 + centred / (4 * spread.clamp_min(1 / 255))
