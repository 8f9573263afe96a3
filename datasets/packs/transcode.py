"""One file of an index as a clip of a pack: decoded, shrunk and compressed in a child process."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...modalities.decode.sandbox import Reply
from ...modalities.media import AudioSpan, MediaError, MediaInfo, PastEnd, Plan, Sample
from ..segment import Segment, segment_of
from .flow import FlowWriter

Chroma = Literal["420", "422", "444"]
_TOGETHER, _BYTES = 256, 1 << 27  # frames decoded in one pass, and what they may take


@dataclass(frozen=True, slots=True)
class PackSettings:
    """What a pack keeps of its media.

    Attributes:
        short_side: pixels of the shorter side; smaller pictures keep their size.
        quality: of the JPEGs, 1 … 100.
        chroma: "420" keeps a quarter of the colour samples, "444" all.
        audio_rate: Hz; 0 leaves the sound out.
        fps: frames per second to keep at most, None: every frame.
        flow: also store optical flow from each frame to a later one of the film, packed or not, at
            the packed size: the method, see `modalities.flow.method`; None for none.
        flow_interval: how many seconds later; at the film's end less, to its last frame.
        flow_bits: 8 or 16 of each rounded value, see `modalities.flow.compression`.
        flow_backward: also store the flow from there to here.

    Pictures that need no resizing keep their bytes, whatever `quality` says.
    """

    short_side: int = 128
    quality: int = 90
    chroma: Chroma = "420"
    audio_rate: int = 16000
    fps: float | None = None
    flow: str | None = None
    flow_interval: float = 0.08
    flow_bits: Literal[8, 16] = 16
    flow_backward: bool = False


@dataclass(frozen=True, slots=True)
class _Medium:
    """What is packed: a file, or a segment of it, on a clock that starts at zero."""

    path: str
    whole: MediaInfo
    segment: Segment | None

    @property
    def info(self) -> MediaInfo:
        return self.segment.info(self.whole) if self.segment else self.whole

    def read(self, plan: Plan) -> Sample:
        if self.segment:
            return self.segment.read(self.info, plan, self._read)
        return self._read(plan)

    def _read(self, plan: Plan) -> Sample:
        from ...modalities.decode.reader import read

        return read(self.path, plan, info=self.whole)

    def frame_starts(self) -> NDArray[np.float64]:
        """Seconds at which each frame starts; of a segment's first one not before it."""
        from ...modalities.decode.frames import start_seconds
        from ...modalities.decode.origin import origin_of
        from ...modalities.decode.packet_index import cached, identity

        known = cached(identity(origin_of(self.path), None, None))
        assert known is not None
        track = known.video
        assert track is not None
        starts = np.array(start_seconds(track, range(len(track.pts))))
        if not self.segment:
            return starts
        starts -= self.segment.start
        first = max(int(starts.searchsorted(1e-6, "right")) - 1, 0)
        return starts[first : starts.searchsorted(self.info.duration - 1e-6)].clip(0.0)


def pack_job(
    path: str, settings: dict[str, Any], start: float | None = None, end: float | None = None
) -> Reply:
    """A file's packed facts and its bytes: pictures, sound, flow, flow back, one after another.

    Args:
        path: of the file.
        settings: the fields of `PackSettings`.
        start, end: seconds of the segment that is meant.

    Raises:
        MediaError: the file cannot be read, or has no such segment.
    """
    from ...modalities.decode.reader import probe

    wanted, medium = PackSettings(**settings), _Medium(path, probe(path), segment_of(start, end))
    info = medium.info
    facts: dict[str, Any] = {"times": [], "height": 0, "width": 0, "channels": 0, "codec": "jpeg"}
    facts |= {"flow_to": [], "pairs": 0}
    pictures: list[bytes] = []
    flows = FlowWriter(wanted.flow, wanted.flow_bits, wanted.flow_backward) if wanted.flow else None
    sound = b""
    if info.kind == "image" and min(info.height, info.width) <= wanted.short_side:
        pictures = [_original(path, info, facts)]
    elif info.kind != "audio":
        pictures = _pictures(medium, wanted, facts, flows)
    if info.has_audio and wanted.audio_rate:
        sound = _sound(medium, wanted.audio_rate, facts)
    known = {name: getattr(info, name) for name in _CLOCK}
    facts.update(jpegs=len(pictures), info=known)
    if not flows:
        return facts, [*pictures, sound]
    facts["flow_to"] = flows.to
    return facts, [*pictures, sound, *flows.there, *flows.back]


# What is different in a segment, or unknown of a row that another tool has added.
_CLOCK = ("kind", "duration", "fps", "audio_start", "audio_duration")


def _original(path: str, info: MediaInfo, facts: dict) -> bytes:
    """A picture's own bytes. "jpeg" are those that simplejpeg decodes to the same pixels."""
    import simplejpeg

    from ...modalities.decode.reader import read

    data = Path(path).read_bytes()
    facts.update(times=[0.0], height=info.height, width=info.width, codec=f"original {info.codec}")
    frames = read(data, Plan((0.0,))).frames
    assert frames is not None
    if simplejpeg.is_jpeg(data) and info.codec == "jpeg":
        with suppress(ValueError):
            pixels = torch.from_numpy(simplejpeg.decode_jpeg(data, "RGB")).permute(2, 0, 1)
            facts["codec"] = "jpeg" if pixels.equal(frames[0]) else facts["codec"]
    return data


