"""Sound at exact times: placed by the packets' times, silent where the file has none."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..media import AudioSpan, MediaError, PastEnd
from .failures import Missed
from .packet_index import AudioTrack

if TYPE_CHECKING:
    from av import AudioResampler

_PREROLL = Fraction(1, 2)  # seconds decoded and dropped, so that codecs with memory settle
_NEAR = 10  # seconds from the sound's start within which decoding starts there
_PHASES = 1024  # at most in a table of resampling filters
_MAX_SAMPLES = 1 << 30
_CHANNELS = 64  # of swresample, at most


class Excerpt:
    """A span of sound while it is read.

    Args:
        rate: Hz of the file.
        channels: of the file.
        duration: seconds of the medium; a span beyond it is treated as `past_end` says.
        span: what is wanted.
        past_end: "error", "repeat" (silence) or "wrap".
        name: of the medium, for messages.

    Attributes:
        low, high: positions, at the file's rate and from the clock's zero on, of the first sample
            that is needed and of the one after the last.

    Raises:
        MediaError: the span leaves the medium and `past_end` is "error".
    """

    def __init__(
        self,
        rate: int,
        channels: int,
        duration: float,
        span: AudioSpan,
        past_end: PastEnd,
        name: str,
    ):
        self.rate, self.span = rate, span
        self._period = max(round(Fraction(duration) * rate), 1)
        self._lead, *self._take = _needed(span, rate)
        start = round(Fraction(span.start) * rate)
        inside = start >= 0 and span.start + span.duration <= duration + 1 / span.rate
        if not inside and past_end == "error":
            reason = (
                f"sound asked from {span.start:.3f} to {span.start + span.duration:.3f} s"
                f" of {duration:.3f} s; past_end says what to do there"
            )
            raise MediaError(name, "plan", reason)
        self._wrap = past_end == "wrap" and not inside
        self.low, self.high = (0, self._period) if self._wrap else self._take
        if self.high - self.low > _MAX_SAMPLES:
            reason = f"{self.high - self.low} samples of sound are too many"
            raise MediaError(name, "plan", reason)
        self._samples = np.zeros((channels, self.high - self.low), np.float32)

    def put(self, first: int, block: NDArray[np.float32]) -> None:
        """Takes what it needs of the samples [C, n] that start at position `first`."""
        low = max(first, self.low, 0)
        high = min(first + block.shape[1], self.high, self._period)
        if low < high:
            self._samples[:, low - self.low : high - self.low] = block[
                :, low - first : high - first
            ]

    def result(self) -> Tensor:
        """float32 [C, span.samples] in [-1, 1] at the span's rate."""
        samples = self._samples
        if self._wrap:
            samples = samples[:, np.arange(*self._take) % self._period]
        sound = torch.from_numpy(samples)
        if self.rate != self.span.rate:
            sound = resample(sound, self.rate, self.span.rate)
        lead = self._lead * self.span.rate // self.rate
        return sound[:, lead : lead + self.span.samples].clamp(-1, 1).contiguous()


@dataclass(slots=True)
class Run:
    """Packets of sound that are decoded one after another.

    Attributes:
        begins: seconds on the container's clock from which packets are needed.
        before: number of the track's packets that start before that.
        high: position of the first sample that is no longer needed.
        skips: whether earlier packets are not needed.
    """

    begins: Fraction
    before: int
    high: int
    skips: bool


class Sound:
    """Takes the audio packets of one pass, hands the samples to the excerpts that need them.

    Excerpts that lie near each other are decoded in one run; between runs the reader may seek.

    Args:
        track: the file's sound.
        zero: the clock's zero on the container's clock, seconds.
        excerpts: what is wanted.
    """

    def __init__(self, track: AudioTrack, zero: Fraction, excerpts: Sequence[Excerpt]):
        self.track, self.zero, self.excerpts = track, zero, excerpts
        self._runs = _runs(track, zero, excerpts)
        self._inside = False  # between the first and the last packet of self._runs[0]
        self._place = -1  # number of the packet that came last
        self._next: int | None = None  # position at which the next decoded sample goes
        self._jumped = False  # earlier packets were skipped, nothing is decoded yet
        self._resampler = None

    @property
    def done(self) -> bool:
        """Whether no later packet is needed."""
        return not self._runs

    @property
    def ahead(self) -> Run | None:
        """The run of packets to which one may seek now, None while one is being decoded."""
        run = None if self._inside or not self._runs else self._runs[0]
        return run if run and run.skips else None

    @property
    def gap(self) -> int:
        """Number of the track's packets that can be skipped from here on."""
        run = self.ahead
        return run.before - self._place - 1 if run and self._place >= 0 else 0

    def landing(self) -> tuple[int, Fraction] | None:
        """Number of packets not needed, and the seconds at which they end; None: none of them."""
        run = self.ahead
        return (run.before, run.begins) if run else None

    def feed(self, medium, packet) -> None:
        """Decodes a packet and keeps what is wanted of it."""
        pts, run = packet.pts, self._runs[0]
        if pts is not None and len(self.track.packets):
            self._place = int(np.searchsorted(self.track.packets, pts))
        if not self._inside:
            if run.skips and pts is not None:
                if (pts + (packet.duration or 0)) * self.track.base < run.begins:
                    return
                if self._place > run.before + 1:
                    raise Missed  # a seek went too far
            self._enter(packet, run)
        for frame in medium.decode(packet):
            self._take(frame)
        if self._next is not None and self._next >= run.high:
            self._inside = False
            self._runs.pop(0)

    def _enter(self, packet, run: Run) -> None:
        if self._next is not None:
            packet.stream.codec_context.flush_buffers()
            self._next = self._resampler = None
        self._inside, self._jumped = True, run.skips and packet.pts is not None

    def _counted(self, pts: int) -> int | None:
        """Position of a packet's samples from the number before them: finer than its ticks."""
        track = self.track
        number = int(np.searchsorted(track.packets, pts))
        if not track.block or number <= track.anchor:
            return None
        blocks = number - track.anchor - 1
        return self._position(track.start) + track.head + blocks * track.block

    def _position(self, seconds: Fraction) -> int:
        return round((seconds - self.zero) * self.track.rate)

    def _take(self, frame) -> None:
        track, pts = self.track, frame.pts
        if self._jumped and pts is not None:
            self._next, self._jumped = self._counted(pts), False
        if pts is not None:
            told = self._position(pts * track.base)
            slack = max(0.002, min(1.5 * float(track.base), 0.05)) * track.rate
            # Ticks are often coarser than samples: as long as they agree, samples follow on.
            if self._next is None or abs(told - self._next) > slack:
                self._next = told
        elif self._next is None:
            self._next = self._position(track.start)
        first = self._next or 0
        for block in self._converted(frame):
            for excerpt in self.excerpts:
                excerpt.put(first, block)
            first += block.shape[1]
        self._next = first

    def _converted(self, frame) -> list[NDArray[np.float32]]:
        """The frame's samples [C, n] in the layout and rate that the track began with."""
        frame.pts = None
        if self._resampler is None:
            self._resampler = to_packed_floats(self.track.layout, self.track.rate)
        try:
            frames = self._resampler.resample(frame)
        except ValueError:  # the stream changed its rate, layout or format
            self._resampler = to_packed_floats(self.track.layout, self.track.rate)
            frames = self._resampler.resample(frame)
        # Packed samples only: PyAV crashes on to_ndarray of eight planar channels.
        channels = self.track.channels
        return [f.to_ndarray().astype(np.float32).reshape(-1, channels).T for f in frames]


