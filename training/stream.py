"""The batches of a run as its devices take them: lost members dealt with, waiting measured."""

import time
from collections.abc import Iterator
from threading import Event

from torch.utils.data import DataLoader

from ..errors import InputError
from ..tasks.task import Batch
from .data import Loaded, Schedule
from .team import Team
from .unreadable import Unreadable


class Stream:
    """One rank's batches with their numbers, from `schedule.start` on.

    A batch that lost members goes on smaller; one with fewer than two left on any rank (which
    batch norm and contrast cannot use) is left out on every rank.

    Args:
        loader: yields `Loaded`.
        schedule: the loader's own.
        unreadable: learns of every lost example of any rank.
        team: the other ranks.
        stop: ends the stream before its next batch, on every rank, once set on any of them.

    Attributes:
        position: batches delivered or left out, counted from the beginning of the run.
        left_out: batches of this process that were left out.
        waited: seconds spent waiting for the loader so far.
        recent: the examples of delivered batches by number; whoever reads it clears it.
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
        return len(self.schedule)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        batches = iter(self.loader)
        while True:
            began = time.perf_counter()
            loaded: Loaded | None = next(batches, None)
            self.waited += time.perf_counter() - began
            if loaded is None:
                return
            usable, stopped = self._agree(loaded)
            if stopped:
                return
            self.position = loaded.number + 1
            if usable and loaded.batch is not None:
                self.recent[loaded.number] = loaded.batch["index"].tolist()
                yield loaded.number, loaded.batch
            else:
                self.left_out += 1

    def _agree(self, loaded: Loaded) -> tuple[bool, bool]:
        """Whether every rank can use its part, and whether any wants to stop."""
        left = 0 if loaded.batch is None else len(loaded.batch["index"])
        scarce = left < min(2, self.schedule.share)
        news = bool(loaded.lost or loaded.mistake)
        scarce, news, stop = self.team.sums([scarce, news, self.stop.is_set()])
        if news:
            told = self.team.gather((list(loaded.lost), loaded.mistake))
            for mistake in (m for _, m in told if m):
                raise InputError(mistake)
            self.unreadable.add(lost for losses, _ in told for lost in losses)
        return not scarce, bool(stop)
