"""Numbers in words: how the report and results.md write them."""

import math
from collections.abc import Sequence
from typing import Any

from ..comparison.aggregate import Column, Estimate, level_text

METHODS = {
    "linear": "Linear probe",
    "knn": "kNN",
    "retrieval": "Retrieval",
    "lowshot": "Few labels",
    "attentive": "Attentive probe",
    "finetune": "Fine-tuned",
}
METRICS = {"top1": "top-1", "top5": "top-5", "mean_class": "mean per class"}


def percent(share: float) -> str:
    """0.4231 → 42.3."""
    return f"{100 * share:.1f}"


def estimate_text(e: Estimate | None) -> str:
    """62.1 ± 2.0 in percent, without ± where there is one value only."""
    if e is None:
        return "–"
    return percent(e.mean) + ("" if math.isnan(e.half) else f" ± {percent(e.half)}")


def difference_text(e: Estimate | None) -> str:
    """+14.2 ± 3.1 in points of a percent."""
    if e is None:
        return "–"
    half = "" if math.isnan(e.half) else f" ± {percent(e.half)}"
    points = round(100 * e.mean, 1)
    return (f"{points:+.1f}".replace("-", "−") if points else "0.0") + half


def column_name(column: Column) -> tuple[str, str]:
    """A column's title and the line below it."""
    method, metric = str(column.stamp["method"]), str(column.stamp["metric"])
    title, metric = METHODS.get(method, method), METRICS.get(metric, metric)
    return title, metric + level_text(column)


def control_text(column: Column) -> str:
    """What a task is compared with under this protocol."""
    if column.stamp["method"] == "finetune":
        return "the same network trained from scratch"
    return "the same network untrained"


def tuned_text(columns: Sequence[Column]) -> str:
    """What the controls' rows mean under fine-tuning; empty without it."""
    if all(column.stamp["method"] != "finetune" for column in columns):
        return ""
    return (
        "Fine-tuned, the untrained network is training from scratch with labels, for as long as "
        "the others are tuned, and the supervised control has learned from the labels twice."
    )


def over_text(columns: Sequence[Column], entries: Sequence[str], folds: int) -> str:
    """Over what the intervals are, in one sentence."""
    found = [e for c in columns for n in entries if (e := c.estimate(n)) is not None]
    most = max(found, key=lambda e: e.n, default=None)
    if most is None:
        return ""
    if most.n == 1:
        return "One run per row: nothing is known about how much such numbers vary."
    alone = " Intervals are per row, not corrected for the number of rows compared."
    if most.over == "folds":
        return (
            f"± is the 95 % Student-t interval over {most.n} folds of one seed: it holds the "
            f"differences between folds, not those between seeds.{alone}"
        )
    mean = f", each the mean over {folds} folds" if folds > 1 else ""
    few = " Two values make it very wide, or by chance very narrow." if most.n == 2 else ""
    return f"± is the 95 % Student-t interval over {most.n} seeds{mean}.{few}{alone}"


def plural(n: int, one: str, many: str = "") -> str:
    """3 → "3 runs"."""
    return f"{n:,}".replace(",", " ") + f" {one if n == 1 else many or one + 's'}"


def joined(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def clock(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def tick_text(value: float, *, share: bool) -> str:
    """A tick's label: percent for shares, else the shortest form."""
    return f"{100 * value:g}" if share else f"{value:g}"


def stamp_items(stamp: dict[str, Any]) -> list[tuple[str, str]]:
    """A stamp as a list for people."""
    view = {k: v for k, v in stamp["view"].items() if v}
    return [
        ("recipe", stamp["recipe"]),
        ("data", f"{stamp['data_name']} ({stamp['data']})"),
        ("clips × crops", f"{stamp['clips']} × {stamp['crops']}"),
        ("view", ", ".join(f"{k} {v}" for k, v in view.items())),
    ]
