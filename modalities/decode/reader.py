"""Reading media by time: one open and one pass for everything that a plan asks of a file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from ..flow.cache import shared_cache
from ..flow.estimate import estimator
from ..flow.method import DEFAULT
from ..image import Picture, resize, still_picture
from ..media import MediaError, MediaInfo, Plan, Sample
from . import packet_index
from .audio import Excerpt, Sound
from .backends import decord_frames, torchcodec_frames
from .demuxer import Medium
from .failures import Missed, failing
from .file_pool import FilePool
from .frame_pairs import FramePairs
from .frames import Frames, frames_at, start_seconds
from .origin import Origin, Readable, origin_of
from .packet_index import Timeline, VideoTrack
from .sound_file import close_sound_files, read_ranges
from .stored_timeline import prime

if TYPE_CHECKING:
    from av import Packet

Backend = Literal["auto", "av", "decord", "torchcodec"]
_OTHERS = {"decord": decord_frames, "torchcodec": torchcodec_frames}
_FAR = 12  # packets that are cheaper to read past than to seek over
_FILES = 32
_PIXELS = 1 << 22  # of all open files' pictures; a decoder may hold twenty of its own
_pool: FilePool[Medium] = FilePool(lambda medium: medium.pixels, _PIXELS, _FILES)


def close_files() -> None:
    """Closes the files that this process has left open."""
    _pool.clear()
    close_sound_files()


def probe(medium: Readable, *, video: int | None = None, audio: int | None = None) -> MediaInfo:
    """What is known of a medium, from one pass over its packets or from its header.

    Args:
        medium: a video, a sound or a picture: its path, its bytes, a binary file object, or a URL
            that fsspec understands.
        video: number of the video stream, None: the file's default one.
        audio: number of the audio stream, likewise.

    Raises:
        MediaError: the file holds nothing that can be decoded.
    """
    origin = origin_of(medium)
    key = packet_index.identity(origin, video, audio)
    if known := packet_index.cached(key):
        return known.info
    with still_picture(origin) as picture:
        if picture:
            return picture.info()
    with Medium(origin, video=video, audio=audio, keep=True) as opened:
        return packet_index.timeline(opened, key).info


def read(
    medium: Readable,
    plan: Plan,
    backend: Backend = "auto",
    info: MediaInfo | None = None,
    *,
    video: int | None = None,
    audio: int | None = None,
    strict: bool = False,
    timeline: Callable[[], bytes | None] | None = None,
) -> Sample:
    """What a plan asks of a medium.

    The frame returned for a time is the one whose presentation interval contains it; a time
    less than a microsecond before a frame counts as its start. Sound is placed by its packets'
    times, exact to one sample, and silent where the file has none.

    Args:
        medium: a video, a sound or a picture: its path, its bytes, a binary file object, or a URL
            that fsspec understands.
        plan: times on the file's own clock (see `media`).
        backend: "av"; "decord" or "torchcodec", which give the same frames or refuse the file, as
            "unsupported"; "auto" is "av", which is the fastest and reads them all.
        info: what is known of the medium, if it is: spares a look at its first bytes.
        video: number of the video stream, None: the file's default one.
        audio: number of the audio stream, likewise.
        strict: refuse what decodes only with errors, is flagged as corrupt or ends early.
        timeline: gives the timeline of its default streams, as `stored_timeline.pack` made it;
            asked for if it is not known already. It spares the pass over all packets that the
            first reading takes, and is left aside if it is not this medium's.

    Raises:
        MediaError: the file cannot be read as asked.
        InputError: the plan's method of flow is unknown or not to be had.
    """
    origin = origin_of(medium)
    if plan.flow:
        # What is wrong with the method or the cache is wrong with no file.
        estimator(plan.flow_method or DEFAULT)
        shared_cache()
    if backend not in get_args(Backend):
        names = ", ".join(get_args(Backend))
        raise MediaError(origin.name, "open", f"no such backend as {backend!r}: {names}")
    if strict and backend not in ("auto", "av"):
        reason = f"unsupported by {backend} (its complaints are not heard); use the backend av"
        raise MediaError(origin.name, "open", f"strict reading is {reason}")
    # Strict reading has a timeline of its own, whose making was listened to as well.
    key = packet_index.identity(origin, video, audio, *(1,) * strict)
    if timeline and key[-2:] == (None, None) and not packet_index.cached(key):
        prime(origin, timeline() or b"")
    if not packet_index.cached(key) and not (info and info.kind != "image"):
        with still_picture(origin) as picture:
            if picture:
                return _read_picture(picture, plan, strict)
    with _strictly(origin.name, key) if strict else nullcontext([]) as faults:
        if not strict and (sound := _read_sound_file(origin, key, plan)):
            return sound
        return _read_av(origin, plan, key, (video, audio), backend, faults, packets=strict)


def _read_sound_file(origin: Origin, key: tuple, plan: Plan) -> Sample | None:
    """The plan's spans of a file that libsndfile seeks; None: it has to be read otherwise."""
    found = packet_index.cached(key)
    if not found or not found.audio or not found.audio.sought or plan.times or plan.flow:
        return None
    excerpts = _excerpts(origin.name, found, plan)
    inside = [(max(e.low, 0), min(e.high, round(found.audio.end * e.rate))) for e in excerpts]
    ranges = [(low, max(low, high)) for low, high in inside]
    try:
        blocks = read_ranges(origin, ranges)
    except MediaError:  # damaged within: FFmpeg reads on behind it
        packet_index.forget(key)
        return None
    for excerpt, (first, _), block in zip(excerpts, ranges, blocks, strict=True):
        excerpt.put(first, block)
    return Sample(**_joined(excerpts), note=plan.note)


