"""Small media files with known content, written for tests by PyAV."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 90_000)


def card(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture that spells its number: grey bars for its eight bits. uint8 [H, W, 3]."""
    bits = [(number >> k) & 1 for k in range(8)]
    columns = np.repeat(np.array(bits) * 150 + 50, -(-width // 8))[:width]
    return np.broadcast_to(columns[None, :, None], (height, width, 3)).astype(np.uint8)


def spelled(picture: np.ndarray) -> int:
    """The number on a card [H, W, 3] of any size."""
    width = picture.shape[1] / 8
    grey = picture.mean((0, 2))
    return sum(int(grey[int((k + 0.5) * width)] > 125) << k for k in range(8))


def flashes(seconds: Sequence[float]) -> list[np.ndarray]:
    """White frames for the half-second beats, black ones otherwise."""
    previous, frames = -1, []
    for t in seconds:
        beat = int((t + 1e-6) / 0.5)
        frames.append(np.full((48, 64, 3), 255 if beat > previous else 0, np.uint8))
        previous = beat
    return frames


def drifting(
    moved: Iterable[float], *, seed: int = 0, height: int = 120, width: int = 160
) -> list[np.ndarray]:
    """Frames of one texture that has gone so far in each, in hundredths of the longer side."""
    rng = np.random.default_rng(seed)
    cycles, turn, phase = rng.uniform(1, 12, 40), *rng.uniform(0, 2 * np.pi, (2, 40))
    waves = 2 * np.pi * cycles * np.array([np.sin(turn), np.cos(turn)])
    y, x = (np.arange(n)[:, None] / max(height, width) for n in (height, width))
    heading = rng.uniform(0, 2 * np.pi)
    frames = []
    for far in moved:
        down = (y - far / 100 * np.sin(heading)) * waves[0]
        across = (x - far / 100 * np.cos(heading)) * waves[1] + phase
        # Sum of 40 plane waves, cos(down + across), the longer the stronger.
        each = np.cos(down) / cycles**0.5 @ np.cos(across).T
        each -= np.sin(down) / cycles**0.5 @ np.sin(across).T
        grey = (128 + 25 * each).clip(0, 255).round().astype(np.uint8)
        frames.append(np.repeat(grey[..., None], 3, 2))
    return frames


def clicks(duration: float, rate: int, start: float = 0.0) -> np.ndarray:
    """Sound from `start` on with an impulse at each half-second beat but the first, [1, N]."""
    wave = np.zeros((1, round((duration - start) * rate)), np.float32)
    for beat in np.arange(0.5, duration - 0.05, 0.5):
        at = round((beat - start) * rate)
        if at >= 0:
            wave[0, at : at + 4] = 0.9
    return wave


def write(
    path: Path,
    pictures: Sequence[np.ndarray] = (),
    seconds: Sequence[float] = (),
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    colours: tuple[int, int] | None = None,
    sound: np.ndarray | None = None,
    rate: int = 48_000,
    sound_codec: str = "aac",
    sound_start: float = 0.0,
    layout: str = "mono",
    base: Fraction | None = None,
) -> Path:
    """A file of frames that start at these seconds, and of sound [C, N] that starts at its own.

    `colours` is the matrix and range as H.273 and FFmpeg number them, `base` the seconds to whose
    multiples frames are moved.
    """
    # Bit-exact: no random identifiers, the same file every time.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as out:
        picture_packets, sound_packets = [], []
        if len(pictures):
            picture = _video(out, pictures[0], codec, pixels, options, aspect, colours, base)
            if rotation:
                picture.set_display_rotation(rotation)
        if sound is not None:
            voice = out.add_stream(sound_codec, rate=rate, layout=layout)
        if len(pictures):
            picture_packets = _encoded(picture, pictures, seconds, pixels, colours)
        if sound is not None:
            sound_packets = _voiced(voice, sound, rate, sound_start, layout)
        every = picture_packets + sound_packets
        for packet in sorted(every, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def vp9_of_changing_size(path: Path) -> Path:
    """A VP9 film of 240 frames of uneven durations, whose size changes half-way, in one stream."""
    box = av.open(str(path), "w", options={"fflags": "+bitexact"})
    stream = box.add_stream("libvpx-vp9", rate=30)
    stream.width, stream.height, stream.pix_fmt = 90, 160, "yuv420p"
    options = {"deadline": "realtime", "cpu-used": "8"}
    ticks = np.cumsum([0, *([20, 40, 90] * 80)])
    base = Fraction(1, 1000)
    with box:
        stream.codec_context.time_base = base
        for first, (width, height) in ((0, (90, 160)), (120, (124, 70))):
            encoder = av.CodecContext.create("libvpx-vp9", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
            encoder.time_base, encoder.options = base, options
            packets = []
            for k in range(first, first + 120):
                picture = card(k, height, width)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(format="yuv420p")
                frame.pts, frame.time_base = int(ticks[k]), base
                packets += encoder.encode(frame)
            for packet in packets + encoder.encode(None):
                packet.stream = stream
                box.mux(packet)
    return path


def _video(out, picture, codec, pixels, options, aspect, colours, base):
    stream = out.add_stream(codec, rate=30, options=options or {"g": "12", "crf": "12"})
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = pixels
    stream.codec_context.time_base = base or (TICK if codec != "mpeg4" else Fraction(1, 30))
    stream.codec_context.thread_count = 1
    if aspect:
        stream.codec_context.sample_aspect_ratio = aspect
    if colours:
        stream.codec_context.colorspace, stream.codec_context.color_range = colours
    return stream


def _encoded(stream, pictures, seconds, pixels, colours) -> list:
    packets = []
    base = stream.codec_context.time_base
    for picture, start in zip(pictures, seconds, strict=True):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        if colours:
            frame = frame.reformat(
                format=pixels, dst_colorspace=colours[0], dst_color_range=colours[1]
            )
        else:
            frame = frame.reformat(format=pixels)
        frame.pts, frame.time_base = round(Fraction(start) / base), base
        packets += stream.encode(frame)
    return packets + stream.encode()


def _voiced(stream, sound, rate, start, layout) -> list:
    packets, size = [], 960
    for first in range(0, sound.shape[1], size):
        # Packed, as PyAV cannot fill eight planar channels.
        block = np.ascontiguousarray(sound[:, first : first + size].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round(start * rate)
        packets += stream.encode(frame)
    return packets + stream.encode()
