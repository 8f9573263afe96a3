"""A part of a longer medium, as a medium of its own whose clock starts at zero."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..modalities.media import AudioSpan, Kind, MediaError, MediaInfo, Plan, Sample

_TICK = 2e-6  # readers take a time less than a microsecond before a frame for its start


@dataclass(frozen=True, slots=True)
class Segment:
    """From `start` to `end` seconds on the medium's clock; None: to its end."""

    start: float = 0.0
    end: float | None = None

    @property
    def fragment(self) -> str:
        """What is added to the file's name, in the notation of media fragments (W3C)."""
        end = "" if self.end is None else f",{self.end:.10g}"
        return f"#t={self.start:.10g}{end}"

    def fault(self, kind: Kind, duration: float) -> str:
        """Why a medium of this kind and length in seconds has no such segment; "" if it has."""
        if kind == "image":
            return "a picture has no segments; leave start and end out"
        if self.start >= duration:
            return f"the segment starts after the end of the medium ({duration:.3f} s)"
        return ""

    def info(self, whole: MediaInfo) -> MediaInfo:
        """What is known of the segment, as of a medium of its own.

        Args:
            whole: of the medium. A segment that ends after it is cut short.

        Raises:
            MediaError: a picture, or a segment that starts after the medium's end.
        """
        path = whole.path + self.fragment
        if fault := self.fault(whole.kind, whole.duration):
            raise MediaError(path, "probe", fault)
        end = whole.duration if self.end is None else min(whole.duration, self.end)
        duration = end - self.start
        low = min(max(whole.audio_start, self.start), end)
        high = min(max(whole.audio_start + whole.audio_duration, self.start), end)
        sound = {"audio_start": low - self.start, "audio_duration": high - low}
        if high <= low:
            sound = {"audio_rate": 0, "audio_channels": 0, "audio_start": 0, "audio_duration": 0}
        frames = round(whole.frames * duration / whole.duration)
        return replace(
            whole, path=path, duration=duration, frames=frames, motion=self.motion(whole), **sound
        )

    def motion(self, whole: MediaInfo) -> tuple[float, ...]:
        """Of the seconds in which the segment lies."""
        end = None if self.end is None else -int(-self.end // 1)
        return whole.motion[int(self.start) : end]

    def read(self, info: MediaInfo, plan: Plan, read: Callable[[Plan], Sample]) -> Sample:
        """What a plan on the segment's clock asks.

        Args:
            info: the segment's.
            plan: whose times count from the segment's start; `past_end` speaks of its end.
            read: gives what a plan on the medium's own clock asks.

        Raises:
            MediaError: a time outside the segment where `past_end` is "error".
        """
        instants = tuple(self._instant(t, info, plan) for t in plan.times)
        pairs = tuple((self._instant(a, info, plan), self._instant(b, info, plan))
                      for a, b in plan.flow)  # fmt: skip
        pieces = [piece for span in plan.audio for piece in _pieces(span, info, plan)]
        spans = tuple(
            AudioSpan(self.start + first / rate, count / rate, rate)
            for first, count, rate in pieces
            if first is not None
        )
        sample = read(replace(plan, times=instants, flow=pairs, audio=spans, past_end="repeat"))
        times = None if sample.times is None else sample.times - self.start
        audio = _joined(sample.audio, pieces, info) if pieces else None
        return replace(sample, times=times, audio=audio, audio_rate=pieces[0][2] if pieces else 0)

    def _instant(self, time: float, info: MediaInfo, plan: Plan) -> float:
        """Seconds on the medium's clock that stand for a time of the segment."""
        duration = info.duration
        if -1e-6 <= time < duration:
            time = max(time, 0.0)
        elif plan.past_end == "wrap":
            time %= duration
        elif plan.past_end == "repeat":
            time = min(max(time, 0.0), max(duration - _TICK, 0.0))
        else:
            reason = f"a frame is asked at {time:.3f} s of {duration:.3f} s"
            raise MediaError(info.path, "plan", reason)
        return self.start + time


def segment_of(start: float | None, end: float | None) -> Segment | None:
    """The segment that a row's cells mean, None if they are empty."""
    return None if start is None and end is None else Segment(start or 0.0, end)


# First sample on the segment's clock (None: silence), number of samples, Hz.
_Piece = tuple[int | None, int, int]


def _pieces(span: AudioSpan, info: MediaInfo, plan: Plan) -> Iterator[_Piece]:
    """The parts of a span: where it lies in the segment, and where it does not."""
    rate, count = span.rate, span.samples
    first = round(span.start * rate)
    length = max(round(info.duration * rate), 1)
    if not info.has_audio:
        raise MediaError(info.path, "plan", "sound is asked of a segment without sound")
    if plan.past_end == "error" and (first < 0 or first + count > length + 1):
        end = span.start + span.duration
        reason = f"sound asked from {span.start:.3f} to {end:.3f} s of {info.duration:.3f} s"
        raise MediaError(info.path, "plan", f"{reason}; past_end says what to do there")
    while count > 0:
        inside = 0 <= first < length
        if plan.past_end == "wrap" and not inside:
            first %= length
            continue
        room = length - first if inside else (-first if first < 0 else count)
        taken = min(count, room)
        yield (first if inside else None, taken, rate)
        first, count = first + taken, count - taken


def _joined(audio: Tensor | None, pieces: list[_Piece], info: MediaInfo) -> Tensor:
    """The sound that was read, one part behind the other, with the silence between."""
    channels = info.audio_channels if audio is None else len(audio)
    parts, at = [], 0
    for first, count, _ in pieces:
        if first is None or audio is None:
            parts.append(torch.zeros(channels, count))
            continue
        parts.append(audio[:, at : at + count])
        at += count
    return torch.cat(parts, 1)
