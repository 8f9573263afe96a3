"""Frames at exact times: those whose presentation interval contains the time asked for."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .colour import Pixels, to_rgb, turned
from .container import Missed
from .timing import Stamps, VideoTrack

_SLACK = Fraction(1, 1_000_000)  # a time this little before a frame, in seconds, means its start


def frame_at(track: VideoTrack, seconds: float) -> int:
    """Number, in `track.pts`, of the frame shown at a time on the clock; clamped to the ends."""
    ticks = int(track.pts[0]) + (Fraction(seconds) + _SLACK) // track.base
    return max(int(np.searchsorted(track.pts, ticks, "right")) - 1, 0)


def start_seconds(track: VideoTrack, frames: Sequence[int]) -> NDArray[np.float64]:
    """Seconds on the clock at which these frames start, [T]."""
    ticks = track.pts[np.asarray(frames, np.int64)] - track.pts[0]
    return ticks * track.base.numerator / track.base.denominator


def returned_size(track: VideoTrack, short_side: int | None) -> tuple[int, int]:
    """Height and width of the frames as returned: turned, the shorter side as wanted."""
    height, width = track.size if track.turns % 2 == 0 else track.size[::-1]
    return short_size(height, width, short_side)


def short_size(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """The size at which the shorter side has `short_side` pixels and the shape is kept."""
    if short_side is None:
        return height, width
    if height <= width:
        return short_side, max(round(width * short_side / height), 1)
    return max(round(height * short_side / width), 1), short_side


class Frames:
    """Takes the video packets of one pass, keeps the frames that are wanted.

    Args:
        track: the video's times.
        wanted: numbers of frames in `track.pts`.
        short_side: pixels, None: as they are.
        key: number in `track.keys` of the frame at which decoding starts, None: at the file's
            start.

    Attributes:
        pixels: uint8 [len(set(wanted)), H, W, 3], in ascending order of the frames.
        numbers: the frames in that order.
        corrupt: how many of them the decoder flagged as damaged.
        done: all are there.
    """

    def __init__(
        self, track: VideoTrack, wanted: Sequence[int], short_side: int | None, key: int | None
    ):
        self.track, self.numbers = track, sorted(set(wanted))
        self._open = {int(track.pts[n]): row for row, n in enumerate(self.numbers)}
        self._height, self._width = returned_size(track, short_side)
        self.pixels = np.empty((len(self.numbers), self._height, self._width, 3), np.uint8)
        self.key, self.corrupt = key, 0
        self._start = None if key is None else int(track.keys[key])
        self._jumped = key is not None
        self._stamp = Stamps(track.step)
        self._last: int | None = None

    def fill(self, pictures: Sequence[Pixels]) -> None:
        """Takes all wanted frames at once, from another decoder."""
        self.pixels[:] = np.stack(pictures)
        self._open.clear()

    @property
    def done(self) -> bool:
        return not self._open

    def feed(self, medium, packet) -> None:
        """Decodes a packet. Raises Missed if the track's times turn out wrong."""
        if self._start is not None:
            if packet.pts != self._start:
                return
            self._start = None
        for frame in medium.decode(packet):
            self._take(frame)

    def _take(self, frame) -> None:
        pts = self._stamp(frame)
        if len(self.track.keys):
            self._check(pts, frame)
        row = self._open.pop(pts, None)
        if row is not None:
            self.corrupt += frame.is_corrupt
            self.pixels[row] = self._convert(frame)

    def _check(self, pts: int, frame) -> None:
        """Times from packets: each frame must be one of them, in order, and none be skipped."""
        early = self._last is not None and pts <= self._last
        if early or (self._open and pts > min(self._open)) or frame.pts is None:
            raise Missed
        if self._last is None and self._jumped and not frame.key_frame:
            raise Missed
        self._last = pts

    def _convert(self, frame) -> Pixels:
        sides = (self._height, self._width)
        height, width = sides if self.track.turns % 2 == 0 else sides[::-1]
        return turned(to_rgb(frame, height, width), self.track.turns, self.track.mirror)


def starting_key(track: VideoTrack, frame: int) -> int | None:
    """Number of the last key frame that is shown no later than the frame, None: file's start."""
    key = int(np.searchsorted(track.keys, track.pts[frame], "right")) - 1
    return key if key >= 0 and track.keys[key] > track.pts[0] else None
