"""Numbers in words: how the report and results.md write them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..comparison.aggregate import Column, level_text
from ..comparison.grid import RANDOM, START
from ..comparison.significance import Estimate

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


def control_text(column: Column, reference: str = RANDOM) -> str:
    """What a task is compared with under this protocol, by its control's name."""
    if reference.startswith(START):
        return "the weights it started from"
    if column.stamp["method"] == "finetune":
        return "the same network trained from scratch"
    return "the same network untrained"


def before_text(references: Sequence[str]) -> str:
    """What the tasks of a table are compared with, under whatever protocol."""
    started = [name.startswith(START) for name in references]
    if not any(started):
        return "the same network untrained"
    start = "the weights it started from"
    return start if all(started) else f"{start}, or where there are none the same network untrained"


def tuned_text(columns: Sequence[Column]) -> str:
    """What the controls' rows mean under fine-tuning; empty without it."""
    if all(column.stamp["method"] != "finetune" for column in columns):
        return ""
    return (
        "Fine-tuned, the untrained network is training from scratch with labels, for as long as "
        "the others are tuned, and the supervised control has learned from the labels twice."
    )


def over_text(columns: Sequence[Column], entries: Sequence[str], tasks: int) -> str:
    """What the intervals hold and what the colours claim.

    Args:
        columns: of the table.
        entries: its rows.
        tasks: how many tasks are compared with the untrained network.
    """
    found = [e for c in columns for n in entries if (e := c.estimate(n)) is not None]
    most = max(found, key=lambda e: e.n, default=None)
    if most is None:
        return ""
    if most.n == 1 and not most.over:
        return "One run per row: nothing is known about how much such numbers vary."
    if most.n == 1:
        return (
            "± is a 95 % interval over test groups for one seed each: another seed may differ by "
            "more, so nothing is claimed."
        )
    family = f", corrected for {tasks} tasks (Holm)" if tasks > 1 else ""
    few = " With so few seeds only large differences can be told from luck." if most.n < 5 else ""
    return (
        f"± is a 95 % interval over {_over(found)}. Differences are paired by seed, split and test "
        f"group; coloured are those that are no luck at the 5 % level{family}.{few}"
    )


def _over(found: Sequence[Estimate]) -> str:
    counts = sorted({e.n for e in found})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    groups = " and the groups of test media" if any("groups" in e.over for e in found) else ""
    return f"{seeds} seeds{groups}"


def leak_text(leaks: Mapping[str, int]) -> str:
    """What is said of encoders whose pretraining has seen test files; empty without any."""
    seen = [f"{name} ({plural(count, 'time')})" for name, count in leaks.items() if count]
    if not seen:
        return ""
    return (
        f"Pretraining has seen test files, without their labels: {joined(seen)}, counted over all "
        "runs. Such numbers are not comparable with those of encoders that have not."
    )


def times_text(timed: bool) -> str:
    """Of which runs the times are, if there are any that can be trusted."""
    if timed:
        return "Times are of runs that had the machine to themselves."
    return (
        "No times are shown: not all runs are known to have had the machine to themselves "
        "(--jobs 1 keeps them apart)."
    )


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


def amount(value: float) -> str:
    """14 394 880 → 14.4 M; a dash for what is unknown."""
    if math.isnan(value):
        return "–"
    units = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    size, unit = next((u for u in units if value >= u[0]), (1.0, ""))
    return f"{value / size:.3g} {unit}".strip()


def stamp_items(stamp: dict[str, Any]) -> list[tuple[str, str]]:
    """A stamp as a list for people."""
    view = {k: v for k, v in stamp["view"].items() if v}
    return [
        ("recipe", stamp["recipe"]),
        ("data", f"{stamp['data_name']} ({stamp['data']})"),
        ("clips × crops", f"{stamp['clips']} × {stamp['crops']}"),
        ("view", ", ".join(f"{k} {v}" for k, v in view.items())),
    ]
