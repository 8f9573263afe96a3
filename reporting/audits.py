"""What audits of the comparison's tasks have found, from the rows of `pretexto audit --out`."""

import json
from pathlib import Path
from typing import Any

from ..errors import InputError

_FIELDS = ("task", "name", "cue", "guard", "accuracy", "low", "high", "chance", "verdict", "remedy")


def audits(out: Path) -> list[dict[str, Any]]:
    """By task, the cues that were looked at, out of every OUT/audit*.jsonl.

    Raises:
        InputError: a file of that name that holds something else.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("audit*.jsonl")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            row = _row(line, f"{path}, line {number}")
            found.setdefault(row["task"], []).append(_shown(row))
    return [{"task": task, "rows": rows} for task, rows in found.items()]


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        return {key: row[key] for key in _FIELDS}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: no row of `pretexto audit --out` ({error!r}); write it again, or take the "
            "file out of the comparison's folder"
        ) from error


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    known = row["accuracy"] is not None
    told = known and row["low"] > row["chance"]
    return {
        "name": row["name"],
        "cue": row["cue"],
        "guard": row["guard"],
        "accuracy": f"{100 * row['accuracy']:.0f}" if known else "",
        "interval": f"{100 * row['low']:.0f} to {100 * row['high']:.0f}" if known else "",
        "chance": f"{100 * row['chance']:.0f}",
        # With its guard off a cue is expected to tell: that is what the guard is there for.
        "told": told and row["guard"] != "off",
        "verdict": row["verdict"],
        "remedy": row["remedy"],
    }
