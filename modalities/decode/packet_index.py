"""When each frame is shown and where sound begins: what one pass over a file's packets tells.

Headers miscount and mean frame rates mislead, so times come from the packets themselves, or from
a full decode where a container's packets cannot be trusted.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media import MediaError, MediaInfo
from . import sound_file
from .demuxer import Kind, Medium
from .disposable import spare_test
from .failures import failing
from .lru_cache import Recent
from .origin import Origin
from .pixels import display_size, orientation
from .truncation import missing_bytes

# Containers whose packets carry the time of every frame, and where decoding can start at a key
# frame. Program and transport streams, Ogg and raw streams are read from their start.
_INDEXED = ("mov", "matroska", "avi")  # FFmpeg's names, of all their relatives too
_EVEN = ("aac", "mp3", "mp3float", "mp2", "mp2float", "ac3", "eac3")  # packets of equal length
_LONGEST = 600  # seconds that a packet of sound may last
_CACHED_TIMES = 4_000_000
Ticks = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """The picture of a file.

    Attributes:
        pts: ticks at which each frame starts, ascending; the first is the clock's zero.
        end: ticks at which the last frame ends.
        base: seconds per tick.
        order: ticks of the packets in order of decoding; empty, as the next five, where packets
            do not tell which frame they hold.
        place: number in `order` of each frame's packet.
        spare: for each in `order`, whether the others can be decoded without it.
        keys: ticks of the frames at which decoding may start, ascending.
        key_place: number in `order` of each of them.
        before: number of packets in the file before each of them.
        step: ticks by which frames without a time of their own follow each other.
        size: height and width of what is returned before rotation, pixel aspect applied.
        turns, mirror: as `colour.orientation`.
        progressive: whether each packet is a whole frame, and not one of its two fields.
    """

    pts: Ticks
    end: int
    base: Fraction
    order: Ticks
    place: Ticks
    spare: NDArray[np.bool_]
    keys: Ticks
    key_place: Ticks
    before: Ticks
    step: int
    size: tuple[int, int]
    turns: int
    mirror: bool
    progressive: bool


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The sound of a file.

    Attributes:
        start, end: seconds on the container's clock.
        base: seconds per tick.
        rate: Hz.
        channels: number of channels; `layout` names their arrangement.
        packets: ticks at which each packet starts; empty where some have no time.
        anchor: number of the packet that gave the first samples.
        head: number of samples it gave.
        block: samples in every later packet, 0 where that varies.
        sought: libsndfile gives the samples at any position; no packets are listed.
    """

    start: Fraction
    end: Fraction
    base: Fraction
    rate: int
    channels: int
    layout: str
    packets: Ticks
    anchor: int
    head: int
    block: int
    sought: bool = False


@dataclass(frozen=True, slots=True)
class Timeline:
    """Everything that reading by time needs to know of a file."""

    info: MediaInfo
    video: VideoTrack | None
    audio: AudioTrack | None
    zero: Fraction  # the clock's zero, seconds on the container's clock
    kind: Kind
    ends_early: str  # in words, empty if the file does not


def _weight(found: Timeline) -> int:
    video, audio = found.video, found.audio
    return 100 + (3 * len(video.pts) if video else 0) + (len(audio.packets) if audio else 0)


_cache: Recent[Timeline] = Recent(_weight, _CACHED_TIMES, least=1)


def timeline(medium: Medium, key: tuple, *, packets: bool = False) -> Timeline:
    """The file's timeline, from the cache or from one pass over the medium, open and fresh.

    Args:
        medium: the file.
        key: its `identity`.
        packets: look at the packets also of sound files whose header says enough.

    Raises:
        MediaError: nothing in the file can be decoded.
    """
    if held := _cache.get(key):
        return held
    with failing(medium.name, "probe"):
        found = (None if packets else _from_header(medium)) or _scan(medium)
    return remember(key, found)


def recounted(medium: Medium, key: tuple, found: Timeline) -> Timeline:
    """The timeline with the frames that a full decode gives, its clock and duration unchanged.

    For files whose packets promised other frames than the decoder gives.
    """
    assert found.video is not None
    with failing(medium.name, "decode"):
        times, _ = _decoded(medium, found.video.step)
    times = times[times >= found.video.pts[0]]
    if not len(times):
        raise MediaError(medium.name, "decode", _nothing("video", medium))
    video = replace(found.video, pts=times, **_decoding([], times))
    info = replace(found.info, frames=len(times), fps=len(times) / found.info.duration)
    return remember(key, replace(found, video=video, info=info))


