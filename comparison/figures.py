"""The report's charts as plain values: positions in percent, texts and colours."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from .charts import Axis, around, around_log, path, thin
from .history import History
from .lines import Line, Results
from .plan import Run
from .statistics import Column, Estimate
from .store import Row
from .words import clock, column_name, estimate_text, tick_text

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
