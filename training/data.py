"""Source × task → batches: a stream without state, in which batch k is the same in every run."""

import copy
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from ..datasets.source import Source
from ..errors import InputError
from ..modalities import rng as draw
from ..modalities.media import MediaError
from ..tasks.task import Batch, Task


@dataclass(frozen=True, slots=True, order=True)
class Lost:
    """An example that could not be read."""

    index: int
    name: str
    stage: str
    reason: str


class Loaded(NamedTuple):
    """One rank's part of a batch: what could be read, and what could not.

    Attributes:
        number: the batch's number in the run, from 0.
        batch: tensors [B, …] with "index" and "label" int64 [B]; None if nothing is left.
        lost: the members that were dropped.
        mistake: a user's mistake that came to light in a worker.
    """

    number: int
    batch: Batch | None
    lost: list[Lost]
    mistake: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked for."""

    number: int
    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which examples stand in batch k: everything follows from k, nothing is remembered.

    Every epoch has its own order; the examples that fill no whole batch are left out of it.

    Attributes:
        examples: how many there are.
        batch_size: over all ranks; the whole set where it is smaller.
        total: number of batches of the run.
        seed: of the orders.
        start: number of the first batch to deliver.
        rank: whose part to deliver, 0 … ranks-1.
        ranks: over how many processes a batch is spread.
    """

    examples: int
    batch_size: int
    total: int
    seed: int = 0
    start: int = 0
    rank: int = 0
    ranks: int = 1

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
        """Examples per rank and batch."""
        return min(self.batch_size, self.examples) // self.ranks

    @property
    def per_epoch(self) -> int:
        """Batches per pass over the data."""
        return self.examples // (self.share * self.ranks)

    def __len__(self) -> int:
        return max(0, self.total - self.start)

    def __iter__(self) -> Iterator[list[Request]]:
        epoch, order = -1, torch.empty(0)
        for number in range(self.start, self.total):
            if number // self.per_epoch != epoch:
                epoch = number // self.per_epoch
                order = self.order(epoch)
            first = (number % self.per_epoch * self.ranks + self.rank) * self.share
            members = order[first : first + self.share].tolist()
            yield [Request(number, epoch, index) for index in members]

    def order(self, epoch: int) -> Tensor:
        """The order of all examples in one epoch, int64 [examples]."""
        # One past the last index: a stream of numbers that no example uses.
        rng = draw.generator(self.seed, epoch, self.examples)
        return draw.permutation(rng, self.examples)


class Examples(Dataset):
    """What the task makes of each example of the source.

    Args:
        source: the media.
        task: whose `plan` and `example` are called; a copy without weights is kept.
        seed: of every draw, together with epoch and index.
    """

    def __init__(self, source: Source, task: Task, seed: int):
        self.source, self.task, self.seed = source, without_weights(task), seed

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, request: Request) -> tuple[int, Batch | Lost | str]:
        number, index = request.number, request.index
        try:
            return number, self.example(request.epoch, index)
        except MediaError as error:
            name = self.source.name(index)
            return number, Lost(index, name, error.stage, error.reason)
        except InputError as error:
            return number, str(error)
        except Exception as error:
            error.add_note(f"example {index} of the source: {self.source.name(index)}")
            raise

    def example(self, epoch: int, index: int) -> Batch:
        """One example without batch axis. Raises MediaError if the file cannot serve."""
        rng = draw.generator(self.seed, epoch, index)
        plan = self.task.plan(self.source.info(index), rng)
        made = self.task.example(self.source.read(index, plan), rng)
        extra = {"index": index, "label": self.source.label(index)}
        return {**made, **{key: torch.tensor(value) for key, value in extra.items()}}


def collate(items: list[tuple[int, Batch | Lost | str]]) -> Loaded:
    """Stacks what could be read; passes on what could not."""
    good = [item for _, item in items if isinstance(item, dict)]
    lost = [item for _, item in items if isinstance(item, Lost)]
    mistakes = [item for _, item in items if isinstance(item, str)]
    batch = default_collate(good) if good else None
    return Loaded(items[0][0], batch, lost, mistakes[0] if mistakes else None)


def make_loader(
    examples: Examples,
    schedule: Schedule,
    *,
    workers: int = 0,
    pin: bool = False,
    context: str | None = None,
) -> DataLoader:
    """The loader of one rank's part of the stream; yields `Loaded`.

    Args:
        workers: processes; the batches do not depend on their number.
        pin: copy batches to page-locked memory, for CUDA.
        context: how processes start: "fork", "spawn", …; None: the platform's way.
    """
    return DataLoader(
        examples,
        batch_sampler=schedule,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_enter_worker,
        multiprocessing_context=context if workers else None,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
    )


def _enter_worker(number: int) -> None:
    # The main process answers Ctrl-C, by a checkpoint; workers must live until it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def without_weights(task: Task) -> Task:
    """A copy for loader workers: all but its parameters, so that it is cheap to send."""
    weights = dict.fromkeys(task.parameters())
    stand_ins = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
        for p in weights
    }
    return copy.deepcopy(task, stand_ins)
