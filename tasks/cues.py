"""What may give the order of moments away without being seen to move, measured and levelled.

Moments are float [B, N, C, T, H, W] in [0, 1]: B tuples of N clips, in the order shown.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from .task import Batch

Cue = Callable[[Tensor], Tensor]


def levelled(moments: Tensor) -> Tensor:
    """Shifts each moment to the mean colour of its tuple."""
    own = moments.mean((3, 4, 5), keepdim=True)
    return (moments + own.mean(1, keepdim=True) - own).clamp(0, 1)


def brightness(moments: Tensor) -> Tensor:
    """Mean of each channel: [B, N, C]."""
    return moments.mean((3, 4, 5))


def chroma(moments: Tensor) -> Tensor:
    """How far neighbouring channels of [B, N, 3, T, H, W] differ, root mean square: [B, N, 1]."""
    return moments.diff(dim=2).square().mean((2, 3, 4, 5)).sqrt()[..., None]


def fine_detail(moments: Tensor) -> Tensor:
    """Log energy of what two by two pixels average away, as noise and ringing do: [B, N, 1]."""
    rest = (moments - coarse(moments)).square()
    return rest.mean((2, 3, 4, 5)).clamp_min(1e-8).log()[..., None]


def coarse(pictures: Tensor) -> Tensor:
    """Every two by two pixels of [..., H, W] replaced by their mean."""
    small = F.avg_pool2d(pictures.flatten(0, -3), 2, ceil_mode=True)
    large = small.repeat_interleave(2, -2).repeat_interleave(2, -1)
    return large[..., : pictures.shape[-2], : pictures.shape[-1]].reshape(pictures.shape)


def outermost(moments: Tensor) -> Tensor:
    """Mean of each channel in the outermost pixels of the four sides: [B, N, 4C]."""
    sides = [moments[..., :1, :], moments[..., -1:, :], moments[..., :1], moments[..., -1:]]
    return torch.cat([brightness(side) for side in sides], -1)


def place_of_detail(moments: Tensor) -> Tensor:
    """Where the edges lie on average, (y, x) as shares of the sides: [B, N, 2]."""
    grey = moments.mean((2, 3))
    down, across = grey.diff(dim=-2).abs().sum(-1), grey.diff(dim=-1).abs().sum(-2)
    return torch.stack([_centre(down), _centre(across)], -1)


def _centre(weight: Tensor) -> Tensor:
    at = torch.linspace(0, 1, weight.shape[-1], device=weight.device)
    return (weight * at).sum(-1) / weight.sum(-1).clamp_min(1e-6)


def probe(relation: Cue, cue: Cue, *, asked: bool = False) -> Callable[[Batch], Tensor]:
    """A guard's probe of a batch of moments: how a cue relates the moments of each tuple.

    Args:
        relation: `between` or `rising`.
        cue: from moments to values [B, N, F].
        asked: 0 for tuples that have no weight.
    """
    return partial(_probe, relation, cue, asked)


def _probe(relation: Cue, cue: Cue, asked: bool, batch: Batch) -> Tensor:
    found = relation(cue(batch["inputs"]))
    return found * batch["weight"][:, None] if asked else found


def between(values: Tensor) -> Tensor:
    """Which of three moments lies between the others, for every three of [B, N, F].

    It is the same for reversed moments, and settles their order but for the reversal.

    Returns:
        [B, 3 · F · N(N-1)(N-2)/6], near 1 for the one between and near -1 for the others, 0
        where the values are equal.
    """
    found = []
    for three in combinations(range(values.shape[1]), 3):
        for middle in three:
            first, last = (values[:, k] for k in three if k != middle)
            found.append((values[:, middle] - first) * (last - values[:, middle]))
    turns = torch.cat(found, 1)
    return turns / (turns.abs() + 1e-8)


def rising(values: Tensor) -> Tensor:
    """Which of two moments has more, for every two of [B, N, F]: [B, F · N(N-1)/2], near ±1."""
    pairs = combinations(range(values.shape[1]), 2)
    steps = torch.cat([values[:, j] - values[:, i] for i, j in pairs], 1)
    return steps / (steps.abs() + 1e-4)


def trend(values: Tensor) -> Tensor:
    """Whether [B, N, F] rises (near 1) or falls (near -1) from first to last: [B, F]."""
    at = torch.arange(values.shape[1], device=values.device) - (values.shape[1] - 1) / 2
    slope = (values * at[:, None]).sum(1) / at.square().sum()
    return slope / (slope.abs() + 1e-4)
