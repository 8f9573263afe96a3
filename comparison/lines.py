"""One line per entry: its estimates, its costs and what went wrong, from a comparison's files."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from .history import History, read_history
from .plan import Run
from .statistics import Column, columns, main_columns
from .store import Row, read_rows


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
