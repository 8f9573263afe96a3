"""results.md: the table as text."""

from textwrap import shorten

from ..comparison.results import Line, Results
from ..comparison.significance import Estimate
from .formatting import (
    before_text,
    clock,
    column_name,
    difference_text,
    estimate_text,
    leak_text,
    over_text,
    percent,
    tuned_text,
)
from .summary import headline_of

_REASON = 60  # letters of a failure's reason in the table


def markdown(results: Results) -> str:
    """Headline, table, what the intervals are over, failures."""
    first = results.main[0] if results.main else None
    headline, lede = headline_of(results)
    parts = [f"# {results.plan['data']['name']}: {headline}"]
    parts += [lede] if lede else []
    parts.append("\n".join(_table(results)))
    names = [line.name for line in results.lines]
    notes = [over_text(results.main, names, len(results.tasks))]
    if first:
        notes.append(
            "All values are percent; Δ is the difference to "
            f"{before_text([line.reference for line in results.tasks])}, paired."
        )
    notes.append(tuned_text(results.main))
    notes.append(leak_text({line.name: line.leak for line in results.lines}))
    parts.append(" ".join(note for note in notes if note))
    failures = [
        f"- {run.words(folds=results.folds > 1)}: {reason}"
        for line in results.lines
        for run, reason in line.failures.items()
    ]
    if failures:
        parts.append("Failed runs:\n\n" + "\n".join(failures))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(results: Results) -> list[str]:
    heads = ["task"]
    for column in results.main:
        heads += [" ".join(column_name(column)), "Δ"]
    heads += [*(["pretraining"] if results.timed else []), "examples"]
    rule = [":--", *["--:"] * (len(heads) - 1)]
    gains = [results.gains(column) for column in results.main]
    body = [_row(results, line, gains) for line in results.lines]
    chance = ["chance"]
    for column in results.main:
        chance += [percent(column.chance), ""]
    chance += [""] * (len(heads) - len(chance))
    return [_joined(row) for row in (heads, rule, *body, chance)]


def _row(results: Results, line: Line, gains: list[dict[str, Estimate]]) -> list[str]:
    cells = [line.name]
    reason = shorten(next(iter(line.failures.values()), ""), _REASON, placeholder=" …")
    for column, gain in zip(results.main, gains, strict=True):
        estimate = column.estimate(line.name)
        # Once is enough; the whole reason of each run stands below the table.
        failed = estimate is None and reason and column is results.main[0]
        cells.append(f"failed: {reason}" if failed else estimate_text(estimate))
        own = line.kind == "random"
        cells.append("" if own else difference_text(gain.get(line.name)))
    if not results.main and line.failures:
        cells[0] += f" (failed: {reason})"
    timed = [clock(line.seconds)] if results.timed else []
    return [*cells, *timed, f"{line.examples}" if line.examples else "–"]


def _joined(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
