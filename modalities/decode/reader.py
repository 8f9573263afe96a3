"""Reading media by time: one open and one pass for everything that a plan asks of a file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from ..image import damage, is_picture, picture_info, read_picture, resize
from ..media import AudioSpan, MediaError, MediaInfo, Plan, Sample
from . import packet_index as timing
from .audio import Sound
from .backends import decord_frames, torchcodec_frames
from .demuxer import Medium, Missed, failing
from .file_pool import opened
from .frames import Frames, frames_at, start_seconds
from .packet_index import Timeline, VideoTrack

if TYPE_CHECKING:
    from av import Packet

Backend = Literal["auto", "av", "decord", "torchcodec"]
_OTHERS = {"decord": decord_frames, "torchcodec": torchcodec_frames}
_FAR = 12  # packets that are cheaper to read past than to seek over


def probe(
    path: str | os.PathLike, *, video: int | None = None, audio: int | None = None
) -> MediaInfo:
    """What is known of a file, from one pass over its packets.

    Args:
        path: a video, a sound or a picture.
        video: number of the video stream, None: the file's default one.
        audio: number of the audio stream, likewise.

    Raises:
        MediaError: the file holds nothing that can be decoded.
    """
    path = os.fspath(path)
    if is_picture(path):
        return picture_info(path)
    key = timing.identity(path, video, audio)
    if known := timing.cached(key):
        return known.info
    with Medium(path, video=video, audio=audio, keep=True) as medium:
        return timing.timeline(medium, key).info


def read(
    path: str | os.PathLike,
    plan: Plan,
    backend: Backend = "auto",
    info: MediaInfo | None = None,
    *,
    video: int | None = None,
    audio: int | None = None,
    strict: bool = False,
) -> Sample:
    """What a plan asks of a file.

    The frame returned for a time is the one whose presentation interval contains it; a time
    less than a microsecond before a frame counts as its start. Sound is placed by its packets'
    times, exact to one sample, and silent where the file has none.

    Args:
        path: a video, a sound or a picture.
        plan: times on the file's own clock (see `media`).
        backend: "av"; "decord" or "torchcodec", which give the same frames or refuse the file, as
            "unsupported"; "auto" is "av", which is the fastest and reads them all.
        info: what is known of the file, if it is: spares a look at its first bytes.
        video: number of the video stream, None: the file's default one.
        audio: number of the audio stream, likewise.
        strict: refuse what decodes only with errors, is flagged as corrupt or ends early.

    Raises:
        MediaError: the file cannot be read as asked.
    """
    path = os.fspath(path)
    if backend not in get_args(Backend):
        names = ", ".join(get_args(Backend))
        raise MediaError(path, "open", f"no such backend as {backend!r}: {names}")
    if strict and backend not in ("auto", "av"):
        reason = f"unsupported by {backend} (its complaints are not heard); use the backend av"
        raise MediaError(path, "open", f"strict reading is {reason}")
    # Strict reading has a timeline of its own, whose making was listened to as well.
    key = timing.identity(path, video, audio, *(1,) * strict)
    if not timing.cached(key) and (info.kind == "image" if info else is_picture(path)):
        return _read_picture(path, plan, strict)
    with _strictly(path, key) if strict else nullcontext([]) as faults:
        how = (key, (video, audio), backend, faults)
        sample = _read_av(path, replace(plan, audio=plan.audio[:1]), *how)
        further = [_read_av(path, _alone(plan, span), *how).audio for span in plan.audio[1:]]
    sounds = [x for x in (sample.audio, *further) if x is not None]
    return replace(sample, audio=torch.cat(sounds, 1), note=plan.note) if further else sample


def _alone(plan: Plan, span: AudioSpan) -> Plan:
    """The same plan for one span of sound and nothing else."""
    return Plan(audio=(span,), past_end=plan.past_end)


@contextmanager
def _strictly(path: str, key: tuple) -> Iterator[list[str]]:
    """Raises MediaError if faults were noted inside or FFmpeg complained."""
    from .ffmpeg_log import complaints

    faults: list[str] = []
    with complaints() as said:
        yield faults
    if faults or said:
        timing.forget(key)
        raise MediaError(path, "decode", f"damaged: {(faults + said)[0]}")


def _read_picture(path: str, plan: Plan, strict: bool) -> Sample:
    if plan.audio:
        raise MediaError(path, "plan", "a picture has no sound")
    picture = read_picture(path)
    if strict and (reason := damage(path)):
        raise MediaError(path, "decode", f"damaged: {reason}")
    if plan.short_side:
        picture = resize(picture, plan.short_side)
    count = len(plan.times)
    flow = picture.new_zeros(len(plan.flow), 2, *picture.shape[1:]).float() if plan.flow else None
    if not count:
        return Sample(flow=flow, note=plan.note)
    frames = picture.expand(count, -1, -1, -1)
    return Sample(frames, torch.zeros(count, dtype=torch.float64), flow=flow, note=plan.note)


def _read_av(
    path: str,
    plan: Plan,
    key: tuple,
    choice: tuple[int | None, int | None],
    backend: Backend,
    faults: list[str],
) -> Sample:
    # Sound is counted from the file's start, where decoders drop what they were primed with.
    with opened(path, key, choice, reuse=not plan.audio) as medium:
        found = timing.timeline(medium, key)
        faults += [found.ends_early] * bool(found.ends_early) + medium.errors
        for short in (True, False):
            with suppress(Missed), failing(path, "decode"):
                return _execute(medium, found, plan, short=short, backend=backend, faults=faults)
        found = timing.recounted(medium, key, found)
        with suppress(Missed), failing(path, "decode"):
            return _execute(medium, found, plan, short=False, backend=backend, faults=faults)
    raise MediaError(path, "decode", "gives other frames every time")


def _execute(
    medium: Medium,
    found: Timeline,
    plan: Plan,
    *,
    short: bool,
    backend: Backend,
    faults: list[str],
) -> Sample:
    times = plan.times + tuple(t for pair in plan.flow for t in pair)
    frames, numbers = _frames(medium.path, found, plan, times, short)
    sound = _sound(medium.path, found, plan)
    if frames and backend in _OTHERS:
        height, width = frames.pixels.shape[1:3]
        frames.fill(_OTHERS[backend](medium, found, frames.numbers, (height, width)))
    _pass(medium, found, frames, sound, short)
    faults += medium.errors
    sample: dict[str, Any] = {}
    if frames and found.video:
        faults += ["a frame is flagged as corrupt"] * bool(frames.corrupt)
        sample = _pictures(found.video, frames, numbers, plan)
    if sound and plan.audio:
        sample.update(audio=sound.result(), audio_rate=plan.audio[0].rate)
    return Sample(**sample, note=plan.note)


def _frames(
    path: str, found: Timeline, plan: Plan, times: Sequence[float], short: bool
) -> tuple[Frames | None, list[int]]:
    if not times:
        return None, []
    if not found.video:
        raise MediaError(path, "plan", "frames are asked of a file without video")
    inside = [_inside(t, found.info.duration, plan.past_end, path) for t in times]
    numbers = frames_at(found.video, inside)
    return Frames(found.video, numbers, plan.short_side, short), numbers


def _inside(time: float, duration: float, past_end: str, path: str) -> float:
    """The time within [0, duration) that stands for the one asked for."""
    if -1e-6 <= time < duration:
        return max(time, 0.0)
    if past_end == "wrap":
        return time % duration
    if past_end == "repeat":
        return min(max(time, 0.0), duration)
    raise MediaError(path, "plan", f"a frame is asked at {time:.3f} s of {duration:.3f} s")


def _sound(path: str, found: Timeline, plan: Plan) -> Sound | None:
    if not plan.audio:
        return None
    if not found.audio:
        raise MediaError(path, "plan", "sound is asked of a file without sound")
    duration = found.info.duration
    return Sound(found.audio, found.zero, duration, plan.audio[0], plan.past_end, path)


def _pass(
    medium: Medium, found: Timeline, frames: Frames | None, sound: Sound | None, seek: bool
) -> None:
    """Feeds packets until nothing more is wanted."""
    sinks: dict[int, Frames | Sound] = {}
    if frames and medium.video and not frames.done:
        sinks[medium.video.index] = frames
    if sound and medium.audio:
        sinks[medium.audio.index] = sound
    if not sinks:
        return
    packets, sought = _packets(medium, found, frames, sound, seek), None
    # An empty packet counts as false, and is the one that ends a stream.
    while (packet := next(packets, None)) is not None:
        sink = sinks.get(packet.stream.index)
        if sink is None:
            continue
        sink.feed(medium, packet)
        if sink.done:
            del sinks[packet.stream.index]
            if not sinks:
                return
        far = frames.ahead if frames and sink is frames and len(sinks) == 1 else None
        if far and far.gap >= _FAR and far is not sought:
            sought = far
            packets = _packets(medium, found, frames, None, seek, packets)
    if frames and not frames.done:
        raise Missed


def _packets(
    medium: Medium,
    found: Timeline,
    frames: Frames | None,
    sound: Sound | None,
    seek: bool,
    going: "Iterator[Packet] | None" = None,
) -> "Iterator[Packet]":
    """Packets from the file's start, or from a seek where that saves reading many.

    `going` are packets that are being read already; without a seek they go on.
    """
    landing = _landing(found, frames, sound) if seek and timing.indexed(medium) else None
    near = medium.in_memory or (medium.fresh and landing and landing[0] < _FAR)
    if landing is None or near:
        return going or medium.packets()
    stream = medium.streams[0]
    return medium.packets_from(int(landing[1] // stream.time_base), stream)


def _landing(
    found: Timeline, frames: Frames | None, sound: Sound | None
) -> tuple[int, Fraction] | None:
    """Number of packets that nobody needs and the seconds at which they end.

    None: somebody needs the file from its start.
    """
    ends = []
    if frames and found.video and not frames.done:
        if not frames.ahead or frames.ahead.first is None:
            return None
        ends.append((frames.ahead.before, found.video.base * frames.ahead.first))
    if sound:
        if not sound.skips:
            return None
        ends.append((sound.before, sound.begins))
    return min(end[0] for end in ends), min(end[1] for end in ends)


def _pictures(track: VideoTrack, frames: Frames, numbers: list[int], plan: Plan) -> dict:
    row = {number: k for k, number in enumerate(frames.numbers)}
    rows = [row[n] for n in numbers]
    pixels = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2)
    count = len(plan.times)
    out: dict = {}
    if count:
        same = rows[:count] == list(range(len(pixels)))
        out["frames"] = pixels if same else pixels[rows[:count]]
        out["times"] = torch.tensor(start_seconds(track, numbers[:count]), dtype=torch.float64)
    if plan.flow:
        out["flow"] = _flow(pixels, rows[count:])
    return out


def _flow(pixels: Tensor, rows: list[int]) -> Tensor:
    from ..flow import dis

    pairs = zip(rows[::2], rows[1::2], strict=True)
    return torch.stack([dis(pixels[a], pixels[b]) for a, b in pairs])
