"""report.html, results.md and table.json: what a comparison found."""

import math
from base64 import b64encode
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..comparison.aggregate import Column
from ..comparison.results import Line, Results, load_results, table
from ..comparison.significance import Estimate
from ..datasets.cache import write_json, write_text
from ..datasets.source import Source
from ..modalities.input_spec import InputSpec
from ..visualization.examples import save_thumbnails
from . import charts, figures
from .audits import audits
from .classes import confusions, per_class
from .export import as_csv, as_latex
from .formatting import (
    amount,
    before_text,
    clock,
    column_name,
    difference_text,
    estimate_text,
    leak_text,
    over_text,
    percent,
    plural,
    stamp_items,
    times_text,
    tuned_text,
)
from .frames import estimates
from .markdown import markdown
from .pictures import attention, indices, neighbours, puzzles, sheets, sounds
from .published import published
from .summary import headline_of
from .vega import vega_bundle

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


def write_report(out: str | Path, *, source: Source | None = None) -> Path:
    """Writes OUT/report.html, table.json and results.md, .csv and .tex from a comparison's files.

    Args:
        out: folder of the comparison.
        source: the media, to draw those neighbours that have not been drawn yet; None: only
            those that have.

    Returns:
        The page.

    Raises:
        InputError: the folder holds no comparison.
    """
    out = Path(out)
    results = load_results(out)
    if source is not None:
        view = InputSpec(**results.plan["view"])
        wanted = indices(sheet["rows"] for sheet in sheets(results))
        save_thumbnails(source, view, wanted, out / "thumbnails")
    write_json(out / "table.json", table(results))
    for name, text in (
        ("md", markdown(results)),
        ("csv", as_csv(results)),
        ("tex", as_latex(results)),
    ):
        write_text(out / f"results.{name}", text)
    path = out / "report.html"
    write_text(path, _templates().get_template("report.html").render(page_values(results)))
    return path


@cache
def _templates() -> "Environment":
    # A comparison writes its page after every trial; compiling it takes as long as filling it in.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_values(results: Results) -> dict[str, Any]:
    """All that the template shows."""
    first = results.main[0] if results.main else None
    names = [line.name for line in results.lines]
    gains = [results.gains(column) for column in results.main]
    frame = estimates(results, results.main)
    return {
        **_opening(results, first),
        "columns": [_column(results, column) for column in results.main],
        "timed": results.timed,
        "lines": [_line(results, line, gains) for line in results.lines],
        "before": before_text([line.reference for line in results.tasks]),
        "leak": leak_text({line.name: line.leak for line in results.lines}),
        "pairs": _pairs(results, first) if first else None,
        "over": over_text(results.main, names, len(results.tasks)),
        "tuned": tuned_text(results.main),
        "times": times_text(results.timed),
        "details": _details(results),
        "panels": figures.panels(results, frame),
        "costs": figures.costs(results, frame),
        "budgets": _budgets(results),
        "made": _made(results),
        "cost_axis": " ".join(column_name(first)) if first else "",
        "curves": figures.curves(results),
        "steps": figures.steps(results),
        "layers": figures.layers(results),
        "charts": {"config": charts.CONFIG, "vega": vega_bundle()},
        "puzzles": puzzles(results),
        "audits": audits(results.out),
        "sounds": sounds(results),
        "attention": attention(results),
        "sheets": neighbours(results),
        "classes": per_class(results, first) if first else None,
        "confusions": confusions(results, first) if first else None,
        "published": published(results.plan["data"]["name"]),
        "unreadable": _unreadable(results),
        "stamps": [(" ".join(column_name(c)), stamp_items(c.stamp)) for c in results.main],
        **_closing(results),
    }


def _opening(results: Results, first: Column | None) -> dict[str, Any]:
    plan = results.plan
    headline, lede = headline_of(results)
    done = sum(len(line.histories) for line in results.lines)
    total = sum(line.planned for line in results.lines)
    budget = plan["trainer"]
    length = (
        plural(budget["steps"], "step")
        if budget["steps"]
        else plural(budget["epochs"] or 0, "epoch")
    )
    facts = [
        ("Data", plan["data"]["name"]),
        ("Examples", f"{plan['data']['examples']:,}".replace(",", " ")),
        ("Classes", str(len(plan["data"]["classes"]))),
        ("Splits", plural(results.folds, "split")),
        ("Seeds", str(plan["seeds"])),
        ("Budget per run", f"{length} × {budget['batch_size']}"),
        ("Runs finished", f"{done} of {total}"),
    ]
    if first:
        facts.append(("Chance", f"{percent(first.chance)} %"))
    return {
        "headline": _unbroken(headline),
        "lede": _unbroken(lede),
        "data_name": plan["data"]["name"],
        "facts": facts,
        "written": results.about.get("written", ""),
        "failures": [
            (run.words(folds=results.folds > 1), reason)
            for line in results.lines
            for run, reason in line.failures.items()
        ],
        "missing": sum(line.missing for line in results.lines),
        "css": (TEMPLATES / "style.css").read_text(),
        "script": (TEMPLATES / "script.js").read_text(),
    }


