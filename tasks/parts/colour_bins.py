"""Colours as classes: the plane of a and b in squares of 10, as far as sRGB reaches."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...modalities.lab import rgb_to_lab

SIDE = 10.0
_NEAREST, _SIGMA = 5, 5.0  # of soft encoding (Zhang et al. 2016, section 2.2)


@cache
def bins() -> Tensor:
    """Centres of all squares that hold a colour of sRGB, float [Q, 2].

    There are 261; the paper's authors count 313, with squares that only touch the gamut.
    """
    axis = torch.linspace(0, 1, 64)
    cube = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    squares = (rgb_to_lab(cube)[:, 1:] / SIDE).round().unique(dim=0)
    return SIDE * squares


def soft_encoded(ab: Tensor, centres: Tensor) -> Tensor:
    """Colours [B, 2, H, W] as shares of their five nearest bins: [B, Q, H, W]."""
    flat = ab.permute(0, 2, 3, 1).flatten(0, 2)
    far, nearest = torch.cdist(flat, centres).topk(_NEAREST, largest=False)
    near = F.softmax(-far.square() / (2 * _SIGMA**2), 1)
    shares = near.new_zeros(len(flat), len(centres)).scatter_(1, nearest, near)
    return shares.view(ab.shape[0], *ab.shape[2:], -1).permute(0, 3, 1, 2)


def rebalanced(prior: Tensor, centres: Tensor, uniform: float) -> Tensor:
    """Weight of each bin, rare ones high, of mean 1 under the prior [Q] (equation 4).

    Args:
        uniform: share λ of the uniform distribution in the smoothed prior, 0.5 in the paper.
    """
    near = torch.exp(-torch.cdist(centres, centres).square() / (2 * _SIGMA**2))
    smooth = prior @ (near / near.sum(1, keepdim=True))
    weight = 1 / ((1 - uniform) * smooth + uniform / len(prior)).clamp_min(1e-8)
    return weight / (weight * smooth).sum()


def annealed_mean(logits: Tensor, centres: Tensor, temperature: float) -> Tensor:
    """Colours [B, 2, H, W] between the mode (temperature 0) and the mean (1) of [B, Q, H, W]."""
    shares = (exact(logits) / max(temperature, 1e-3)).softmax(1)
    return torch.einsum("bqhw,qc->bchw", shares, centres.to(shares))


def exact(x: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for logarithms of small shares."""
    return x if x.dtype == torch.float64 else x.float()
