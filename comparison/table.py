"""table.json: the table of a comparison as numbers, small enough to be kept."""

import math
from typing import Any

from .lines import Line, Results
from .statistics import Column, Estimate, first_columns
from .words import level_text

_KEPT = ("data", "splits", "seeds", "clips", "crops", "view", "tuning", "trainer", "optimizer")


def table(results: Results) -> dict[str, Any]:
    """Entries by protocol and layer, in percent, with what they were made of.

    Each value has its mean over seeds of the means over folds, its 95 % interval over seeds (over
    folds where there is one seed), what the interval is over, and the numbers themselves; tasks
    and the supervised control also the paired difference to the untrained network.
    """
    heads = {
        f"{c.stamp['method']} {c.stamp['metric']}{level_text(c)}": c
        for c in first_columns(results.columns)
    }
    return {
        **results.about,
        "plan": {key: results.plan[key] for key in _KEPT if key in results.plan},
        "chance": {head: _percent(column.chance) for head, column in heads.items()},
        "entries": {
            line.name: {
                **_state(line),
                **{head: _cell(line, column) for head, column in heads.items()},
            }
            for line in results.lines
        },
    }


def _state(line: Line) -> dict[str, Any]:
    name, value = line.pretext or ("", math.nan)
    return {
        "failed": len(line.failures),
        "missing": line.missing,
        "examples": line.examples,
        "pretext": {name: round(value, 4)} if name else None,
    }


def _cell(line: Line, column: Column) -> dict[str, Any] | None:
    own = column.estimate(line.name)
    if own is None:
        return None
    found = _numbers(own)
    more = column.difference(line.name, line.reference) if line.reference != line.name else None
    return found | {"more than untrained": _numbers(more)} if more else found


def _numbers(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": _percent(estimate.mean),
        "half": _percent(estimate.half),
        "over": estimate.over,
        "values": [_percent(v) for v in estimate.values],
    }


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else round(100 * share, 2)
