"""Shards of remote packs fetched before they are read, and kept until they have been.

A run never asks for more shards at a time than its part of the cache has room for: before a batch
goes out that needs one more, the batches that need an older one have been read, however slow the
loader process that reads them. So none is dropped that is needed still, and each is fetched once.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ...errors import InputError
from ..source import Shards
from .order import AHEAD

_PREFETCHED = 4  # batches that each loader process is asked for ahead
_PAUSE = 0.005  # seconds between two looks at what has been read


class Visit(NamedTuple):
    """A shard, and the batches in which it is read first and last."""

    shard: int
    first: int
    last: int


def visits(shards: NDArray[np.integer], batches: NDArray[np.integer]) -> Iterator[Visit]:
    """The shards of one pass over the data, in the order of the batches that read them first.

    Args:
        shards: int [N], of each example in the order of reading.
        batches: int [N], number of the batch of each, ascending.
    """
    found, first = np.unique(shards, return_index=True)
    last = len(shards) - 1 - np.unique(shards[::-1], return_index=True)[1]
    for k in np.argsort(first, kind="stable").tolist():
        yield Visit(int(found[k]), int(batches[first[k]]), int(batches[last[k]]))


class FetchAhead:
    """Numbered batches for `Noted`, whose next shards a thread fetches meanwhile.

    Args:
        batches: as a loader's batch sampler gives them.
        coming: gives the visits of all shards in the order of their first batches.
        shards: of the source that is read, with the room that is this process's.
        in_flight: batches that may have been asked for and not been taken yet.

    Attributes:
        read: int64 [in_flight] in shared memory: of the batches with this remainder, one more than
            the number of the one that was read last.
    """

    def __init__(
        self,
        batches: Collection[Sequence[Any]],
        coming: Callable[[], Iterable[Visit]],
        shards: Shards,
        in_flight: int,
    ):
        self.batches, self.coming, self.shards = batches, coming, shards
        self.read = torch.zeros(in_flight, dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[int, Sequence[Any]]]:
        self.read.zero_()
        progress = _Progress(self.read)
        wanted: SimpleQueue[int | _End] = SimpleQueue()
        claims = ExitStack()
        claim = claims.enter_context(self.shards.claiming())
        # Not before the first batch is asked for: loader processes are forked by then.
        threading.Thread(
            target=self._fetch, args=(wanted, progress, claims), name="fetch ahead", daemon=True
        ).start()
        end = _End(0)
        try:
            admitted = _Admitted(self.coming(), self.shards.room, progress)
            for number, batch in enumerate(self.batches):
                if fresh := admitted.until(number):
                    claim(admitted.shards)
                    for shard in fresh:
                        wanted.put(shard)
                yield number, batch
            end = _End(len(self.batches))
        finally:
            wanted.put(end)

    def _fetch(
        self, wanted: "SimpleQueue[int | _End]", progress: "_Progress", claims: ExitStack
    ) -> None:
        with claims:
            while not isinstance(shard := wanted.get(), _End):
                with suppress(Exception):  # who reads it meets it too
                    self.shards.fetch(shard)
                progress.fetched += 1
            while progress.reached() < shard.batches:
                time.sleep(_PAUSE)


class _End(NamedTuple):
    """Nothing more is wanted; so many batches will have been read in the end."""

    batches: int


class _Progress:
    """How far the run has come.

    Args:
        read: see `FetchAhead`.

    Attributes:
        fetched: how many of the wanted shards, in their order, have been fetched or cannot be.
    """

    def __init__(self, read: torch.Tensor):
        self.read, self.fetched, self._batches = read, 0, 0

    def reached(self) -> int:
        """How many batches have been read, none between them left out."""
        while int(self.read[self._batches % len(self.read)]) > self._batches:
            self._batches += 1
        return self._batches


class _Admitted:
    """The shards that may lie in the cache: never more than there is room for."""

    def __init__(self, coming: Iterable[Visit], room: int | None, progress: _Progress):
        self._coming, self._room, self._progress = iter(coming), room, progress
        self._next = next(self._coming, None)
        self._held: dict[int, Visit] = {}  # by their places in the order of fetching
        self._count = 0

    @property
    def shards(self) -> set[int]:
        """Their numbers."""
        return {visit.shard for visit in self._held.values()}

    def until(self, batch: int) -> list[int]:
        """Admits what this batch needs, once there is room, and what comes next if there is more.

        Returns:
            the shards that are new, in the order in which they are read.

        Raises:
            InputError: the batch needs more than there is room for.
        """
        fresh = []
        while self._next and self._next.first <= batch:
            self._wait_for_room(batch)
            fresh.append(self._admit())
        ahead = sum(visit.first > batch for visit in self._held.values())
        while self._next and ahead < AHEAD and self._has_room():
            fresh.append(self._admit())
            ahead += 1
        return fresh

    def _admit(self) -> int:
        assert self._next
        visit, self._next = self._next, next(self._coming, None)
        self._held[self._count] = visit
        self._count += 1
        return visit.shard

    def _has_room(self) -> bool:
        assert self._next
        read, fetched = self._progress.reached(), self._progress.fetched
        # One that was read before the thread came to it is kept, or it would be fetched anew.
        self._held = {
            place: visit
            for place, visit in self._held.items()
            if visit.last >= read or place >= fetched
        }
        return self._room is None or len(self.shards | {self._next.shard}) <= self._room

    def _wait_for_room(self, batch: int) -> None:
        while not self._has_room():
            if all(visit.last >= batch for visit in self._held.values()):
                raise InputError(
                    f"the cache of the packs has room for {self._room} shards per process, and one "
                    "batch needs more of them at a time: raise `cache_bytes`, or take smaller "
                    "batches, fewer processes or smaller shards"
                )
            time.sleep(_PAUSE)


class Noted(Dataset):
    """A data set whose batches, given with their numbers, are noted once they have been read.

    Args:
        dataset: gives an example of each request in a batch.
        read: see `FetchAhead`.
    """

    def __init__(self, dataset: Dataset, read: torch.Tensor):
        self.dataset, self.read = dataset, read

    def __getitems__(self, numbered: tuple[int, Sequence[Any]]) -> list[Any]:
        number, batch = numbered
        items = [self.dataset[request] for request in batch]
        self.read[number % len(self.read)] = number + 1
        return items


def fetched_ahead(
    dataset: Dataset,
    batches: Any,
    shards: Shards | None,
    coming: Callable[[NDArray[np.integer]], Iterable[Visit]],
    in_flight: int,
) -> tuple[Dataset, Any]:
    """Data set and batch sampler for a loader that reads shard by shard, where room is bounded.

    Args:
        dataset, batches: as they are without.
        shards: of the source that is read, with the room that is this process's; None: any order
            costs the same.
        coming: gives the visits of all shards, from the shard of each example.
        in_flight: batches that may have been asked for and not been taken yet.
    """
    if shards is None or shards.room is None:
        return dataset, batches
    ahead = FetchAhead(batches, lambda: coming(shards.numbers), shards, in_flight)
    return Noted(dataset, ahead.read), ahead


def make_loader(
    dataset: Dataset,
    batches: Any,
    shards: Shards | None,
    coming: Callable[[NDArray[np.integer]], Iterable[Visit]],
    *,
    workers: int,
    **options: Any,
) -> DataLoader[Any]:
    """A loader of these batches, with what they need fetched ahead: see `fetched_ahead`.

    Args:
        workers: processes, 0: this one reads.
        options: other arguments of DataLoader.
    """
    dataset, batches = fetched_ahead(dataset, batches, shards, coming, workers * _PREFETCHED or 1)
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        prefetch_factor=_PREFETCHED if workers else None,
        **options,
    )
