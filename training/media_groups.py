"""Millions of media checked by arrays: what suits the shortest and the longest of like media suits
all of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..datasets.facts import Facts

Rows = NDArray[np.int64]
Found = TypeVar("Found")

UNKNOWN = -1
LEAST, RATIO = 0.05, 1.05  # seconds without sound that make no difference, and beyond them


def alike(batches: Iterable[Facts]) -> tuple[list[Rows], Rows]:
    """Numbers of the examples in groups of like media, each from the shortest to the longest; and
    of those about which nothing is known.

    Media are alike whose kind, rate, channels and motion are, and of which about as much (to 5 %)
    is without sound.
    """
    found = [(_key(facts), facts.duration.astype(np.float32)) for facts in batches]
    key, duration = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((duration, key))
    key = key[order]
    groups = np.split(order, np.flatnonzero(np.diff(key)) + 1)
    unknown = groups.pop(0) if key[0] == UNKNOWN else order[:0]
    return groups, unknown


def _key(facts: Facts) -> NDArray[np.int64]:
    lacking = np.maximum(facts.duration - facts.sound, LEAST)
    parts = (
        (2 * facts.video + facts.image, 2),
        (facts.motion, 1),
        (facts.audio_rate, 20),
        (facts.audio_channels, 8),
        (np.log(lacking / LEAST) / np.log(RATIO), 10),
    )
    key = np.zeros(len(facts.known), np.int64)
    for values, bits in parts:
        key = (key << bits) | np.clip(values, 0, 2**bits - 1).astype(np.int64)
    return np.where(facts.known, key, UNKNOWN)


def judged(
    group: Rows, judge: Callable[[int], Found], outcome: Callable[[Found], object]
) -> Iterator[tuple[Rows, Found]]:
    """All examples of a group, in parts with what was found of one of each.

    A part whose shortest and longest member have the same outcome needs no further look; any other
    is halved. So it takes few judgements, unless each member has an outcome of its own.
    """
    open_parts = [(group, judge(int(group[0])), judge(int(group[-1])))]
    while open_parts:
        rows, first, last = open_parts.pop()
        if outcome(first) == outcome(last):
            yield rows, first
            continue
        short, long = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        ends = [first if len(short) == 1 else judge(int(short[-1]))]
        ends += [last if len(long) == 1 else judge(int(long[0]))]
        open_parts += [(long, ends[1], last), (short, first, ends[0])]
