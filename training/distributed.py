"""What the processes of one run tell each other, on the host, so that no device has to wait."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import InputError

T = TypeVar("T")


def first_process() -> bool:
    """Whether this is the run's first process, as far as its launcher says: torchrun, SLURM or
    Lightning. For what happens before the processes meet."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(n) or 0) == 0 for n in ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK"))


def meet(backend: str) -> None:
    """Brings the processes together that torchrun or SLURM started, before anything is read.

    Processes that Lightning starts itself meet later: it starts them within the training.
    """
    # It takes seconds to load, and who compares or reports asks above alone.
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect() and not dist.is_initialized():
            launched = kind()
            if launched.world_size() > 1:
                os.environ["MASTER_ADDR"] = launched.main_address
                os.environ["MASTER_PORT"] = str(launched.main_port)
                dist.init_process_group(
                    backend, rank=launched.global_rank(), world_size=launched.world_size()
                )


class Processes:
    """The processes of a run; alone where there is only one.

    Every one must make the same calls in the same order; threads that do so side by side need an
    object of their own.
    """

    def __init__(self):
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.size = dist.get_world_size() if joined else 1
        self._group: Any = dist.new_group(backend="gloo") if self.size > 1 else None

    def greatest(self, values: list[int]) -> list[int]:
        """The greatest of each number over all processes."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX, group=self._group)
        return shared.tolist()

    def gather(self, value: T) -> list[T]:
        """Every process's plain value, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._group)
        return found

    def first(self, make: Callable[[], T]) -> T:
        """What the first process makes, on all of them; its InputError likewise."""
        if self.size == 1:
            return make()
        made: list[Any] = [None]
        if self.rank == 0:
            try:
                made = [make()]
            except InputError as error:
                made = [error]
        dist.broadcast_object_list(made, src=0, group=self._group)
        if isinstance(made[0], InputError):
            raise made[0]
        return made[0]
