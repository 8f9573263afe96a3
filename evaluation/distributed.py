"""Extraction shared among the processes of one launch (torchrun, SLURM): each reads its part."""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@contextmanager
def launched() -> Iterator[bool]:
    """Meets the processes that torchrun started, if it did, and takes leave of them at the end.

    Yields:
        Whether there are several. Each then has the GPU of its local rank as the current one.
    """
    several = int(os.environ.get("WORLD_SIZE") or 1) > 1 and "MASTER_ADDR" in os.environ
    if not several or dist.is_initialized():
        yield several
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK") or 0))
    # Features meet on the host, where they are kept; devices tell each other nothing.
    dist.init_process_group("gloo")
    try:
        yield True
    finally:
        _host_group.cache_clear()
        dist.destroy_process_group()


def joined() -> bool:
    """Whether there are other processes, and they have met."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number, 0 where it is alone."""
    return dist.get_rank() if joined() else 0


def neighbours() -> int:
    """How many processes of the launch run on this machine, this one among them."""
    return int(os.environ.get("LOCAL_WORLD_SIZE") or dist.get_world_size()) if joined() else 1


def own_part(count: int, shared: bool) -> range:
    """Which of `count` examples this process reads: one block, so that each pack has one reader."""
    if not shared or not joined():
        return range(count)
    size, number = dist.get_world_size(), dist.get_rank()
    return range(number * count // size, (number + 1) * count // size)


def gather(value: T) -> list[T]:
    """Every process's plain value, in the order of ranks; one's own where it is alone."""
    if not joined():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value, group=_host_group())
    return found


def gather_rows(x: Tensor) -> Tensor:
    """The rows [N, …] of all processes on the host, in the order of ranks; N may differ."""
    sizes = gather(len(x))
    # What is gathered must be of one size; float32 and int64 travel as they are.
    padded = x.new_zeros(max(sizes), *x.shape[1:])
    padded[: len(x)] = x
    found = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(found, padded, group=_host_group())
    return torch.cat([part[:size] for part, size in zip(found, sizes, strict=True)])


@functools.cache
def _host_group() -> Any:
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
