"""The report's charts as plain values: positions in percent, texts and colours."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..comparison.aggregate import Column
from ..comparison.grid import Run
from ..comparison.results import History, Line, Point, Results
from ..comparison.rows import Row
from ..comparison.significance import Estimate
from .formatting import clock, column_name, estimate_text, tick_text


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


Figure = dict[str, Any]


def panel(results: Results, column: Column) -> Figure:
    """Dots with whiskers, one row per entry, untrained network and chance as lines."""
    known = {x.name: e for x in results.lines if (e := column.estimate(x.name)) is not None}
    axis = share_axis([*_reach(known.values()), column.chance])
    title, metric = column_name(column)
    reference = _reference(results, column)
    return {
        "title": title,
        "metric": metric,
        "ticks": [(axis.position(t), tick_text(t, share=True)) for t in axis.ticks(5)],
        "chance": axis.position(column.chance),
        "reference": None if reference is None else axis.position(reference.mean),
        "band": None if reference is None else _span(axis, reference),
        "rows": [
            _dots(line, known[line.name], axis) for line in results.lines if line.name in known
        ],
    }


def _dots(line: Line, e: Estimate, axis: Axis) -> Figure:
    return {
        "name": line.name,
        "kind": line.kind,
        "hue": line.hue,
        "mean": axis.position(e.mean),
        "span": _span(axis, e),
        "values": [axis.position(v) for v in e.values] if e.n > 1 else [],
        "text": estimate_text(e),
    }


def cost(results: Results, column: Column) -> Figure | None:
    """Accuracy against seconds of pretraining; None where no time is known."""
    shown = [
        (line, e)
        for line in results.lines
        if line.seconds > 0 and (e := column.estimate(line.name)) is not None
    ]
    if not shown:
        return None
    x = around_log([line.seconds for line, _ in shown])
    reference = _reference(results, column)
    extra = [column.chance] + ([reference.mean] if reference else [])
    y = share_axis([*_reach(e for _, e in shown), *extra])
    points = [
        {
            "name": line.name,
            "kind": line.kind,
            "hue": line.hue,
            "x": x.position(line.seconds),
            "y": y.position(e.mean),
            "span": _span(y, e),
            "text": f"{line.name}: {estimate_text(e)} % after {clock(line.seconds)}",
        }
        for line, e in shown
    ]
    return {
        "xticks": [(x.position(t), clock(t)) for t in x.ticks()],
        "yticks": [(y.position(t), tick_text(t, share=True)) for t in y.ticks(5)],
        "points": _spread(points),
        "chance": y.position(column.chance),
        "reference": None if reference is None else y.position(reference.mean),
    }


def _spread(points: list[Figure], gap: float = 7.5, reach: float = 34.0) -> list[Figure]:
    """Puts labels beside their dots, inwards, and pushes apart those that would overlap."""
    placed: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: -p["y"]):
        point["left"] = point["x"] > 55
        start = point["x"] - reach if point["left"] else point["x"]
        height = point["y"]
        for at, other in sorted(placed, key=lambda p: -p[1]):
            if abs(at - start) < reach and abs(other - height) < gap:
                height = other - gap
        point["label"] = round(height, 3)
        placed.append((start, height))
    return points


def curves(line: Line, most_runs: int = 12) -> list[Figure]:
    """Loss and pretext metric of an entry over its steps, one curve per run."""
    runs = list(line.histories.items())[:most_runs]
    names = list(dict.fromkeys(name for _, h in runs for name in h.curves))
    return [_curve(name, runs) for name in names]


def _curve(name: str, runs: list[tuple[Run, History]]) -> Figure:
    lines = [(run, h.curves[name]) for run, h in runs if h.curves.get(name)]
    values = [v for _, points in lines for _, v in thin(points)]
    inside = [v for v in values if math.isfinite(v)]
    share = name != "loss" and bool(inside) and min(inside) >= 0 and max(inside) <= 1
    y = (
        share_axis(values)
        if share
        else around(values, floor=0 if min(inside, default=0) >= 0 else None)
    )
    x = Axis(0, max((points[-1][0] for _, points in lines), default=1) or 1)
    return {
        "name": name.replace("_", " "),
        "unit": "%" if share else "",
        "xticks": [(x.position(t), f"{t:g}") for t in x.ticks(3)],
        "yticks": [(y.position(t), tick_text(t, share=share)) for t in y.ticks(4)],
        "paths": [
            (path(thin(points), x, y), f"seed {run.seed}, fold {run.split}")
            for run, points in lines
        ],
    }


def rows_of(results: Results, column: Column) -> Iterator[Row]:
    """The finished rows of a protocol, of the encoders' output."""
    for row in results.rows:
        if row["status"] == "done" and row["level"] == "embedding":
            stamp = {k: v for k, v in row["stamp"].items() if k not in ("split", "split_hash")}
            if stamp == column.stamp:
                yield row


