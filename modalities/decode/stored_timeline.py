"""A file's timeline as bytes, to be kept beside what else an index knows of the file."""

import json
import zlib
from dataclasses import asdict, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media import MediaInfo
from .demuxer import Kind
from .origin import Origin
from .packet_index import AudioTrack, Timeline, VideoTrack, cached, identity, remember

_FORMAT = 2
_LARGEST = 1 << 28  # bytes that a timeline may take, unpacked
_LONGEST = 1 << 25  # numbers that an array of it may have: two weeks of pictures
_WIDTHS = (np.int8, np.int16, np.int32, np.int64)


def pack(found: Timeline, size: int) -> bytes:
    """A timeline, and the size in bytes of the file that it is of.

    Numbers of packets and ticks are kept as their differences, which are small and repeat; where
    all are the same, as one.
    """
    arrays: list[bytes] = []
    head = {
        "format": _FORMAT,
        "size": size,
        "info": asdict(replace(found.info, path="")),
        "zero": _ratio(found.zero),
        "kind": found.kind,
        "ends_early": found.ends_early,
        "video": _track(found.video, arrays),
        "audio": _track(found.audio, arrays),
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    return zlib.compress(b"".join([len(text).to_bytes(4, "little"), text, *arrays]))


def unpack(data: bytes, origin: Origin) -> Timeline | None:
    """The timeline; None if it is of another version, of another file or damaged."""
    try:
        raw = zlib.decompressobj().decompress(data, _LARGEST)
        end = 4 + int.from_bytes(raw[:4], "little")
        head = json.loads(raw[4:end])
        if head["format"] != _FORMAT or head["size"] != origin.size:
            return None
        video, end = _read_track(VideoTrack, head["video"], raw, end)
        audio, end = _read_track(AudioTrack, head["audio"], raw, end)
        motion = tuple(head["info"].pop("motion"))
        info = MediaInfo(**{**head["info"], "path": origin.name, "motion": motion})
        zero, kind = Fraction(*head["zero"]), Kind(*head["kind"])
        found = Timeline(info, video, audio, zero, kind, head["ends_early"])
        return found if video is None or _agrees(video) else None
    except (ValueError, KeyError, TypeError, OverflowError, ZeroDivisionError, zlib.error):
        return None


def prime(origin: Origin, data: bytes) -> None:
    """Puts a stored timeline into the cache, so that nobody has to look at all packets again."""
    key = identity(origin, None, None)
    if not cached(key) and (found := unpack(data, origin)):
        remember(key, found)


def _ratio(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator


def _track(track: VideoTrack | AudioTrack | None, arrays: list[bytes]) -> dict[str, Any] | None:
    """The fields of a track as JSON; bytes of its arrays are appended to `arrays`."""
    if track is None:
        return None
    out: dict[str, Any] = {}
    for field in fields(track):
        value = getattr(track, field.name)
        if isinstance(value, np.ndarray):
            about, data = _bits(value) if value.dtype == bool else _steps(value)
            out[field.name] = {"count": len(value), **about}
            arrays.append(data)
        else:
            out[field.name] = {"ratio": _ratio(value)} if isinstance(value, Fraction) else value
    return out


def _bits(values: NDArray[np.bool_]) -> tuple[dict[str, int], bytes]:
    return {"bits": 1}, np.packbits(values).tobytes()


def _steps(values: NDArray) -> tuple[dict[str, int], bytes]:
    """The first value, and the difference of all that follow or the bytes of each and those."""
    if not len(values):
        return {"first": 0, "step": 0}, b""
    first, steps = int(values[0]), np.diff(values)
    low, high = (int(steps.min()), int(steps.max())) if len(steps) else (0, 0)
    if low == high:
        return {"first": first, "step": low}, b""
    fits = (w for w in _WIDTHS if np.iinfo(w).min <= low and high <= np.iinfo(w).max)
    width = next(fits)
    return {"first": first, "width": np.dtype(width).itemsize}, steps.astype(width).tobytes()


def _read_track(kind: type, head: dict | None, raw: bytes, at: int) -> tuple[Any, int]:
    """A track, and where its arrays end in the bytes."""
    if head is None:
        return None, at
    values: dict[str, Any] = {}
    for name, value in head.items():
        if isinstance(value, dict) and "count" in value:
            values[name], at = _restored(value, raw, at)
        elif isinstance(value, dict):
            values[name] = Fraction(*value["ratio"])
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values), at


def _restored(head: dict[str, int], raw: bytes, at: int) -> tuple[NDArray, int]:
    count = head["count"]
    if not 0 <= count <= _LONGEST:
        raise ValueError("longer than any film")
    if "bits" in head:
        data = np.frombuffer(raw, np.uint8, (count + 7) // 8, at)
        return np.unpackbits(data, count=count).view(bool), at + len(data)
    if "step" in head:
        return head["first"] + head["step"] * np.arange(count), at
    out = np.empty(count, np.int64)
    steps = np.frombuffer(raw, f"<i{head['width']}", count - 1, at)
    out[0] = head["first"]
    np.cumsum(steps, dtype=np.int64, out=out[1:])
    out[1:] += out[0]
    return out, at + steps.nbytes


def _agrees(track: VideoTrack) -> bool:
    """Whether the arrays of a track can belong together."""
    frames, packets, keys = len(track.pts), len(track.order), len(track.keys)
    numbers = (track.place, track.key_place)
    return (
        frames > 0
        and bool((np.diff(track.pts) > 0).all())
        and len(track.spare) == packets
        and len(track.place) in (frames, 0)
        and len(track.key_place) == len(track.before) == keys
        and all(not len(x) or 0 <= x.min() <= x.max() < max(packets, 1) for x in numbers)
        and min(track.size) > 0
        and track.base > 0
    )
