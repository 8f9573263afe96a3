"""One full decode of a file: what it is, what is wrong with it, how much it moves and sounds."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..image import damage, is_picture, read_picture
from ..media import MediaInfo
from ..motion import Motion
from . import packet_index as timing
from .demuxer import Medium, failing
from .ffmpeg_log import complaints
from .reader import probe

_RATE = 8000  # Hz at which loudness is measured
_QUIET = 1e-3  # -60 dB of full scale
_FLOOR = -120.0  # dB, stands for digital silence


@dataclass(frozen=True, slots=True)
class Survey:
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
        motion: from frame to frame; None of pictures.
    """

    info: MediaInfo
    frames: int = 0
    corrupt: int = 0
    errors: tuple[str, ...] = ()
    loudness: float | None = None
    silence: float | None = None
    ends_early: str = ""
    motion: Motion | None = None


def survey(path: str | os.PathLike) -> Survey:
    """Decodes all of a file once.

    Raises:
        MediaError: it cannot be read at all.
    """
    path = os.fspath(path)
    info = probe(path)
    if is_picture(path):
        read_picture(path)
        reason = damage(path)
        return Survey(info, frames=1, errors=(f"jpeg: {reason}",) if reason else ())
    motion, sound = Motion(), Loudness()
    corrupt = 0
    with complaints() as said, Medium(path) as medium, failing(path, "decode"):
        for packet in medium.packets():
            for frame in medium.decode(packet):
                if hasattr(frame, "is_corrupt") and hasattr(frame, "height"):
                    corrupt += frame.is_corrupt
                    motion.add(frame)
                else:
                    sound.add(frame)
    said += medium.errors
    facts: dict[str, Any] = {n: getattr(info, n) for n in MediaInfo.__slots__}
    facts["motion"] = motion.per_second(info.duration) if info.has_video else ()
    errors = tuple(dict.fromkeys(said))
    known = timing.cached(timing.identity(path, None, None))
    early = known.ends_early if known else ""
    loudness = sound.result()
    return Survey(MediaInfo(**facts), motion.count, corrupt, errors, *loudness, early, motion)


@dataclass(slots=True)
class Loudness:
    """Mean power of the sound, as the mean of its channels, and how much of it is silent."""

    _resampler: Any = None
    _layout: Any = None  # of the first frame
    _power: list[float] = field(default_factory=list)
    _rest: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def add(self, frame) -> None:
        """Takes the next decoded frame of sound."""
        from av import AudioResampler

        frame.pts = None
        if self._resampler is None:
            self._layout = frame.layout
            self._resampler = AudioResampler("flt", self._layout.name, _RATE)
        try:
            parts = self._resampler.resample(frame)
        except ValueError:  # the stream changed its rate or layout
            self._resampler = AudioResampler("flt", self._layout.name, _RATE)
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