def _pictures(
    medium: _Medium, wanted: PackSettings, facts: dict, flows: FlowWriter | None
) -> list[bytes]:
    import simplejpeg

    jpegs: list[bytes] = []
    starts = np.zeros(1) if medium.info.kind == "image" else medium.frame_starts()
    packed = _packed(starts, medium.info, wanted.fps)
    later = starts[packed] + wanted.flow_interval
    second = _shown(starts, later)
    facts["pairs"] = int((later < medium.info.duration - 1e-6).sum()) if flows else 0
    partner = dict(zip(packed.tolist(), second.tolist(), strict=True))
    needed = np.union1d(packed, second) if flows else packed
    last = -math.inf  # the first frame of a segment may have begun before it
    for number, time, pixels in _frames(medium, wanted, starts, needed):
        if number in partner and time > last:
            last = time
            facts["times"].append(time)
            facts["height"], facts["width"] = pixels.shape[:2]
            chroma = wanted.chroma
            jpegs.append(
                simplejpeg.encode_jpeg(pixels, wanted.quality, "RGB", colorsubsampling=chroma)
            )
            if flows:
                flows.first(partner[number], pixels)
        if flows:
            flows.second(number, time, pixels)
    if flows:
        flows.finish()
    return jpegs


def _frames(
    medium: _Medium, wanted: PackSettings, starts: NDArray[np.float64], needed: NDArray[np.int64]
) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    """Number, start and pixels [H, W, 3] of these frames, in order."""
    height, width = medium.info.height, medium.info.width
    side = min(wanted.short_side, height, width)
    bytes_ = 3 * side * side * max(height, width) // max(min(height, width), 1)
    count = min(max(_BYTES // max(bytes_, 1), 1), _TOGETHER)
    for k in range(0, len(needed), count):
        part = needed[k : k + count]
        plan = Plan(tuple(starts[part].tolist()), short_side=side, past_end="repeat")
        sample = medium.read(plan)
        assert sample.frames is not None
        assert sample.times is not None
        pictures = sample.frames.permute(0, 2, 3, 1).contiguous().numpy()
        yield from zip(part.tolist(), sample.times.tolist(), pictures, strict=True)


def _packed(starts: NDArray[np.float64], info: MediaInfo, fps: float | None) -> NDArray[np.int64]:
    """Numbers of the frames to keep."""
    if info.kind == "image" or fps is None or fps >= info.fps:
        return np.arange(len(starts))
    times = np.arange(max(int(np.ceil(info.duration * fps)), 1)) / fps
    return np.unique(_shown(starts, times))


def _shown(starts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of the frames that are shown at these seconds, as reading has it."""
    return np.maximum(starts.searchsorted(times + 1e-6, "right") - 1, 0)


def _sound(medium: _Medium, rate: int, facts: dict) -> bytes:
    span = AudioSpan(0.0, max(medium.info.duration, 1 / rate), rate)
    audio = medium.read(Plan(audio=(span,), past_end="repeat")).audio
    assert audio is not None
    facts["channels"] = audio.shape[0]
    values = (audio.numpy().T * 32767).round().astype("<i2")
    return np.ascontiguousarray(values).tobytes()


FULL_SCALE = 32767
_FILTER = 8  # zero crossings of the resampling filter on each side, with room to spare


def cut(
    audio: NDArray[np.int16],
    rate: int,
    duration: float,
    span: AudioSpan,
    past_end: PastEnd,
    path: str,
) -> Tensor:
    """float32 [C, span.samples] in [-1, 1] at the span's rate.

    Args:
        audio: int16 [N, C], from the clock's zero on.
        rate: Hz of it.
        duration: seconds of the medium.
        span: what is wanted.
        past_end: see `Plan`.
        path: for messages.

    Raises:
        MediaError: the span leaves the medium and `past_end` is "error".
    """
    start = round(Fraction(span.start) * rate)
    inside = start >= 0 and span.start + span.duration <= duration + 1 / span.rate
    if not inside and past_end == "error":
        end = span.start + span.duration
        reason = f"sound asked from {span.start:.3f} to {end:.3f} s of {duration:.3f} s"
        raise MediaError(path, "plan", f"{reason}; past_end says what to do there")
    lead, low, high = _needed(span, start, rate)
    if past_end == "wrap" and not inside:
        taken = audio[np.arange(low, high) % max(len(audio), 1)]
    else:
        taken = np.zeros((high - low, audio.shape[1]), np.int16)
        first, last = max(low, 0), min(high, len(audio))
        if first < last:
            taken[first - low : last - low] = audio[first:last]
    sound = torch.from_numpy(np.ascontiguousarray(taken.T)).float().div_(FULL_SCALE)
    if rate != span.rate:
        from ...modalities.decode.audio import resample

        sound = resample(sound, rate, span.rate)
    lead = lead * span.rate // rate
    return sound[:, lead : lead + span.samples].clamp(-1, 1).contiguous()


def _needed(span: AudioSpan, start: int, rate: int) -> tuple[int, int, int]:
    """Samples before the span for the filter, first and last + 1 to take.

    The lead is a whole number of samples at both rates, so that resampling keeps positions.
    """
    if rate == span.rate:
        return 0, start, start + span.samples
    unit = rate // math.gcd(rate, span.rate)
    width = math.ceil(_FILTER * rate / min(rate, span.rate)) + 1
    lead = math.ceil(width / unit) * unit
    return lead, start - lead, start + math.ceil(span.samples * rate / span.rate) + width