@contextmanager
def _strictly(name: str, key: tuple) -> Iterator[list[str]]:
    """Raises MediaError if faults were noted inside or FFmpeg complained."""
    from .ffmpeg_log import complaints

    faults: list[str] = []
    with complaints() as said:
        yield faults
    if faults or said:
        packet_index.forget(key)
        raise MediaError(name, "decode", f"damaged: {(faults + said)[0]}")


def _read_picture(source: Picture, plan: Plan, strict: bool) -> Sample:
    if plan.audio:
        raise MediaError(source.name, "plan", "a picture has no sound")
    picture = source.read()
    if strict and (reason := source.damage()):
        raise MediaError(source.name, "decode", f"damaged: {reason}")
    if plan.short_side:
        picture = resize(picture, plan.short_side)
    count = len(plan.times)
    flow = picture.new_zeros(len(plan.flow), 2, *picture.shape[1:]).float() if plan.flow else None
    if not count:
        return Sample(flow=flow, note=plan.note)
    frames = picture.expand(count, -1, -1, -1)
    return Sample(frames, torch.zeros(count, dtype=torch.float64), flow=flow, note=plan.note)


def _read_av(
    origin: Origin,
    plan: Plan,
    key: tuple,
    choice: tuple[int | None, int | None],
    backend: Backend,
    faults: list[str],
    *,
    packets: bool,
) -> Sample:
    # Sound is counted from the file's start, where decoders drop what they were primed with.
    with _opened(origin, key, choice, reuse=not plan.audio) as medium:
        found = packet_index.timeline(medium, key, packets=packets)
        if found.audio and found.audio.sought:
            if sample := _read_sound_file(origin, key, plan):
                return sample
            found = packet_index.timeline(medium, key, packets=True)
        faults += [found.ends_early] * bool(found.ends_early) + medium.errors
        for short in (True, False):
            with suppress(Missed), failing(medium.name, "decode"):
                return _execute(
                    medium, found, plan, key, short=short, backend=backend, faults=faults
                )
        found = packet_index.recounted(medium, key, found)
        with suppress(Missed), failing(medium.name, "decode"):
            return _execute(medium, found, plan, key, short=False, backend=backend, faults=faults)
    raise MediaError(origin.name, "decode", "gives other frames every time")


@contextmanager
def _opened(
    origin: Origin, key: tuple, choice: tuple[int | None, int | None], reuse: bool
) -> Iterator[Medium]:
    """The medium, open: from the pool if `reuse` allows it; it goes back there if all went well.

    Args:
        origin: where its bytes are.
        key: its `packet_index.identity`.
        choice: numbers of the video and the audio stream.
        reuse: whether the reader starts at a seek, so that it need not be fresh.
    """
    known = packet_index.cached(key)
    kind = known.kind if known else None
    reuse = reuse and origin.path is not None
    medium = _pool.take(key) if reuse and kind else None
    if medium is None:
        keep = kind is None
        medium = Medium(origin, video=choice[0], audio=choice[1], keep=keep, known=kind)
    try:
        yield medium
    except BaseException:
        medium.close()
        raise
    if reuse and not medium.errors and packet_index.indexed(medium):
        medium.rest()
        _pool.put(key, medium)
    else:
        medium.close()


def _execute(
    medium: Medium,
    found: Timeline,
    plan: Plan,
    key: tuple,
    *,
    short: bool,
    backend: Backend,
    faults: list[str],
) -> Sample:
    frames, numbers, pairs = _frames(medium, found, plan, key, short)
    excerpts = _excerpts(medium.name, found, plan)
    sound = Sound(found.audio, found.zero, excerpts) if found.audio and excerpts else None
    if frames and backend in _OTHERS:
        height, width = frames.pixels.shape[1:3]
        frames.fill(_OTHERS[backend](medium, found, frames.numbers, (height, width)))
    _pass(medium, found, frames, sound, short)
    faults += medium.errors
    sample: dict[str, Any] = {}
    if frames and found.video:
        faults += ["a frame is flagged as corrupt"] * bool(frames.corrupt)
    if found.video and pairs is not None:
        sample = _pictures(found.video, frames, numbers, pairs)
    return Sample(**sample, **_joined(excerpts), note=plan.note)


