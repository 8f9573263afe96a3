"""Maps of encoders at single places, and which levels make a column."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .encoder import Encoder

MOST = 4  # levels that are chosen where none are named


def at_places(maps: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Maps [B, C, H, W] at places [B, M, 2], (y, x) as shares of the sides: [B, M, C]."""
    grid = (2 * places.flip(-1) - 1)[:, None].to(maps.dtype)
    found = F.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def grid_places(side: int, count: int, device: torch.device) -> Tensor:
    """The centres of side × side places, for `count` pictures: [count, side², 2], shares (y, x)."""
    line = (torch.arange(side, device=device) + 0.5) / side
    return torch.cartesian_prod(line, line).expand(count, -1, 2)


def spread_levels(names: Sequence[str]) -> tuple[str, ...]:
    """Up to four of them, evenly, the last among them."""
    count = min(len(names), MOST)
    return tuple(names[-(-len(names) * (k + 1) // count) - 1] for k in range(count))


def middle_maps(encoder: Encoder, x: Tensor) -> dict[str, Tensor]:
    """The maps by level in the middle of the time of pictures, clips or flow: each [B, C, H, W].

    Args:
        encoder: of pictures, clips or flow; one that takes frames alone sees the middle one.
        x: as the encoder takes it.
    """
    if encoder.per_frame and x.ndim == 5:
        x = x[:, :, x.shape[2] // 2]
    maps = encoder.maps(x)
    return {level: m if m.ndim == 4 else m[:, :, m.shape[2] // 2] for level, m in maps.items()}
