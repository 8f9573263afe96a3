"""One line per entry: its estimates, its costs and what went wrong, from a comparison's files."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..progress import NOT_METRICS
from .aggregate import Column, columns, first_columns, level_text, main_columns
from .cost import read_cost
from .grid import Run
from .plan_file import Plan, complete, planned, read_plan
from .rows import Row, ran_alone, read_json, read_rows
from .significance import Estimate

Point = tuple[float, float]
OF_TEXT = ("bits_per_byte", "perplexity")


@dataclass(frozen=True, slots=True)
class History:
    """One pretraining run.

    Attributes:
        curves: by name, the loss first and then the pretext metric; of text also those by which
            tokenizers, and models of one, are compared: (step, value).
        steps: taken.
        examples: shown to the model, repeats counted.
        seconds: of training, without the time that an interrupted run lay still; nan if unknown or
            if other runs of the comparison slowed it down.
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
    names = ["loss", *([metric] if metric else []), *(m for m in OF_TEXT if m in rows[0])]
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


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as tables and charts show it.

    Attributes:
        name: of the entry.
        kind: "task", "supervised", "start", "random" or "floor".
        reference: name of the control that it has to beat.
        hue: the CSS colour that stands for it everywhere.
        histories: by run, of those that have finished.
        failures: by run, why it failed.
        missing: runs that have neither finished nor failed.
        planned: runs in all.
        leak: test files, of all its runs, that its pretraining has seen.
        flops: floating-point operations of one run's training, nan if unknown.
        parameters: of the encoder, nan if unknown.
        hardware: on which its first run was computed, "" if unknown.
        precision: of its pretraining, likewise.
    """

    name: str
    kind: str
    reference: str
    hue: str
    histories: dict[Run, History]
    failures: dict[Run, str]
    missing: int
    planned: int
    leak: int
    flops: float = math.nan
    parameters: float = math.nan
    hardware: str = ""
    precision: str = ""

    @property
    def trained(self) -> bool:
        """Whether something was learned before it was evaluated."""
        return any(h.steps for h in self.histories.values())

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
        values = [value for name, value in last if name == last[0][0]]
        return last[0][0], math.fsum(values) / len(values)


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
    plan: Plan
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

    def gains(self, column: Column) -> dict[str, Estimate]:
        """By name each entry's difference to its untrained control: one family of the tasks', one
        of the controls'."""
        found: dict[str, Estimate] = {}
        for lines in (self.tasks, self.controls):
            pairs = [(x.name, x.reference) for x in lines if x.kind != "random"]
            found |= {name: e for (name, _), e in column.differences(pairs).items()}
        return found

    @property
    def timed(self) -> bool:
        """Whether any entry's time can be trusted."""
        return any(line.seconds > 0 for line in self.lines)

    @property
    def folds(self) -> int:
        return len(self.plan["splits"])


def load_results(out: Path) -> Results:
    """Reads a comparison's folder. Raises InputError if it holds none."""
    plan = read_plan(out)
    about = out / "about.json"
    rows = read_rows(out)
    found = columns(rows)
    return Results(
        out=out,
        plan=plan,
        about=read_json(about) if about.exists() else {},
        rows=rows,
        lines=_lines(out, plan, rows),
        columns=found,
        main=main_columns(found),
    )


def _lines(out: Path, plan: Plan, rows: Sequence[Row]) -> list[Line]:
    order = {"task": 0, "supervised": 1, "start": 2, "random": 3, "floor": 4}
    entries = sorted(plan["entries"].items(), key=lambda item: order[item[1]["kind"]])
    return [_line(out, plan, rows, name, k) for k, (name, _) in enumerate(entries)]


