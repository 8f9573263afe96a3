"""Orders of an epoch: by shards, balanced by classes."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeSource, fake_task

from pretexto.datasets.packs.order import window_within
from pretexto.datasets.source import Shards, Subset
from pretexto.errors import InputError
from pretexto.training.data import Examples, labelled, make_loader
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
    assert [window_within(room) for room in (None, 25, 14, 7, 0)] == [8, 8, 5, 2, 1]


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


def test_visits_are_of_the_batches_that_read_their_shards():
    for start in (0, 23):
        # Two batches of four to a step, 15 steps to an epoch.
        schedule = Schedule(120, 4, 45, accumulate=2, start=start, shards=SHARDS, window=3)
        seen: dict[tuple[int, int], list[int]] = {}
        for number, batch in enumerate(schedule):
            for request in batch:
                seen.setdefault((request.epoch, int(SHARDS[request.index])), []).append(number)
        found = list(schedule.visits(SHARDS))
        assert found == sorted(found, key=lambda visit: visit.first)
        assert sorted(found) == sorted((shard, *at[:1], at[-1]) for (_, shard), at in seen.items())


def test_a_subset_knows_the_shards_of_its_own_examples():
    class Sharded(FakeSource):
        def shards(self):
            return Shards(np.arange(24) // 2, int, nullcontext)

    shards = Subset(Sharded(), [5, 23, 4]).shards()
    assert shards is not None
    assert shards.numbers.tolist() == [2, 11, 2]
    assert Subset(FakeSource(), [5]).shards() is None
