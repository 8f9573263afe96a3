"""Contrastive losses within a batch, also across processes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .across import gathered, shared_mean, summed, weighted_mean


def nt_xent(
    first: Tensor, second: Tensor, temperature: float, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
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
        weight: float [N] ≥ 0; rows of weight 0 neither search nor are found. None: all are 1.

    Returns:
        the loss, and the share of rows that are nearest to their partner.
    """
    weight = _ones(first, weight)
    own = F.normalize(_exact(torch.stack([first, second], 1)), dim=2)
    (keys, offset), (asked, _) = gathered(own), gathered(weight)
    n = len(own)
    queries = own.transpose(0, 1).reshape(2 * n, -1)
    pool = keys.transpose(0, 1).reshape(2 * len(keys), -1)
    with torch.autocast(own.device.type, enabled=False):
        logits = queries @ pool.T / temperature
    here = torch.arange(n, device=own.device) + offset
    itself = torch.cat([here, here + len(keys)])
    partner = torch.cat([here + len(keys), here])
    logits = logits.scatter(1, itself[:, None], -torch.inf)
    return _choice(logits, partner, weight.repeat(2), asked.repeat(2))


def info_nce(
    first: Tensor, second: Tensor, temperature: float, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE between two sides (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

    Each row of `first` has to find its own row of `second` among all of them, and the other way
    round; rows of one side are never compared with each other.

    Args:
        first: float [N, D], any length.
        second: float [N, D].
        temperature: divides the cosines.
        weight: as in `nt_xent`.

    Returns:
        the mean of both directions' losses, and the share of rows that find their partner.
    """
    a, b = F.normalize(_exact(first), dim=1), F.normalize(_exact(second), dim=1)
    there, found = match(a / temperature, b, weight)
    back, returned = match(b / temperature, a, weight)
    return (there + back) / 2, (found + returned) / 2


def match(queries: Tensor, keys: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Each query's cross-entropy of choosing its row's key by their products.

    Under torch.distributed it chooses among the keys of all processes, as `nt_xent` does.

    Args:
        queries: float [N, D].
        keys: float [N, D].
        weight: as in `nt_xent`.

    Returns:
        the mean loss, and the share of queries whose greatest product is with their key.
    """
    weight = _ones(queries, weight)
    (everyone, offset), (asked, _) = gathered(_exact(keys)), gathered(weight)
    with torch.autocast(queries.device.type, enabled=False):
        logits = _exact(queries) @ everyone.T
    own = torch.arange(len(queries), device=queries.device) + offset
    return _choice(logits, own, weight, asked)


def match_any(
    queries: Tensor,
    keys: Tensor,
    positives: Tensor,
    temperature: float,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Each query's cross-entropy of choosing any of several right keys (Miech et al. 2020,
    arXiv:1912.06430, eq. 1).

    Args:
        queries: float [N, D], any length.
        keys: float [N, D].
        positives: bool [N, M], which of the keys of all processes are right, as `nearest_rows`
            gives it: its own among them.
        temperature: divides the cosines.
        weight: as in `nt_xent`; keys of weight 0 cannot be chosen, but for a query's own.

    Returns:
        the mean loss, and the share of queries whose nearest key is a right one.
    """
    weight = _ones(queries, weight)
    a, b = F.normalize(_exact(queries), dim=1), F.normalize(_exact(keys), dim=1)
    (everyone, offset), (asked, _) = gathered(b), gathered(weight)
    with torch.autocast(queries.device.type, enabled=False):
        logits = a @ everyone.T / temperature
    own = torch.arange(len(a), device=a.device) + offset
    closed = (asked == 0).expand_as(logits).scatter(1, own[:, None], False)
    logits = logits.masked_fill(closed, -torch.inf)
    right = logits.masked_fill(~positives, -torch.inf)
    losses = logits.logsumexp(1) - right.logsumexp(1)
    hit = positives.gather(1, logits.detach().argmax(1, keepdim=True))[:, 0]
    return weighted_mean(losses, weight), shared_mean(hit.to(weight.dtype), weight)


def nearest_rows(rows: Tensor, count: int, weight: Tensor) -> Tensor:
    """For each of [N, D] itself and the `count` rows of all processes that are nearest to it.

    Args:
        weight: float [N] ≥ 0; rows of weight 0 are near to none.

    Returns:
        bool [N, M].
    """
    unit = F.normalize(_exact(rows.detach()), dim=1)
    (everyone, offset), (asked, _) = gathered(unit), gathered(weight)
    own = torch.arange(len(unit), device=unit.device)[:, None] + offset
    near = (unit @ everyone.T).masked_fill(asked == 0, -2).scatter(1, own, 2)
    chosen = near.topk(min(count + 1, near.shape[1]), 1)
    found = torch.zeros_like(near, dtype=torch.bool)
    return found.scatter(1, chosen.indices, chosen.values > -2)


def _choice(
    logits: Tensor, partner: Tensor, weight: Tensor, asked: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of N queries over M keys, and share of right choices, over all processes.

    Args:
        logits: [N, M].
        partner: int64 [N], the right key of each query.
        weight: [N], of the queries.
        asked: [M], of the keys; those of 0 cannot be chosen.
    """
    # Its own key stays even to a query that does not count, whose loss would be no number.
    closed = (asked == 0).expand_as(logits).scatter(1, partner[:, None], False)
    logits = logits.masked_fill(closed, -torch.inf)
    losses = F.cross_entropy(logits, partner, reduction="none")
    total = summed(weight.sum())
    right = (logits.detach().argmax(1) == partner).to(weight.dtype)
    found = summed((right * weight).sum()) / total.clamp_min(1e-12)
    return weighted_mean(losses, weight, total), found


def _ones(rows: Tensor, weight: Tensor | None) -> Tensor:
    """The weights of [N, …] rows; 1 where none are given."""
    return rows.new_ones(len(rows), dtype=torch.float32) if weight is None else weight


def _exact(x: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for temperatures below 1."""
    return x if x.dtype == torch.float64 else x.float()


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of each of [N, D] with each of [M, D], without gradient: [N, M]."""
    return F.normalize(first.detach(), dim=1) @ F.normalize(second.detach(), dim=1).T
