"""Which examples stand in which batch: everything follows from the step's number."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..modalities import rng as draw
from ..tasks.task import Progress


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for: one example of one step."""

    step: int
    total: int
    epoch: int
    index: int

    @property
    def progress(self) -> Progress:
        """How far training has come."""
        return Progress(self.step, self.total)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The batches of one rank, step by step; nothing is remembered.

    Every epoch has its own order; the examples that fill no whole step are left out of it. A step
    takes one batch or, accumulating, several in a row.

    Attributes:
        examples: how many there are.
        batch_size: over all ranks; the whole set where it is smaller.
        total: number of steps of the run.
        seed: of the orders.
        start: number of the first step to deliver.
        rank: whose part to deliver, 0 … ranks-1.
        ranks: over how many processes a batch is spread.
        accumulate: batches per step.
    """

    examples: int
    batch_size: int
    total: int
    seed: int = 0
    start: int = 0
    rank: int = 0
    ranks: int = 1
    accumulate: int = 1

    def __post_init__(self):
        if self.examples < 2:
            raise InputError(f"training needs at least two examples, not {self.examples}")
        if self.batch_size % self.ranks and self.batch_size <= self.examples:
            raise InputError(
                f"trainer.batch_size {self.batch_size} cannot be shared by {self.ranks} devices: "
                "give a multiple"
            )
        if self.share < 1:
            raise InputError(f"{self.examples} examples are too few for {self.ranks} devices")

    @property
    def share(self) -> int:
        """Examples per rank and step."""
        return min(self.batch_size * self.accumulate, self.examples) // self.ranks

    @property
    def batch(self) -> int:
        """Examples per rank and batch."""
        return min(max(1, self.batch_size // self.ranks), self.share)

    @property
    def batches(self) -> int:
        """Batches per step."""
        return -(-self.share // self.batch)

    @property
    def per_epoch(self) -> int:
        """Steps per pass over the data."""
        return self.examples // (self.share * self.ranks)

    def __len__(self) -> int:
        return max(0, self.total - self.start) * self.batches

    def __iter__(self) -> Iterator[list[Request]]:
        epoch, order = -1, torch.empty(0)
        for step in range(self.start, self.total):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order = self.order(epoch)
            first = (step % self.per_epoch * self.ranks + self.rank) * self.share
            members = order[first : first + self.share].tolist()
            requests = [Request(step, self.total, epoch, index) for index in members]
            for begin in range(0, self.share, self.batch):
                yield requests[begin : begin + self.batch]

    def order(self, epoch: int) -> Tensor:
        """The order of all examples in one epoch, int64 [examples]."""
        # One past the last index: a stream of numbers that no example uses.
        rng = draw.generator(self.seed, epoch, self.examples)
        return draw.permutation(rng, self.examples)
