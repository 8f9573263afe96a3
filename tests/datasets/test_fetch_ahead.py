"""Shards fetched before they are read, each once, in a bounded cache, whoever reads how slowly."""

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest
from remote_kit import Remote, pack_pictures
from torch.utils.data import DataLoader, Dataset

from pretexto.datasets.packs import fetch_ahead
from pretexto.datasets.packs.fetch_ahead import FetchAhead, Noted, fetched_ahead, visits
from pretexto.datasets.packs.order import AHEAD, window_within
from pretexto.datasets.packs.source import Packs
from pretexto.datasets.source import Shards
from pretexto.errors import InputError
from pretexto.modalities.media import MediaError, Plan
from pretexto.training.sampler import Schedule

SHARDS, EACH, RANKS, WORKERS, EPOCHS, IN_FLIGHT = 20, 6, 2, 4, 2, 16
NUMBERS = np.arange(24) // 2


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    return pack_pictures(tmp_path_factory.mktemp("packed"), SHARDS, EACH)


class Reads(Dataset):
    """Examples by request, each loader process with a pack of its own."""

    def __init__(self, packs: Packs):
        self.packs = packs

    def __getitem__(self, request):
        frames = self.packs.read(request.index, Plan((0.0,))).frames
        assert frames is not None
        return request.epoch, request.index, float(frames.float().mean())


class Rank:
    """What a loader does, by hand: its first process reads only when nothing else can go on."""

    def __init__(self, remote: Remote, schedule: Schedule):
        shards = remote.packs().shards()
        assert shards is not None
        self.ahead = FetchAhead(
            schedule, lambda: schedule.visits(shards.numbers), shards.shared(RANKS), IN_FLIGHT
        )
        self.batches = iter(self.ahead)
        self.workers = [Noted(Reads(remote.packs()), self.ahead.read) for _ in range(WORKERS)]
        self.unread: list = []
        self.found: list = []

    def go_on(self) -> bool:
        """Asks for a batch; all but the first process read theirs at once."""
        if self.unread and self.ahead_of_oldest() == IN_FLIGHT:
            self.read_oldest()
        batch = next(self.batches, None)
        if batch is None:
            while self.unread:
                self.read_oldest()
            return False
        self.asked = batch[0]
        if batch[0] % WORKERS:
            self.read(batch)
        else:
            self.unread.append(batch)
        return True

    def ahead_of_oldest(self) -> int:
        return self.asked + 1 - self.unread[0][0]

    def read_oldest(self) -> None:
        self.read(self.unread.pop(0))

    def read(self, batch) -> None:
        self.found += self.workers[batch[0] % WORKERS].__getitems__(batch)


def test_a_loader_process_that_stands_still_costs_no_second_download(packed, tmp_path, monkeypatch):
    waits: Counter = Counter()

    def pause(_):
        """Nobody else can go on: now the one that stands still reads a batch."""
        if threading.current_thread() is threading.main_thread():
            waits[now] += 1
            ranks[now].read_oldest()

    remote = Remote.of(packed, tmp_path, room=10)
    monkeypatch.setattr(fetch_ahead, "time", SimpleNamespace(sleep=pause))
    shards = remote.here.shards()
    assert shards is not None
    schedule = Schedule(
        len(remote.here), 8, 1, seed=5, ranks=RANKS, shards=shards.numbers, window=window_within(5)
    )
    schedule = replace(schedule, total=EPOCHS * schedule.per_epoch)
    mine = [replace(schedule, rank=rank) for rank in range(RANKS)]
    with remote.downloads() as fetched:
        ranks = [Rank(remote, part) for part in mine]
        going = [0, 1]
        while going:
            for now in tuple(going):
                if not ranks[now].go_on():
                    going.remove(now)
        ended()
    assert min(waits[0], waits[1]) > 0  # 16 batches of four span more shards than five
    reads = Counter((epoch, i) for rank in ranks for epoch, i, _ in rank.found)
    assert reads == Counter((e, i) for e in range(EPOCHS) for i in range(len(remote.here)))
    for _, i, mean in ranks[0].found[:20]:
        assert mean == float(remote.here.read(i, Plan((0.0,))).frames.float().mean())
    needed = Counter(visit.shard for part in mine for visit in part.visits(shards.numbers))
    assert all(fetched[shard] <= needed[shard] for shard in fetched)
    assert not list(remote.cache.glob("*.claim*"))


