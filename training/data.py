"""Source × task → batches, each the same in every run whatever loads it."""

import copy
import inspect
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate

from ..datasets.packs import fetch_ahead
from ..datasets.source import Shards, Source
from ..errors import InputError
from ..modalities import rng as draw
from ..modalities.media import MediaError
from ..tasks.task import START, Batch, Progress, Task
from .sampler import Request, Schedule


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
        step: the number of the batch's step in the run, from 0.
        batch: tensors [B, …] with "index" and "label" int64 [B]; None if nothing is left.
        lost: the members that were dropped.
        mistake: a user's mistake that came to light in a worker.
    """

    step: int
    batch: Batch | None
    lost: list[Lost]
    mistake: str | None


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
        step, index = request.step, request.index
        try:
            return step, self.example(request.epoch, index, request.progress, request.repeat)
        except MediaError as error:
            name = self.source.name(index)
            return step, Lost(index, name, error.stage, error.reason)
        except InputError as error:
            return step, str(error)
        except Exception as error:
            error.add_note(f"example {index} of the source: {self.source.name(index)}")
            raise

    def example(self, epoch: int, index: int, progress: Progress = START, repeat: int = 0) -> Batch:
        """One example without batch axis. Raises MediaError if the file cannot serve.

        Args:
            epoch: number of the pass over the data.
            index: number of the example.
            progress: how far training has come.
            repeat: how often it was drawn before in this epoch: it is then drawn otherwise.
        """
        rng = draw.generator(self.seed, epoch, index + repeat * (len(self.source) + 1))
        plan = call(self.task.plan, self.source.info(index), rng, progress=progress)
        sample = self.source.read(index, plan)
        made = call(self.task.example, sample, rng, progress=progress)
        extra = {"index": index, "label": self.source.label(index)}
        return {**made, **{key: torch.tensor(value) for key, value in extra.items()}}


def call(method: Callable[..., Any], *args: Any, progress: Progress) -> Any:
    """Calls a task or one of its methods, with the progress where that argument is declared."""
    function = method.forward if isinstance(method, nn.Module) else method
    if _wants_progress(getattr(function, "__func__", function)):
        return method(*args, progress=progress)
    return method(*args)


@cache
def _wants_progress(function: Callable[..., Any]) -> bool:
    return "progress" in inspect.signature(function).parameters


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
    shards: Shards | None = None,
) -> DataLoader:
    """The loader of one rank's part of the stream; yields `Loaded`.

    Args:
        workers: processes; the batches do not depend on their number.
        pin: copy batches to page-locked memory, for CUDA.
        context: how processes start: "fork", "spawn", …; None: the platform's way.
        shards: of the source, with this rank's room, where the schedule goes by them: they are
            fetched ahead of their batches.
    """
    return fetch_ahead.make_loader(
        examples,
        schedule,
        shards,
        schedule.visits,
        workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_enter_worker,
        multiprocessing_context=context if workers else None,
        persistent_workers=workers > 0,
    )


def fitted(source: Source, task: Task) -> Source:
    """The source with its text cut as the task reads it."""
    length = max((spec.length or 0 for spec in task.specs.values()), default=0)
    if not length:
        return source
    return source.joined(length) if task.consecutive else source.for_length(length)


def labelled(source: Source) -> NDArray[np.int64]:
    """The classes of all examples, int64 [N]. Raises InputError if none has one."""
    labels = source.labels()
    if not (labels >= 0).any():
        raise InputError(
            "trainer.balanced draws every class equally often, but the data has no labels: "
            "leave it out, or give labelled data"
        )
    return labels


def _enter_worker(number: int) -> None:
    # The main process answers what ends the run, by a checkpoint; workers must live until it is
    # done, also where a scheduler signals every process. A second SIGTERM is their parent's.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda n, _: signal.signal(n, signal.SIG_DFL))
    torch.set_num_threads(1)


def without_weights(task: Task) -> Task:
    """A copy for loader workers: all but its parameters, so that it is cheap to send."""
    weights = dict.fromkeys(task.parameters())
    stand_ins = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=False)
        for p in weights
    }
    return copy.deepcopy(task, stand_ins)
