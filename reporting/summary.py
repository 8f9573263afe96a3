"""The report's headline: one honest sentence that follows from the numbers alone."""

import math
from collections.abc import Mapping, Sequence

from ..comparison.aggregate import Column, Estimate
from .formatting import column_name, control_text, difference_text, estimate_text, joined, percent


def finding(
    column: Column | None,
    tasks: Sequence[str],
    reference: Mapping[str, str],
    supervised: str,
    floor: str = "",
) -> tuple[str, str]:
    """Headline and what belongs beside it.

    Args:
        column: the protocol that is looked at first; None if no run has finished.
        tasks: names of the pretext tasks.
        reference: by task the name of its untrained control.
        supervised: name of the supervised control, "" if there is none.
        floor: name of the floor, likewise.
    """
    known = {t: e for t in tasks if column and (e := column.estimate(t)) is not None}
    if column is None or not known:
        return "No task has finished, so there is nothing to compare yet.", ""
    gains = {t: d for t in known if (d := column.difference(t, reference[t])) is not None}
    best = max(known, key=lambda t: known[t].mean)
    method = " ".join(column_name(column)).lower()
    if best not in gains:
        text = f"{best} reads {estimate_text(known[best])} % in {method}."
        return text, "The untrained control has not finished, so what that is worth is open."
    if math.isnan(gains[best].half):
        return _single(column, best, known[best], gains[best], reference[best], method)
    shown = [t for t in sorted(gains, key=lambda t: -gains[t].mean) if gains[t].sign > 0]
    head = _head(best, known, gains, shown, method, control_text(column))
    said = _besides(column, best, known, gains, shown)
    return head, " ".join([*said, *_controls(column, best, supervised, floor)])


def _single(
    column: Column, best: str, own: Estimate, gain: Estimate, reference: str, method: str
) -> tuple[str, str]:
    control = column.estimate(reference)
    assert control is not None
    side = "above" if gain.mean >= 0 else "below"
    points = percent(abs(gain.mean))
    head = (
        f"In a single run each, {best} stands {points} points {side} {control_text(column)} "
        f"in {method}: {percent(own.mean)} % against {percent(control.mean)} %."
    )
    return head, "One run cannot tell how much of a difference is luck: give more seeds."


def _head(
    best: str,
    known: Mapping[str, Estimate],
    gains: Mapping[str, Estimate],
    shown: Sequence[str],
    method: str,
    control: str,
) -> str:
    value, gain = estimate_text(known[best]), difference_text(gains[best])
    if best in shown:
        points = gain.lstrip("+")
        return f"{best} leads with {value} % in {method}, {points} points above {control}."
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
    column: Column,
    best: str,
    known: Mapping[str, Estimate],
    gains: Mapping[str, Estimate],
    shown: Sequence[str],
) -> list[str]:
    said = []
    if len(gains) > 1 and shown:
        rest = [t for t in gains if t not in shown]
        said.append(
            f"Of {len(gains)} tasks, {joined(shown)} {_beat(shown)} it by more than the interval"
            + (f"; {joined(rest)} {'does' if len(rest) == 1 else 'do'} not." if rest else ".")
        )
    worse = [t for t, d in gains.items() if d.sign < 0]
    if worse:
        said.append(f"{joined(worse)} {'is' if len(worse) == 1 else 'are'} below it.")
    others = sorted((t for t in known if t != best), key=lambda t: -known[t].mean)
    lead = column.difference(best, others[0]) if others else None
    if shown and lead is not None and lead.sign <= 0:
        said.append(
            f"The lead over {others[0]}, {difference_text(lead)} points, is within the interval."
        )
    return said


def _controls(column: Column, best: str, supervised: str, floor: str) -> list[str]:
    said = []
    labels, plain = column.estimate(supervised), column.estimate(floor)
    if labels is not None:
        said.append(f"Labels with the same budget give {estimate_text(labels)} %.")
    if plain is not None:
        # The floor does not vary with the seed; only its folds have an interval.
        points = difference_text(column.difference(best, floor))
        said.append(
            f"Statistics of the spectrogram, without a network, give {percent(plain.mean)} %; "
            f"{best} differs from that by {points} points."
        )
    return said


def _beat(names: Sequence[str]) -> str:
    return "beats" if len(names) == 1 else "beat"
