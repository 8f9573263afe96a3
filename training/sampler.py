"""Which examples stand in which batch: everything follows from the step's number."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..datasets.packs.fetch_ahead import Visit, visits
from ..datasets.packs.order import WINDOW, shard_order
from ..datasets.source import balanced_weights
from ..errors import InputError
from ..modalities import rng as draw
from ..tasks.task import Progress


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for: one example of one step.

    Attributes:
        step: number of the step.
        total: steps of the run.
        epoch: number of the pass over the data.
        index: number of the example.
        repeat: how often the epoch has asked for it before.
    """

    step: int
    total: int
    epoch: int
    index: int
    repeat: int = 0

    @property
    def progress(self) -> Progress:
        """How far training has come."""
        return Progress(self.step, self.total)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The batches of one rank, step by step; nothing is remembered.

    Every epoch has its own order: a uniform one, or one that reads each shard once. The examples
    that fill no whole step are left out of it. A step takes one batch or, accumulating, several in
    a row.

    Attributes:
        examples: how many there are.
        batch_size: over all ranks; the whole set where it is smaller.
        total: number of steps of the run.
        seed: of the orders.
        start: number of the first step to deliver.
        rank: whose part to deliver, 0 … ranks-1.
        ranks: over how many processes a batch is spread.
        accumulate: batches per step.
        balance: int [examples], classes of which an epoch draws each equally often, and no example
            without a class (-1); None: it draws each example once.
        shards: int [examples], of the shard of each, where an epoch is to read each shard once and
            each rank its own; None: the order is uniform.
        window: how many shards are mixed, see `shard_order`.
        lanes: whether each row of a batch goes on in the next: the examples in their order are cut
            into as many lanes as a step has rows, and each step reads the next one of each lane.
    """

    examples: int
    batch_size: int
    total: int
    seed: int = 0
    start: int = 0
    rank: int = 0
    ranks: int = 1
    accumulate: int = 1
    balance: NDArray[np.integer] | None = field(default=None, compare=False)
    shards: NDArray[np.integer] | None = field(default=None, compare=False)
    window: int = WINDOW
    lanes: bool = False

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
        if self.lanes and (self.accumulate > 1 or self.balance is not None):
            wrong = "accumulate" if self.accumulate > 1 else "balanced"
            raise InputError(
                f"trainer.{wrong} does not go with this task, whose rows go on in the next "
                "batch; leave it out"
            )

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

    @property
    def epochs(self) -> int:
        """Passes over the data, begun ones included."""
        return -(-self.total // self.per_epoch)

    def __len__(self) -> int:
        return max(0, self.total - self.start) * self.batches

    def __iter__(self) -> Iterator[list[Request]]:
        epoch, members = -1, np.empty((0, 2), np.int64)
        for step in range(self.start, self.total):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                members = self.part(epoch)
            first = step % self.per_epoch * self.share
            chosen = members[first : first + self.share].tolist()
            requests = [Request(step, self.total, epoch, *each) for each in chosen]
            for begin in range(0, self.share, self.batch):
                yield requests[begin : begin + self.batch]

    def part(self, epoch: int) -> NDArray[np.int64]:
        """This rank's examples of one epoch in their order.

        Returns:
            int64 [per_epoch · share, 2]: number of each, and how often it was drawn before.
        """
        # One past the last index: a stream of numbers that no example uses.
        rng = draw.generator(self.seed, epoch, self.examples)
        order = draw.permutation(rng, self.examples).numpy()
        drawn = np.stack([np.arange(self.examples), np.zeros(self.examples, np.int64)], 1)
        if self.lanes:
            order = lane_order(self.share * self.ranks, self.per_epoch)
        if self.balance is not None:
            drawn = balanced(self.balance, order, draw.uniform(rng))
        used = self.per_epoch * self.ranks * self.share
        if self.shards is None or self.lanes:
            mine = order[:used].reshape(-1, self.ranks, self.share)[:, self.rank].ravel()
            return drawn[mine]
        shards = self.shards[drawn[:, 0]]
        among = {"rank": self.rank, "ranks": self.ranks, "window": self.window, "count": used}
        return drawn[shard_order(shards, self.seed, epoch, **among)]

    def visits(self, shards: NDArray[np.integer]) -> Iterator[Visit]:
        """When each shard is read, epoch after epoch, in batches counted from the first delivered.

        Args:
            shards: int [examples], of each example.
        """
        for epoch in range(self.start // self.per_epoch, self.epochs):
            place = np.arange(self.per_epoch * self.share)
            step = epoch * self.per_epoch + place // self.share - self.start
            batch = step * self.batches + place % self.share // self.batch
            used = (step >= 0) & (step < self.total - self.start)
            yield from visits(shards[self.part(epoch)[used, 0]], batch[used])


def lane_order(lanes: int, steps: int) -> NDArray[np.int64]:
    """Numbers of examples step by step, of each lane the next one: int64 [steps · lanes].

    lane 0:  0, 1, 2, …         Lane l has the numbers from l · steps on.
    lane 1:  steps, steps + 1, …
    """
    return np.arange(lanes * steps).reshape(lanes, steps).T.ravel()


def balanced(
    classes: NDArray[np.integer], order: NDArray[np.int64], offset: float
) -> NDArray[np.int64]:
    """As many draws as there are examples, of every class equally many.

    Systematic sampling: examples of one class are drawn equally often, or once more.

    Args:
        classes: int [N], -1: never drawn.
        order: a random order of the N examples.
        offset: a random number from [0, 1).

    Returns:
        int64 [N, 2]: number of an example, and how often it was drawn before.
    """
    order = order[np.argsort(classes[order], kind="stable")]
    reached = len(order) * np.cumsum(balanced_weights(classes[order]))
    reached[-1] = len(order)  # rounding must not lose a draw
    counts = np.diff(np.floor(reached + offset).astype(np.int64), prepend=0)
    before = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.stack([np.repeat(order, counts), before], 1)
