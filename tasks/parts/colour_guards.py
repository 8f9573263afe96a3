"""What tasks that colour pictures share: counter-measures and their probes."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...modalities.lab import rgb_to_lab
from ..task import Guard
from .check import check_least
from .decoder import middle
from .paint_cues import border_and_chroma, light_and_chroma


@dataclass(frozen=True)
class ColorizationGuards:
    """Counter-measures against being right without seeing what a picture shows.

    Args:
        grey: leave pictures without colour out of the loss; they teach that all is grey.
        letterbox: cut away bars along the borders, which are always black.
        min_chroma: least mean distance from grey, in units of Lab, of a picture that is kept.
    """

    grey: bool = True
    letterbox: bool = True
    min_chroma: float = 4.0

    def __post_init__(self):
        check_least(0, min_chroma=self.min_chroma)

    def weight(self, clip: Tensor) -> Tensor:
        """1 where the middle of uint8 [3, T, S, S] has colours to ask for, else 0."""
        kept = not self.grey or bool(chroma_of(middle(clip[None])) >= self.min_chroma)
        return torch.tensor(float(kept))

    def records(self) -> tuple[Guard, ...]:
        """The guards with their probes."""
        sepia = "pictures without colour, as old films are, told by their light"
        bars = "black bars, whose colour needs no look at the picture"
        return (
            Guard("grey", sepia, self.grey, light_and_chroma),
            Guard("letterbox", bars, self.letterbox, border_and_chroma),
        )


def chroma_of(pictures: Tensor) -> Tensor:
    """Mean distance of uint8 [B, 3, H, W] from grey, in units of Lab: [B]."""
    small = F.adaptive_avg_pool2d(pictures.float() / 255, 32)
    return rgb_to_lab(small)[:, 1:].norm(dim=1).mean((1, 2))