def sharded(room: int | None, claims: list, fetched: SimpleQueue | None = None) -> Shards:
    """Two examples to a shard; what is claimed and fetched is noted."""

    @contextmanager
    def claiming():
        yield lambda numbers: claims.append(set(numbers))
        claims.append(set())

    return Shards(NUMBERS, (fetched or SimpleQueue()).put, claiming, room)


def plain(order: list[int], size: int) -> list[list[int]]:
    return [order[k : k + size] for k in range(0, len(order), size)]


def in_order(size: int):
    return lambda shards: visits(shards, np.arange(len(shards)) // size)


def test_shards_are_claimed_and_fetched_before_their_batches_and_no_more_than_there_is_room():
    claims: list[set[int]] = []
    fetched: SimpleQueue[int] = SimpleQueue()
    shards = sharded(3, claims, fetched)
    dataset, batches = fetched_ahead(
        Squares(), plain(list(range(24)), 2), shards, in_order(2), in_flight=1
    )
    assert len(batches) == 12
    for number, batch in batches:
        assert claims[-1] >= set(NUMBERS[batch])
        assert len(claims[-1]) == 1 + AHEAD
        assert dataset.__getitems__((number, batch)) == [i * i for i in batch]
    assert [fetched.get(timeout=20) for _ in range(12)] == list(range(12))
    ended()
    assert max(map(len, claims)) == 3
    assert claims[-1] == set()


def test_a_shard_that_is_read_before_it_is_fetched_ahead_is_not_fetched_when_nobody_needs_it(
    monkeypatch,
):
    """A reader was faster than the thread, which would bring back what has been dropped since."""
    claims: list[set[int]] = []
    go = threading.Event()
    late: list[int] = []

    def fetch(number):
        go.wait(20)
        if number not in claims[-1]:
            late.append(number)

    def pause(_):
        paused.append(claims[-1])
        go.set()
        threading.Event().wait(0.01)

    paused: list[set[int]] = []
    monkeypatch.setattr(fetch_ahead, "time", SimpleNamespace(sleep=pause))
    shards = replace(sharded(3, claims), fetch=fetch)
    dataset, batches = fetched_ahead(Squares(), plain(list(range(24)), 2), shards, in_order(2), 1)
    for numbered in batches:
        dataset.__getitems__(numbered)
    ended()
    assert paused[0] == {0, 1, 2}
    assert late == []


class Squares(Dataset):
    def __getitem__(self, i):
        return i * i


def ended() -> None:
    """Waits for the threads that fetch."""
    for thread in threading.enumerate():
        if thread.name == "fetch ahead":
            thread.join(20)
            assert not thread.is_alive()


def test_without_a_bound_all_stays_as_it_is():
    dataset, batches = Squares(), plain(list(range(24)), 2)
    for shards in (None, sharded(None, [])):
        assert fetched_ahead(dataset, batches, shards, in_order(2), 4) == (dataset, batches)


def test_a_batch_of_more_shards_than_there_is_room_for_is_a_users_mistake():
    dataset, batches = fetched_ahead(
        Squares(), plain(list(range(24)), 8), sharded(3, []), in_order(8), 1
    )
    with pytest.raises(InputError, match=r"room for 3 shards .* `cache_bytes`"):
        next(iter(DataLoader(dataset, batch_sampler=batches)))
    ended()


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_with_and_without_processes_read_all_and_then_nothing_is_claimed(workers):
    claims: list[set[int]] = []
    dataset, batches = fetched_ahead(
        Squares(), plain(list(range(24)), 4), sharded(4, claims), in_order(4), workers * 2 or 1
    )
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, prefetch_factor=2 if workers else None
    )
    assert [int(x) for batch in loader for x in batch] == [i * i for i in range(24)]
    ended()
    assert max(map(len, claims)) <= 4
    assert claims[-1] == set()


def test_what_cannot_be_fetched_is_left_to_the_reader_and_who_leaves_early_ends_it():
    def fail(number):
        failed.put(number)
        raise MediaError("shard", "open", "gone")

    claims: list[set[int]] = []
    failed: SimpleQueue[int] = SimpleQueue()
    shards = replace(sharded(4, claims), fetch=fail)
    dataset, batches = fetched_ahead(Squares(), plain(list(range(24)), 2), shards, in_order(2), 1)
    asked = iter(batches)
    for _ in range(2):
        dataset.__getitems__(next(asked))
    assert [failed.get(timeout=20) for _ in range(2)] == [0, 1]
    asked.close()
    ended()
    assert claims[-1] == set()