def _line(out: Path, plan: Plan, rows: Sequence[Row], name: str, number: int) -> Line:
    entry = plan["entries"][name]
    own = [(Run(name, r["fold"], r["run_seed"]), r) for r in rows if r["entry"] == name]
    done = dict.fromkeys(run for run, row in own if row["status"] == "done")
    failures = {run: row["reason"] for run, row in own if row["status"] == "failed"}
    wanted = [run for run in planned(plan) if run.entry == name]
    hue = f"var(--c{number % 8})" if entry["kind"] == "task" else f"var(--{entry['kind']})"
    histories = {run: _history(out, plan, run) for run in done}
    cost = read_cost(Run(name, next(iter(plan["splits"])), 0).folder(out))
    examples = max((h.examples for h in histories.values()), default=0)
    return Line(
        name=name,
        kind=entry["kind"],
        reference=entry["reference"],
        hue=hue,
        histories=histories,
        failures=failures,
        missing=sum(run not in failures and not complete(run, out, plan) for run in wanted),
        planned=len(wanted),
        leak=_leak(own),
        flops=cost.get("flops_per_example", math.nan) * (examples or math.nan),
        parameters=cost.get("parameters", math.nan),
        hardware=cost.get("hardware", ""),
        precision=_precision(out, plan, wanted[0]),
    )


def _precision(out: Path, plan: Plan, run: Run) -> str:
    """What a run was trained in, by its own record; "" where nothing was trained."""
    path = pretrained_in(out, plan, run) / "run.json"
    record = read_json(path)["record"] if path.exists() else {}
    return record.get("device", {}).get("precision", "")


def pretrained_in(out: Path, plan: Plan, run: Run) -> Path:
    """The folder of the pretraining behind a run: its own, or the one that its entry names."""
    runs = plan["entries"][run.entry].get("runs")
    return Path(runs[run.seed]) if runs else run.folder(out)


def _leak(own: Sequence[tuple[Run, Row]]) -> int:
    """Test files that pretraining has seen, over all runs."""
    seen = {run: row.get("seen_in_pretraining") or 0 for run, row in own}
    return sum(seen.values())


def _history(out: Path, plan: Plan, run: Run) -> History:
    entry = plan["entries"][run.entry]
    if entry.get("runs"):
        folder = pretrained_in(out, plan, run)
        state = read_json(folder / "run.json") if (folder / "run.json").exists() else None
        return read_history(folder, state["record"]["trainer"]["batch_size"] if state else 0)
    wanted = (entry["trainer"] or plan["trainer"])["batch_size"]
    folder = run.folder(out)
    history = read_history(folder, min(wanted, plan["splits"][run.split]["train"]))
    return history if ran_alone(folder) else replace(history, seconds=math.nan)


_KEPT = ("data", "splits", "seeds", "clips", "crops", "view", "tuning", "trainer", "optimizer")


def table(results: Results) -> dict[str, Any]:
    """Entries by protocol and layer, in percent, with what they were made of.

    Each value has its mean over seeds of the means over folds, its 95 % interval, what the interval
    is over, and the numbers themselves; tasks and the supervised control also the paired difference
    to the untrained network, with its p value corrected for the number of tasks.
    """
    heads = {
        f"{c.stamp['method']} {c.stamp['metric']}{level_text(c)}": c
        for c in first_columns(results.columns)
    }
    gains = {head: results.gains(column) for head, column in heads.items()}
    return {
        **results.about,
        "plan": {key: results.plan[key] for key in _KEPT if key in results.plan},
        "chance": {head: _percent(column.chance) for head, column in heads.items()},
        "entries": {
            line.name: {
                **_state(line),
                **{h: _cell(line, c, gains[h].get(line.name)) for h, c in heads.items()},
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
        "seen in pretraining": line.leak,
        "pretext": {name: round(value, 4)} if name else None,
    }


def _cell(line: Line, column: Column, gain: Estimate | None) -> dict[str, Any] | None:
    own = column.estimate(line.name)
    if own is None:
        return None
    found = _numbers(own)
    if gain is None:
        return found
    p = None if math.isnan(gain.p) else float(f"{gain.p:.3g}")
    return found | {"difference to control": {**_numbers(gain), "p": p}}


def _numbers(estimate: Estimate) -> dict[str, Any]:
    return {
        "mean": _percent(estimate.mean),
        "half": _percent(estimate.half),
        "over": estimate.over,
        "values": [_percent(v) for v in estimate.values],
    }


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else round(100 * share, 2)
