"""How sure a number is: intervals over seeds and over test examples."""

import math
from collections.abc import Sequence


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