def remember(key: tuple, found: Timeline) -> Timeline:
    """Keeps a timeline in the cache; returns it."""
    _cache.put(key, found)
    return found


def indexed(medium: Medium) -> bool:
    """Whether the container knows the time of every packet and seeks by it."""
    return medium.format in _INDEXED


def identity(origin: Origin, *choice: int | None) -> tuple:
    """A cache key of these streams of a medium, which changes when the medium does."""
    return *origin.key, *choice


def cached(key: tuple) -> Timeline | None:
    """The timeline in the cache, if it is there."""
    return _cache.get(key)


def forget(key: tuple) -> None:
    """Drops a timeline: it will be made anew."""
    _cache.pop(key)


@dataclass(slots=True)
class _Row:
    pts: int | None
    duration: int
    key: bool
    hidden: bool
    number: int
    spare: bool


def _from_header(medium: Medium) -> Timeline | None:
    """The timeline of a sound file that libsndfile seeks exactly and FFmpeg says the same of."""
    stream = medium.audio
    if medium.video or stream is None or medium.format not in sound_file.FORMATS:
        return None
    length, base = sound_file.length(medium.origin), Fraction(stream.time_base or 1)
    context = stream.codec_context
    if length is None or (context.channels, context.sample_rate) != length[1:]:
        return None
    seconds = Fraction(length.samples, length.rate)
    if stream.start_time or stream.duration is None or stream.duration * base != seconds:
        return None
    none, layout = np.empty(0, np.int64), context.layout.name
    where = (Fraction(0), seconds, base, length.rate, length.channels, layout)
    found = _timeline(medium, None, AudioTrack(*where, none, 0, 0, 0, sought=True))
    return None if found.ends_early else found


def _scan(medium: Medium) -> Timeline:
    video, audio = medium.video, medium.audio
    context = video.codec_context if video else None
    is_spare = spare_test(context.name, context.extradata) if context else None
    rows: dict[int, list[_Row]] = {s.index: [] for s in medium.streams}
    first: dict[int, tuple[Any, int]] = {}  # stream: its first frame, the packet that gave it
    for number, packet in enumerate(medium.packets()):
        stream = packet.stream.index
        if stream not in first and (frames := medium.decode(packet)):
            first[stream] = frames[0], len(rows[stream])
        if packet.size:
            hidden, key = packet.is_discard, packet.is_keyframe
            mine = is_spare if packet.stream is video else None
            spare = not key and bool(mine and mine(bytes(packet)))
            rows[stream].append(_Row(packet.pts, packet.duration or 0, key, hidden, number, spare))
    if video and video.index not in first:
        raise MediaError(medium.name, "decode", _nothing("video", medium))
    sound = picture = None
    if audio and audio.index in first:
        sound = _audio(medium, rows[audio.index], *first[audio.index])
    if video:
        picture = _video(medium, rows[video.index], first[video.index][0])
    if not picture and not sound:
        raise MediaError(medium.name, "decode", _nothing("sound", medium))
    return _timeline(medium, picture, sound)


def _nothing(what: str, medium: Medium) -> str:
    reason = f" ({medium.errors[0]})" if medium.errors else ""
    return f"no {what} can be decoded{reason}"


def _audio(medium: Medium, rows: list[_Row], frame, anchor: int) -> AudioTrack:
    assert medium.audio is not None
    context = medium.audio.codec_context
    base = Fraction(medium.audio.time_base or 1)
    start = base * frame.pts if frame.pts is not None else Fraction(0)
    ticks = [row.pts for row in rows if row.pts is not None]
    # FFmpeg gives the last packet of an Ogg that was cut short 2^32 ticks.
    sane = [r for r in rows if r.pts is not None and r.duration * base < _LONGEST]
    end = max(
        base * max(((r.pts or 0) + r.duration for r in sane), default=0),
        start + Fraction(frame.samples, frame.sample_rate),
    )
    return AudioTrack(
        start,
        end,
        base,
        frame.sample_rate,
        frame.layout.nb_channels,
        frame.layout.name,
        np.array(ticks if len(ticks) == len(rows) else [], np.int64),
        anchor,
        frame.samples,
        context.frame_size or 0 if context.name in _EVEN else 0,
    )


