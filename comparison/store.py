"""The files of a comparison: each run's own result, and the joined results.jsonl.

A run's `rows.json` is written last and at once, so it stands exactly if the run is finished;
`results.jsonl` is made anew from all of them and can be deleted without loss.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import Run

Row = dict[str, Any]


def write_json(path: Path, value: Any) -> None:
    """Writes as a whole or not at all."""
    _replace(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def finished(run: "Run", out: Path) -> bool:
    """Whether the run's rows exist; a failed run counts as unfinished and is tried again."""
    return (run.folder(out) / "rows.json").exists()


def save_rows(run: "Run", out: Path, rows: list[Row]) -> None:
    """Marks a run as finished by writing its rows, with their place in the comparison."""
    place = {"entry": run.entry, "fold": run.split, "run_seed": run.seed}
    folder = run.folder(out)
    write_json(folder / "rows.json", [{**place, "status": "done", **row} for row in rows])
    (folder / "failure.json").unlink(missing_ok=True)


def save_failure(run: "Run", out: Path, reason: str, details: str) -> None:
    """Keeps why a run failed; `details` is the traceback."""
    folder = run.folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    place = {"entry": run.entry, "fold": run.split, "run_seed": run.seed}
    write_json(folder / "failure.json", {**place, "status": "failed", "reason": reason})
    (folder / "failure.txt").write_text(details)


def collect(runs: Iterable["Run"], out: Path) -> list[Row]:
    """All rows and failures so far, in the order of the plan; written to OUT/results.jsonl."""
    rows: list[Row] = []
    for run in runs:
        folder = run.folder(out)
        if (folder / "rows.json").exists():
            rows += json.loads((folder / "rows.json").read_text())
        elif (folder / "failure.json").exists():
            rows.append(json.loads((folder / "failure.json").read_text()))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    _replace(out / "results.jsonl", "".join(lines))
    return rows


def read_rows(out: Path) -> list[Row]:
    """The rows of OUT/results.jsonl."""
    path = out / "results.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process's number keeps two writers from sharing one temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
