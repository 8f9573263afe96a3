"""An order of examples that reads each shard once: few shards at a time, replaced one by one."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 8  # shards whose examples are mixed
AHEAD = 2  # shards that are fetched before they are read
_BETWEEN = 1  # shards that loader processes may be apart


def shard_order(
    shards: ArrayLike,
    seed: int,
    epoch: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    window: int = WINDOW,
    count: int | None = None,
) -> NDArray[np.int64]:
    """Numbers of one rank's examples in the order of one epoch.

    The shards are put in a random order and dealt out, so that every rank has the same number of
    examples; a shard at the border of two ranks' parts is read by both, each its own examples of
    it. A rank mixes the examples of `window` shards; whenever one is read to its end, the next
    takes its place:

        shard    0  |=|                  Each example has a random time within its shard's bar,
        shard    1  |===|                and they come in the order of their times (window 3 of
        shard    2  |=====|              five shards).
        shard    3    |===|
        shard    4      |=|

    No more than `window` shards are thus needed at a time, and none is needed again. With a window
    of all shards the order is uniform; else two examples of one shard are on average
    window / shards times as far apart as in a uniform order, where it is a third of the epoch.

    Args:
        shards: int [N], number of the shard of each example.
        seed: of all epochs' orders.
        epoch: from 0.
        rank: whose part, 0 … ranks - 1.
        ranks: over how many processes the epoch is spread.
        window: shards whose examples are mixed, 1 or more.
        count: examples of the epoch, the same ones on any number of ranks; None: all.

    Returns:
        int64 [count // ranks]; the epoch leaves the others out.
    """
    numbers = np.asarray(shards)
    rng = _generator(seed, epoch, len(numbers))
    place = rng.permutation(int(numbers.max()) + 1)  # where each shard stands in this epoch
    mixed = rng.permutation(len(numbers))  # so that those left out may be any of their shard
    every = mixed[np.argsort(place[numbers[mixed]], kind="stable")]
    share = (len(numbers) if count is None else count) // ranks
    mine = every[rank * share : (rank + 1) * share]
    # Which of the rank's shards each example lies in, in order of reading.
    visit = np.cumsum(np.diff(place[numbers[mine]], prepend=place[numbers[mine[:1]]]) != 0)
    last = max(int(visit[-1]) + 1 - window, 0) if share else 0  # start of the last bar
    starts, ends = (visit - window + 1).clip(0, last), visit.clip(0, last) + 1
    times = _generator(seed, epoch, len(numbers), rank + 1).random(share)
    return mine[np.argsort(starts + times * (ends - starts), kind="stable")]


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(key))


def window_within(room: int | None) -> int:
    """How many shards a process may mix that has room for so many at a time.

    Where an epoch ends, the next one's first shards are fetched while its last ones are read.
    """
    if room is None:
        return WINDOW
    return min(max((room - AHEAD - _BETWEEN) // 2, 1), WINDOW)
