"""Orders of an epoch: by shards, balanced by classes, and what is fetched ahead of them."""

import threading
from dataclasses import replace
from queue import Empty, SimpleQueue

import numpy as np
import pytest
from fakes import FakeSource, fake_task

from pretexto.datasets.packs.order import AHEAD, window_within
from pretexto.datasets.source import Shards, Subset
from pretexto.errors import InputError
from pretexto.training.data import Examples, labelled, make_loader
from pretexto.training.fetch_ahead import FetchAhead
from pretexto.training.sampler import Schedule

SHARDS = np.repeat(np.arange(12), 10)


def by_shard(total=20, **options) -> Schedule:
    return Schedule(120, 6, total, seed=3, shards=SHARDS, window=3, **options)


def members(schedule: Schedule) -> list[int]:
    return [request.index for batch in schedule for request in batch]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_an_epoch_has_the_same_examples_on_any_number_of_ranks(ranks):
    # 123 examples in steps of 12: three are left out, the same ones whoever reads.
    shards = np.append(SHARDS, [3, 3, 7])
    schedule = Schedule(123, 12, 20, seed=3, shards=shards, window=3)
    parts = [replace(schedule, rank=rank, ranks=ranks) for rank in range(ranks)]
    for epoch in range(2):
        whole = set(schedule.part(epoch)[:, 0].tolist())
        found = np.concatenate([part.part(epoch)[:, 0] for part in parts])
        assert set(found.tolist()) == whole
        assert len(found) == len(whole) == 120


def test_ranks_read_shards_of_their_own_and_few_at_a_time():
    parts = [by_shard(rank=rank, ranks=2) for rank in range(2)]
    read = [set(SHARDS[part.part(0)[:, 0]].tolist()) for part in parts]
    assert len(read[0] & read[1]) <= 1
    for part in parts:
        order = SHARDS[part.part(0)[:, 0]]
        spans = {shard: np.flatnonzero(order == shard)[[0, -1]] for shard in set(order.tolist())}
        for place in range(len(order)):
            assert sum(first <= place <= last for first, last in spans.values()) <= 3


def test_a_run_by_shards_goes_on_with_the_same_batches():
    whole = list(by_shard(total=45))
    assert list(by_shard(total=45, start=23)) == whole[23:]
    assert [request.epoch for batch in whole for request in batch] == [
        epoch for epoch in (0, 1, 2) for _ in range(120 if epoch < 2 else 30)
    ]
    assert members(by_shard(total=20)) != members(Schedule(120, 6, 20, seed=3))


def test_the_window_fits_a_cache_twice_beside_what_is_fetched_ahead():
    assert window_within(None, 8) == 8
    assert window_within(200, 8) == 8
    assert window_within(14, 2) == 2
    assert window_within(14, 1) == 5
    assert window_within(1, 4) == 1


LABELS = np.array([0] * 90 + [1] * 9 + [2] + [-1] * 20)


def test_balanced_epochs_draw_every_class_equally_often_and_all_examples_in_turn():
    schedule = Schedule(120, 6, 20, seed=3, balance=LABELS)
    drawn = schedule.part(0)
    assert np.bincount(LABELS[drawn[:, 0]], minlength=3).tolist() == [40, 40, 40]
    counts = np.bincount(drawn[:, 0], minlength=120)
    assert set(counts[:90]) == {0, 1}
    assert set(counts[90:99]) == {4, 5}
    assert counts[99] == 40
    assert not counts[100:].any()
    assert len(np.unique(drawn, axis=0)) == 120  # a repeat has a number of its own
    assert not np.array_equal(drawn, schedule.part(1))
    by_epoch = [np.unique(schedule.part(epoch)[:, 0]) for epoch in range(20)]
    assert len(np.unique(np.concatenate(by_epoch))) == 100


def test_balanced_epochs_go_by_shards_too():
    schedule = Schedule(120, 6, 20, seed=3, balance=LABELS, shards=SHARDS, window=3)
    parts = [replace(schedule, rank=rank, ranks=2).part(0) for rank in range(2)]
    drawn = np.concatenate(parts)
    assert np.bincount(LABELS[drawn[:, 0]]).tolist() == [40, 40, 40]
    assert len(np.unique(drawn, axis=0)) == 120


def test_a_repeated_example_is_drawn_otherwise():
    examples = Examples(FakeSource(), fake_task(), 5)
    first, again = examples.example(0, 7), examples.example(0, 7, repeat=1)
    assert int(first["index"]) == int(again["index"]) == 7
    assert not all(first[key].equal(again[key]) for key in first)
    schedule = Schedule(24, 6, 4, seed=1, balance=np.array([0] + [1] * 23))
    loaded = list(make_loader(examples, schedule))
    zeros = [x.batch["index"].eq(0).sum().item() for x in loaded]
    assert sum(zeros) == 12


def test_balancing_needs_labels():
    class Unlabelled(FakeSource):
        def label(self, i):
            return -1

    with pytest.raises(InputError, match=r"trainer\.balanced .* no labels"):
        labelled(Unlabelled())
    assert labelled(FakeSource()).tolist() == [0] * 12 + [1] * 12


class Sharded(FakeSource):
    """Two examples to a shard, and a queue of the shards that were fetched."""

    def __init__(self):
        super().__init__(24)
        self.fetched: SimpleQueue[int] = SimpleQueue()
        self.held: set[int] = set()

    def shards(self):
        return Shards(np.arange(24) // 2, self.fetched.put, self.held.add)


def test_a_subset_knows_the_shards_of_its_own_examples():
    shards = Subset(Sharded(), [5, 23, 4]).shards()
    assert shards is not None
    assert shards.numbers.tolist() == [2, 11, 2]
    assert Subset(FakeSource(), [5]).shards() is None


def test_shards_are_fetched_before_their_batches_are_asked_for():
    source, schedule = Sharded(), Schedule(24, 2, 30, shards=np.arange(24) // 2, window=2, seed=1)
    ahead = FetchAhead(schedule, source.shards(), 1)
    assert len(ahead) == len(list(schedule)) == 30
    named: list[int] = []
    for step, batch in enumerate(ahead):
        needed = {shard for b in list(schedule)[: step + 1] for shard in of_epochs(b)}
        while len(named) < min(len(needed) + AHEAD, 36):
            try:
                named.append(source.fetched.get(timeout=20))
            except Empty:
                pytest.fail(f"only {named} were fetched at step {step}")
        assert all(request.index // 2 in named for request in batch)
    # Two whole epochs and half of one: each shard once in each.
    counts = np.bincount(named[:24], minlength=12)
    assert set(counts.tolist()) == {2}
    assert source.held <= set(range(12))


def of_epochs(batch) -> set[tuple[int, int]]:
    return {(request.epoch, request.index // 2) for request in batch}


def test_what_cannot_be_fetched_is_left_to_the_reader_and_threads_end():
    from pretexto.modalities.media import MediaError

    class Broken(Sharded):
        def shards(self):
            def fail(number):
                self.fetched.put(number)
                raise MediaError("shard", "open", "gone")

            return Shards(np.arange(24) // 2, fail, self.held.add)

    source = Broken()
    schedule = Schedule(24, 2, 12, shards=np.arange(24) // 2, window=2)
    loader = make_loader(Examples(source, fake_task(), 0), schedule)
    assert sum(len(x.batch["index"]) for x in loader) == 24
    assert source.fetched.get(timeout=20) is not None
    for thread in threading.enumerate():
        if thread.name == "fetch ahead":
            thread.join(20)
            assert not thread.is_alive()
