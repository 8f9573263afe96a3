"""Contrastive losses within a batch, also across processes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .across import gathered, processes, summed


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, arXiv:2002.05709, eq. 1).

    Row i of `first` and row i of `second` show the same thing; each of the 2N rows has to find
    its partner among the 2N - 1 others. Under torch.distributed the others are those of all
    processes, with gradient, and the mean of the losses of all processes (which is what
    DistributedDataParallel descends) is the loss of the whole batch, even where processes hold
    unlike numbers of rows.

    Args:
        first: float [N, D], any length.
        second: float [N, D].
        temperature: divides the cosines.

    Returns:
        the loss, and the share of rows that are nearest to their partner.
    """
    both = torch.stack([first, second], 1)
    own = F.normalize(_exact(both), dim=2)
    keys, offset = gathered(own)
    n = len(own)
    queries = own.transpose(0, 1).reshape(2 * n, -1)
    pool = keys.transpose(0, 1).reshape(2 * len(keys), -1)
    with torch.autocast(own.device.type, enabled=False):
        logits = queries @ pool.T / temperature
    here = torch.arange(n, device=own.device) + offset
    itself = torch.cat([here, here + len(keys)])
    partner = torch.cat([here + len(keys), here])
    logits = logits.scatter(1, itself[:, None], -torch.inf)
    return _mean_over_all(logits, partner, 2 * len(keys))


def info_nce(first: Tensor, second: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE between two sides (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

    Each row of `first` has to find its own row of `second` among all of them, and the other way
    round; rows of one side are never compared with each other.

    Args:
        first: float [N, D], any length.
        second: float [N, D].
        temperature: divides the cosines.

    Returns:
        the mean of both directions' losses, and the share of rows that find their partner.
    """
    a, b = F.normalize(_exact(first), dim=1), F.normalize(_exact(second), dim=1)
    there, found = match(a / temperature, b)
    back, returned = match(b / temperature, a)
    return (there + back) / 2, (found + returned) / 2


def match(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Each query's cross-entropy of choosing its row's key by their products.

    Under torch.distributed it chooses among the keys of all processes, as `nt_xent` does.

    Args:
        queries: float [N, D].
        keys: float [N, D].

    Returns:
        the mean loss, and the share of queries whose greatest product is with their key.
    """
    everyone, offset = gathered(_exact(keys))
    with torch.autocast(queries.device.type, enabled=False):
        logits = _exact(queries) @ everyone.T
    own = torch.arange(len(queries), device=queries.device) + offset
    return _mean_over_all(logits, own, len(everyone))


def _mean_over_all(logits: Tensor, partner: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Cross-entropy and share of right choices over the `total` rows of all processes."""
    losses = F.cross_entropy(logits, partner, reduction="sum")
    right = summed((logits.detach().argmax(1) == partner).float().sum())
    return losses * processes() / total, right / total


def _exact(x: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for temperatures below 1."""
    return x if x.dtype == torch.float64 else x.float()


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of each of [N, D] with each of [M, D], without gradient: [N, M]."""
    return F.normalize(first.detach(), dim=1) @ F.normalize(second.detach(), dim=1).T
