"""What each of two gloo processes runs for tests that compare two processes with one."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from pretexto.tasks.parts.losses import info_nce, nt_xent
from pretexto.training.batch_norm import synchronised

SIZES = ([4, 4], [5, 3])
LOSSES = {"nt_xent": nt_xent, "info_nce": info_nce}
SHAPES = {"1d": (), "2d": (3, 2), "3d": (2, 2, 3), "plain": (), "act": (3, 2), "mean": (2, 2)}


@contextmanager
def meeting(rank: int, folder: str) -> Iterator[None]:
    """Two processes that share a batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    yield
    dist.destroy_process_group()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Eight pairs of inputs, and the weight of a linear encoder; all float64."""
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(8, 5, generator=rng, dtype=torch.float64)
    second = first + torch.randn(8, 5, generator=rng, dtype=torch.float64)
    weight = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    return first, second, weight.requires_grad_()


def run(rank: int, folder: str) -> None:
    with meeting(rank, folder):
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


def norms() -> dict[str, nn.Module]:
    """Batch norms of every kind, in float64, with weights of their own."""
    made = {
        "1d": nn.BatchNorm1d(4),
        "2d": nn.BatchNorm2d(4, momentum=0.3, eps=0.01),
        "3d": nn.BatchNorm3d(4),
        "plain": nn.BatchNorm1d(4, affine=False),
        "act": BatchNormAct2d(4),
        "mean": nn.BatchNorm2d(4, momentum=None),
    }
    rng = torch.Generator().manual_seed(1)
    for norm in made.values():
        norm.double()
        for parameter in norm.parameters():
            parameter.data = torch.rand(4, generator=rng, dtype=torch.float64) + 0.5
    return made


def rows(name: str) -> Tensor:
    """Eight rows, the first ones greater, far from zero beside their spread."""
    rng = torch.Generator().manual_seed(2)
    x = torch.randn(8, 4, *SHAPES[name], generator=rng, dtype=torch.float64)
    return x + 100 + 10 * (torch.arange(8) < 3).view(8, *[1] * (x.ndim - 1))


def loss(out: Tensor, first: int) -> Tensor:
    """A sum over rows, each with weights of its own; `first` is the number of the first."""
    rng = torch.Generator().manual_seed(3)
    weight = torch.randn(8, *out.shape[1:], generator=rng, dtype=torch.float64)
    return (out.square() * weight[first : first + len(out)]).sum()


def normalise(rank: int, folder: str) -> None:
    found = {}
    with meeting(rank, folder):
        sizes = SIZES[1]
        first = sum(sizes[:rank])
        for name, norm in norms().items():
            norm = synchronised(norm)
            x = rows(name)[first : first + sizes[rank]].requires_grad_()
            for _ in range(2):
                out = norm(x)
            loss(out, first).backward()
            grads = {f"grad of {key}": p.grad for key, p in norm.named_parameters()}
            found[name] = {"out": out.detach(), "grad": x.grad, **grads, **norm.state_dict()}
    torch.save(found, f"{folder}/norms-{rank}.pt")
