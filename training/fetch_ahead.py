"""Shards of remote packs fetched before they are read, and kept until they have been."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np

from ..datasets.packs.order import AHEAD
from ..datasets.source import Shards
from ..errors import InputError
from ..modalities.media import MediaError
from .sampler import Request, Schedule

_TICK = 0.2  # seconds between two notes of what is held


class _Visit(NamedTuple):
    """A shard, and the steps in which it is read first and last."""

    shard: int
    first: int
    last: int


class FetchAhead:
    """The batches of a schedule, whose next shards a thread fetches meanwhile.

    Args:
        schedule: the batches, in an order by shards.
        shards: of the source that the schedule is of.
        in_flight: steps that may have been asked for and not been read yet.
    """

    def __init__(self, schedule: Schedule, shards: Shards, in_flight: int):
        self.schedule, self.shards, self.in_flight = schedule, shards, in_flight
        self._wanted: SimpleQueue[int] = SimpleQueue()
        self._held: list[int] = []
        self._ended = threading.Event()

    def __len__(self) -> int:
        return len(self.schedule)

    def __iter__(self) -> Iterator[list[Request]]:
        # Not before the first batch is asked for: loader processes are forked by then.
        threading.Thread(target=self._fetch, name="fetch ahead", daemon=True).start()
        coming, held = self._visits(), []
        try:
            for batch in self.schedule:
                step = batch[0].step
                held = [visit for visit in held if visit.last + self.in_flight >= step]
                while sum(visit.first > step for visit in held) < AHEAD:
                    if not (visit := next(coming, None)):
                        break
                    held.append(visit)
                    self._wanted.put(visit.shard)
                self._held = [visit.shard for visit in held]
                yield batch
        finally:
            self._ended.set()

    def _visits(self) -> Iterator[_Visit]:
        """All shards from the schedule's start on, by the steps in which they are first read."""
        schedule = self.schedule
        for epoch in range(schedule.start // schedule.per_epoch, schedule.epochs):
            shards = self.shards.numbers[schedule.part(epoch)[:, 0]]
            found, first = np.unique(shards, return_index=True)
            last = len(shards) - 1 - np.unique(shards[::-1], return_index=True)[1]
            begin = epoch * schedule.per_epoch
            for k in np.argsort(first, kind="stable").tolist():
                steps = (begin + int(at[k]) // schedule.share for at in (first, last))
                visit = _Visit(int(found[k]), *steps)
                if visit.last >= schedule.start:
                    yield visit

    def _fetch(self) -> None:
        while not self._ended.is_set():
            with suppress(Empty, MediaError, InputError, OSError):  # who reads it meets it too
                self.shards.fetch(self._wanted.get(timeout=_TICK))
            for shard in self._held:
                self.shards.hold(shard)
