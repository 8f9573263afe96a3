"""What every classifier is scored by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import torch
from torch import Tensor

from .splits import Split


@dataclass(frozen=True, slots=True)
class Outcome:
    """One number of one method at one level on one split.

    Attributes:
        metric: its name.
        value: in [0, 1]; of "adjusted_rand" in [-0.5, 1].
        chance: what is expected without looking at the features.
        recipe: the method with its numbers, in words.
        n_train: examples learnt from; n_val: of these, used to pick something; n_test: scored.
        validation: score by which the strength was picked.
        strength: the regularisation picked.
        lr: the learning rate picked, where something is trained by steps.
        confusion: int64 [K, K], true class by row.
        correct: bool [n_test], which test examples are right, where the value is their share.
        by_group: of each group of test examples how many are right and how many there are.
        interval: ends of the 95 % interval, where the value is no share of examples.
        per_class: of each class, where it is not the accuracy that the confusion tells.
    """

    metric: str
    value: float
    chance: float
    recipe: str
    n_train: int
    n_val: int
    n_test: int
    validation: float | None = None
    strength: float | None = None
    lr: float | None = None
    confusion: Tensor | None = None
    correct: Tensor | None = None
    by_group: dict[str, list[int]] | None = None
    interval: tuple[float, float] | None = None
    per_class: list[float | None] | None = None


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """Share of equal entries of two int64 [N]."""
    return (predicted == labels).double().mean().item()


def top_k(scores: Tensor, labels: Tensor, k: int) -> float:
    """Share of rows of [N, K] whose true class is among the k highest; ties count as misses."""
    own = scores.gather(1, labels[:, None])
    others = (scores >= own).sum(1) - 1
    return (others < k).double().mean().item()


def confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts int64 [K, K]: true class by row, predicted class by column."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)


def per_class(counts: Tensor) -> list[float | None]:
    """Accuracy of each class from a confusion matrix; None where it has no examples."""
    totals = counts.sum(1).tolist()
    return [c / n if n else None for c, n in zip(counts.diag().tolist(), totals, strict=True)]


def mean_class(counts: Tensor) -> float:
    """Mean of the classes' accuracies, so that a frequent class weighs no more than a rare one."""
    known = [value for value in per_class(counts) if value is not None]
    return sum(known) / len(known)


def mean_probabilities(logits: Tensor, sizes: Tensor) -> Tensor:
    """Logarithms [n, K] of class probabilities, each example's the mean over its rows.

    Scores of several clips and crops are averaged as in Simonyan & Zisserman 2014
    (arXiv:1406.2199, section 5).

    Args:
        logits: float32 [V, K], example after example.
        sizes: int64 [n], how many rows each example has.
    """
    each = logits.log_softmax(1)
    # In logarithms, where unlikely classes keep their order; a class without any chance is -inf.
    top = torch.segment_reduce(each, "max", lengths=sizes, axis=0)
    top = top.clamp_min(torch.finfo(each.dtype).min)
    shares = (each - top.repeat_interleave(sizes, 0)).exp()
    return torch.segment_reduce(shares, "mean", lengths=sizes, axis=0).log() + top


def guess(train: Tensor, test: Tensor, classes: int, k: int = 1) -> float:
    """Share of test labels among the k most frequent training labels: the blind guesser's score.

    Never below k / classes, which is what drawing k classes at random gives.
    """
    frequent = torch.bincount(train, minlength=classes).argsort(descending=True, stable=True)[:k]
    share = torch.isin(test, frequent).double().mean().item()
    return max(share, min(1.0, k / classes))


def outcomes(scores: Tensor, y: Tensor, split: Split, classes: int, recipe: str) -> list[Outcome]:
    """Top-1, mean per-class and (from ten classes on) top-5 accuracy of a classifier.

    Args:
        scores: [N, K] of the examples in split.test, in that order.
        y: int64 labels of all examples; positions in it are what the split names.
    """
    learnt, truth = y[torch.tensor(split.train + split.val)], y[torch.tensor(split.test)]
    counts = confusion(scores.argmax(1), truth, classes).cpu()
    right = scores.argmax(1) == truth
    values = {"top1": accuracy(scores.argmax(1), truth), "mean_class": mean_class(counts)}
    chances = {"top1": guess(learnt, truth, classes), "mean_class": 1 / classes}
    if classes >= 10:
        values["top5"] = top_k(scores, truth, 5)
        chances["top5"] = guess(learnt, truth, classes, 5)
    return [
        Outcome(
            metric=metric,
            value=value,
            chance=chances[metric],
            recipe=recipe,
            n_train=len(split.train),
            n_val=len(split.val),
            n_test=len(truth),
            confusion=counts if metric == "top1" else None,
            correct=right if metric == "top1" else None,
        )
        for metric, value in values.items()
    ]


MOST_GROUPS = 500


def by_group(outcome: Outcome, groups: Sequence[str]) -> Outcome:
    """The outcome with its right answers counted per group, the unit in which test media vary.

    Of more than 500 groups several are counted together, chosen by a checksum of their names:
    always the same ones, so that two encoders can be compared group by group.

    Args:
        groups: of each test example, in the order of `outcome.correct`.
    """
    if outcome.correct is None:
        return outcome
    names = list(groups)
    if len(set(names)) > MOST_GROUPS:
        names = [f"{crc32(name.encode()) % MOST_GROUPS}" for name in names]
    counts = {name: [0, 0] for name in sorted(set(names))}
    for name, right in zip(names, outcome.correct.tolist(), strict=True):
        counts[name][0] += int(right)
        counts[name][1] += 1
    return replace(outcome, by_group=counts)
