"""Damaged copies of media files, the same ones in every run: what disks, networks and foes do."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import media_factory as make
import numpy as np
from helpers import shared_data
from PIL import Image

COUNT = 60  # mutants per seed file: six of each kind

# Names of structures that say how large, how long or where something is.
_TAGS = [
    *b"mvhd tkhd mdhd elst stts ctts stss stsc stsz stco stsd avcC hvcC esds moof".split(),
    *b"avih strh strf idx1 00dc 01wb movi fmt\x20 IHDR IDAT FLV OggS Opus fLaC".split(),
    b"\x01vorbis",
    b"\x2a\xd7\xb1",  # Matroska: time scale, duration, cluster, its time, simple block, track
    b"\x44\x89",
    b"\x1f\x43\xb6\x75",
    b"\xe7",
    b"\xa3",
    b"\xae",
    b"\x00\x00\x01\xba",  # MPEG: pack, sequence, group of pictures, video and sound packets
    b"\x00\x00\x01\xb3",
    b"\x00\x00\x01\xb8",
    b"\x00\x00\x01\xe0",
    b"\x00\x00\x01\xc0",
    b"\xff\xd8",  # JPEG: start, frame, scan
    b"\xff\xc0",
    b"\xff\xda",
]
_EXTREMES = [0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def mutant(data: bytes, name: str, number: int) -> tuple[str, bytes]:
    """Damaged copy `number`, 0 … 59, of a seed file: its kind of damage and its content."""
    rng = Random(f"{name} {number}")
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, bytes(kind(bytearray(data), rng))


def one_bit(data: bytearray, rng: Random) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def many_bits(data: bytearray, rng: Random) -> bytearray:
    for _ in range(rng.choice([3, 10, 30, 100, 300])):
        one_bit(data, rng)
    return data


def zeroed(data: bytearray, rng: Random) -> bytearray:
    low, high = _stretch(data, rng)
    data[low:high] = bytes(high - low)
    return data


def noise(data: bytearray, rng: Random) -> bytearray:
    low, high = _stretch(data, rng)
    data[low:high] = rng.randbytes(high - low)
    return data


def truncated(data: bytearray, rng: Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def duplicated(data: bytearray, rng: Random) -> bytearray:
    low, high = _stretch(data, rng)
    return data[:high] + data[low:]


def deleted(data: bytearray, rng: Random) -> bytearray:
    low, high = _stretch(data, rng)
    return data[:low] + data[high:]


def swapped(data: bytearray, rng: Random) -> bytearray:
    a, b, c, d = sorted(rng.randrange(len(data)) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def header(data: bytearray, rng: Random) -> bytearray:
    """A few bytes near the start or the end, where containers keep their tables."""
    near = min(rng.choice([64, 512, 4096]), len(data))
    for _ in range(rng.choice([1, 2, 8])):
        place = rng.randrange(near)
        data[place if rng.random() < 0.6 else len(data) - 1 - place] = rng.randrange(256)
    return data


def sizes(data: bytearray, rng: Random) -> bytearray:
    """Numbers beside the names of structures: sizes, counts, durations, time scales."""
    for _ in range(rng.choice([1, 1, 3])):
        places = _places(data, rng.choice([t for t in _TAGS if t in data] or [data[:4]]))
        width = rng.choice([1, 2, 4])
        start = max(rng.choice(places) + rng.randrange(-4, 24), 0)
        value = rng.choice([*_EXTREMES, rng.getrandbits(32)]) & (1 << 8 * width) - 1
        data[start : start + width] = value.to_bytes(width, rng.choice(["big", "little"]))
    return data


KINDS: list[Callable[[bytearray, Random], bytearray]] = [
    one_bit,
    many_bits,
    zeroed,
    noise,
    truncated,
    duplicated,
    deleted,
    swapped,
    header,
    sizes,
]


def _stretch(data: bytearray, rng: Random) -> tuple[int, int]:
    """Where a stretch of 16 bytes to a tenth of the file lies."""
    size = int(16 * (max(len(data) / 160, 1)) ** rng.random())
    low = rng.randrange(max(len(data) - size, 1))
    return low, min(low + size, len(data))


def _places(data: bytearray, tag: bytes) -> list[int]:
    places, at = [], data.find(tag)
    while at >= 0 and len(places) < 200:
        places.append(at + len(tag))
        at = data.find(tag, at + 1)
    return places


REAL = {
    "mpeg4.avi": "video/jhmdb8/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi",
    "mpeg1_mp2.mpg": "av/grid/bbir6n.mpg",
    "h264_aac.mp4": "av/mixed/b.mp4",
    "hevc_10bit.mp4": "odd/h265_10bits.mp4",
    "av1_opus.webm": "odd/gizmo_av1_10bit_420.webm",
    "h264.flv": "odd/sample-with-key-frame-index.flv",
    "vorbis.ogg": "audio/esc10/001 - Dog bark/1-100032-A.ogg",
}


def _pictures(count: int, side: int = 96) -> list[np.ndarray]:
    """A coarse texture that wanders: another frame, or none, is 40 grey levels away."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8))
    world = np.asarray(coarse.resize((64 * 12, 64 * 12), Image.Resampling.BICUBIC))
    return [world[6 * k : 6 * k + side, 5 * k : 5 * k + side] for k in range(count)]


def _sound(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * 48_000)) / 48_000
    return (0.5 * np.sin(2 * np.pi * (300 * t + 200 * t**2)))[None].astype(np.float32)


def _film(path: Path, **options) -> None:
    make.write(path, _pictures(60), [k / 30 for k in range(60)], sound=_sound(2), **options)


MADE: dict[str, Callable[[Path], object]] = {
    "h264_bframes.mkv": lambda path: _film(
        path, options={"g": "24", "bf": "2", "crf": "18"}, sound_codec="libopus"
    ),
    "h264_mp2.ts": lambda path: _film(path, sound_codec="mp2"),
    "vp9_opus.webm": lambda path: _film(
        path, codec="libvpx-vp9", options={"g": "20", "crf": "20", "b": "0"}, sound_codec="libopus"
    ),
    "sound.flac": lambda path: make.write(path, sound=_sound(3), sound_codec="flac"),
    "picture.jpg": lambda path: Image.fromarray(_pictures(1, 160)[0]).save(path, quality=90),
}
NAMES = [*REAL, *MADE]


def seed_file(name: str, folder: Path) -> Path:
    """One of the twelve seed files; real ones skip the test where they are missing."""
    if name in REAL:
        return shared_data(REAL[name])
    MADE[name](folder / name)
    return folder / name
