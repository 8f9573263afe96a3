"""The batches of a run as its devices take them: lost members dealt with, waiting measured."""

import json
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from ..datasets.cache import write_text
from ..errors import InputError
from ..tasks.task import Batch
from .agreement import Agreement, Arrival
from .data import Loaded, Lost
from .distributed import Processes
from .prefetch import Prefetch
from .sampler import Schedule
from .signals import Stop


class Unreadable:
    """Distinct unreadable examples, in the order in which they were met.

    Args:
        path: the JSON-lines file that keeps them; None: another process does.
        examples: how many the source has.
        share: how much of them may be lost before the run stops; one always may.
        known: those met before.
        ignore_unsuitable: examples that the task cannot use do not count towards the limit.
    """

    def __init__(
        self,
        path: Path | None,
        examples: int,
        share: float,
        *,
        known: Iterable[Lost] = (),
        ignore_unsuitable: bool = False,
    ):
        self.path, self.examples, self.share = path, examples, share
        self.ignore_unsuitable = ignore_unsuitable
        self.known = {lost.name: lost for lost in known}

    def __len__(self) -> int:
        return len(self.known)

    def add(self, found: Iterable[Lost]) -> None:
        """Notes what is new. Raises InputError when it has become too much."""
        new = {lost.name: lost for lost in found if lost.name not in self.known}
        if not new:
            return
        self.known.update(new)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write("".join(_line(lost) for lost in new.values()))
        self._check()

    def _check(self) -> None:
        counted = [
            lost
            for lost in self.known.values()
            if not (self.ignore_unsuitable and lost.stage == "plan")
        ]
        if len(counted) > max(1, self.share * self.examples):
            first = "; ".join(f"{x.name}: {x.stage}: {x.reason}" for x in counted[:3])
            listed = f"all are listed in {self.path}; " if self.path is not None else ""
            raise InputError(
                f"{len(counted)} of {self.examples} files could not be read, more than "
                f"trainer.max_unreadable allows ({self.share:.3g}): {first}; {listed}"
                "remove or repair them, or allow more"
            )


def known_unreadable(path: Path, count: int) -> list[Lost]:
    """The first `count` entries of such a file; what was met after them is taken out of it.

    So a run that goes on from a checkpoint meets and counts files as if nothing had happened.
    """
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    if len(lines) > count:
        write_text(path, "".join(lines[:count]))
    return [Lost(-1, **json.loads(line)) for line in lines[:count]]


class Stream:
    """One rank's steps with their batches, from `schedule.start` on.

    A batch that lost members goes on smaller; one with fewer than two left on any rank (which
    batch norm and contrast cannot use) is left out on every rank. A step without any batch left
    is left out.

    Args:
        loader: yields `Loaded`; with workers, batches are fetched ahead of their step.
        schedule: the loader's own.
        unreadable: learns of every lost example of any rank.
        stop: ends the stream before its next step, on every rank, once set on any of them.
        device: where batches go.
        left_out: batches left out before.

    Attributes:
        position: steps delivered or left out, counted from the beginning of the run.
        left_out: batches that were left out, likewise.
        stopped: number of the signal that ended the stream.
        delivered: the examples of delivered steps by number; whoever reads it clears it.
    """

    def __init__(
        self,
        loader: DataLoader,
        schedule: Schedule,
        unreadable: Unreadable,
        stop: Stop,
        *,
        device: torch.device,
        left_out: int = 0,
    ):
        self.loader, self.schedule, self.unreadable = loader, schedule, unreadable
        self.stop, self.device, self.left_out = stop, device, left_out
        self.processes = Processes()
        self._agreement = Agreement(schedule.batch, stop, workers=loader.num_workers)
        self.position, self.stopped = schedule.start, 0
        self.delivered: dict[int, list[int]] = {}
        self._ahead: Prefetch | None = None
        self._loading: Any = None
        self._waited = 0.0

    def __len__(self) -> int:
        return max(0, self.schedule.total - self.schedule.start)

    @property
    def waited(self) -> float:
        """Seconds in which the device had nothing to do for want of a batch."""
        return self._ahead.waited if self._ahead else self._waited

    def __iter__(self) -> Iterator[tuple[int, list[Batch]]]:
        # Workers are started here, before there is a second thread.
        self._loading = iter(self.loader)
        arrivals = self._agreement.arrivals(self._steps(self._loading))
        if self.loader.num_workers:
            self._ahead = Prefetch(arrivals, self.device)
        for arrival in self._ahead or self._timed(arrivals):
            if arrival.mistake:
                raise InputError(arrival.mistake)
            self.unreadable.add(arrival.lost)
            # Alone, nobody else must be asked: what is fetched ahead may be dropped.
            alone = self.stop.number if self.processes.size == 1 else 0
            self.stopped = arrival.stopped or alone
            if self.stopped:
                return
            self.left_out += arrival.left_out
            self.position = arrival.step + 1
            if arrival.batches:
                self.delivered[arrival.step] = arrival.members
                yield arrival.step, arrival.batches

    def close(self) -> None:
        """Ends fetching ahead, and the loader's workers."""
        if self._ahead:
            self._ahead.close()
        if self._loading is not None and self.loader.num_workers:
            # Left to the interpreter's end they would get one SIGTERM, and wait for a second.
            self._loading._shutdown_workers()

    def _timed(self, arrivals: Iterator[Arrival]) -> Iterator[Arrival]:
        while True:
            began = time.perf_counter()
            arrival = next(arrivals, None)
            self._waited += time.perf_counter() - began
            if arrival is None:
                return
            yield arrival

    def _steps(self, loaded: Iterator[Loaded]) -> Iterator[list[Loaded]]:
        # All batches of a step at once, so that a run never ends within one.
        while parts := list(islice(loaded, self.schedule.batches)):
            yield parts


def _line(lost: Lost) -> str:
    entry = {"name": lost.name, "stage": lost.stage, "reason": lost.reason}
    return json.dumps(entry, ensure_ascii=False) + "\n"
