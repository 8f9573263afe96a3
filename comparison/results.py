"""One line per entry: its estimates, its costs and what went wrong, from a comparison's files."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.cache import write_json, write_text
from ..errors import InputError
from .aggregate import Column, Estimate, columns, first_columns, level_text, main_columns
from .grid import Run

if TYPE_CHECKING:
    from .grid import Run
import csv
from dataclasses import field

Row = dict[str, Any]


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


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as tables and charts show it.

    Attributes:
        name: of the entry.
        kind: "task", "supervised", "random" or "floor".
        reference: name of its untrained control.
        hue: the CSS colour that stands for it everywhere.
        histories: by run, of those that have finished.
        failures: by run, why it failed.
        missing: runs that have neither finished nor failed.
    """

    name: str
    kind: str
    reference: str
    hue: str
    histories: dict[Run, History]
    failures: dict[Run, str]
    missing: int

    @property
    def seconds(self) -> float:
        """Mean seconds of pretraining per run, nan if unknown or untrained."""
        known = [h.seconds for h in self.histories.values() if h.seconds > 0]
        return math.fsum(known) / len(known) if known else math.nan

    @property
    def examples(self) -> int:
        """Examples shown per run."""
        return max((h.examples for h in self.histories.values()), default=0)

    @property
    def pretext(self) -> tuple[str, float] | None:
        """Name of the pretext metric and the mean of its last values."""
        last = [
            (name, points[-1][1])
            for h in self.histories.values()
            for name, points in h.curves.items()
            if name != "loss" and points
        ]
        if not last:
            return None
        return last[0][0], math.fsum(v for _, v in last) / len(last)


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a report is made of.

    Attributes:
        out: the comparison's folder.
        plan: OUT/plan.json.  about: OUT/about.json.
        rows: finished rows and failures.
        lines: tasks first, then the controls.
        columns: all protocols.  main: those of the table.
    """

    out: Path
    plan: dict[str, Any]
    about: dict[str, Any]
    rows: list[Row]
    lines: list[Line]
    columns: list[Column]
    main: list[Column]

    @property
    def tasks(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "task"]

    @property
    def controls(self) -> list[Line]:
        return [line for line in self.lines if line.kind != "task"]

    @property
    def folds(self) -> int:
        return len(self.plan["splits"])


def load_results(out: Path) -> Results:
    """Reads a comparison's folder. Raises InputError if it holds none."""
    if not (out / "plan.json").exists():
        raise InputError(f"{out}: holds no comparison (no plan.json); run `pretexto compare` first")
    plan = json.loads((out / "plan.json").read_text())
    about = out / "about.json"
    rows = read_rows(out)
    found = columns(rows)
    return Results(
        out=out,
        plan=plan,
        about=json.loads(about.read_text()) if about.exists() else {},
        rows=rows,
        lines=_lines(out, plan, rows),
        columns=found,
        main=main_columns(found),
    )


def _lines(out: Path, plan: dict[str, Any], rows: Sequence[Row]) -> list[Line]:
    order = {"task": 0, "supervised": 1, "random": 2, "floor": 3}
    entries = sorted(plan["entries"].items(), key=lambda item: order[item[1]["kind"]])
    return [_line(out, plan, rows, name, k) for k, (name, _) in enumerate(entries)]


def _line(out: Path, plan: dict[str, Any], rows: Sequence[Row], name: str, number: int) -> Line:
    entry = plan["entries"][name]
    own = [row for row in rows if row["entry"] == name]
    done = dict.fromkeys(
        Run(name, row["fold"], row["run_seed"]) for row in own if row["status"] == "done"
    )
    failures = {
        Run(name, row["fold"], row["run_seed"]): row["reason"]
        for row in own
        if row["status"] == "failed"
    }
    hue = f"var(--c{number % 8})" if entry["kind"] == "task" else f"var(--{entry['kind']})"
    return Line(
        name=name,
        kind=entry["kind"],
        reference=entry["reference"],
        hue=hue,
        histories={
            run: read_history(run.folder(out), _batch_size(plan, entry, run)) for run in done
        },
        failures=failures,
        missing=len(plan["splits"]) * plan["seeds"] - len(done) - len(failures),
    )


def _batch_size(plan: dict[str, Any], entry: dict[str, Any], run: Run) -> int:
    wanted = (entry["trainer"] or plan["trainer"])["batch_size"]
    return min(wanted, plan["splits"][run.split]["train"])


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
    write_text(out / "results.jsonl", "".join(lines))
    return rows


def read_rows(out: Path) -> list[Row]:
    """The rows of OUT/results.jsonl."""
    path = out / "results.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


# Columns of metrics.csv that describe the run, not the puzzle.
ABOUT_THE_RUN = {
    "step",
    "epoch",
    "lr",
    "loss",
    "examples_per_second",
    "waiting",
    "unreadable",
    "left_out",
}


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
    metric = next((name for name in rows[0] if name not in ABOUT_THE_RUN), None)
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
