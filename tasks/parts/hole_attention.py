"""Layers that fill the holes of a map from what is known of it: [B, C, H, W] and bool [B, H, W].

What is known passes unchanged. Where nothing is known nothing is filled.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Literal["coherent", "contextual", "shift", "none"]


class Matches(NamedTuple):
    """The cells of holes in raster order, N of each map at most, and what is known.

    Attributes:
        order: int64 [B, N], where each cell is; behind a map's last hole stand others.
        cells: [B, N, C], of length 1.
        likeness: [B, N, P], cosine to every cell, -inf to holes.
    """

    order: Tensor
    cells: Tensor
    likeness: Tensor


def fill(x: Tensor, hole: Tensor, attention: Attention) -> Tensor:
    """A map with its holes filled by one of the layers.

    Args:
        attention: "coherent" as `coherent`; "contextual", the mean of what is known, weighted by
            the softmax of ten times the cosine (Yu et al. 2018, arXiv:1801.07892, on cells of 1×1);
            "shift", the most alike of what is known (Yan et al. 2018, arXiv:1801.09392); "none".
    """
    flat = x.flatten(2).transpose(1, 2)
    open_ = hole.flatten(1)
    open_ = open_ & ~open_.all(1, keepdim=True)
    count = int(open_.sum(1).max()) if len(x) else 0
    if attention == "none" or not count:
        return x
    found = _matches(flat, open_, count)
    if attention == "contextual":
        made = (10 * found.likeness).softmax(2).to(flat) @ flat
    else:
        made = coherent(flat, found, hard=attention == "shift")
    target = found.order[..., None].expand_as(made)
    spread = torch.zeros_like(flat).scatter(1, target, made)
    return torch.where(open_[..., None], spread, flat).transpose(1, 2).view_as(x)


def coherent(flat: Tensor, found: Matches, *, hard: bool = False) -> Tensor:
    """Coherent semantic attention (Liu et al. 2019, arXiv:1905.12384, equations 1 to 4).

    Cell by cell, each is a mixture of the most alike of what is known and of the cell filled before
    it, in the ratio of its likeness to both. All cosines to what is known are one product of
    matrices; what is left to do one after another is a mixture of vectors. Likeness below 0 counts
    as none, where the authors' code lets weights leave 0 … 1.

    Args:
        flat: [B, P, C], all cells.
        hard: leave out the cell before.

    Returns:
        [B, N, C].
    """
    best, index = found.likeness.max(2)
    known = flat.gather(1, index[..., None].expand(-1, -1, flat.shape[2]))
    if hard:
        return known
    alike = best.clamp_min(0)
    before, made = known[:, 0], [known[:, 0]]
    for cell, fitting, likeness in zip(
        found.cells.unbind(1)[1:], known.unbind(1)[1:], alike.unbind(1)[1:], strict=True
    ):
        near = torch.linalg.vecdot(cell, F.normalize(before, dim=1)).clamp_min(0)
        share = near / (near + likeness).clamp_min(1e-8)
        before = torch.lerp(fitting, before, share[:, None])
        made.append(before)
    return torch.stack(made, 1)


def _matches(flat: Tensor, hole: Tensor, count: int) -> Matches:
    order = (~hole).to(torch.uint8).argsort(stable=True, dim=1)[:, :count]
    unit = F.normalize(flat, dim=2)
    cells = unit.gather(1, order[..., None].expand(-1, -1, flat.shape[2]))
    likeness = cells @ unit.transpose(1, 2)
    # A map without holes has nothing to fill, but something to compare with.
    closed = hole[:, None].expand_as(likeness)
    return Matches(order, cells, likeness.masked_fill(closed, -torch.inf))
