"""Weighted k-nearest-neighbour classification in the encoder's own metric: nothing is trained.

Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination"
(arXiv:1805.01978), section 3.4: each of the k nearest training examples by cosine similarity s
votes for its class with weight exp(s / τ), τ = 0.07.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .metrics import Outcome, accuracy, confusion, guess, mean_class
from .splits import Split

NEIGHBOURS = 20
TEMPERATURE = 0.07
CELLS = 2**25


def neighbours(queries: Tensor, bank: Tensor, k: int, cells: int = CELLS) -> tuple[Tensor, Tensor]:
    """The k nearest rows of the bank by cosine: similarities float32 and row numbers int64 [Q, k].

    Nearest first. At most `cells` similarities are held at a time. k must not exceed the bank.
    """
    bank = F.normalize(bank, dim=1)
    found = [torch.topk(chunk @ bank.T, k) for chunk in _chunks(queries, len(bank), cells)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _chunks(queries: Tensor, width: int, cells: int) -> Iterator[Tensor]:
    for chunk in queries.split(max(1, cells // max(width, 1))):
        yield F.normalize(chunk, dim=1)


def votes(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    classes: int,
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Weight of each class among the k nearest, float32 [Q, K]; k is clipped to the bank's size."""
    similarity, rows = neighbours(queries, bank, min(k, len(bank)))
    # Less one: the factor is common to all votes, and the exponential cannot overflow.
    weight = ((similarity - 1) / temperature).exp()
    return weight.new_zeros(len(queries), classes).scatter_add_(1, labels[rows], weight)


def knn(x: Tensor, y: Tensor, split: Split, classes: int) -> list[Outcome]:
    """Top-1 and mean per-class accuracy of test examples among train and validation examples.

    Args:
        x: float32 [N, D], one row per example: the mean over its clips and crops.
    """
    learnt, test = torch.tensor(split.train + split.val), torch.tensor(split.test)
    predicted = votes(x[test], x[learnt], y[learnt], classes).argmax(1)
    counts, right = confusion(predicted, y[test], classes).cpu(), predicted == y[test]
    recipe = f"weighted kNN, cosine, k {NEIGHBOURS}, temperature {TEMPERATURE}, train+val"
    sizes = {"recipe": recipe, "n_train": len(learnt), "n_val": 0, "n_test": len(test)}
    chance = guess(y[learnt], y[test], classes)
    return [
        Outcome(
            "top1", accuracy(predicted, y[test]), chance, confusion=counts, correct=right, **sizes
        ),
        Outcome("mean_class", mean_class(counts), 1 / classes, **sizes),
    ]
