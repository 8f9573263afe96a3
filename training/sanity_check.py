"""Before training: can the task use these media at all?"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ..datasets.example_list import LeftOut
from ..datasets.source import Source
from ..errors import InputError
from ..modalities import rng as draw
from ..modalities.media import MediaError
from ..tasks.task import START, Task
from .data import Lost, call
from .media_groups import Rows, alike, judged

Found = Lost | tuple[bool, bool, bool]  # why an example is lost, or what is odd about it

SINGLY = 50_000  # media of an index that are checked one by one, in some three seconds
INDEXED = 200_000  # as many where a source knows its media, but not as arrays
OPENED = 20_000  # as many where every file must be opened


@dataclass(frozen=True, slots=True)
class MediaCheck:
    """What a check of the media found.

    Attributes:
        checked: how many examples.
        unsuitable: those that the task cannot use, such as clips without sound.
        first: the first three of them.
        unreadable: those that nobody could use.
        narrow: how many have sound of a lower rate than the task hears.
        surround: how many have sound of more than two channels.
        unmeasured: of how many no motion is known, where the task chooses by it.
    """

    checked: int
    unsuitable: LeftOut
    first: list[Lost] = field(default_factory=list)
    unreadable: list[Lost] = field(default_factory=list)
    narrow: int = 0
    surround: int = 0
    unmeasured: int = 0


def check_media(
    source: Source,
    task: Task,
    *,
    seed: int = 0,
    most: int | None = None,
    say: Callable[[str], None],
) -> MediaCheck:
    """Plans every example, or of very many (or `most`) an even spread; decodes nothing.

    A large index is checked as a whole, group by group of like media. Its assumption, that what
    suits a shorter medium suits a longer one like it, holds for every shipped task; an example of
    another that has slipped through is named and counted when it is read.

    Raises:
        InputError: the source is empty.
    """
    if len(source) == 0:
        raise InputError("the data holds no example: give a folder with media, or another split")
    judge, tally = _Judge(source, task, seed), _Tally(source)
    for rows, found in _progress(_results(source, judge, most, say), len(source), say):
        tally.add(rows, found)
    return tally.check()


class _Judge:
    """What the task would say to example i."""

    def __init__(self, source: Source, task: Task, seed: int):
        self.source, self.task, self.seed = source, task, seed
        self.by_motion = chooses_by_motion(task)

    def __call__(self, i: int) -> Found:
        try:
            info = self.source.info(i)
            rng = draw.generator(self.seed, 0, i)
            plan = call(self.task.plan, info, rng, progress=START)
        except MediaError as error:
            return Lost(i, self.source.name(i), error.stage, error.reason)
        narrow = bool(plan.audio) and info.audio_rate < plan.audio[0].rate
        surround = plan.audio is not None and info.audio_channels > 2
        return narrow, surround, self.by_motion and info.has_video and not info.motion


def _outcome(found: Found) -> object:
    return (found.stage, found.reason) if isinstance(found, Lost) else found


class _Tally:
    """Counts what is found, example by example or many at a time."""

    def __init__(self, source: Source):
        self.source, self.checked, self.odd = source, 0, np.zeros(3, np.int64)
        self.unsuitable: list[tuple[Rows, str]] = []
        self.unreadable: list[Lost] = []

    def add(self, rows: Rows, found: Found) -> None:
        """Notes that this was found of all these examples."""
        self.checked += len(rows)
        if not isinstance(found, Lost):
            self.odd += len(rows) * np.array(found)
        elif found.stage == "plan":
            self.unsuitable.append((rows, found.reason))
        else:
            self.unreadable += [self._lost(i, found.stage, found.reason) for i in rows.tolist()]

    def _lost(self, i: int, stage: str, reason: str) -> Lost:
        return Lost(i, self.source.name(i), stage, reason)

    def check(self) -> MediaCheck:
        """All of it, in the order of the source."""
        found = LeftOut.of(self.unsuitable)
        pairs = zip(found.rows[:3].tolist(), found.reasons[:3], strict=True)
        first = [self._lost(i, "plan", reason) for i, reason in pairs]
        unreadable = sorted(self.unreadable)
        return MediaCheck(self.checked, found, first, unreadable, *self.odd.tolist())


def _results(
    source: Source, judge: _Judge, most: int | None, say: Callable[[str], None]
) -> Iterator[tuple[Rows, Found]]:
    n = len(source)
    facts = source.facts() if most is None and n > SINGLY else None
    if facts is None:
        count = most or (INDEXED if source.indexed else OPENED)
        yield from _spread(np.arange(n), judge, count, say if most is None else None)
        return
    groups, unknown = alike(facts)
    for group in groups:
        yield from judged(group, judge, _outcome)
    yield from _spread(unknown, judge, OPENED, say)


def _spread(
    rows: Rows, judge: _Judge, most: int, say: Callable[[str], None] | None
) -> Iterator[tuple[Rows, Found]]:
    """So many of these examples, evenly, one by one."""
    count = min(len(rows), most)
    if count < len(rows) and say:
        hint = "" if judge.source.indexed else "; with an index (pretexto index) all are checked"
        say(f"checking {count} of {len(rows)} media before training, the others when read{hint}")
    chosen = rows[np.arange(count) * len(rows) // max(count, 1)]
    with ThreadPoolExecutor(8) as pool:
        # Some at a time: a pool takes all that it is given at once into memory.
        for begin in range(0, count, 256):
            some = chosen[begin : begin + 256]
            found = map(judge, some.tolist())
            if not judge.source.indexed:
                found = pool.map(judge, some.tolist())
            for k, each in enumerate(found):
                yield some[k : k + 1], each


def _progress(
    results: Iterator[tuple[Rows, Found]], count: int, say: Callable[[str], None]
) -> Iterator[tuple[Rows, Found]]:
    last, done = time.monotonic() - 8, 0  # a first line after two seconds
    for rows, found in results:
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"checking the media: {done}/{count}")
        done += len(rows)
        yield rows, found


def refuse_labels(source: Source, task: Task) -> None:
    """Raises InputError if a task that learns from labels would meet none, or one too high.

    Here and not in the loss, where a device would have to be waited for in every step.
    """
    classes = task.traits.classes
    if not classes:
        return
    labels = source.labels()
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        first = int(wrong[0])
        label = int(labels[first]) if labels[first] >= 0 else "none"
        raise InputError(
            f"{type(task).__name__} has {classes} classes, but {source.name(first)} has the label "
            f"{label} ({len(wrong)} of {len(labels)} examples): give labelled data with as many "
            "classes"
        )


def refuse_unsuitable(check: MediaCheck, task: Task) -> None:
    """Raises InputError if there are any, naming the first and the remedy."""
    if len(check.unsuitable.rows):
        raise InputError(
            f"{in_words(check, task)}; remove them, or set trainer.drop_unsuitable to true to "
            "train without them"
        )


def refuse_too_few(examples: int, check: MediaCheck) -> None:
    """Raises InputError if fewer than two can be used, naming the first that cannot and why."""
    usable = examples - len(check.unsuitable.rows) - len(check.unreadable)
    if usable < 2:
        bad = check.first + check.unreadable
        why = f" ({bad[0].name}: {bad[0].stage}: {bad[0].reason})" if bad else ""
        raise InputError(
            f"{usable} of {examples} examples can be used, and training needs two at least{why}: "
            "give more media"
        )


def in_words(check: MediaCheck, task: Task) -> str:
    """How many examples the task cannot use, the first of them, and why."""
    first = "; ".join(f"{lost.name}: {lost.reason}" for lost in check.first)
    more = " …" if len(check.unsuitable.rows) > 3 else ""
    count = f"{len(check.unsuitable.rows)} of {check.checked} examples"
    return f"{type(task).__name__} cannot use {count}: {first}{more}"


def sound_in_words(check: MediaCheck) -> str:
    """What is odd about the sound that the task will hear; empty if nothing is."""
    said = []
    if check.narrow:
        said.append(f"{check.narrow} of a lower rate than the encoder's (no high frequencies)")
    if check.surround:
        said.append(f"{check.surround} of more than two channels (all are averaged)")
    return f"sound of {check.checked} examples: {', '.join(said)}" if said else ""


def chooses_by_motion(task: Task) -> bool:
    """Whether a task chooses its segments by their motion, where that is known."""
    return getattr(task, "by_motion", False) is True


def motion_in_words(check: MediaCheck, *tasks: Task) -> str:
    """That these tasks choose uniformly where no motion is known, and the remedy; else empty."""
    if not check.unmeasured:
        return ""
    names = " and ".join(dict.fromkeys(type(task).__name__ for task in tasks))
    return (
        f"motion is unknown in {check.unmeasured} of {check.checked} examples, where {names} "
        "will choose segments uniformly: to choose moving ones, run `pretexto index DATA --out "
        "X.parquet` and give --data X.parquet"
    )


def sound_counts(check: MediaCheck) -> dict[str, int]:
    """The same for run.json."""
    return {
        "checked": check.checked,
        "lower_rate": check.narrow,
        "more_than_two_channels": check.surround,
    }
