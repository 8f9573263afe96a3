"""What the processes of one run tell each other, on the host, so that no device has to wait."""

import os
from typing import Any

import torch
import torch.distributed as dist


def first_process() -> bool:
    """Whether this is the run's first process, as far as its launcher says: torchrun, SLURM or
    Lightning. For what happens before the processes meet."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(n) or 0) == 0 for n in ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK"))


class Team:
    """The processes of a run; alone where there is only one.

    Every member must make the same calls in the same order.
    """

    def __init__(self):
        joined = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if joined else 0
        self.size = dist.get_world_size() if joined else 1
        self._group = dist.new_group(backend="gloo") if self.size > 1 else None

    def sums(self, values: list[float]) -> list[float]:
        """Each number added up over all members."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(shared, group=self._group)
        return shared.tolist()

    def gather(self, value: Any) -> list[Any]:
        """Every member's plain value, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self._group)
        return found
