"""How sure a number is: intervals over seeds and over test examples."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean and half-width of the Student-t interval; the half-width of one value is nan.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("an interval needs at least one value")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.nan
    from scipy.stats import t

    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    quantile = float(t.ppf((1 + level) / 2, len(values) - 1))
    return mean, quantile * math.sqrt(variance / len(values))


def wilson(share: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Lower and upper end of the Wilson score interval of a share of n independent examples.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike
    the normal approximation it stays inside [0, 1] and is not empty at 0 and 1.
    """
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"a share in [0, 1] of at least one example is needed: {share} of {n}")
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(
    parts: ArrayLike,
    groups: Sequence[str],
    statistic: Callable[[np.ndarray], float],
    ends: tuple[float, float] = (0.0, 1.0),
    *,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of a statistic of sums, over draws of whole groups of examples.

    Efron & Tibshirani 1993, "An introduction to the bootstrap", section 13.3. Deterministic.

    Args:
        parts: [N, …] what each example adds to the sums.
        groups: [N] what the examples belong to: those of one vary together.
        statistic: of such sums [...]; may be nan where a draw does not tell.
        ends: the values that it can take at all: the interval of a single group.
    """
    x, names = np.asarray(parts, np.float64), sorted(set(groups))
    if len(names) < 2:
        return ends
    place = {name: k for k, name in enumerate(names)}
    sums = np.zeros((len(names), *x.shape[1:]))
    np.add.at(sums, [place[name] for name in groups], x)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    found = [statistic(np.tensordot(row, sums, 1)) for row in counts]
    low, high = np.nanquantile(found, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