def _frames(
    medium: Medium, found: Timeline, plan: Plan, key: tuple, short: bool
) -> tuple[Frames | None, list[int], FramePairs | None]:
    """What takes the frames that are needed, if any; the numbers of those of the plan's times; and
    what gives its flow."""
    times = plan.times + tuple(t for pair in plan.flow for t in pair)
    if not times:
        return None, [], None
    if not found.video:
        raise MediaError(medium.name, "plan", "frames are asked of a file without video")
    inside = [_inside(t, found.info.duration, plan.past_end, medium.name) for t in times]
    every, count = frames_at(found.video, inside), len(plan.times)
    pairs = list(zip(every[count::2], every[count + 1 :: 2], strict=True))
    content = medium.origin.content() if pairs and shared_cache() else None
    film = (*content, *key[len(medium.origin.key) :]) if content else None
    flow = FramePairs(found.video, pairs, plan.short_side, plan.flow_method, film)
    needed = every[:count] + flow.needed
    frames = Frames(found.video, needed, plan.short_side, short) if needed else None
    return frames, every[:count], flow


def _inside(time: float, duration: float, past_end: str, name: str) -> float:
    """The time within [0, duration) that stands for the one asked for."""
    if -1e-6 <= time < duration:
        return max(time, 0.0)
    if past_end == "wrap":
        return time % duration
    if past_end == "repeat":
        return min(max(time, 0.0), duration)
    raise MediaError(name, "plan", f"a frame is asked at {time:.3f} s of {duration:.3f} s")


def _excerpts(name: str, found: Timeline, plan: Plan) -> list[Excerpt]:
    if not plan.audio:
        return []
    if not found.audio:
        raise MediaError(name, "plan", "sound is asked of a file without sound")
    about = (found.audio.rate, found.audio.channels, found.info.duration)
    return [Excerpt(*about, span, plan.past_end, name) for span in plan.audio]


def _joined(excerpts: list[Excerpt]) -> dict[str, Any]:
    """The sample's sound: one span after another."""
    if not excerpts:
        return {}
    sound = torch.cat([excerpt.result() for excerpt in excerpts], 1)
    return {"audio": sound, "audio_rate": excerpts[0].span.rate}


def _pass(
    medium: Medium, found: Timeline, frames: Frames | None, sound: Sound | None, seek: bool
) -> None:
    """Feeds packets until nothing more is wanted, seeking over those that nobody needs."""
    sinks: dict[int, Frames | Sound] = {}
    if frames and medium.video and not frames.done:
        sinks[medium.video.index] = frames
    if sound and medium.audio and not sound.done:
        sinks[medium.audio.index] = sound
    if not sinks:
        return
    packets = _packets(medium, list(sinks.values()), seek)
    # An empty packet counts as false, and is the one that ends a stream.
    while (packet := next(packets, None)) is not None:
        sink = sinks.get(packet.stream.index)
        if sink is None:
            continue
        before = sink.ahead
        sink.feed(medium, packet)
        if sink.done:
            del sinks[packet.stream.index]
            if not sinks:
                return
        elif sink.ahead is before:
            continue
        if min(waiting.gap for waiting in sinks.values()) >= _FAR:
            packets = _packets(medium, list(sinks.values()), seek, packets)
    if frames and not frames.done:
        raise Missed


def _packets(
    medium: Medium,
    sinks: list[Frames | Sound],
    seek: bool,
    going: "Iterator[Packet] | None" = None,
) -> "Iterator[Packet]":
    """Packets from the file's start, or from a seek where that saves reading many.

    `going` are packets that are being read already; without a seek they go on.
    """
    ends = [sink.landing() for sink in sinks] if seek and packet_index.indexed(medium) else [None]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends):  # somebody needs the file from its start
        return going or medium.packets()
    before, begins = (min(column) for column in zip(*known, strict=True))
    if medium.in_memory or (medium.fresh and before < _FAR):
        return going or medium.packets()
    stream = medium.streams[0]
    return medium.packets_from(int(begins // stream.time_base), stream)


def _pictures(
    track: VideoTrack, frames: Frames | None, numbers: list[int], pairs: FramePairs
) -> dict[str, Any]:
    pixels = torch.from_numpy(frames.pixels).permute(0, 3, 1, 2) if frames else torch.empty(0)
    row = {number: k for k, number in enumerate(frames.numbers)} if frames else {}
    out: dict[str, Any] = {}
    if numbers:
        rows = [row[n] for n in numbers]
        out["frames"] = pixels if rows == list(range(len(pixels))) else pixels[rows]
        out["times"] = torch.tensor(start_seconds(track, numbers), dtype=torch.float64)
    if pairs:
        out["flow"] = pairs.flow(pixels, row)
    return out
