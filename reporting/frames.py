"""A comparison's numbers as data frames: what its charts and exports are made of."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..comparison.aggregate import Column, by_step
from ..comparison.grid import Run
from ..comparison.results import Line, Point, Results
from ..comparison.significance import Estimate
from .formatting import column_name, difference_text, estimate_text

if TYPE_CHECKING:
    import polars as pl


def estimates(results: Results, columns: Sequence[Column]) -> "pl.DataFrame":
    """One row per entry and column of the table that has a number, in the table's order.

    Its columns: `column` (which of them, from 0), `entry`, `kind`, `hue`, `protocol`,
    `metric`, `level`; in percent `mean`, `half`, `low` and `high`, of `seeds` seeds with `values`;
    in points `gain` and `gain_half`, the difference to the untrained control, its `p` corrected for
    its family, and `sure`: 1 or -1 where it is no luck; `text` and `gain_text` for people.
    What is unknown is null.
    """
    import polars as pl

    rows = [row for k, column in enumerate(columns) for row in _rows(results, column, k)]
    return pl.DataFrame(rows, _NAMES, infer_schema_length=None)


def over_steps(results: Results, column: Column) -> "pl.DataFrame":
    """The estimates of one column with the `step` of pretraining that they are of: those of the
    entries that were evaluated on their way, from their untrained control at step 0 to the last.

    Without rows where none was.
    """
    import polars as pl

    found = [
        estimates(results, [same]).with_columns(step=pl.lit(step))
        for step, same in by_step(results.rows, column).items()
    ]
    if not found:
        return pl.DataFrame()
    on_the_way = set(pl.concat(found)["entry"])
    last = {row["entry"]: row["step"] for row in results.rows
            if row["status"] == "done" and row["entry"] in on_the_way}  # fmt: skip
    ended = estimates(results, [column])
    begun = [
        ended.filter(pl.col("entry") == line.reference).with_columns(
            entry=pl.lit(line.name), kind=pl.lit(line.kind), hue=pl.lit(line.hue), step=pl.lit(0)
        )
        for line in results.lines
        if line.name in on_the_way
    ]
    through = ended.filter(pl.col("entry").is_in(on_the_way)).with_columns(
        step=pl.col("entry").replace_strict(last, return_dtype=pl.Int32)
    )
    return pl.concat([*begun, *found, through], how="vertical_relaxed")


_NAMES = (
    "column entry kind hue protocol metric level mean half low high seeds values gain gain_half p "
    "sure text gain_text"
).split()


def _rows(results: Results, column: Column, number: int) -> Iterator[dict[str, Any]]:
    protocol, metric = column_name(column)
    gains = results.gains(column)
    for line in results.lines:
        own, gain = column.estimate(line.name), gains.get(line.name)
        if own is None:
            continue
        place = {"column": number, "entry": line.name, "kind": line.kind, "hue": line.hue}
        named = {"protocol": protocol, "metric": metric, "level": column.level}
        yield place | named | _percent(own) | _gain(gain)


def _percent(own: Estimate) -> dict[str, Any]:
    return {
        "mean": 100 * own.mean,
        "half": _known(100 * own.half),
        "low": _known(100 * own.low),
        "high": _known(100 * own.high),
        "seeds": own.n,
        "values": [round(100 * value, 2) for value in own.values],
        "text": estimate_text(own),
    }


def _gain(gain: Estimate | None) -> dict[str, Any]:
    if gain is None:
        return {"gain": None, "gain_half": None, "p": None, "sure": 0, "gain_text": ""}
    points = {"gain": 100 * gain.mean, "gain_half": _known(100 * gain.half)}
    return points | {"p": _known(gain.p), "sure": gain.sign, "gain_text": difference_text(gain)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def curve(
    line: Line, name: str, *, folds: bool, most: int = 400, most_runs: int = 12
) -> "pl.DataFrame":
    """`step`, `value` and `run` of one of an entry's curves, in at most about `most` rows."""
    import polars as pl

    runs = [(r, h) for r, h in line.histories.items() if h.curves.get(name)][:most_runs]
    each = max(20, most // max(len(runs), 1))
    rows = [
        (step, value if math.isfinite(value) else None, _words(run, folds))
        for run, history in runs
        for step, value in thin(history.curves[name], each)
    ]
    types = {"step": pl.Float64, "value": pl.Float64, "run": pl.String}
    return pl.DataFrame(rows, types, orient="row")


def _words(run: Run, folds: bool) -> str:
    return f"seed {run.seed}" + (f", fold {run.split}" if folds else "")


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points of a curve: the mean of each stretch of equal length."""
    if len(points) <= most:
        return list(points)
    edges = [round(k * len(points) / most) for k in range(most + 1)]
    stretches = [points[a:b] for a, b in pairwise(edges)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part))
        for part in stretches
    ]
