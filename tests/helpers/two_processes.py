"""What each of two gloo processes runs for tests/tasks/test_ntxent.py."""

from itertools import product

import torch
import torch.distributed as dist
from torch import Tensor

from pretexto.tasks.parts.losses import info_nce, nt_xent

SIZES = ([4, 4], [5, 3])
LOSSES = {"nt_xent": nt_xent, "info_nce": info_nce}


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Eight pairs of inputs, and the weight of a linear encoder; all float64."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(8, 5, generator=rng, dtype=torch.float64)
    second = first + torch.randn(8, 5, generator=rng, dtype=torch.float64)
    weight = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    return first, second, weight.requires_grad_()


def run(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for (name, contrast), (k, sizes) in product(LOSSES.items(), enumerate(SIZES)):
        first, second, weight = batch()
        mine = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
        loss, _ = contrast(first[mine] @ weight, second[mine] @ weight, 0.2)
        (grad,) = torch.autograd.grad(loss, weight)
        # What DistributedDataParallel makes of the processes' losses and gradients: their mean.
        both = {"loss": loss.detach().reshape(1), "grad": grad}
        for x in both.values():
            dist.all_reduce(x)
            x /= 2
        torch.save(both, f"{folder}/{name}-{k}-{rank}.pt")
    dist.destroy_process_group()
