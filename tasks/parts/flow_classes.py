"""Classes of motion: still, or one of a few directions at one of a few speeds."""

import math

import torch
from torch import Tensor

from .check import check_least

STILL = 0.5  # units of the flow's spread, below which a place stands still
_FASTER = 2.0  # times as fast as the class below


class FlowClasses:
    """Directions × speeds, and a class of what stands still.

    Args:
        directions: evenly about the circle, the first to the right, the next towards below.
        speeds: each twice as fast as the one below; the fastest has no end.

    Attributes:
        names: of the classes, the first "still".

    Raises:
        InputError: fewer than two directions, or no speed.
    """

    def __init__(self, directions: int, speeds: int):
        check_least(2, directions=directions)
        check_least(1, speeds=speeds)
        self.directions, self.speeds = directions, speeds
        moving = [
            f"{360 * d / directions:.0f}° clockwise from the right, speed {s + 1}"
            for d in range(directions)
            for s in range(speeds)
        ]
        self.names = ("still", *moving)

    def of(self, flow: Tensor) -> Tensor:
        """Classes int64 [B, H, W] of flow [B, 2, H, W], in units of its root mean square."""
        length = flow.square().sum(1).sqrt()
        unit = length.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-6)
        speed = (length / unit / STILL).clamp_min(1e-6).log2() / math.log2(_FASTER)
        turn = torch.atan2(flow[:, 1], flow[:, 0]) / (2 * math.pi) * self.directions
        direction = turn.round().long() % self.directions
        place = direction * self.speeds + speed.floor().long().clamp(0, self.speeds - 1)
        return torch.where(speed < 0, 0, 1 + place)

    def vectors(self, logits: Tensor) -> Tensor:
        """Vectors [B, 2, H, W] that logits [B, K, H, W] expect, in units of the same mean."""
        angle = 2 * math.pi * torch.arange(self.directions, device=logits.device) / self.directions
        speed = STILL * _FASTER ** (torch.arange(self.speeds, device=logits.device) + 0.5)
        moves = torch.stack([angle.cos(), angle.sin()])[:, :, None] * speed
        moves = torch.cat([moves.new_zeros(2, 1), moves.flatten(1)], 1)
        return torch.einsum("ck,bkhw->bchw", moves, logits.float().softmax(1))
