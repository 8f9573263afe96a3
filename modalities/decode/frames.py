"""Frames at exact times: those whose presentation interval contains the time asked for."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .failures import Missed
from .packet_index import Stamps, VideoTrack
from .pixels import Pixels, to_rgb, turned
from .seeking import PacketRun, direct, plain

_SLACK = 1_000_000  # a time less than a 1/_SLACK of a second before a frame means its start


def frames_at(track: VideoTrack, times: Sequence[float]) -> list[int]:
    """Numbers, in `track.pts`, of the frames shown at times on the clock; clamped to the ends."""
    first, base = int(track.pts[0]), track.base
    ticks = []
    for seconds in times:
        over, under = seconds.as_integer_ratio()  # exact, and much faster than fractions
        past = (over * _SLACK + under) * base.denominator
        ticks.append(first + past // (under * _SLACK * base.numerator))
    # Python's integers have no bounds: times far past the end are more ticks than NumPy's hold.
    return (
        track.pts.searchsorted([min(max(t, first), track.end) for t in ticks], "right") - 1
    ).tolist()


def start_seconds(track: VideoTrack, frames: Sequence[int]) -> list[float]:
    """Seconds on the clock at which these frames start."""
    first, base = int(track.pts[0]), track.base
    ticks = track.pts[frames].tolist()
    return [(tick - first) * base.numerator / base.denominator for tick in ticks]


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
        short: decode only what the wanted frames need. What comes out is checked, and where the
            packets turn out to be other than they seem, Missed is raised.

    Attributes:
        pixels: uint8 [len(set(wanted)), H, W, 3], in ascending order of the frames.
        numbers: the frames in that order.
        corrupt: how many of them the decoder flagged as damaged.
        done: all are there.
    """

    def __init__(
        self, track: VideoTrack, wanted: Sequence[int], short_side: int | None, short: bool
    ):
        self.track, self.numbers, self.corrupt = track, sorted(set(wanted)), 0
        ticks = track.pts[self.numbers].tolist()
        self._open = dict(zip(ticks, range(len(ticks)), strict=True))
        self._height, self._width = returned_size(track, short_side)
        self.pixels = np.empty((len(self.numbers), self._height, self._width, 3), np.uint8)
        self._short = short and track.progressive and len(track.keys) > 0
        self._route = (direct if self._short else plain)(track, self.numbers)
        self._inside = False  # between the first and the last packet of self._route[0]
        self._entered = 0
        self._fed: int | None = None  # ticks of the packet that came last
        self._stamp = Stamps(track.step)
        self._last: int | None = None

    def fill(self, pictures: Sequence[Pixels]) -> None:
        """Takes all wanted frames at once, from another decoder."""
        self.pixels[:] = np.stack(pictures)
        self._open.clear()

    @property
    def done(self) -> bool:
        return not self._open

    @property
    def gap(self) -> int:
        """Number of the video's packets that can be skipped from here on."""
        run = self.ahead
        if run is None or self._fed is None:
            return 0
        return run.number - int((self.track.order == self._fed).argmax()) - 1

    def landing(self) -> tuple[int, Fraction] | None:
        """Number of packets not needed, and the seconds at which they end; None: none of them."""
        run = self.ahead
        if run is None or run.first is None:
            return None
        return run.before, self.track.base * run.first

    @property
    def ahead(self) -> PacketRun | None:
        """The run of packets to which one may seek now, None while one is being decoded."""
        return None if self._inside or not self._route else self._route[0]

    def feed(self, medium, packet) -> None:
        """Decodes a packet. Raises Missed if the track's times turn out wrong."""
        pts, run = packet.pts, self._route[0]
        self._fed = pts if len(self.track.order) else None
        if not self._inside:
            if run.first is not None and pts != run.first:
                return
            self._enter(packet.stream)
        if run.needed is not None and pts not in run.needed:
            return
        for frame in medium.decode(packet):
            self._take(frame)
        if self._short and medium.errors:
            raise Missed
        if run.last is not None and pts == run.last:
            self._leave(medium, packet.stream, run)

    def _enter(self, stream) -> None:
        if self._entered:
            stream.codec_context.flush_buffers()
            self._last = None
        self._inside = True
        self._entered += 1

    def _leave(self, medium, stream, run: PacketRun) -> None:
        """Every packet that is needed is in: what the decoder still holds must be the rest."""
        if not self._open.keys().isdisjoint(run.wanted):
            for frame in medium.drain(stream):
                self._take(frame)
            if not self._open.keys().isdisjoint(run.wanted):
                raise Missed
        self._inside = False
        self._route.pop(0)

    def _take(self, frame) -> None:
        pts = self._stamp(frame)
        if len(self.track.keys):
            self._check(pts, frame)
        row = self._open.pop(pts, None)
        if row is not None:
            # The second field may be missing; what damage does depends on what came before.
            if self._short and (frame.interlaced_frame or frame.is_corrupt):
                raise Missed
            self.corrupt += frame.is_corrupt
            self._convert(frame, self.pixels[row])

    def _check(self, pts: int, frame) -> None:
        """Times from packets: each frame must be one of them, in order, and none be skipped."""
        early = self._last is not None and pts <= self._last
        # The frames wanted are taken in ascending order: the first is the next.
        if early or pts > next(iter(self._open), pts) or frame.pts is None:
            raise Missed
        if self._last is None and not frame.key_frame:
            first = self._route[0].first
            if first is not None and first > self.track.pts[0]:
                raise Missed
        self._last = pts

    def _convert(self, frame, out: Pixels) -> None:
        turns, mirror = self.track.turns, self.track.mirror
        if not turns and not mirror:
            to_rgb(frame, out)
            return
        height, width = out.shape[:2] if turns % 2 == 0 else out.shape[1::-1]
        upright = np.empty((height, width, 3), np.uint8)
        to_rgb(frame, upright)
        out[:] = turned(upright, turns, mirror)
