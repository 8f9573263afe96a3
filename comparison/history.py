"""What a pretraining run's folder tells about its course."""

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from ..progress import NOT_METRICS

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class History:
    """One pretraining run.

    Attributes:
        curves: by name, the loss first and then the pretext metric: (step, value).
        steps: taken.
        examples: shown to the model, repeats counted.
        seconds: of training, without the time that an interrupted run lay still; nan if unknown.
        unreadable: "name: reason" of each file that could not be read.
    """

    curves: dict[str, list[Point]] = field(default_factory=dict)
    steps: int = 0
    examples: int = 0
    seconds: float = math.nan
    unreadable: tuple[str, ...] = ()


def read_history(folder: Path, batch_size: int) -> History:
    """The history in a run folder; an empty one where nothing was trained."""
    path = folder / "metrics.csv"
    unreadable = _unreadable(folder / "unreadable.jsonl")
    if not path.exists():
        return History(unreadable=unreadable)
    with path.open(newline="") as file:
        rows = [{k: _number(v) for k, v in row.items() if k} for row in csv.DictReader(file)]
    if not rows:
        return History(unreadable=unreadable)
    metric = next((name for name in rows[0] if name not in NOT_METRICS), None)
    names = ["loss", *([metric] if metric else [])]
    curves = {name: [(row["step"], row.get(name, math.nan)) for row in rows] for name in names}
    steps = int(rows[-1]["step"])
    return History(curves, steps, steps * batch_size, _seconds(rows, batch_size), unreadable)


def _seconds(rows: list[dict[str, float]], batch_size: int) -> float:
    """From each row's speed: the clock would count pauses between two calls as well."""
    total, before = 0.0, 0.0
    for row in rows:
        speed = row.get("examples_per_second", math.nan)
        if not speed > 0:
            return math.nan
        total += (row["step"] - before) * batch_size / speed
        before = row["step"]
    return total


def _unreadable(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    return tuple(f"{line.get('name', '?')}: {line.get('reason', '')}" for line in lines)


def _number(text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan
