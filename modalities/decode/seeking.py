"""Which packets of a video must be decoded to get at some of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass

from .packet_index import VideoTrack


@dataclass(frozen=True, slots=True)
class PacketRun:
    """Packets that are decoded one after another, from a key frame on.

    Attributes:
        first: ticks of the first one, None: the file's first.
        before: number of packets in the file before it.
        number: of the video's packets before it.
        last: ticks of the last one, None: until all wanted frames have come.
        needed: ticks of those that must be decoded, None: all.
        wanted: ticks of the frames for whose sake they are.
    """

    first: int | None
    before: int
    number: int
    last: int | None
    needed: frozenset[int] | None
    wanted: tuple[int, ...]


def direct(track: VideoTrack, frames: Sequence[int]) -> list[PacketRun]:
    """The fewest packets, in order of decoding; the track must have keys.

    Args:
        track: the video's times.
        frames: numbers in `track.pts`, ascending.
    """
    spans = []
    ticks, keys = track.pts[frames], starting_keys(track, frames)
    for tick, key, last in zip(ticks.tolist(), keys, track.place[frames].tolist(), strict=True):
        while key is not None and track.key_place[key] > last:
            key = key - 1 if key and track.keys[key - 1] >= track.pts[0] else None
        first = 0 if key is None else int(track.key_place[key])
        spans.append([first, last, key, [tick]])
    spans.sort(key=lambda span: span[0])
    merged = spans[:1]
    for span in spans[1:]:
        here = merged[-1]
        if span[0] > here[1] + 1:
            merged.append(span)
        else:
            here[1] = max(here[1], span[1])
            here[3] += span[3]
    return [_run(track, *span) for span in merged]


def _run(track: VideoTrack, first: int, last: int, key: int | None, wanted: list[int]) -> PacketRun:
    here = slice(first, last + 1)
    spare = track.order[here][track.spare[here]].tolist()
    needed = frozenset(track.order[here].tolist()).difference(set(spare).difference(wanted))
    start, before = _start(track, key)
    return PacketRun(start, before, first, int(track.order[last]), needed, tuple(wanted))


def plain(track: VideoTrack, frames: Sequence[int]) -> list[PacketRun]:
    """Everything from the key frame before the first of these frames on."""
    start, before = _start(track, starting_keys(track, frames[:1])[0])
    return [PacketRun(start, before, 0, None, None, ())]


def _start(track: VideoTrack, key: int | None) -> tuple[int | None, int]:
    return (None, 0) if key is None else (int(track.keys[key]), int(track.before[key]))


def starting_keys(track: VideoTrack, frames: Sequence[int]) -> list[int | None]:
    """Number of the last key frame shown no later than each frame, None: the file's start."""
    keys = track.keys.searchsorted(track.pts[frames], "right") - 1
    first = int(track.keys.searchsorted(track.pts[0]))  # earlier ones are cut off by the file
    return [key if key >= first else None for key in keys.tolist()]
