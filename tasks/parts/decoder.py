"""From an encoder's maps to a picture: what tasks that paint put on any encoder."""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from .check import check_least
from .clip_input import ClipInput


def middle(clip: Tensor) -> Tensor:
    """The frame in the middle of [B, C, T, H, W]: [B, C, H, W]."""
    return clip[:, :, clip.shape[2] // 2]


def middle_maps(video: ClipInput, clip: Tensor) -> dict[str, Tensor]:
    """An encoder's maps of the middle of float [B, 3, T, S, S], shallow to deep: [B, C, H, W].

    An image encoder sees that frame alone, a video encoder the whole clip.
    """
    if video.modality == "image":
        return video.encoder.maps(middle(clip))
    return {name: middle(x) for name, x in video.encoder.maps(clip).items()}


class MapDecoder(nn.Module):
    """Values at every place of a grid, from one or all levels of an encoder.

    Every level goes through a layer of its own to `width` channels and is resized to the grid;
    their sum, two layers later, is the answer (hypercolumns: Larsson et al. 2016,
    arXiv:1603.06668).

    Args:
        video: whose encoder's maps are decoded.
        outputs: channels of the answer.
        width: channels inside.
        skips: see all levels; otherwise the deepest alone, which then has to hold all there is.

    Raises:
        InputError: width below 1.
    """

    def __init__(self, video: ClipInput, outputs: int, *, width: int = 64, skips: bool = True):
        super().__init__()
        check_least(1, width=width)
        levels = list(video.encoder.levels.items())
        used = levels if skips else levels[-1:]
        self.laterals = nn.ModuleDict(
            {name: nn.Conv2d(level.channels, width, 1) for name, level in used}
        )
        self.refine = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, outputs, 1),
        )

    def forward(self, maps: dict[str, Tensor], side: int) -> Tensor:
        """Maps [B, C, …] by level to [B, outputs, side, side]."""
        seen = [
            F.interpolate(layer(maps[name]), (side, side), mode="bilinear", align_corners=False)
            for name, layer in self.laterals.items()
        ]
        return self.refine(sum(seen[1:], seen[0]))


class UpDecoder(nn.Module):
    """From one deep map to a picture: doubled in size step by step, as in an encoder run backwards.

    Args:
        inputs: channels of the map.
        outputs: channels of the picture.
        doublings: how often its sides are doubled.
        width: channels of the first step, halved with each, down to 16.
    """

    def __init__(self, inputs: int, outputs: int, *, doublings: int, width: int):
        super().__init__()
        widths = [inputs, *(max(width >> k, min(width, 16)) for k in range(doublings))]
        steps = [
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(a, b, 3, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            )
            for a, b in pairwise(widths)
        ]
        self.net = nn.Sequential(*steps, nn.Conv2d(widths[-1], outputs, 3, padding=1))

    def forward(self, x: Tensor, side: int) -> Tensor:
        """float [B, C, H, W] to [B, outputs, side, side]."""
        made = self.net(x)
        if made.shape[-2:] == (side, side):
            return made
        return F.interpolate(made, (side, side), mode="bilinear", align_corners=False)


def doublings(video: ClipInput) -> int:
    """How often the encoder's deepest map is to be doubled to have the size of its picture."""
    *_, deepest = video.encoder.levels.values()
    return max(round(math.log2(max(deepest.stride[-2:]))), 1)