def _video(medium: Medium, rows: list[_Row], frame) -> VideoTrack:
    stream = medium.video
    assert stream is not None
    base = Fraction(stream.time_base or 1)
    step = max(round(1 / (stream.guessed_rate or 25) / base), 1)
    aspect = float(stream.sample_aspect_ratio or 1)
    size = display_size(frame, aspect if 0.1 <= aspect <= 10 else 1.0)
    turns, mirror = orientation(frame)
    times = _trusted(medium, rows, frame)
    if times is not None:
        last = max((row.pts or 0, row.duration) for row in rows if not row.hidden)[1]
    else:
        times, last = _decoded(medium, step)
        rows = []
    if last <= 0:
        last = int(np.median(np.diff(times))) if len(times) > 1 else step
    return VideoTrack(
        pts=times,
        end=int(times[-1]) + last,
        base=base,
        step=step,
        size=size,
        turns=turns,
        mirror=mirror,
        progressive=not frame.interlaced_frame,
        **_decoding(rows, times),
    )


def _decoding(rows: list[_Row], times: Ticks) -> dict[str, Any]:
    """The fields of a VideoTrack that tell how to decode; no rows: from the start only."""
    order = np.array([row.pts for row in rows], np.int64)
    rank = np.argsort(order)
    keys = sorted((row.pts or 0, place, row.number) for place, row in enumerate(rows) if row.key)
    table = np.array(keys, np.int64).reshape(-1, 3)
    return {
        "order": order,
        "place": rank[order[rank].searchsorted(times)] if rows else order,
        "spare": np.array([row.spare for row in rows], bool),
        "keys": table[:, 0],
        "key_place": table[:, 1],
        "before": table[:, 2],
    }


def _trusted(medium: Medium, rows: list[_Row], first) -> Ticks | None:
    """Times of the frames as the packets have them, None if they cannot be believed."""
    if not indexed(medium) or medium.errors or any(row.pts is None for row in rows):
        return None
    if medium.format == "avi" and medium.video and medium.video.codec_context.has_b_frames:
        return None  # AVI stores no presentation times
    every = [row.pts for row in rows]
    shown = np.array([row.pts or 0 for row in rows if not row.hidden], np.int64)
    if len(set(every)) < len(every) or first.pts not in shown or not rows[0].key:
        return None
    shown.sort()
    return shown[shown >= first.pts]


def _decoded(medium: Medium, step: int) -> tuple[Ticks, int]:
    """Times of all frames that a full decode gives, and the last one's duration in ticks."""
    assert medium.video is not None
    stamp = Stamps(step)
    durations: dict[int, int] = {}
    for packet in medium.packets():
        if packet.stream.index == medium.video.index:
            for frame in medium.decode(packet):
                durations.setdefault(stamp(frame), frame.duration or 0)
    times = np.array(sorted(durations), np.int64)
    return times, durations[int(times[-1])]


class Stamps:
    """The time of each frame of a linear decode, made up where the file gives none."""

    def __init__(self, step: int):
        self.step, self.last = step, -step

    def __call__(self, frame) -> int:
        self.last = self.last + self.step if frame.pts is None else frame.pts
        return self.last


def _timeline(medium: Medium, video: VideoTrack | None, audio: AudioTrack | None) -> Timeline:
    zero = video.base * int(video.pts[0]) if video else audio.start if audio else Fraction(0)
    facts: dict = {}
    if audio and medium.audio:
        facts.update(
            duration=float(audio.end - audio.start),
            codec=medium.audio.codec_context.name,
            audio_rate=audio.rate,
            audio_channels=audio.channels,
            audio_start=float(audio.start - zero),
            audio_duration=float(audio.end - audio.start),
        )
    if video and medium.video:
        height, width = video.size if video.turns % 2 == 0 else video.size[::-1]
        duration = float(video.base * (video.end - int(video.pts[0])))
        facts.update(
            duration=duration,
            fps=len(video.pts) / duration,
            frames=len(video.pts),
            height=height,
            width=width,
            rotation=90 * video.turns,
            codec=medium.video.codec_context.name,
        )
    info = MediaInfo(medium.name, "video" if video else "audio", **facts)
    ends_early = _ends_early(medium, facts["duration"])
    return Timeline(info, video, audio, zero, medium.kind, ends_early)


def _ends_early(medium: Medium, seconds: float) -> str:
    missing = missing_bytes(medium.origin)
    if not missing:
        return ""
    promised = (medium.container.duration or 0) / 1e6
    of = f" of {promised:.2f}" if promised > seconds else ""
    return f"ends early: at {seconds:.2f}{of} s, {missing} bytes are missing"
