"""Class by class: how well each is recognised, and what it is taken for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..comparison.aggregate import Column
from ..comparison.results import Line, Results
from ..comparison.rows import Row

MOST_CLASSES = 30  # that a page shows as a matrix; of more, only what is confused most often
_LISTED, _LISTED_ALONE = 3, 12

Matrix = list[list[float | None]]


def rows_of(results: Results, column: Column) -> Iterator[Row]:
    """The finished rows of a protocol, of the encoders' output."""
    for row in results.rows:
        if row["status"] == "done" and row["level"] == "embedding":
            stamp = {k: v for k, v in row["stamp"].items() if k not in ("split", "split_hash")}
            if stamp == column.stamp:
                yield row


def per_class(results: Results, column: Column) -> dict[str, Any] | None:
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
