"""The report's headline: one honest sentence that follows from the numbers alone."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from types import MappingProxyType

from ..comparison.aggregate import Column
from ..comparison.results import Results
from ..comparison.significance import Estimate
from .formatting import column_name, control_text, difference_text, estimate_text, joined, percent


def finding(
    column: Column | None,
    tasks: Sequence[str],
    reference: Mapping[str, str],
    supervised: Mapping[str, str] = MappingProxyType({}),
    floor: str = "",
) -> tuple[str, str]:
    """Headline and what belongs beside it.

    Only differences that their family's correction leaves standing are claimed.

    Args:
        column: the protocol that is looked at first; None if no run has finished.
        tasks: names of the pretext tasks.
        reference: by task the name of its untrained control.
        supervised: by task the name of the supervised control of its encoder, where there is one.
        floor: name of the floor, likewise.
    """
    known = {t: e for t in tasks if column and (e := column.estimate(t)) is not None}
    if column is None or not known:
        return "No task has finished, so there is nothing to compare yet.", ""
    found = column.differences([(task, reference[task]) for task in known])
    gains = {task: gain for (task, _), gain in found.items()}
    best = max(known, key=lambda t: known[t].mean)
    method = " ".join(column_name(column)).lower()
    if best not in gains:
        text = f"{best} reads {estimate_text(known[best])} % in {method}."
        return text, "The untrained control has not finished, so what that is worth is open."
    controls = _controls(column, best, supervised.get(best, ""), floor)
    if math.isnan(gains[best].p):
        head, lede = _single(column, best, known[best], gains[best], reference[best], method)
        return head, " ".join([lede, *controls])
    shown = [t for t in sorted(gains, key=lambda t: -gains[t].mean) if gains[t].sign > 0]
    rivals = _undecided(column, best, [task for task in known if task != best])
    head = _head(best, known, gains, shown, rivals, method, control_text(column, reference[best]))
    said = _besides(best, gains, shown, rivals)
    return head, " ".join([*said, *controls])


def _single(
    column: Column, best: str, own: Estimate, gain: Estimate, reference: str, method: str
) -> tuple[str, str]:
    control = column.estimate(reference)
    assert control is not None
    side = "above" if gain.mean >= 0 else "below"
    points = percent(abs(gain.mean))
    head = (
        f"In a single run each, {best} stands {points} points {side} "
        f"{control_text(column, reference)} "
        f"in {method}: {percent(own.mean)} % against {percent(control.mean)} %."
    )
    return head, "One run cannot tell how much of a difference is luck: give more seeds."


def _head(
    best: str,
    known: Mapping[str, Estimate],
    gains: Mapping[str, Estimate],
    shown: Sequence[str],
    rivals: Sequence[str],
    method: str,
    control: str,
) -> str:
    value, gain = estimate_text(known[best]), difference_text(gains[best])
    if best in shown:
        points = gain.lstrip("+")
        verb = "leads with" if len(known) > 1 and not rivals else "reaches"
        return f"{best} {verb} {value} % in {method}, {points} points above {control}."
    if shown:
        other = shown[0]
        return (
            f"{joined(shown)} {_beat(shown)} {control} in {method}; {best} has the "
            f"highest mean but varies too much to tell ({gain} points, {other} "
            f"{difference_text(gains[other])})."
        )
    return (
        f"No task is shown to beat {control} in {method}: the highest mean, "
        f"{best}, differs by {gain} points."
    )


def _besides(
    best: str, gains: Mapping[str, Estimate], shown: Sequence[str], rivals: Sequence[str]
) -> list[str]:
    said = []
    if len(gains) > 1 and shown:
        rest = [t for t in gains if t not in shown]
        said.append(
            f"Of {len(gains)} tasks, {joined(shown)} {_beat(shown)} it by more than luck"
            + (f"; for {joined(rest)} that is open." if rest else ".")
        )
    worse = [t for t, d in gains.items() if d.sign < 0]
    if worse:
        said.append(f"{joined(worse)} {'is' if len(worse) == 1 else 'are'} below it.")
    if best in shown and rivals:
        said.append(f"Whether {best} is better than {joined(rivals)} is open.")
    return said


def _undecided(column: Column, best: str, others: Sequence[str]) -> list[str]:
    """Tasks that the best one is not surely ahead of, in the family of all pairs of tasks."""
    pairs = column.differences(list(combinations([best, *others], 2)))
    return [task for task in others if (best, task) not in pairs or pairs[best, task].sign <= 0]


def _controls(column: Column, best: str, supervised: str, floor: str) -> list[str]:
    said = []
    labels, plain = column.estimate(supervised), column.estimate(floor)
    if labels is not None:
        said.append(f"Labels with the same budget give {estimate_text(labels)} %.")
    if plain is not None:
        points = difference_text(next(iter(column.differences([(best, floor)]).values()), None))
        said.append(
            f"Statistics of the spectrogram, without a network, give {percent(plain.mean)} %; "
            f"{best} differs from that by {points} points."
        )
    return said


def _beat(names: Sequence[str]) -> str:
    return "beats" if len(names) == 1 else "beat"


def headline_of(results: Results) -> tuple[str, str]:
    """The finding of a comparison's first protocol."""
    return finding(
        results.main[0] if results.main else None,
        [line.name for line in results.tasks],
        {line.name: line.reference for line in results.tasks},
        {
            task.name: control.name
            for task in results.tasks
            for control in results.controls
            if control.kind == "supervised" and control.reference == task.reference
        },
        next((line.name for line in results.controls if line.kind == "floor"), ""),
    )
