"""One full decode of a file: what it is, what is wrong with it, how much it moves and sounds."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..image import Picture, still_picture
from ..media import MediaInfo
from ..motion import Motion
from . import packet_index, stored_timeline
from .audio import to_packed_floats
from .demuxer import Medium
from .failures import failing
from .ffmpeg_log import complaints
from .origin import Readable, origin_of
from .reader import probe

_RATE = 8000  # Hz at which loudness is measured
_QUIET = 1e-3  # -60 dB of full scale
_FLOOR = -120.0  # dB, stands for digital silence


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a full decode found.

    Attributes:
        info: of the file, with its motion.
        frames: video frames that came out of the decoder.
        corrupt: how many of them the decoder flagged as damaged.
        errors: what the decoder complained of, in its words.
        loudness: of the sound, dB relative to full scale (0 is the loudest possible sine's peak);
            -120 for digital silence, None without sound.
        silence: share of the sound's tenths of a second that lie below -60 dB, None likewise.
        ends_early: where the file ends against what its container promises, empty if it is whole.
        motion: from frame to frame; None of pictures, and where it could not be measured.
        unmeasured: what could not be measured and why, empty if all could. The file may be read
            all the same.
        timeline: as `stored_timeline.pack` gives it; empty of pictures.
    """

    info: MediaInfo
    frames: int = 0
    corrupt: int = 0
    errors: tuple[str, ...] = ()
    loudness: float | None = None
    silence: float | None = None
    ends_early: str = ""
    motion: Motion | None = None
    unmeasured: str = ""
    timeline: bytes = b""


def analyze(medium: Readable) -> Analysis:
    """Decodes all of a medium once.

    Raises:
        MediaError: it cannot be read at all.
    """
    origin = origin_of(medium)
    with still_picture(origin) as picture:
        if picture:
            return _of_picture(picture)
    info = probe(medium)
    motion, sound = _Guarded("motion", Motion()), _Guarded("loudness", Loudness())
    frames = corrupt = 0
    with complaints() as said, Medium(origin) as opened, failing(origin.name, "decode"):
        for packet in opened.packets():
            for frame in opened.decode(packet):
                if hasattr(frame, "is_corrupt") and hasattr(frame, "height"):
                    frames += 1
                    corrupt += frame.is_corrupt
                    motion.add(frame)
                else:
                    sound.add(frame)
    said += opened.errors
    speeds = motion.result(lambda m: m.per_second(info.duration)) if info.has_video else ()
    loudness, silence = sound.result(Loudness.result) or (None, None)
    known = packet_index.cached(packet_index.identity(origin, None, None))
    return Analysis(
        replace(info, motion=speeds or ()),
        frames,
        corrupt,
        tuple(dict.fromkeys(said)),
        loudness,
        silence,
        known.ends_early if known else "",
        motion.what if not motion.failure else None,
        "; ".join(filter(None, (motion.failure, sound.failure))),
        stored_timeline.pack(known, origin.size) if known else b"",
    )


def _of_picture(picture: Picture) -> Analysis:
    info = picture.info()
    picture.read()
    reason = picture.damage()
    return Analysis(info, frames=1, errors=(f"jpeg: {reason}",) if reason else ())


class _Measure(Protocol):
    def add(self, frame: Any) -> None: ...


M = TypeVar("M", bound=_Measure)
R = TypeVar("R")


class _Guarded(Generic[M]):
    """A measure that, if it fails, says so instead of making the file look unreadable."""

    def __init__(self, name: str, what: M):
        self.name, self.what, self.failure = name, what, ""

    def add(self, frame: Any) -> None:
        """Measures one more frame, unless an earlier one could not be."""
        if not self.failure:
            self._tried(lambda what: what.add(frame))

    def result(self, of: Callable[[M], R]) -> R | None:
        """What `of` makes of the measure, None if that failed now or before."""
        return None if self.failure else self._tried(of)

    def _tried(self, act: Callable[[M], R]) -> R | None:
        try:
            return act(self.what)
        except Exception as error:  # libraries throw all sorts
            reason = " ".join(str(error).split())[:200]
            self.failure = f"{self.name}: {type(error).__name__}: {reason}"
            return None


@dataclass(slots=True)
class Loudness:
    """Mean power of the sound, as the mean of its channels, and how much of it is silent."""

    _resampler: Any = None
    _layout: Any = None  # of the first frame
    _power: list[float] = field(default_factory=list)
    _rest: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, frame) -> None:
        """Takes the next decoded frame of sound."""
        frame.pts = None
        if self._resampler is None:
            self._layout = frame.layout
            self._resampler = to_packed_floats(self._layout.name, _RATE)
        try:
            parts = self._resampler.resample(frame)
        except ValueError:  # the stream changed its rate or layout
            self._resampler = to_packed_floats(self._layout.name, _RATE)
            parts = self._resampler.resample(frame)
        # Encoders hear the mean of all channels; FFmpeg's mono weighs them.
        channels = self._layout.nb_channels
        mono = (part.to_ndarray().reshape(-1, channels).mean(1) for part in parts)
        block = _RATE // 10
        wave = np.concatenate([self._rest, *mono])
        whole = len(wave) // block * block
        self._power += np.square(wave[:whole].reshape(-1, block)).mean(1).tolist()
        self._rest = wave[whole:]

    def result(self) -> tuple[float | None, float | None]:
        """Loudness in dB and the silent share, None and None without sound."""
        power = np.array(self._power or ([np.square(self._rest).mean()] if len(self._rest) else []))
        if not len(power):
            return None, None
        mean = float(np.nan_to_num(power).mean())
        level = 10 * np.log10(mean) if mean > 0 else _FLOOR
        return round(max(level, _FLOOR), 2), round(float((power < _QUIET**2).mean()), 4)
