"""Sound and picture on one clock: a click lies where its flash is, whatever holds them."""

import struct
from fractions import Fraction
from itertools import product
from pathlib import Path

import media_factory as make
import numpy as np
import pytest

from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import AudioSpan, Plan

RATE = 48_000
RATES = ["24", "25", "29.97", "30", "60", "varying"]
OFFSETS = [-0.3, 0.0, 0.3]  # seconds from the first frame to the first sample
VARYING = np.cumsum([0.0, *(0.02 + 0.04 * ((7 * k) % 5) / 5 for k in range(79))]).tolist()

# An AVI's streams start a whole number of their own units late: samples, or frames. 0.3 s is no
# whole number of frames at these rates; moving the flash by less than a frame is not possible.
CANNOT = [("av.avi", fps, -0.3) for fps in ("24", "25", "29.97")]

HOLDERS = {
    "av.mp4": {"options": {"g": "30", "crf": "20", "preset": "ultrafast"}},
    "av.mkv": {"options": {"g": "30", "crf": "20", "preset": "ultrafast"}},
    "av.avi": {"codec": "mpeg4", "options": {}, "sound_codec": "pcm_s16le"},
    "av.webm": {
        "codec": "libvpx",
        "options": {"g": "30", "deadline": "realtime", "cpu-used": "8"},
        "sound_codec": "libopus",
    },
}
CASES = [case for case in product(HOLDERS, RATES, OFFSETS) if case not in CANNOT]
WITHIN = {"av.mp4": 1e-3, "av.mkv": 1e-3, "av.avi": 5e-3, "av.webm": 5e-3}  # seconds


def times_at(fps: str) -> list[float]:
    """Frame times for 3 s; the beats of a half second fall on frame starts."""
    if fps == "varying":
        beats = [0.5 * k for k in range(6)]
        between = [t for t in VARYING if min(abs(t - b) for b in beats) > 0.01]
        return sorted(beats + between)
    step = 1001 / 30000 if fps == "29.97" else 1 / float(fps)
    return [k * step for k in range(int(3 / step))]


def ticks(fps: str) -> Fraction:
    """The time base of an AVI is its frame rate; one that varies lies on a fine grid."""
    steps = {"29.97": Fraction(1001, 30000), "varying": Fraction(1, 600)}
    return steps.get(fps) or Fraction(1, int(fps))


def start_late(path: Path, *, picture: int, sound: int) -> None:
    """Sets when the streams of an AVI start, in their units: FFmpeg writes zero there."""
    data = bytearray(path.read_bytes())
    for kind, start in ((b"vids", picture), (b"auds", sound)):
        struct.pack_into("<I", data, data.index(b"strh8\0\0\0" + kind) + 8 + 28, max(start, 0))
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "fps", "offset"), CASES)
def test_the_click_lies_where_its_flash_is(tmp_path, name, fps, offset):
    seconds = times_at(fps)
    pictures = make.flashes(seconds)
    flashes = [t for t, p in zip(seconds, pictures, strict=True) if p[0, 0, 0]][1:]
    sound = np.zeros((1, round((3 - offset) * RATE)), np.float32)
    for t in flashes:
        sound[0, round((t - offset) * RATE)] = 0.9
    # Containers start at zero: with a negative offset the picture begins later.
    avi = name == "av.avi"
    shift = 0 if avi else max(-offset, 0)
    path = make.write(
        tmp_path / name,
        pictures,
        [t + shift for t in seconds],
        sound=sound,
        sound_start=0 if avi else offset + shift,
        base=ticks(fps) if avi else None,
        **HOLDERS[name],
    )
    if avi:
        start_late(path, picture=round(max(-offset, 0) / ticks(fps)), sound=round(offset * RATE))
    info = probe(path)
    assert info.audio_start == pytest.approx(offset, abs=0.025)
    # Asked 2 ms late, as some containers move frames to the next millisecond.
    plan = Plan(times=tuple(t + 2e-3 for t in seconds), audio=AudioSpan(0, info.duration, RATE))
    sample = read(path, plan)
    bright = sample.frames.float().mean((1, 2, 3)) > 128
    seen = sample.times[bright][1:].tolist()
    assert seen == pytest.approx(flashes, abs=WITHIN[name])
    for t in seen:
        low = round((t - 0.1) * RATE)
        heard = low + int(sample.audio[0, low : low + RATE // 5].abs().argmax())
        assert abs(heard / RATE - t) <= WITHIN[name]
