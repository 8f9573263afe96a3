"""Learning rates picked on validation, and the optimiser that takes them."""

import math
from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from ..errors import InputError
from .distributed import gather, joined, rank
from .linear import validation_score
from .splits import Split

Model = TypeVar("Model")


def check_rates(rates: Sequence[float]) -> None:
    """Raises InputError where these are no learning rates to choose from."""
    if not rates or not all(math.isfinite(rate) and rate > 0 for rate in rates):
        raise InputError(f"learning rates are above 0, at least one of them, got {list(rates)}")


class Learner(Protocol[Model]):
    """What learns models that are alike but for their learning rate, and scores them."""

    def fit(self, examples: Sequence[int], rates: Sequence[float], /) -> list[Model]:
        """A model for each rate, learnt on these examples."""
        ...

    def scores(self, model: Model, examples: Sequence[int], /) -> Tensor:
        """Logits or logarithms of probabilities [n, K] of these examples."""
        ...


def at_best_rate(
    rates: Sequence[float],
    split: Split,
    truth: Tensor,
    learner: Learner[Model],
    shared: bool = False,
) -> tuple[Model, dict[str, float | None]]:
    """A model learnt on split.train and split.val at the rate that is best on split.val.

    Rates are tried on split.train; equal accuracies are told apart by the validation loss. Of a
    single rate, or without validation examples, the middle one is taken untried. The global random
    state is the same afterwards.

    Args:
        truth: labels int64 [N] of all examples.
        shared: the processes of torch.distributed try rates in turn, each its own.

    Returns:
        the model, and what outcomes say of the choice: "lr", and "validation", its accuracy.
    """
    place = truth.device
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        rate, validation = _best(rates, split, truth, learner, shared)
        (model,) = learner.fit(sorted(split.train + split.val), [rate])
    return model, {"lr": rate, "validation": validation}


def _best(
    rates: Sequence[float], split: Split, truth: Tensor, learner: Learner[Model], shared: bool
) -> tuple[float, float | None]:
    if len(rates) == 1 or not split.val:
        return rates[len(rates) // 2], None
    wanted = truth[torch.tensor(split.val)]
    own = rates[rank() :: torch.distributed.get_world_size()] if shared and joined() else rates
    found = {}
    for rate, model in zip(own, learner.fit(split.train, own) if own else [], strict=True):
        found[rate] = validation_score(learner.scores(model, split.val), wanted)
    for other in gather(found) if shared else []:
        found |= other
    best = max(found, key=lambda rate: found[rate])
    return best, found[best][0]


def adamw(
    model: nn.Module, rate: float, decay: float, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW in one kernel, and its rate: a tenth of the steps of warm-up, then a cosine.

    Biases and the parameters of norms are not decayed.
    """
    wanted = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in wanted if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in wanted if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in wanted)
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, fused=fused)
    # Two steps are the fewest that it can divide.
    total = max(steps, 2)
    return optimizer, OneCycleLR(
        optimizer, rate, total_steps=total, pct_start=0.1, cycle_momentum=False
    )


def grid_text(rates: Sequence[float]) -> str:
    """How a recipe tells of the rate: the rate itself, or what it was picked from."""
    words = ", ".join(f"{rate:g}" for rate in rates)
    return f"lr {words}" if len(rates) == 1 else f"lr picked on val from {words}"
