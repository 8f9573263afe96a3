"""Linear probe: multinomial logistic regression on frozen, standardised features.

The protocol of Alain & Bengio 2016 (arXiv:1610.01644) and Zhang et al. 2016 (arXiv:1603.08511,
section 3.2): what a linear classifier can read off each level. The strength of the L2 penalty is
picked on validation examples and the classifier is then fitted again on train and validation
together; test examples take part in nothing but the final score.

Every clip and crop of an example is learnt from; to judge an example, the class probabilities of
all of its clips and crops are averaged (on sound as Arandjelović & Zisserman 2017,
arXiv:1705.08168, section 4.2).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from .metrics import Outcome, accuracy, mean_probabilities, outcomes
from .splits import Split

STRENGTHS = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
UNTUNED = 0.01
STEPS = 300
SMALL = 2**24


@dataclass(frozen=True, slots=True)
class Classifier:
    """A fitted probe.

    Attributes:
        mean, scale: float32 [D], of the features that it was fitted on.
        weight: float32 [K, D], on standardised features.
        bias: float32 [K]; -inf for a class that it was not fitted on.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def scores(self, x: Tensor) -> Tensor:
        """Logits [N, K] of features [N, D]."""
        return ((x - self.mean) / self.scale) @ self.weight.T + self.bias


def fit(
    x: Tensor,
    y: Tensor,
    classes: int,
    strengths: Sequence[float],
    shares: Tensor | None = None,
) -> list[Classifier]:
    """Minimises mean cross-entropy + strength / 2 · ‖W‖² for each strength, in the given order.

    The bias is free. Each fit starts where the previous one ended: the problem is convex, so
    that changes the time and not the result. Deterministic.

    Args:
        x: float32 [N, D]; y: int64 [N] in 0 … classes-1.
        strengths: positive.
        shares: float32 [N], of each row in the mean, and in the features' mean and deviation;
            they add up to 1. None: equal ones.
    """
    if shares is None:
        shares = x.new_full((len(x),), 1 / len(x))
    mean = shares @ x
    scale = (shares @ (x - mean).square()).sqrt()
    # A feature that is constant up to rounding carries nothing; dividing would blow up the noise.
    scale = torch.where(scale > 1e-6 * (mean.abs() + 1e-12), scale, torch.ones_like(scale))
    z = (x - mean) / scale
    present = y.unique()
    target = torch.searchsorted(present, y)
    weight, bias = z.new_zeros(len(present), z.shape[1]), z.new_zeros(len(present))
    out = []
    for strength in strengths:
        with _threads(1 if z.numel() * classes < SMALL else torch.get_num_threads()):
            weight, bias = _minimise(z, target, shares, strength, weight, bias)
        full = z.new_zeros(classes, z.shape[1]).index_copy(0, present, weight)
        offset = z.new_full((classes,), -torch.inf).index_copy(0, present, bias)
        out.append(Classifier(mean, scale, full, offset))
    return out


