"""The files of one trial: its rows, or why it failed."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..datasets.cache import write_json, write_text
from .grid import Run

Row = dict[str, Any]
# The status of rows of an encoder on its way: no table and no claim is made of them.
PROBE = "probe"


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def ran_alone(folder: Path) -> bool:
    """Whether no other trial ran beside this one, by its job file; False where that is unknown."""
    path = folder / "job.json"
    return path.exists() and read_json(path)["fields"].get("alone", False)


def settled(folder: Path, levels: bool) -> dict[str, list[Row]]:
    """By method the rows that a trial has and need not make again.

    Args:
        folder: the run's.
        levels: rows of every level are wanted; those of the output alone do not do then.
    """
    path = folder / "rows.json"
    found: dict[str, list[Row]] = {}
    for row in read_json(path) if path.exists() else []:
        found.setdefault(row["stamp"]["method"], []).append(row)
    return {method: rows for method, rows in found.items() if _has_levels(rows) or not levels}


def _has_levels(rows: list[Row]) -> bool:
    return any(row.get("levels", row["level"] != "embedding") for row in rows)


def save_rows(run: Run, out: Path, rows: list[Row]) -> None:
    """Marks a run as finished by writing its rows, with their place in the comparison.

    Their status is "done" unless they say otherwise.
    """
    place = {"entry": run.entry, "fold": run.split, "run_seed": run.seed}
    folder = run.folder(out)
    write_json(folder / "rows.json", [{"status": "done", **row, **place} for row in rows])
    (folder / "failure.json").unlink(missing_ok=True)


def save_failure(run: Run, out: Path, reason: str, details: str) -> None:
    """Keeps why a run failed; `details` is the traceback."""
    folder = run.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    place = {"entry": run.entry, "fold": run.split, "run_seed": run.seed}
    write_json(folder / "failure.json", {**place, "status": "failed", "reason": reason})
    (folder / "failure.txt").write_text(details)


def collect(runs: Iterable[Run], out: Path) -> list[Row]:
    """All rows and failures so far, in the order of the runs; written to OUT/results.jsonl."""
    rows: list[Row] = []
    for run in runs:
        folder = run.folder(out)
        if (folder / "rows.json").exists():
            rows += read_json(folder / "rows.json")
        if (folder / "failure.json").exists():
            rows.append(read_json(folder / "failure.json"))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_text(out / "results.jsonl", "".join(lines))
    return rows


def read_rows(out: Path) -> list[Row]:
    """The rows of OUT/results.jsonl."""
    path = out / "results.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
