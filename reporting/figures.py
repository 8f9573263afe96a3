"""Which charts a report has, each with the words that belong to it."""

import math
from typing import Any

import polars as pl

from ..comparison.aggregate import Column, first_columns, level_text
from ..comparison.results import Line, Results
from . import charts
from .formatting import amount, clock, column_name
from .frames import curve, estimates, over_steps

Figure = dict[str, Any]


def panels(results: Results, frame: pl.DataFrame) -> list[Figure]:
    """Dots with intervals, one chart per column of the table."""
    reference = untrained(results)
    found = []
    for k, column in enumerate(results.main):
        own = frame.filter(pl.col("column") == k)
        title, metric = column_name(column)
        spec = charts.intervals(own, 100 * column.chance, reference)
        found.append({"title": title, "metric": metric, "spec": spec, "words": in_words(own)})
    return found


def untrained(results: Results) -> str | None:
    """The control that stands as a line in the charts: the untrained network, if it is but one."""
    names = {line.reference for line in results.tasks}
    return names.pop() if len(names) == 1 else None


def in_words(frame: pl.DataFrame) -> str:
    """A chart for those who cannot see it."""
    return ". ".join(f"{row['entry']}: {row['text']} percent" for row in frame.to_dicts())


def costs(results: Results, frame: pl.DataFrame) -> list[Figure]:
    """Accuracy in the first column against each kind of cost that differs between entries."""
    if not results.main:
        return []
    first = frame.filter(pl.col("column") == 0)
    spent = first.join(_spent(results), on="entry", how="left", maintain_order="left")
    reference, chance = untrained(results), 100 * results.main[0].chance
    found = []
    for by in charts.COSTS:
        if spent[by.field].drop_nulls().n_unique() < 2:
            continue  # one budget for all is a line upwards, which says nothing
        spec = charts.cost(spent, by, chance, reference)
        said = clock if by.clock else amount
        words = ", ".join(
            f"{row['entry']} {row['text']} percent at {said(row[by.field])}"
            for row in spent.drop_nulls(by.field).to_dicts()
        )
        found.append({"name": by.name, "spec": spec, "words": words})
    return found


def _spent(results: Results) -> pl.DataFrame:
    """What each trained entry costs; null where that is unknown."""
    rows = [
        (line.name, line.seconds, line.examples or math.nan, line.flops, line.parameters)
        for line in results.lines
        if line.trained
    ]
    fields = ["seconds", "examples", "flops", "parameters"]
    types = {"entry": pl.String, **dict.fromkeys(fields, pl.Float64)}
    return pl.DataFrame(rows, types, orient="row", strict=False).with_columns(
        pl.col(fields).fill_nan(None)
    )


def curves(results: Results) -> list[Figure]:
    """Loss and pretext metric of every entry over its steps."""
    found = []
    for line in results.lines:
        names = dict.fromkeys(name for h in line.histories.values() for name in h.curves)
        plots = [_curve(line, name, folds=results.folds > 1) for name in names]
        if plots:
            found.append({"name": line.name, "hue": line.hue, "kind": line.kind, "plots": plots})
    return found


def _curve(line: Line, name: str, *, folds: bool) -> Figure:
    frame = curve(line, name, folds=folds)
    known = frame["value"].drop_nulls()
    share = name != "loss" and len(known) > 0 and known.is_between(0, 1).all()
    words = f"{name.replace('_', ' ')} of {line.name} over its steps"
    spec = charts.curve(frame, share=share)
    return {"name": name.replace("_", " "), "unit": "%" if share else "", "spec": spec,
            "words": words}  # fmt: skip


def steps(results: Results) -> Figure | None:
    """Accuracy in the first column over the steps of pretraining; None where only the last was
    evaluated."""
    if not results.main:
        return None
    frame = over_steps(results, results.main[0])
    if frame.is_empty():
        return None
    shown = set(frame["entry"])
    words = [f"{row['entry']} at step {row['step']}: {row['text']} percent"
             for row in frame.sort("entry", "step").to_dicts()]  # fmt: skip
    return {
        "method": " ".join(column_name(results.main[0])),
        "spec": charts.along(frame, "step", "steps of pretraining", None),
        "words": ". ".join(words),
        "lines": [line for line in results.lines if line.name in shown],
    }


def layers(results: Results) -> Figure | None:
    """The first method that looks at every layer; None where none does."""
    found: dict[str, list[Column]] = {}
    for column in first_columns(results.columns):
        if column.level != "best":
            found.setdefault(str(column.stamp["method"]), []).append(column)
    method = next((m for m, columns in found.items() if len(columns) > 1), None)
    if method is None:
        return None
    # The output is the last of the layers, though its row comes first.
    ordered = sorted(found[method], key=lambda column: column.level == "embedding")
    frame = estimates(results, ordered)
    names = [level_text(column).removeprefix(", ") or "output" for column in ordered]
    frame = frame.with_columns(
        layer=pl.Series([names[k] for k in frame["column"]], dtype=pl.String)
    )
    return {
        "method": column_name(ordered[-1])[0],
        "spec": charts.along(frame, "layer", "layer", names),
        "words": in_words(frame.filter(pl.col("layer") == "output")),
    }
