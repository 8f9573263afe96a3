"""Before training: can the task use these media at all?"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..datasets.source import Source
from ..errors import InputError
from ..modalities import draw
from ..modalities.media import MediaError
from ..tasks.task import Task
from .data import Lost


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the media found.

    Attributes:
        looked_at: how many examples.
        unsuitable: those that the task cannot use, such as clips without sound.
        unreadable: those that nobody could use.
    """

    looked_at: int
    unsuitable: list[Lost] = field(default_factory=list)
    unreadable: list[Lost] = field(default_factory=list)


def look(
    source: Source, task: Task, *, seed: int = 0, most: int = 1000, say: Callable[[str], None]
) -> Verdict:
    """Probes and plans up to `most` evenly spread examples; decodes nothing.

    Raises:
        InputError: the source is empty.
    """
    n = len(source)
    if n == 0:
        raise InputError("the data holds no example: give a folder with media, or another split")
    count = min(n, most)
    chosen = [k * n // count for k in range(count)]

    def judge(i: int) -> Lost | None:
        try:
            task.plan(source.info(i), draw.generator(seed, 0, i))
        except MediaError as error:
            return Lost(i, source.name(i), error.stage, error.reason)
        return None

    verdict = Verdict(count)
    for lost in _progress(_in_threads(judge, chosen), count, say):
        if lost is not None:
            (verdict.unsuitable if lost.stage == "plan" else verdict.unreadable).append(lost)
    return verdict


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


def _in_threads(judge: Callable[[int], Lost | None], chosen: list[int]) -> Iterator[Lost | None]:
    pool = ThreadPoolExecutor(8)
    try:
        yield from pool.map(judge, chosen)
    finally:
        pool.shutdown(cancel_futures=True)


def _progress(
    results: Iterator[Lost | None], count: int, say: Callable[[str], None]
) -> Iterator[Lost | None]:
    last = time.monotonic() - 8  # a first line after two seconds
    for done, result in enumerate(results):
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"looking at the media: {done}/{count}")
        yield result
