"""The order of packs: each shard once an epoch, each rank its own, near to uniform."""

import numpy as np
import pytest

from pretexto.datasets.packs.order import shard_order

SIZES = np.random.default_rng(0).integers(20, 60, 40)
SHARDS = np.repeat(np.arange(40), SIZES)


def visits(order: np.ndarray) -> dict[int, tuple[int, int]]:
    """First and last place at which each shard is read."""
    read = SHARDS[order]
    return {s: tuple(np.flatnonzero(read == s)[[0, -1]]) for s in np.unique(read)}


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_example_once_and_every_shard_by_one_rank_but_at_the_borders(ranks):
    parts = [shard_order(SHARDS, 7, 3, rank=r, ranks=ranks) for r in range(ranks)]
    assert {len(part) for part in parts} == {len(SHARDS) // ranks}
    every = np.concatenate(parts)
    assert len(np.unique(every)) == len(every) >= len(SHARDS) - ranks + 1
    read = [set(SHARDS[part]) for part in parts]
    assert sum(map(len, read)) - len(set().union(*read)) <= ranks - 1


def test_no_more_than_a_window_of_shards_is_needed_at_a_time():
    for epoch in range(3):
        found = visits(shard_order(SHARDS, 0, epoch, window=4))
        for place in range(len(SHARDS)):
            assert sum(first <= place <= last for first, last in found.values()) <= 4


def test_orders_follow_from_seed_and_epoch_alone():
    order = shard_order(SHARDS, 1, 2, rank=1, ranks=2)
    assert np.array_equal(order, shard_order(SHARDS, 1, 2, rank=1, ranks=2))
    others = [shard_order(SHARDS, s, e, rank=1, ranks=2) for s, e in ((1, 3), (2, 2))]
    assert not any(np.array_equal(order, other) for other in others)


def spread(order: np.ndarray) -> float:
    """Mean distance of two examples of one shard, as a share of a uniform order's N / 3."""
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    apart = []
    for shard in range(40):
        mine = place[shard == SHARDS]
        apart.append(np.abs(mine[:, None] - mine).sum() / (len(mine) * (len(mine) - 1)))
    return float(np.mean(apart)) / (len(order) / 3)


@pytest.mark.parametrize("window", [1, 4, 10, 40])
def test_the_distance_from_a_uniform_order_is_the_window_s_share(window):
    found = np.mean([spread(shard_order(SHARDS, 0, epoch, window=window)) for epoch in range(10)])
    assert found == pytest.approx(window / 40, rel=0.12)