def _minimise(
    z: Tensor, y: Tensor, shares: Tensor, strength: float, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """L-BFGS, driven by scipy; the arithmetic of each step stays on the device of z."""
    from scipy.optimize import minimize

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = _unpack(flat, z)
        log_p = F.log_softmax(z @ weight.T + bias, 1)
        own = log_p.gather(1, y[:, None])
        # Summed in double precision: the line search compares nearly equal losses.
        value = strength / 2 * weight.double().square().sum() - own[:, 0].double() @ shares.double()
        slope = log_p.exp().scatter_add_(1, y[:, None], own.new_full(own.shape, -1))
        slope *= shares[:, None]
        gradient = torch.cat([slope.T @ z + strength * weight, slope.sum(0)[:, None]], 1)
        return value.item(), gradient.double().cpu().numpy().ravel()

    start = torch.cat([weight, bias[:, None]], 1).double().cpu().numpy().ravel()
    options = {"maxiter": STEPS, "ftol": 1e-9, "gtol": 1e-5}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return _unpack(found.x, z)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Limits torch to so many threads.

    A step of a small problem is done sooner than it is shared out. Measured with 320 examples of
    512 features beside other work on two cores: 0.5 to 1.8 s on one thread, 4 to 27 s on two.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _unpack(flat: np.ndarray, z: Tensor) -> tuple[Tensor, Tensor]:
    both = torch.from_numpy(flat).to(z).view(-1, z.shape[1] + 1)
    return both[:, :-1], both[:, -1]


@dataclass(frozen=True, slots=True)
class Probe:
    """A tuned probe: the classifier, the strength picked and its accuracy on validation."""

    classifier: Classifier
    strength: float
    validation: float | None


def tune(
    x: Tensor,
    y: Tensor,
    split: Split,
    classes: int,
    strengths: Sequence[float] = STRENGTHS,
    *,
    counts: Tensor | None = None,
) -> Probe:
    """Picks the strength on split.val and fits on train and val; never looks at split.test.

    Equal accuracies are told apart by the validation loss. Without validation examples the
    strength is 0.01.

    Args:
        x, y, split, counts: see `linear`.

    Raises:
        InputError: fewer than two classes to learn.
    """
    if len(y[torch.tensor(split.train)].unique()) < 2:
        raise InputError(f"split {split.name}: the training part holds fewer than two classes")
    if not split.val:
        return Probe(_learn(x, y, split.train, classes, [UNTUNED], counts)[0], UNTUNED, None)
    tried = _learn(x, y, split.train, classes, strengths, counts)
    truth = y[torch.tensor(split.val)]
    scored = [validation_score(averaged(one, x, split.val, counts), truth) for one in tried]
    best = max(range(len(tried)), key=lambda k: scored[k])
    both = split.train + split.val
    # The way through the grid is kept: weak penalties are reached much sooner from strong ones.
    final = _learn(x, y, both, classes, strengths[: best + 1], counts)[-1]
    return Probe(final, strengths[best], scored[best][0])


def _learn(
    x: Tensor,
    y: Tensor,
    examples: Sequence[int],
    classes: int,
    strengths: Sequence[float],
    counts: Tensor | None,
) -> list[Classifier]:
    """Fits on every clip and crop of these examples; each example weighs the same."""
    rows, sizes = rows_of_examples(x, examples, counts)
    labels = y[torch.tensor(examples)].repeat_interleave(sizes)
    shares = (1 / (len(sizes) * sizes.to(x.dtype))).repeat_interleave(sizes)
    return fit(x[rows], labels, classes, strengths, shares)


def rows_of_examples(
    x: Tensor, examples: Sequence[int], counts: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Which rows of x belong to these examples, example after example, and how many to each."""
    chosen = torch.tensor(examples, device=x.device)
    if counts is None:
        return chosen, torch.ones_like(chosen)
    sizes = counts[chosen]
    shift = (counts.cumsum(0) - counts)[chosen] - (sizes.cumsum(0) - sizes)
    return torch.arange(int(sizes.sum()), device=x.device) + shift.repeat_interleave(sizes), sizes


def averaged(
    classifier: Classifier, x: Tensor, examples: Sequence[int], counts: Tensor | None = None
) -> Tensor:
    """Logarithms [n, K] of the class probabilities of these examples, each the mean over its rows.

    Args:
        x, counts: see `linear`.
    """
    rows, sizes = rows_of_examples(x, examples, counts)
    return mean_probabilities(classifier.scores(x[rows]), sizes)


def validation_score(scores: Tensor, y: Tensor) -> tuple[float, float]:
    """Accuracy, and the loss with its sign turned to tell equal accuracies apart; more is better.

    Args:
        scores: logits or logarithms of probabilities [N, K].
    """
    known = torch.isfinite(scores.gather(1, y[:, None])[:, 0])
    loss = F.cross_entropy(scores[known], y[known]).item() if known.any() else 0.0
    return accuracy(scores.argmax(1), y), -loss


def linear(
    x: Tensor, y: Tensor, split: Split, classes: int, *, counts: Tensor | None = None
) -> list[Outcome]:
    """Top-1, top-5 (from ten classes on) and mean per-class accuracy on split.test.

    Args:
        x: features float32 [V, D], example after example, on any device.
        y: labels int64 [N] on the same one.
        split: numbers of examples.
        counts: int64 [N], rows of x that belong to each example; None: one to each.
    """
    grid = f"{STRENGTHS[0]:g} … {STRENGTHS[-1]:g}"
    recipe = (
        f"standardised, logistic regression on every clip and crop, L2 picked on val from {grid}, "
        "refit on train+val, probabilities averaged"
    )
    return probe_outcomes(x, y, split, classes, recipe, counts=counts)


def probe_outcomes(
    x: Tensor,
    y: Tensor,
    split: Split,
    classes: int,
    recipe: str,
    *,
    counts: Tensor | None = None,
) -> list[Outcome]:
    """Tunes a probe on the split and scores it on its test part."""
    probe = tune(x, y, split, classes, counts=counts)
    scores = averaged(probe.classifier, x, split.test, counts)
    found = outcomes(scores, y, split, classes, recipe)
    return [replace(o, validation=probe.validation, strength=probe.strength) for o in found]
