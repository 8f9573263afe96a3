"""From rows to a table: one column per protocol, its means and its paired differences."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .rows import PROBE
from .significance import Estimate, Sample, estimate, family

Row = Mapping[str, Any]
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One number: its value, and of each group of test media how many are right of how many."""

    value: float
    groups: Mapping[str, Sequence[int]] | None = None


# By what the number is known for: {seed: {fold: cell}}.
Values = dict[int, dict[str, Cell]]


@dataclass(frozen=True, slots=True)
class Column:
    """One protocol: rows stand in the same column only if their stamps are alike.

    Attributes:
        key: a name for it that is unlike every other column's.
        stamp: the stamp that all its rows share, without the split.
        level: "embedding", the encoder's output, another level's name, or "best", the level picked
            on validation.
        chance: what the metric is expected to be without features; the mean over the folds.
        values: by entry, seed and fold; whole before anything is asked of the column.
    """

    key: str
    stamp: dict[str, Any]
    level: str
    chance: float
    values: dict[str, Values] = field(default_factory=dict)
    # A report asks for the same estimates and families in many places.
    _known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def estimate(self, entry: str) -> Estimate | None:
        """Of an entry, or None without rows."""
        if entry not in self._known:
            found = self._sample(entry)
            self._known[entry] = None if found is None else estimate(found)
        return self._known[entry]

    def differences(self, pairs: Sequence[Pair]) -> dict[Pair, Estimate]:
        """First minus second, seed by seed and fold by fold, as one family of claims; without the
        pairs that have no seed in common."""
        asked = tuple(pairs)
        if asked not in self._known:
            found = {pair: sample for pair in asked if (sample := self._sample(*pair)) is not None}
            self._known[asked] = family(found)
        return dict(self._known[asked])

    def _sample(self, entry: str, other: str | None = None) -> Sample | None:
        own = self._complete(self.values.get(entry, {}))
        others = None if other is None else self._complete(self.values.get(other, {}))
        return _sample(own, others)

    def _complete(self, values: Values) -> Values:
        """Without seeds that lack a fold, whose mean would be over easier or harder media.

        Where no seed has them all (a comparison under way), whatever there is.
        """
        everything = [folds for v in self.values.values() for folds in v.values()]
        wanted = {fold for folds in everything for fold in folds}
        whole = {seed: folds for seed, folds in values.items() if folds.keys() == wanted}
        return whole or values


def _sample(own: Values, others: Values | None) -> Sample | None:
    """The seeds' values, or their differences to the others' on the folds that both have."""
    seeds, groups = [], []
    for seed, folds in own.items():
        beside = None if others is None else others.get(seed, {})
        common = [(cell, beside[f] if beside else None) for f, cell in folds.items()
                  if beside is None or f in beside]  # fmt: skip
        if common:
            seeds.append(
                math.fsum(a.value - (b.value if b else 0) for a, b in common) / len(common)
            )
            groups.append(_shares(common))
    if not seeds:
        return None
    known = [g for g in groups if g]
    if len(known) < len(groups) or any(g.keys() != known[0].keys() for g in known):
        return Sample(np.array(seeds))
    return Sample(np.array(seeds), np.array([[g[name] for name in known[0]] for g in known]))


def _shares(common: Sequence[tuple[Cell, Cell | None]]) -> dict[str, float]:
    """How far each group draws a seed's value from what it would be if all groups were alike.

    A group that is tested in several folds counts as one. Empty where a row does not tell.
    """
    found: dict[str, float] = {}
    for cell, other in common:
        if not cell.groups or (other and not other.groups):
            return {}
        beside = (other.groups if other else None) or {}
        value = cell.value - (other.value if other else 0)
        size = sum(total for _, total in cell.groups.values()) * len(common)
        for name, (right, total) in cell.groups.items():
            less, same = beside.get(name, (0, total))
            if same != total:
                return {}
            found[name] = found.get(name, 0.0) + (right - less - value * total) / size
    return found


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
            cell = Cell(row["value"], row.get("by_group"))
            seeds.setdefault(row["run_seed"], {})[row["fold"]] = cell
            chances.setdefault(key, {})[row["fold"]] = row["chance"]
    return [_with_chance(column, chances[key]) for key, column in found.items()]


def by_step(rows: Sequence[Row], column: Column) -> dict[int, Column]:
    """What a column was on the way, by step of pretraining: of the rows of encoders that were not
    yet through."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        if row["status"] == PROBE:
            found.setdefault(row["step"], []).append({**row, "status": "done"})
    return {
        step: same
        for step in sorted(found)
        for same in columns(found[step])
        if same.stamp == column.stamp and same.level == "embedding"
    }


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
