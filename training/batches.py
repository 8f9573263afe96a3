"""The batches of a run as its devices take them: lost members dealt with, waiting measured."""

import json
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from threading import Event

from torch.utils.data import DataLoader

from ..errors import InputError
from ..tasks.task import Batch
from .data import Loaded, Lost
from .distributed import Team
from .sampler import Schedule


class Unreadable:
    """Distinct unreadable examples, kept in a file beside the run.

    Args:
        path: the JSON-lines file, read if it is there: a run that goes on has seen some already.
        examples: how many the source has.
        share: how much of them may be lost before the run stops; one always may.
        spare_unsuitable: examples that the task cannot use do not count towards the limit.
        write: whether this process writes the file.
    """

    def __init__(
        self,
        path: Path,
        examples: int,
        share: float,
        *,
        spare_unsuitable: bool = False,
        write: bool = True,
    ):
        self.path, self.examples, self.share = path, examples, share
        self.spare_unsuitable, self.write = spare_unsuitable, write
        lines = path.read_text().splitlines() if path.exists() else []
        # A kill may have cut the last line short; the file will then be met and named again.
        known = [json.loads(line) for line in lines if line.endswith("}")]
        self.known = {entry["name"]: Lost(-1, **entry) for entry in known}
        if write and len(known) < len(lines):
            path.write_text("".join(_line(lost) for lost in self.known.values()))

    def __len__(self) -> int:
        return len(self.known)

    def add(self, found: Iterable[Lost]) -> None:
        """Notes what is new. Raises InputError when it has become too much."""
        new = {lost.name: lost for lost in found if lost.name not in self.known}
        if not new:
            return
        self.known.update(new)
        if self.write:
            with self.path.open("a") as file:
                file.write("".join(_line(lost) for lost in new.values()))
        self._check()

    def _check(self) -> None:
        counted = [
            lost
            for lost in self.known.values()
            if not (self.spare_unsuitable and lost.stage == "plan")
        ]
        if len(counted) > max(1, self.share * self.examples):
            first = "; ".join(f"{x.name}: {x.stage}: {x.reason}" for x in counted[:3])
            raise InputError(
                f"{len(counted)} of {self.examples} files could not be read, more than "
                f"trainer.max_unreadable allows ({self.share:.3g}): {first}; all are listed in "
                f"{self.path}; remove or repair them, or allow more"
            )


class Stream:
    """One rank's steps with their batches, from `schedule.start` on.

    A batch that lost members goes on smaller; one with fewer than two left on any rank (which
    batch norm and contrast cannot use) is left out on every rank. A step without any batch left
    is left out.

    Args:
        loader: yields `Loaded`.
        schedule: the loader's own.
        unreadable: learns of every lost example of any rank.
        team: the other ranks.
        stop: ends the stream before its next step, on every rank, once set on any of them.

    Attributes:
        position: steps delivered or left out, counted from the beginning of the run.
        left_out: batches that were left out.
        waited: seconds spent waiting for the loader so far.
        recent: the examples of delivered steps by number; whoever reads it clears it.
    """

    def __init__(
        self,
        loader: DataLoader,
        schedule: Schedule,
        unreadable: Unreadable,
        team: Team,
        stop: Event,
    ):
        self.loader, self.schedule, self.unreadable = loader, schedule, unreadable
        self.team, self.stop = team, stop
        self.position, self.left_out, self.waited = schedule.start, 0, 0.0
        self.recent: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return max(0, self.schedule.total - self.schedule.start)

    def __iter__(self) -> Iterator[tuple[int, list[Batch]]]:
        loaded = self._timed()
        while True:
            # All batches of a step, so that a run never ends within one.
            batches = list(islice(loaded, self.schedule.batches))
            if not batches:
                return
            usable, stopped = [], False
            for batch in batches:
                fit, stop = self._agree(batch)
                stopped |= stop
                if fit and batch.batch is not None:
                    usable.append(batch.batch)
                else:
                    self.left_out += 1
            if stopped:
                return
            number = batches[0].step
            self.position = number + 1
            if usable:
                self.recent[number] = [i for batch in usable for i in batch["index"].tolist()]
                yield number, usable

    def _timed(self) -> Iterator[Loaded]:
        batches = iter(self.loader)
        while True:
            began = time.perf_counter()
            loaded: Loaded | None = next(batches, None)
            self.waited += time.perf_counter() - began
            if loaded is None:
                return
            yield loaded

    def _agree(self, loaded: Loaded) -> tuple[bool, bool]:
        """Whether every rank can use its part, and whether any wants to stop."""
        left = 0 if loaded.batch is None else len(loaded.batch["index"])
        scarce = left < min(2, self.schedule.batch)
        news = bool(loaded.lost or loaded.mistake)
        scarce, news, stop = self.team.sums([scarce, news, self.stop.is_set()])
        if news:
            told = self.team.gather((list(loaded.lost), loaded.mistake))
            for mistake in (m for _, m in told if m):
                raise InputError(mistake)
            self.unreadable.add(lost for losses, _ in told for lost in losses)
        return not scarce, bool(stop)


def _line(lost: Lost) -> str:
    entry = {"name": lost.name, "stage": lost.stage, "reason": lost.reason}
    return json.dumps(entry, ensure_ascii=False) + "\n"
