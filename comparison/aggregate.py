"""From rows to a table: means with intervals over seeds, differences paired with random-init."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.statistics import interval

Row = Mapping[str, Any]
# By what the value is known for: {seed: {fold: value}}.
Values = dict[int, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how sure it is.

    Attributes:
        mean: over seeds of each seed's mean over folds.
        half: half-width of its 95 % Student-t interval, nan for a single value.
        n: how many values the interval is over.
        over: what those values are: "seeds", or "folds" where there is one seed only.
        values: they themselves.
    """

    mean: float
    half: float
    n: int
    over: str
    values: tuple[float, ...]

    @property
    def sign(self) -> int:
        """1 or -1 for a difference larger than its interval, else 0.

        An interval of no width comes from equal values, which so few of them are by chance.
        """
        if not self.half > 1e-9 or abs(self.mean) <= self.half:
            return 0
        return 1 if self.mean > 0 else -1

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


@dataclass(frozen=True, slots=True)
class Column:
    """One protocol: rows stand in the same column only if their stamps are alike.

    Attributes:
        key: a name for it that is unlike every other column's.
        stamp: the stamp that all its rows share, without the split.
        level: "embedding", the encoder's output, another level's name, or "best", the level picked
            on validation.
        chance: what the metric is expected to be without features; the mean over the folds.
        values: by entry, seed and fold.
    """

    key: str
    stamp: dict[str, Any]
    level: str
    chance: float
    values: dict[str, Values] = field(default_factory=dict)

    def estimate(self, entry: str) -> Estimate | None:
        """Of an entry, or None without rows."""
        return estimate(self._complete(self.values.get(entry, {})))

    def difference(self, entry: str, other: str) -> Estimate | None:
        """Entry minus other on the seeds and folds that both have; None if there are none."""
        both = paired(self.values.get(entry, {}), self.values.get(other, {}))
        return estimate(self._complete(both))

    def _complete(self, values: Values) -> Values:
        """Without seeds that lack a fold, whose mean would be over easier or harder media.

        Where no seed has them all (a comparison under way), whatever there is.
        """
        everything = [folds for v in self.values.values() for folds in v.values()]
        wanted = {fold for folds in everything for fold in folds}
        whole = {seed: folds for seed, folds in values.items() if folds.keys() == wanted}
        return whole or values


def estimate(values: Values) -> Estimate | None:
    """Mean and interval over seeds; over folds where there is only one seed."""
    seeds = [math.fsum(folds.values()) / len(folds) for folds in values.values() if folds]
    if not seeds:
        return None
    over, known = "seeds", seeds
    if len(seeds) == 1:
        over, known = "folds", next(list(folds.values()) for folds in values.values() if folds)
    mean, half = interval(known)
    return Estimate(mean, half, len(known), over, tuple(known))


def paired(values: Values, others: Values) -> Values:
    """Differences by seed and fold, where both have a value."""
    found = {
        seed: {f: v - others[seed][f] for f, v in folds.items() if f in others.get(seed, {})}
        for seed, folds in values.items()
    }
    return {seed: folds for seed, folds in found.items() if folds}


def columns(rows: Sequence[Row]) -> list[Column]:
    """The columns of all finished rows, in the order in which they first appear."""
    found: dict[str, Column] = {}
    chances: dict[str, dict[str, float]] = {}
    variants = _variants(rows)
    several = _methods_with_levels(rows)
    for row in rows:
        if row["status"] != "done":
            continue
        for level in _levels(row, several):
            stamp = {k: v for k, v in row["stamp"].items() if k not in ("split", "split_hash")}
            variant = variants[row["stamp"]["split"]].index(row["stamp"]["split_hash"])
            key = json.dumps([stamp, level, variant], sort_keys=True)
            column = found.setdefault(key, Column(f"c{len(found)}", stamp, level, 0.0))
            seeds = column.values.setdefault(row["entry"], {})
            seeds.setdefault(row["run_seed"], {})[row["fold"]] = row["value"]
            chances.setdefault(key, {})[row["fold"]] = row["chance"]
    return [_with_chance(column, chances[key]) for key, column in found.items()]


def _variants(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The different contents that splits of one name have; more than one is not comparable."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["status"] == "done":
            hashes = found.setdefault(row["stamp"]["split"], [])
            if row["stamp"]["split_hash"] not in hashes:
                hashes.append(row["stamp"]["split_hash"])
    return found


def _methods_with_levels(rows: Sequence[Row]) -> set[str]:
    """Methods that scored more levels than the encoder's output."""
    done = [row for row in rows if row["status"] == "done"]
    return {row["stamp"]["method"] for row in done if row["level"] != "embedding"}


def _levels(row: Row, several: set[str]) -> list[str]:
    """The columns' levels that a row belongs to: its own, and "best" where it was picked."""
    picked = ["best"] if row["best"] and row["stamp"]["method"] in several else []
    return [row["level"], *picked]


def _with_chance(column: Column, by_fold: dict[str, float]) -> Column:
    mean = math.fsum(by_fold.values()) / len(by_fold)
    return Column(column.key, column.stamp, column.level, mean, column.values)


def main_columns(found: Sequence[Column]) -> list[Column]:
    """Of each protocol the column that people compare by, for the encoder's output and then for the
    level picked on validation; the others are details."""
    chosen = first_columns(found)
    main = [c for c in chosen if c.level in ("embedding", "best")]
    methods = list(dict.fromkeys(c.stamp["method"] for c in chosen))
    return sorted(main, key=lambda c: (methods.index(c.stamp["method"]), c.level == "best"))


def first_columns(found: Sequence[Column]) -> list[Column]:
    """The first metric of each protocol, at every level."""
    chosen: dict[tuple[str, str, str], Column] = {}
    for column in found:
        name = (column.stamp["method"], column.stamp["recipe"], column.level)
        chosen.setdefault(name, column)
    return list(chosen.values())


def level_text(column: Column) -> str:
    """Which layer of the encoder a column looks at; empty for its output."""
    if column.level == "embedding":
        return ""
    return ", best layer" if column.level == "best" else f", {column.level}"