def to_packed_floats(layout: str, rate: int) -> "AudioResampler":
    """A converter of frames of sound. Raises ValueError for more channels than FFmpeg's has."""
    from av import AudioLayout, AudioResampler

    channels = AudioLayout(layout).nb_channels
    if channels > _CHANNELS:
        raise ValueError(f"{channels} channels of sound, of which FFmpeg converts {_CHANNELS}")
    return AudioResampler("flt", layout, rate)


def _runs(track: AudioTrack, zero: Fraction, excerpts: Sequence[Excerpt]) -> list[Run]:
    """What to decode for these excerpts, in order of time."""
    runs: list[Run] = []
    for excerpt in sorted(excerpts, key=lambda excerpt: excerpt.low):
        begins = zero + Fraction(max(excerpt.low, 0), track.rate) - _PREROLL
        skips = begins - track.start > _NEAR and len(track.packets) > 0
        if runs and (not skips or begins <= zero + Fraction(runs[-1].high, track.rate)):
            runs[-1].high = max(runs[-1].high, excerpt.high)
            continue
        ticks = float(begins / track.base)
        before = max(int(np.searchsorted(track.packets, ticks, "right")) - 1, 0)
        runs.append(Run(begins, before, excerpt.high, skips))
    return runs


def _needed(span: AudioSpan, rate: int) -> tuple[int, int, int]:
    """Samples to read at the file's rate: how many before the span, first, last + 1.

    The lead is a whole number of samples at both rates, so that resampling keeps positions.
    """
    start = round(Fraction(span.start) * rate)
    if rate == span.rate:
        return 0, start, start + span.samples
    unit = rate // math.gcd(rate, span.rate)
    width = math.ceil(_FILTER * rate / min(rate, span.rate)) + 1
    lead = math.ceil(width / unit) * unit
    count = math.ceil(span.samples * rate / span.rate) + width
    return lead, start - lead, start + count


_FILTER = 8  # zero crossings of the resampling filter on each side, with room to spare


def resample(sound: Tensor, rate: int, new_rate: int) -> Tensor:
    """Sound [C, N] at another rate (Hz), windowed-sinc interpolated, first samples aligned."""
    if new_rate // math.gcd(rate, new_rate) <= _PHASES:
        return _resampler(rate, new_rate)(sound)
    return _interpolated(sound, rate, new_rate)


@functools.lru_cache(maxsize=16)
def _resampler(rate: int, new_rate: int):
    from torchaudio.transforms import Resample

    return Resample(rate, new_rate)


def _interpolated(sound: Tensor, rate: int, new_rate: int) -> Tensor:
    """The same filter, its weights computed sample by sample.

    For rates with so little in common (11127 Hz) that a table of all phases would fill memory.
    """
    cutoff = 0.99 * min(1.0, new_rate / rate)
    reach = math.ceil(6 / cutoff)
    padded = functional.pad(sound, (reach, reach + 1))
    parts = []
    for outputs in torch.arange(math.ceil(sound.shape[1] * new_rate / rate)).split(1 << 16):
        position = outputs.double() * rate / new_rate
        taps = position.floor().long()[:, None] + torch.arange(-reach, reach + 1)
        distance = ((taps - position[:, None]) * cutoff).clamp(-6, 6)
        weights = torch.sinc(distance) * torch.cos(distance * math.pi / 12) ** 2 * cutoff
        parts.append((padded[:, taps + reach] * weights.float()).sum(-1))
    return torch.cat(parts, 1)
