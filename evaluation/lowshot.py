"""Low-shot probe: the linear probe with 1 %, 10 % or k examples per class of the training part.

What is left for tuning comes out of the few examples themselves: a large validation set beside a
handful of training examples would not be low-shot (Oliver et al. 2018, arXiv:1804.09170,
section 4.6).
"""

import torch
from torch import Tensor

from ..datasets.source import Source
from ..modalities.rng import generator, permutation
from .linear import probe_outcomes
from .metrics import Outcome
from .splits import Split, carve

AMOUNTS: tuple[float | int, ...] = (0.01, 0.1, 1, 5)


def draw_few(y: Tensor, pool: tuple[int, ...], amount: float | int, seed: int) -> tuple[int, ...]:
    """A stratified part of the pool, ascending: a share of each class (float) or a number (int).

    At least one of each class, at most all of it. A smaller amount's part lies within a larger
    one's of the same seed.
    """
    out = []
    places = torch.tensor(pool)
    labels = y.cpu()[places]
    for label in labels.unique().tolist():
        own = places[labels == label]
        wanted = amount if isinstance(amount, int) else round(amount * len(own))
        order = permutation(generator(seed, 0, label), len(own))
        out += own[order[: max(1, wanted)]].tolist()
    return tuple(sorted(out))


def name_of(amount: float | int) -> str:
    """How a recipe calls an amount: "10 %" or "5 per class"."""
    return f"{amount} per class" if isinstance(amount, int) else f"{amount:.0%}".replace("%", " %")


def lowshot(
    x: Tensor,
    y: Tensor,
    split: Split,
    classes: int,
    *,
    grouped: Source,
    seed: int,
    counts: Tensor | None = None,
) -> list[Outcome]:
    """The linear probe's outcomes for each amount.

    Args:
        x, y, counts: see `linear`.
        split: numbers of examples; its train and val together are the pool that is drawn from.
        grouped: groups and labels by number of example.
        seed: of the draw.
    """
    out = []
    pool = tuple(sorted(split.train + split.val))
    for amount in AMOUNTS:
        train, val = carve(grouped, draw_few(y, pool, amount, seed), seed)
        part = Split(split.name, train, val, split.test)
        recipe = (
            f"linear probe on {name_of(amount)} of train+val, L2 picked within these, "
            "probabilities of clips and crops averaged"
        )
        out += probe_outcomes(x, y, part, classes, recipe, counts=counts)
    return out
