"""An order of examples that reads each shard once: shards in random order, mixed in windows."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 8  # shards whose examples are mixed


def shard_order(
    shards: ArrayLike, seed: int, epoch: int, *, rank: int = 0, ranks: int = 1, window: int = WINDOW
) -> NDArray[np.int64]:
    """Numbers of one rank's examples in the order of one epoch.

    The shards are put in a random order and dealt out, so that every rank has the same number of
    examples; a shard at the border of two ranks' parts is read by both, each its own examples of
    it. Within a rank, the examples of `window` successive shards are mixed uniformly: only so many
    shards are needed at a time, and none is needed again. With a window of all shards the order is
    uniform; else two examples of one shard are at most a window apart, on average 1/3 of it where
    a uniform order has them 1/3 of the epoch apart. Their distance is thus window / shards of what
    it would be.

    Args:
        shards: int [N], number of the shard of each example.
        seed: of all epochs' orders.
        epoch: from 0.
        rank: whose part, 0 … ranks - 1.
        ranks: over how many processes the epoch is spread.
        window: shards whose examples are mixed, 1 or more.

    Returns:
        int64 [N // ranks]; up to ranks - 1 examples are left out of an epoch.
    """
    numbers = np.asarray(shards)
    rng = np.random.default_rng(np.random.SeedSequence([seed, epoch, len(numbers)]))
    place = rng.permutation(int(numbers.max()) + 1)  # where each shard stands in this epoch
    every = np.argsort(place[numbers], kind="stable")
    share = len(numbers) // ranks
    mine = every[rank * share : (rank + 1) * share]
    # Which of the rank's shards each example lies in, in order of reading.
    visit = np.cumsum(np.diff(place[numbers[mine]], prepend=place[numbers[mine[:1]]]) != 0)
    draw = np.random.default_rng(np.random.SeedSequence([seed, epoch, len(numbers), rank + 1]))
    return mine[np.lexsort((draw.random(share), visit // window))]
