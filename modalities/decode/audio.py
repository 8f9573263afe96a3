"""Sound at exact times: placed by the packets' times, silent where the file has none."""

import functools
import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..media import AudioSpan, MediaError, PastEnd
from .demuxer import Missed
from .packet_index import AudioTrack

_PREROLL = Fraction(1, 2)  # seconds decoded and dropped, so that codecs with memory settle
_NEAR = 10  # seconds from the sound's start within which decoding starts there
_PHASES = 1024  # at most in a table of resampling filters
_MAX_SAMPLES = 1 << 30


class Sound:
    """Takes the audio packets of one pass, keeps the samples that a span needs.

    Args:
        track: the file's sound.
        zero: the clock's zero on the container's clock, seconds.
        duration: seconds of the medium; a span beyond it is treated as `past_end` says.
        span: what is wanted.
        past_end: "error", "repeat" (silence) or "wrap".
        path: for messages.

    Attributes:
        begins: seconds on the container's clock from which packets are needed.
        before: number of the track's packets that start before that.
        done: no later packet is needed.

    Raises:
        MediaError: the span leaves the medium and `past_end` is "error".
    """

    def __init__(
        self,
        track: AudioTrack,
        zero: Fraction,
        duration: float,
        span: AudioSpan,
        past_end: PastEnd,
        path: str,
    ):
        self.track, self.zero, self.span, self.path = track, zero, span, path
        self._period = max(round(Fraction(duration) * track.rate), 1)
        self._lead, self._low, self._high = _needed(span, track.rate)
        start = round(Fraction(span.start) * track.rate)
        inside = start >= 0 and span.start + span.duration <= duration + 1 / span.rate
        if not inside and past_end == "error":
            reason = (
                f"sound asked from {span.start:.3f} to {span.start + span.duration:.3f} s"
                f" of {duration:.3f} s; past_end says what to do there"
            )
            raise MediaError(path, "plan", reason)
        self._wrap = past_end == "wrap" and not inside
        low, high = (0, self._period) if self._wrap else (self._low, self._high)
        self._low, self._take = low, (self._low, self._high)
        self._high = high
        if high - low > _MAX_SAMPLES:
            raise MediaError(path, "plan", f"{high - low} samples of sound are too many")
        self._samples = np.zeros((track.channels, high - low), np.float32)
        self._next: int | None = None  # position at which the next decoded sample goes
        self._jumped = False  # earlier packets were skipped, nothing is decoded yet
        self._resampler = None
        self.done = False
        self.begins = zero + Fraction(max(low, 0), track.rate) - _PREROLL
        ticks = self.begins / track.base
        self.before = max(int(np.searchsorted(track.packets, float(ticks), "right")) - 1, 0)
        self._skips = self.begins - track.start > _NEAR and len(track.packets) > 0

    @property
    def skips(self) -> bool:
        """Whether packets before `begins` are not needed."""
        return self._skips

    def feed(self, medium, packet) -> None:
        """Decodes a packet and keeps what is wanted of it."""
        if self._skips and packet.pts is not None:
            if (packet.pts + (packet.duration or 0)) * self.track.base < self.begins:
                return
            if int(np.searchsorted(self.track.packets, packet.pts)) > self.before + 1:
                raise Missed  # a seek went too far
            self._skips = False
            self._jumped = True
        for frame in medium.decode(packet):
            self._place(frame)

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

    def _place(self, frame) -> None:
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
        for block in self._converted(frame):
            self._put(block)
        self.done = self._next >= self._high

    def _put(self, block: NDArray[np.float32]) -> None:
        first = self._next or 0
        last = self._next = first + block.shape[1]
        low, high = max(first, self._low, 0), min(last, self._high, self._period)
        if low < high:
            target = self._samples[:, low - self._low : high - self._low]
            target[:] = block[:, low - first : high - first]

    def _converted(self, frame) -> list[NDArray[np.float32]]:
        """The frame's samples [C, n] in the layout and rate that the track began with."""
        from av import AudioResampler

        frame.pts = None
        if self._resampler is None:
            self._resampler = AudioResampler("flt", self.track.layout, self.track.rate)
        try:
            frames = self._resampler.resample(frame)
        except ValueError:  # the stream changed its rate, layout or format
            self._resampler = AudioResampler("flt", self.track.layout, self.track.rate)
            frames = self._resampler.resample(frame)
        # Packed samples only: PyAV crashes on to_ndarray of eight planar channels.
        channels = self.track.channels
        return [f.to_ndarray().astype(np.float32).reshape(-1, channels).T for f in frames]

    def result(self) -> Tensor:
        """float32 [C, span.samples] in [-1, 1] at the span's rate."""
        samples = self._samples
        if self._wrap:
            samples = samples[:, np.arange(*self._take) % self._period]
        sound = torch.from_numpy(samples)
        rate = self.track.rate
        if rate != self.span.rate:
            sound = resample(sound, rate, self.span.rate)
        lead = self._lead * self.span.rate // rate
        return sound[:, lead : lead + self.span.samples].clamp(-1, 1).contiguous()


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
