"""Nearest-neighbour retrieval: is one of the k nearest training clips of the query's class?

The protocol of Büchler et al. 2018 (arXiv:1807.11293) and Xu et al. 2019 (VCOP, CVPR): test clips
are the queries, training clips the bank, similarity is the cosine.
"""

import torch
from torch import Tensor

from .knn import neighbours
from .metrics import Outcome
from .splits import Split

RANKS = (1, 5, 10, 20, 50)


def recalls(queries: Tensor, wanted: Tensor, bank: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """Which queries [Q, D] have a row of their class among the k nearest of the bank [N, D].

    bool [Q] for each k of 1, 5, 10, 20, 50 that the bank can fill.
    """
    ranks = [k for k in RANKS if k <= len(bank)]
    _, rows = neighbours(queries, bank, ranks[-1])
    hit = (labels[rows] == wanted[:, None]).cummax(1).values
    return {k: hit[:, k - 1] for k in ranks}


def blind_recall(wanted: Tensor, labels: Tensor, k: int) -> float:
    """The share that k rows drawn from the bank at random would give, exactly.

    1 - C(n - n_c, k) / C(n, k) for a query whose class has n_c of the n rows.
    """
    n = len(labels)
    own = (labels[None, :] == wanted.unique()[:, None]).sum(1)
    miss = [_miss(n, c, k) for c in own.tolist()]
    table = dict(zip(wanted.unique().tolist(), miss, strict=True))
    return 1 - sum(table[c] for c in wanted.tolist()) / len(wanted)


def _miss(n: int, own: int, k: int) -> float:
    share = 1.0
    for drawn in range(k):
        share *= max(n - own - drawn, 0) / (n - drawn)
    return share


def retrieval(x: Tensor, y: Tensor, split: Split, classes: int) -> list[Outcome]:
    """R@1, 5, 10, 20, 50 of test examples among train and validation examples."""
    learnt, test = torch.tensor(split.train + split.val), torch.tensor(split.test)
    found = recalls(x[test], y[test], x[learnt], y[learnt])
    return [
        Outcome(
            metric=f"R@{k}",
            value=hit.double().mean().item(),
            chance=blind_recall(y[test], y[learnt], k),
            recipe="nearest neighbours by cosine, test queries among train+val",
            n_train=len(learnt),
            n_val=0,
            n_test=len(test),
            correct=hit if k == 1 else None,
        )
        for k, hit in found.items()
    ]
