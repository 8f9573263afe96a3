"""What is added up over all processes, so that losses and metrics are those of the whole batch."""

from functools import cache

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def processes() -> int:
    """How many processes share a batch; 1 outside torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def summed(values: Tensor) -> Tensor:
    """Values added up over all processes, without gradient."""
    total = values.detach().clone()
    if processes() > 1:
        dist.all_reduce(total)
    return total


def weighted_mean(values: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean of [N] weighted by [N] ≥ 0 over the rows of all processes; 0 where all weights are 0.

    It is scaled so that the mean over processes, which is what DistributedDataParallel descends,
    is the mean over all rows, even where processes hold unlike weights.

    Args:
        total: sum of the weights over all processes, where it is known.
    """
    total = summed(weight.sum()) if total is None else total
    return (values * weight).sum() * processes() / total.clamp_min(1e-12)


def shared_mean(values: Tensor, weight: Tensor) -> Tensor:
    """The same mean as a metric, without gradient and the same in all processes."""
    total = summed(torch.stack([(values * weight).sum(), weight.sum()]))
    return total[0] / total[1].clamp_min(1e-12)


def rejected(weight: Tensor) -> Tensor:
    """Share of the rows of all processes whose weight [N] is 0: those that are not asked."""
    none, all_ = summed(torch.stack([(weight == 0).sum(), weight.new_tensor(len(weight))]))
    return none / all_


@cache
def _host_group() -> dist.ProcessGroup | None:
    """Processes that talk on the host, so that no device has to wait for a number."""
    if dist.get_backend() == "gloo":
        return None
    group = dist.new_group(backend="gloo")
    assert isinstance(group, dist.ProcessGroup)
    return group


def gathered(own: Tensor) -> tuple[Tensor, int]:
    """Rows [N, …] of all processes, with gradient where they have any, and where ours begin.

    Processes may hold unlike numbers of rows, as where one has lost an unreadable file.
    """
    if processes() == 1:
        return own, 0
    counts = [torch.zeros(1, dtype=torch.int64) for _ in range(processes())]
    dist.all_gather(counts, torch.tensor([len(own)]), group=_host_group())
    sizes = torch.cat(counts).tolist()
    # Collectives want equal shapes.
    padded = F.pad(own, (0, 0) * (own.ndim - 1) + (0, max(sizes) - len(own))).contiguous()
    if own.requires_grad:
        everyone = all_gather(padded)
    else:
        everyone = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(everyone, padded)
    rows = torch.cat([x[:size] for x, size in zip(everyone, sizes, strict=True)])
    return rows, sum(sizes[: dist.get_rank()])
