"""Contrastive losses within a batch, also across processes."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


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
    keys, offset, total = _gather(own)
    n = len(own)
    queries = own.transpose(0, 1).reshape(2 * n, -1)
    pool = keys.transpose(0, 1).reshape(2 * len(keys), -1)
    with torch.autocast(own.device.type, enabled=False):
        logits = queries @ pool.T / temperature
    here = torch.arange(n, device=own.device) + offset
    itself = torch.cat([here, here + len(keys)])
    partner = torch.cat([here + len(keys), here])
    logits = logits.scatter(1, itself[:, None], -torch.inf)
    losses = F.cross_entropy(logits, partner, reduction="sum")
    found = (logits.detach().argmax(1) == partner).float().mean()
    return losses * _processes() / (2 * total), found


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
    everyone, offset, total = _gather(_exact(keys)[:, None])
    with torch.autocast(queries.device.type, enabled=False):
        logits = _exact(queries) @ everyone[:, 0].T
    own = torch.arange(len(queries), device=queries.device) + offset
    loss = F.cross_entropy(logits, own, reduction="sum") * _processes() / total
    return loss, (logits.detach().argmax(1) == own).float().mean()


def _exact(x: Tensor) -> Tensor:
    """At least float32: half precision is too coarse for temperatures below 1."""
    return x if x.dtype == torch.float64 else x.float()


def _processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _gather(own: Tensor) -> tuple[Tensor, int, int]:
    """Rows [N, …, D] of all processes, where ours start among them, and how many there are."""
    n, world = len(own), _processes()
    if world == 1:
        return own, 0, n
    counts = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([n], device=own.device))
    sizes = torch.cat(counts).tolist()
    # A process that lost an unreadable file has fewer rows; collectives want equal shapes.
    padded = F.pad(own, (0, 0, 0, 0, 0, max(sizes) - n))
    everyone = all_gather(padded)
    rows = torch.cat([x[:size] for x, size in zip(everyone, sizes, strict=True)])
    return rows, sum(sizes[: dist.get_rank()]), sum(sizes)
