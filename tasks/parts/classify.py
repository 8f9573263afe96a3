"""Loss, metrics and pictures of a puzzle whose answer is one of a few classes."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Batch, Picture, Step
from .across import rejected, summed, weighted_mean
from .pictures import Strip


def classify(
    logits: Tensor,
    batch: Batch,
    names: tuple[str, ...],
    strip: Strip,
    *,
    balanced: bool = False,
    rows: range | Callable[[], Sequence[int]] | None = None,
) -> Step:
    """Cross-entropy over the valid questions of all processes, and what to log and to show of it.

    Args:
        logits: float [N, K].
        batch: "target" int64 [N]; "weight" float [N] ≥ 0, 0 for questions without an answer, may
            be missing.
        names: of the K classes.
        strip: of row i its images, float [3, H, W] in [0, 1], and their captions.
        balanced: put the mean over the classes of their accuracies first; for unlike shares.
        rows: which to show, or a function that chooses them once somebody looks; None: the first
            four.
    """
    target = batch["target"]
    weight = batch.get("weight")
    asked = torch.ones_like(target, dtype=torch.float32) if weight is None else weight
    count = _by_class(logits, target, asked)
    total = count[0].sum()
    loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), asked, total)
    metrics = {"accuracy": count[1].sum() / total.clamp_min(1e-12)}
    if balanced:
        recall = count[1] / count[0].clamp_min(1e-12)
        mean = recall.sum() / (count[0] > 0).sum().clamp_min(1)
        metrics = {"balanced_accuracy": mean, **metrics}
    if weight is not None:
        metrics["rejected"] = rejected(weight)
    shown = range(min(len(logits), 4)) if rows is None else rows

    def pictures() -> list[Picture]:
        return _pictures(logits, target, names, strip, shown() if callable(shown) else shown)

    return Step(loss, metrics, pictures)


def _by_class(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weight, and weight of the right answers, of the rows of each class: [2, K]."""
    classes = F.one_hot(target, logits.shape[1]).float()
    right = (logits.detach().argmax(1) == target).float()
    columns = torch.stack([weight, weight * right])
    return summed(columns @ classes)


def _pictures(
    logits: Tensor, target: Tensor, names: tuple[str, ...], strip: Strip, rows: Sequence[int]
) -> list[Picture]:
    made = []
    for i in rows:
        images, captions = strip(i)
        made.append(Picture(images, captions, names[int(target[i])], best(logits[i], names)))
    return made


def best(logits: Tensor, names: tuple[str, ...]) -> str:
    """The likeliest answer with its probability, as "90° (87 %)"."""
    p = logits.detach().float().softmax(0)
    k = int(p.argmax())
    return f"{names[k]} ({100 * float(p[k]):.0f} %)"
