"""What a scan found, in lines that a person can act on."""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...modalities.motion import UNITS, MotionKind
from ..source import Entry

_MOST = 10
SEGMENT = "segment"  # status of one that its file does not have
_ADVICE = {
    "time": "raise --time-limit to try them again",
    "memory": "raise --memory-limit to try them again",
    "crash": "they crash the decoder; remove or re-encode them",
    "unreadable": "remove, replace or re-encode them",
    SEGMENT: "their files do not have them; correct start and end",
    "damaged": "they are cut off; fetch or copy them again",
}


@dataclass(slots=True)
class Report:
    """Counts of a scan.

    Attributes:
        out: the index.
        motion: what it was measured by, "flow" or "grey".
        kinds: readable files by kind.
        labels: readable files by label.
        bad: path, status and reason of each file or segment in the quarantine.
        damaged: complaints, path and reason of readable files with damage.
        duplicates: path of each repeated file and of its first copy.
        others: files that are no media, by suffix.
        unmatched: files that only the table has.
        misnamed: files whose names are no text, which no index can hold.
        seconds: of all readable media together.
        loudness: decibels relative to full scale, of readable files with sound.
        silent: those of them that lie below -60 dB from beginning to end.
        mute: number of readable videos without a sound track.
        moved: mean motion of each readable video, in its kind's unit.
    """

    out: str
    motion: MotionKind
    kinds: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str, str]] = field(default_factory=list)
    damaged: list[tuple[int, str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    loudness: array = field(default_factory=lambda: array("f"))
    silent: list[str] = field(default_factory=list)
    mute: int = 0
    moved: array = field(default_factory=lambda: array("f"))

    def count_labels(self, entries: Iterable[Entry]) -> None:
        """Counts the labels of readable files and segments."""
        bad = {name for name, _, _ in self.bad}
        for entry in entries:
            if entry.path not in bad:
                self.labels.update(entry.labels or [entry.label] * bool(entry.label))

    def add(self, row: dict[str, Any], original: str) -> None:
        """Counts one file."""
        name = row["path"]
        if original != name:
            self.duplicates.append((name, original))
        if row["status"] != "ok":
            self.bad.append((name, row["status"], row["reason"]))
            return
        self.kinds[row["kind"]] += 1
        self.seconds += row["duration"]
        if row["loudness"] is not None:
            self.loudness.append(row["loudness"])
            self.silent += [name] if row["silence"] == 1 else []
        if row["motion"]:
            self.moved.append(sum(row["motion"]) / len(row["motion"]))
        self.mute += row["kind"] == "video" and not row["audio_rate"]
        if row["corrupt"]:
            self.damaged.append((row["corrupt"], name, row["reason"]))

    def lines(self) -> list[str]:
        """The summary; every file in the quarantine has its line."""
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.kinds.most_common()) or "nothing"
        lines = [f"readable: {kinds} ({self.seconds / 3600:.2f} h), {len(self.labels)} labels"]
        lines += self._movement() + self._sound()
        for status, count in Counter(status for _, status, _ in self.bad).most_common():
            what = "segments" if status == SEGMENT else "files"
            lines.append(f"{status}: {count} {what}; {_ADVICE[status]}")
            lines += [f"  {n}: {why}" for n, s, why in self.bad if s == status]
        if self.damaged:
            lines.append(f"damaged but readable: {len(self.damaged)} files, the worst:")
            worst = sorted(self.damaged, key=lambda item: (-item[0], item[1]))[:_MOST]
            lines += [f"  {name}: {why}" for _, name, why in worst]
        if self.duplicates:
            lines.append(f"duplicates: {len(self.duplicates)} files have the content of another")
            lines += [f"  {name} = {first}" for name, first in self.duplicates[:_MOST]]
            if len(self.duplicates) > _MOST:
                lines.append("  … (all: column duplicate_of)")
        if self.others:
            counts = ", ".join(
                f"{n} {suffix or 'without suffix'}" for suffix, n in self.others.most_common()
            )
            lines.append(f"not media by their names, left out: {counts}")
        if self.unmatched:
            names = ", ".join(self.unmatched[:_MOST])
            lines.append(f"named by the table but not there: {len(self.unmatched)} files: {names}")
        if self.misnamed:
            names = ", ".join(self.misnamed[:_MOST])
            lines.append(f"names that are not UTF-8: {len(self.misnamed)} files; rename: {names}")
        return [printable(line) for line in [*lines, f"index: {self.out}"]]

    def _movement(self) -> list[str]:
        """By what motion was measured, and how much there is."""
        if not self.moved:
            return []
        low, middle, high = _spread(self.moved)
        by = "optical flow" if self.motion == "flow" else "grey differences (no OpenCV here)"
        return [
            f"motion: {len(self.moved)} videos by {by}, {middle:.3g} {UNITS[self.motion]} in the "
            f"middle, {low:.3g} to {high:.3g} from 5 to 95 %"
        ]

    def _sound(self) -> list[str]:
        """How loud the sound is, what is silent, and how many videos have none."""
        if not self.loudness:
            return []
        low, middle, high = _spread(self.loudness)
        without = f"; {self.mute} videos without sound" if self.mute else ""
        lines = [
            f"sound: {len(self.loudness)} files, {middle:.0f} dB in the middle, "
            f"{low:.0f} to {high:.0f} dB from 5 to 95 %{without}"
        ]
        if self.silent:
            more = " …" if len(self.silent) > _MOST else ""
            names = ", ".join(self.silent[:_MOST])
            lines.append(f"silent: {len(self.silent)} files are silent throughout: {names}{more}")
        return lines


def _spread(values: array) -> tuple[float, float, float]:
    """What 5, 50 and 95 % of the values lie below."""
    known = sorted(values)
    low, middle, high = (known[round(q * (len(known) - 1))] for q in (0.05, 0.5, 0.95))
    return low, middle, high


def printable(text: str) -> str:
    """Text without what could steer a terminal: names of files come from anywhere."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
