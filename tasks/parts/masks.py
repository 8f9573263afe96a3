"""Holes in pictures: in the middle, a random box, or irregular strokes; drawn in the worker."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...errors import InputError
from ...modalities.rng import integer, uniform

# What stands in a hole: the mean colour of ImageNet, as the inpainting papers fill it.
MEAN = (123 / 255, 104 / 255, 117 / 255)
# Share of a map's cell above which it counts as hole (Liu et al. 2019, the authors' code).
_CELL = 5 / 16


@dataclass(frozen=True)
class Hole:
    """A hole in a square picture.

    Args:
        kind: "centre", a square in the middle; "box", a rectangle anywhere; "irregular", strokes
            (after Liu et al. 2018, arXiv:1804.07723).
        share: of the picture's area, of the square and of the largest box; strokes are as wide as
            would about cover it.

    Raises:
        InputError: another kind, or a share of which nothing would be seen or hidden.
    """

    kind: Literal["centre", "box", "irregular"] = "centre"
    share: float = 0.25

    def __post_init__(self):
        if self.kind not in ("centre", "box", "irregular"):
            raise InputError(f'kind is "centre", "box" or "irregular", not {self.kind!r}')
        if not 0 < self.share < 1:
            raise InputError(f"share is a part of the area above 0 and below 1, got {self.share:g}")

    def draw(self, rng: Generator, side: int) -> Tensor:
        """Where the hole is, bool [side, side]; at least one pixel is in it and one beside it."""
        if self.kind == "irregular":
            hole = self._strokes(rng, side)
            return hole if bool(hole.any()) and not bool(hole.all()) else self._box(side, side // 2)
        if self.kind == "centre":
            edge = max(round(side * math.sqrt(self.share)), 1)
            return self._box(side, min(edge, side - 1))
        area = self.share * uniform(rng, 0.4, 1) * side * side
        ratio = math.exp(uniform(rng, math.log(0.5), math.log(2)))
        high, wide = (
            min(max(round(x), 1), side - 1)
            for x in (math.sqrt(area * ratio), math.sqrt(area / ratio))
        )
        hole = torch.zeros(side, side, dtype=torch.bool)
        top, left = integer(rng, side - high + 1), integer(rng, side - wide + 1)
        hole[top : top + high, left : left + wide] = True
        return hole

    def _box(self, side: int, edge: int) -> Tensor:
        hole = torch.zeros(side, side, dtype=torch.bool)
        first = (side - edge) // 2
        hole[first : first + edge, first : first + edge] = True
        return hole

    def _strokes(self, rng: Generator, side: int) -> Tensor:
        """A few lines that bend, each as wide as a brush."""
        count, bends = 2 + integer(rng, 3), 3
        # Lines of a third of a side each, side by side, cover the share.
        width = max(self.share * side / (count * bends / 3), 1.0)
        y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
        hole = torch.zeros(side, side, dtype=torch.bool)
        for _ in range(count):
            at = (uniform(rng, 0, side), uniform(rng, 0, side))
            angle = uniform(rng, 0, 2 * math.pi)
            for _ in range(bends):
                angle += uniform(rng, -1, 1)
                to = (at[0] + side / 3 * math.sin(angle), at[1] + side / 3 * math.cos(angle))
                hole |= _near(y, x, at, to) <= width / 2
                at = to
        return hole


def _near(y: Tensor, x: Tensor, one: tuple[float, float], other: tuple[float, float]) -> Tensor:
    """Distance of every place from the line between two points."""
    down, across = other[0] - one[0], other[1] - one[1]
    along = ((y - one[0]) * down + (x - one[1]) * across) / (down**2 + across**2 + 1e-9)
    along = along.clamp(0, 1)
    return torch.hypot(y - one[0] - along * down, x - one[1] - along * across)


def emptied(x: Tensor, hole: Tensor) -> Tensor:
    """float [B, 3, T, S, S] with the mean colour in the holes [B, S, S] of all frames."""
    mean = torch.tensor(MEAN, device=x.device, dtype=x.dtype).view(1, 3, 1, 1, 1)
    return torch.where(hole[:, None, None], mean, x)


def filled(x: Tensor, made: Tensor, hole: Tensor) -> Tensor:
    """Pictures [B, 3, S, S] with `made` in the holes [B, S, S]; the rest stays as it is."""
    return torch.where(hole[:, None], made, x)


def cells_of(hole: Tensor, size: tuple[int, int]) -> Tensor:
    """Which cells of a map of that size are holes: bool [B, H, W] of [B, S, S]."""
    return F.adaptive_avg_pool2d(hole[:, None].float(), size)[:, 0] > _CELL


def around(hole: Tensor, reach: int) -> Tensor:
    """The pixels up to `reach` beside holes [B, S, S], themselves not: bool [B, S, S]."""
    if not reach:
        return torch.zeros_like(hole)
    wide = F.max_pool2d(hole[:, None].float(), 2 * reach + 1, 1, reach)[:, 0] > 0
    return wide & ~hole