def per_class(results: Results, column: Column) -> Figure | None:
    """Mean accuracy of each class over an entry's runs, in the first protocol that knows it."""
    totals: dict[str, dict[str, list[float]]] = {}
    for row in rows_of(results, column):
        for name, value in (row.get("per_class") or {}).items():
            if value is not None:
                totals.setdefault(row["entry"], {}).setdefault(name, []).append(value)
    classes = list(dict.fromkeys(c for by_class in totals.values() for c in by_class))
    if not classes:
        return None
    means = {e: {c: math.fsum(v) / len(v) for c, v in d.items()} for e, d in totals.items()}
    return {
        "classes": classes,
        "rows": [
            {
                "name": x.name,
                "kind": x.kind,
                "hue": x.hue,
                "values": [means[x.name].get(c) for c in classes],
            }
            for x in results.lines
            if x.name in means
        ],
    }


def share_axis(values: Iterable[float]) -> Axis:
    """An axis for shares that reaches neither below 0 nor above 1."""
    return around([min(max(v, 0.0), 1.0) for v in values if math.isfinite(v)], floor=0.0, cap=1.0)


def _reach(estimates: Iterable[Estimate], most: float = 0.1) -> list[float]:
    """What an axis must show: all single values, and whiskers up to `most` beyond them.

    The whiskers of two or three seeds may be longer than the whole scale; the text has their
    length where the axis ends earlier.
    """
    known = list(estimates)
    single = [v for e in known for v in (e.mean, *e.values)]
    low, high = min(single, default=0.0) - most, max(single, default=1.0) + most
    ends = [min(max(v, low), high) for e in known for v in (e.low, e.high) if math.isfinite(v)]
    return single + ends


def _span(axis: Axis, e: Estimate) -> tuple[float, float] | None:
    """Start and length of the whisker in percent; None without an interval."""
    if math.isnan(e.half):
        return None
    low, high = axis.position(e.low), axis.position(e.high)
    return low, round(high - low, 3)


def _reference(results: Results, column: Column) -> Estimate | None:
    """The untrained control, where there is one for all."""
    names = {line.name for line in results.lines if line.kind == "random"}
    return column.estimate(names.pop()) if len(names) == 1 else None


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


MOST_CLASSES = 30  # that a page shows as a matrix; of more, only what is confused most often
_LISTED, _LISTED_ALONE = 3, 12

Matrix = list[list[float | None]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """`share` of the examples of class `true` are taken for class `said`."""

    true: str
    said: str
    share: float


def confusions(results: Results, column: Column) -> dict[str, Any] | None:
    """Heat maps of all entries, the best task and its untrained control first.

    Counts are summed over all runs of an entry, and each row divided by its sum.

    Returns:
        None where no row of this protocol knows its confusions.
    """
    classes = list(results.plan["data"]["classes"])
    counted = {line.name: _counts(results, column, line) for line in results.lines}
    shown = [line for line in results.lines if counted[line.name]]
    if not shown:
        return None
    best = max(
        (line for line in shown if line.kind == "task"),
        key=lambda line: e.mean if (e := column.estimate(line.name)) else 0.0,
        default=shown[0],
    )
    first = (best.name, best.reference)
    sheets = [_sheet(line, counted[line.name], classes) for line in shown]
    return {
        "classes": classes,
        "matrix": len(classes) <= MOST_CLASSES,
        "first": [s for name in first for s in sheets if s["name"] == name],
        "others": [s for s in sheets if s["name"] not in first],
    }


def _counts(results: Results, column: Column, line: Line) -> list[list[int]]:
    """Summed over the entry's runs; empty without any."""
    found = [
        row["confusion"]
        for row in rows_of(results, column)
        if row["entry"] == line.name and row.get("confusion")
    ]
    return [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*found, strict=True)]


def _sheet(line: Line, counts: list[list[int]], classes: list[str]) -> dict[str, Any]:
    matrix = shares(counts)
    listed = _LISTED if len(classes) <= MOST_CLASSES else _LISTED_ALONE
    return {
        "name": line.name,
        "kind": line.kind,
        "hue": line.hue,
        "rows": list(zip(classes, matrix, strict=True)),
        "mistakes": mistakes(matrix, classes)[:listed],
    }


def shares(counts: list[list[int]]) -> Matrix:
    """Each row divided by its sum; None where a class has no examples."""
    return [[n / sum(row) if sum(row) else None for n in row] for row in counts]


def mistakes(matrix: Matrix, classes: list[str]) -> list[Mistake]:
    """All that are confused, the most frequent first."""
    found = [
        Mistake(classes[i], classes[j], share)
        for i, row in enumerate(matrix)
        for j, share in enumerate(row)
        if i != j and share
    ]
    return sorted(found, key=lambda m: -m.share)
