"""What may be concluded: paired differences, their intervals, and families of them.

Seeds and test media both vary. The mean difference of two entries over seeds has a variance from
each: over seeds, from the seeds' differences; over groups of test media, from each group's share in
the difference (the variance that a bootstrap over whole groups has, in closed form). With three
seeds a variance is too small as often as too large, and a bootstrap over three seeds has too short
tails; so the seeds' variance is drawn towards that of the others of its family (Smyth 2004, "Linear
models and empirical Bayes methods", with a fixed weight), and the quantile is Student's with
degrees of freedom after Satterthwaite 1946. Families are corrected after Holm 1979.
In simulated comparisons without any effect it claims one in 1.5 to 3.1 % (docs/significance.md).
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

# Degrees of freedom that the others' variance counts for at most, beside an entry's own.
_PRIOR = 4.0
LEVEL = 0.95
Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of a mean: the seeds' values, and each group's part in what they are.

    Attributes:
        seeds: [S] one value per seed.
        groups: [S, G] how far each group of test media draws the seed's value from what it would be
            if all groups were alike; None where the rows do not tell.
    """

    seeds: np.ndarray
    groups: np.ndarray | None = None

    @property
    def seed_variance(self) -> float:
        """Of the mean, from seed to seed; nan for one seed."""
        n = len(self.seeds)
        return float(np.var(self.seeds, ddof=1) / n) if n > 1 else math.nan

    @property
    def group_variance(self) -> float:
        """Of the mean, from one choice of test groups to another; 0 where that is unknown."""
        if self.groups is None or self.groups.shape[1] < 2:
            return 0.0
        count = self.groups.shape[1]
        return float(count / (count - 1) * (self.groups.mean(0) ** 2).sum())

    @property
    def shared_variance(self) -> float:
        """What both of them hold: groups that answer differently from seed to seed."""
        if self.groups is None or min(self.groups.shape) < 2:
            return 0.0
        n, count = self.groups.shape
        rest = ((self.groups - self.groups.mean(0)) ** 2).sum()
        return float(count / (count - 1) * rest / ((n - 1) * n))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how sure it is.

    Attributes:
        mean: over seeds of each seed's mean over folds.
        half: half-width of its 95 % interval, nan where none can be given.
        n: how many seeds it is over.
        over: what the interval is over: "seeds and test groups", "seeds", "test groups" or "".
        values: the seeds' values.
        p: of a difference, the probability of one as large where there is none; corrected for its
            family; nan where nothing may be claimed.
    """

    mean: float
    half: float
    n: int
    over: str
    values: tuple[float, ...]
    p: float = math.nan

    @property
    def sign(self) -> int:
        """1 or -1 for a difference that its family's correction leaves standing, else 0."""
        if not self.p < 1 - LEVEL:
            return 0
        return 1 if self.mean > 0 else -1

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def estimate(sample: Sample, others: Sequence[float] = ()) -> Estimate:
    """Of one sample, its p value not corrected.

    Args:
        others: the seed variances of the others in its family.
    """
    from scipy.stats import t

    mean, groups = float(sample.seeds.mean()), sample.group_variance
    n = len(sample.seeds)
    parts = [_from_seeds(sample, others)] if n > 1 else []
    parts += (
        [(groups, sample.groups.shape[1] - 1.0)] if sample.groups is not None and groups else []
    )
    total = sum(variance for variance, _ in parts)
    over = [*(["seeds"] if n > 1 else []), *(["test groups"] if groups > 0 else [])]
    found = Estimate(mean, math.nan, n, " and ".join(over), tuple(sample.seeds.tolist()))
    if not total > 1e-18:
        return replace(found, half=0.0 if n > 1 else math.nan)
    freedom = total**2 / sum(variance**2 / f for variance, f in parts)
    largest = max(variance for variance, _ in parts)
    error = math.sqrt(max(largest, total - sample.shared_variance))
    half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    # One seed tells nothing of how much another would differ: it has no p value.
    p = float(2 * t.sf(abs(mean) / error, freedom)) if n > 1 else math.nan
    return replace(found, half=half, p=p)


def _from_seeds(sample: Sample, others: Sequence[float]) -> tuple[float, float]:
    """Variance from seed to seed and its degrees of freedom."""
    from scipy.stats import chi2

    freedom = len(sample.seeds) - 1.0
    weight = min(_PRIOR, len(others) * freedom)
    if not weight:
        return sample.seed_variance, freedom
    # One wild entry must not hide the others: their median, by what it is of a variance's mean.
    prior = float(np.median(others)) * freedom / float(chi2.ppf(0.5, freedom))
    both = (weight * prior + freedom * sample.seed_variance) / (weight + freedom)
    return both, freedom + weight


def family(samples: Mapping[Name, Sample]) -> dict[Name, Estimate]:
    """Of differences that are looked at together: such a claim is wrong in at most 5 of 100
    families in which there is no difference at all."""
    known = {name: s.seed_variance for name, s in samples.items() if len(s.seeds) > 1}
    return holm(
        {
            name: estimate(sample, [v for other, v in known.items() if other != name])
            for name, sample in samples.items()
        }
    )


def holm(alone: Mapping[Name, Estimate]) -> dict[Name, Estimate]:
    """The same with p values corrected after Holm; those without a p value stay so."""
    ordered = sorted((n for n, e in alone.items() if not math.isnan(e.p)), key=lambda n: alone[n].p)
    corrected: dict[Name, float] = {}
    highest = 0.0
    for rank, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * alone[name].p))
        corrected[name] = highest
    return {name: replace(e, p=corrected.get(name, math.nan)) for name, e in alone.items()}
