"""Before training: can the task use these media at all?"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from ..datasets.source import Source
from ..errors import InputError
from ..modalities import rng as draw
from ..modalities.media import MediaError
from ..tasks.task import START, Task
from .data import Lost, call

Found = Lost | tuple[bool, bool, bool]  # why an example is lost, or what is odd about it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the media found.

    Attributes:
        looked_at: how many examples.
        unsuitable: those that the task cannot use, such as clips without sound.
        unreadable: those that nobody could use.
        narrow: how many have sound of a lower rate than the task hears.
        surround: how many have sound of more than two channels.
        unmeasured: of how many no motion is known, where the task chooses by it.
    """

    looked_at: int
    unsuitable: list[Lost] = field(default_factory=list)
    unreadable: list[Lost] = field(default_factory=list)
    narrow: int = 0
    surround: int = 0
    unmeasured: int = 0


INDEXED = 200_000  # media looked at where an index knows them: some ten seconds
OPENED = 20_000  # where every file must be opened


def look(
    source: Source,
    task: Task,
    *,
    seed: int = 0,
    most: int | None = None,
    say: Callable[[str], None],
) -> Verdict:
    """Plans every example, or of very many (or `most`) an even spread; decodes nothing.

    Raises:
        InputError: the source is empty.
    """
    n = len(source)
    if n == 0:
        raise InputError("the data holds no example: give a folder with media, or another split")
    count = min(n, most or (INDEXED if source.indexed else OPENED))
    if count < n and most is None:
        hint = "" if source.indexed else "; an index (pretexto index) lets more be looked at"
        say(f"looking at {count} of {n} media before training{hint}")
    chosen = (k * n // count for k in range(count))
    judge = _Judge(source, task, seed)
    found = map(judge, chosen) if source.indexed else _in_threads(judge, chosen)
    unsuitable, unreadable, odd = [], [], [0, 0, 0]
    for each in _progress(found, count, say):
        if isinstance(each, Lost):
            (unsuitable if each.stage == "plan" else unreadable).append(each)
        else:
            odd = [total + more for total, more in zip(odd, each, strict=True)]
    return Verdict(count, unsuitable, unreadable, *odd)


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


def refuse_unsuitable(verdict: Verdict, task: Task) -> None:
    """Raises InputError if there are any, naming the first and the remedy."""
    if verdict.unsuitable:
        raise InputError(
            f"{in_words(verdict, task)}; remove them, or set trainer.drop_unsuitable to true to "
            "train without them"
        )


def refuse_too_few(examples: int, verdict: Verdict) -> None:
    """Raises InputError if fewer than two can be used, naming the first that cannot and why."""
    bad = verdict.unsuitable + verdict.unreadable
    usable = examples - len(bad)
    if usable < 2:
        why = f" ({bad[0].name}: {bad[0].stage}: {bad[0].reason})" if bad else ""
        raise InputError(
            f"{usable} of {examples} examples can be used, and training needs two at least{why}: "
            "give more media"
        )


def in_words(verdict: Verdict, task: Task) -> str:
    """How many examples the task cannot use, the first of them, and why."""
    first = "; ".join(f"{lost.name}: {lost.reason}" for lost in verdict.unsuitable[:3])
    more = " …" if len(verdict.unsuitable) > 3 else ""
    count = f"{len(verdict.unsuitable)} of {verdict.looked_at} examples"
    return f"{type(task).__name__} cannot use {count}: {first}{more}"


def sound_in_words(verdict: Verdict) -> str:
    """What is odd about the sound that the task will hear; empty if nothing is."""
    said = []
    if verdict.narrow:
        said.append(f"{verdict.narrow} of a lower rate than the encoder's (no high frequencies)")
    if verdict.surround:
        said.append(f"{verdict.surround} of more than two channels (all are averaged)")
    return f"sound of {verdict.looked_at} examples: {', '.join(said)}" if said else ""


def chooses_by_motion(task: Task) -> bool:
    """Whether a task chooses its segments by their motion, where that is known."""
    return getattr(task, "by_motion", False) is True


def motion_in_words(verdict: Verdict, *tasks: Task) -> str:
    """That these tasks choose uniformly where no motion is known, and the remedy; else empty."""
    if not verdict.unmeasured:
        return ""
    names = " and ".join(dict.fromkeys(type(task).__name__ for task in tasks))
    return (
        f"motion is unknown in {verdict.unmeasured} of {verdict.looked_at} examples, where {names} "
        "will choose stretches uniformly: to choose moving ones, run `pretexto index DATA --out "
        "X.parquet` and give --data X.parquet"
    )


def sound_counts(verdict: Verdict) -> dict[str, int]:
    """The same for run.json."""
    return {
        "looked_at": verdict.looked_at,
        "lower_rate": verdict.narrow,
        "more_than_two_channels": verdict.surround,
    }


def _in_threads(judge: Callable[[int], Found], chosen: Iterable[int]) -> Iterator[Found]:
    pool = ThreadPoolExecutor(8)
    try:
        chosen = iter(chosen)
        # Some at a time: a pool takes all that it is given at once into memory.
        while some := list(islice(chosen, 256)):
            yield from pool.map(judge, some)
    finally:
        pool.shutdown(cancel_futures=True)


def _progress(results: Iterator[Found], count: int, say: Callable[[str], None]) -> Iterator[Found]:
    last = time.monotonic() - 8  # a first line after two seconds
    for done, result in enumerate(results):
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"looking at the media: {done}/{count}")
        yield result