def _unbroken(text: str) -> str:
    """A sentence in which no line ends within a number or a metric's name."""
    return text.replace(" ± ", "\u00a0±\u00a0").replace(" %", "\u00a0%").replace("p-1", "p\u20111")


def _budgets(results: Results) -> str:
    """Whether the trained entries were shown equally much."""
    counts = {line.examples for line in results.lines if line.examples}
    if len(counts) == 1:
        return f"All were shown {plural(counts.pop(), 'example')} per run."
    return "They were shown different numbers of examples, which the table names."


def _made(results: Results) -> list[dict[str, str]]:
    """On what and in which precision each entry was computed, and what that took."""
    return [
        {
            "name": line.name,
            "hardware": line.hardware,
            "trained": line.precision,
            "evaluated": ", ".join(
                sorted({row["precision"] for row in results.rows
                        if row["entry"] == line.name and row["status"] == "done"})
            ),
            "parameters": amount(line.parameters),
            "flops": amount(line.flops),
        }
        for line in results.lines
    ]  # fmt: skip


def _column(results: Results, column: Column) -> dict[str, Any]:
    title, metric = column_name(column)
    means = [e.mean for t in results.tasks if (e := column.estimate(t.name)) is not None]
    return {
        "title": title,
        "metric": metric,
        "chance": percent(column.chance),
        "recipe": column.stamp["recipe"],
        "best": max(means, default=math.nan),
    }


def _line(results: Results, line: Line, gains: list[dict[str, Estimate]]) -> dict[str, Any]:
    pretext = line.pretext
    return {
        "name": line.name,
        "kind": line.kind,
        "hue": line.hue,
        "cells": [
            _cell(line, column, own.get(line.name))
            for column, own in zip(results.main, gains, strict=True)
        ],
        "pretext": pretext and (pretext[0].replace("_", " "), pretext[1]),
        "seconds": None if math.isnan(line.seconds) else line.seconds,
        "clock": clock(line.seconds),
        "examples": line.examples,
        "leak": line.leak,
        "failures": sorted(set(line.failures.values())),
        "failed": len(line.failures),
        "finished": len(line.histories),
    }


def _cell(line: Line, column: Column, gain: Estimate | None) -> dict[str, Any] | None:
    e = column.estimate(line.name)
    if e is None:
        return None
    return {
        "mean": e.mean,
        "percent": percent(e.mean),
        "half": None if math.isnan(e.half) else percent(e.half),
        "n": e.n,
        "over": e.over,
        "gain": None if gain is None else difference_text(gain),
        "trend": _trend(gain),
    }


def _trend(gain: Estimate | None) -> str:
    """Whether a difference is no luck, by its family's correction."""
    return {1: "up", -1: "down", 0: ""}[gain.sign] if gain else ""


def _pairs(results: Results, column: Column) -> dict[str, Any] | None:
    """The table of all tasks against all others: row minus column."""
    known = [line for line in results.tasks if column.estimate(line.name) is not None]
    if len(known) < 2:
        return None
    names = [line.name for line in known]
    found = column.differences(list(combinations(names, 2)))
    both = found | {(b, a): replace(e, mean=-e.mean) for (a, b), e in found.items()}
    return {
        "names": names,
        "count": len(found),
        "rows": [
            (line, [_pair(both.get((line.name, other))) for other in names]) for line in known
        ],
    }


def _pair(difference: Estimate | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    p = "" if math.isnan(difference.p) else f"p {difference.p:.2g} after correction"
    points, _, half = difference_text(difference).partition(" ± ")
    return {"points": points, "half": half, "trend": _trend(difference), "p": p}


def _details(results: Results) -> dict[str, Any]:
    """The table of every metric of every protocol."""
    return {
        "heads": [" ".join(column_name(column)) for column in results.columns],
        "chances": [percent(column.chance) for column in results.columns],
        "rows": [
            (line.name, [estimate_text(column.estimate(line.name)) for column in results.columns])
            for line in results.lines
        ],
    }


def _unreadable(results: Results) -> list[str]:
    lost = [name for row in results.rows for name in row.get("unreadable_names", ())]
    lost += [name for x in results.lines for h in x.histories.values() for name in h.unreadable]
    return sorted(set(lost))


def _closing(results: Results) -> dict[str, Any]:
    import yaml

    entries = results.plan["entries"]
    plan = {key: value for key, value in results.plan.items() if key != "entries"}
    dump = {"sort_keys": False, "allow_unicode": True, "width": 100}
    return {
        "command": results.about.get("command", ""),
        "commit": results.about.get("commit", ""),
        "versions": results.about.get("versions", {}),
        "plan": yaml.safe_dump(plan, **dump),
        "recipes": [
            (name, yaml.safe_dump(entry["recipe"], **dump)) for name, entry in entries.items()
        ],
        "version": __version__,
        "csv": b64encode(as_csv(results).encode()).decode(),
        "runs": [
            (run.words(folds=results.folds > 1), run.folder(results.out).relative_to(results.out))
            for line in results.lines
            for run in line.histories
        ],
    }
