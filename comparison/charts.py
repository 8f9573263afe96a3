"""Scales for the report's charts: values to percent of the plot, so that charts fit any width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from low … high to 0 … 100 percent, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def position(self, value: float) -> float:
        """Percent along the axis; values outside are held at its ends."""
        low, high, value = (self._map(v) for v in (self.low, self.high, value))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(100 * min(max(share, 0.0), 1.0), 3)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values inside the axis, about `count` of them."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = nice_step((self.high - self.low) / max(count, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(k * step, 10) for k in range(first, last + 1)]

    def _map(self, value: float) -> float:
        return math.log(max(value, 1e-9)) if self.log else value


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 × a power of ten that is not below `rough`."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def around(values: Sequence[float], *, floor: float | None = None, cap: float | None = None):
    """A linear axis that holds all finite values with some air, its ends on round numbers.

    Args:
        values: what must be visible.
        floor: the axis never goes below it (0 for shares).
        cap: nor above this (1 for shares).
    """
    finite = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    air = (high - low) * 0.06 or abs(high) * 0.1 or 0.5
    step = nice_step((high - low + 2 * air) / 6)
    low = math.floor((low - air) / step + 1e-9) * step
    high = math.ceil((high + air) / step - 1e-9) * step
    low = low if floor is None else max(low, floor)
    high = high if cap is None else min(high, cap)
    return Axis(round(low, 10), round(high, 10))


def around_log(values: Sequence[float]) -> Axis:
    """A logarithmic axis that holds all positive values with some air."""
    positive = [v for v in values if v > 0 and math.isfinite(v)] or [1.0]
    return Axis(min(positive) / 1.6, max(positive) * 1.6, log=True)


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = math.log10(high / low)
    multiples = (1,) if decades > 3 else (1, 3) if decades > 1.5 else (1, 2, 5)
    if decades < 0.5:
        multiples = (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
    values = [m * 10.0**p for p in powers for m in multiples]
    return [v for v in values if low <= v <= high]


def thin(points: Sequence[Point], most: int = 160) -> list[Point]:
    """At most `most` points of a curve: the mean of each stretch of equal length."""
    if len(points) <= most:
        return list(points)
    edges = [round(k * len(points) / most) for k in range(most + 1)]
    stretches = [points[a:b] for a, b in pairwise(edges)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part))
        for part in stretches
    ]


def path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    """The `d` of an SVG path in a 100 × 100 box with y upwards; gaps where a value is no number."""
    parts, pen = [], "M"
    for a, b in points:
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        parts.append(f"{pen}{x.position(a):g} {100 - y.position(b):g}")
        pen = "L"
    return " ".join(parts)
