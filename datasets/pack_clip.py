"""One file of an index as a clip of a pack: decoded, shrunk and compressed in a child process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..modalities.child import Reply
from ..modalities.media import AudioSpan, MediaInfo, Plan
from .pack_file import FLOW_SCALE

Chroma = Literal["420", "422", "444"]
_TOGETHER = 256  # frames decoded in one pass


@dataclass(frozen=True, slots=True)
class PackSettings:
    """What a pack keeps of its media.

    Attributes:
        short_side: pixels of the shorter side; smaller pictures keep their size.
        quality: of the JPEGs, 1 … 100.
        chroma: "420" keeps a quarter of the colour samples, "444" all.
        audio_rate: Hz; 0 leaves the sound out.
        fps: frames per second to keep at most, None: every frame.
        flow: also store optical flow from each frame to the next.
    """

    short_side: int = 128
    quality: int = 90
    chroma: Chroma = "420"
    audio_rate: int = 16000
    fps: float | None = None
    flow: bool = False


def pack_job(path: str, settings: dict[str, Any]) -> Reply:
    """A file's packed facts and its bytes: JPEGs, sound, flow, one behind the other.

    Raises:
        MediaError: the file cannot be read.
    """
    from ..modalities.read import probe

    wanted = PackSettings(**settings)
    info = probe(path)
    facts: dict[str, Any] = {"times": [], "jpegs": 0, "height": 0, "width": 0, "channels": 0}
    jpegs: list[bytes] = []
    flow: list[bytes] = []
    sound = b""
    if info.kind != "audio":
        jpegs, flow = _pictures(path, info, wanted, facts)
    if info.has_audio and wanted.audio_rate:
        sound = _sound(path, info, wanted.audio_rate, facts)
    facts["jpegs"] = len(jpegs)
    return facts, [*jpegs, sound, *flow]


def _pictures(path: str, info: MediaInfo, wanted: PackSettings, facts: dict):
    import simplejpeg

    jpegs: list[bytes] = []
    flow: list[bytes] = []
    last = None
    for time, pixels in _frames(path, info, wanted):
        facts["times"].append(time)
        facts["height"], facts["width"] = pixels.shape[:2]
        jpegs.append(
            simplejpeg.encode_jpeg(pixels, wanted.quality, "RGB", colorsubsampling=wanted.chroma)
        )
        if wanted.flow and last is not None:
            flow.append(_flow(last, pixels))
        last = pixels
    return jpegs, flow


def _frames(
    path: str, info: MediaInfo, wanted: PackSettings
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Start and pixels [H, W, 3] of the frames to keep, in order."""
    from ..modalities.read import read

    side = min(wanted.short_side, info.height, info.width)
    times = _times(path, info, wanted.fps)
    last = -1.0
    for start in range(0, len(times), _TOGETHER):
        part = tuple(times[start : start + _TOGETHER])
        sample = read(path, Plan(part, short_side=side, past_end="repeat"), info=info)
        assert sample.frames is not None
        assert sample.times is not None
        pictures = sample.frames.permute(0, 2, 3, 1).contiguous().numpy()
        for time, picture in zip(sample.times.tolist(), pictures, strict=True):
            if time > last:  # at a low frame rate, neighbouring times may show the same frame
                yield time, picture
                last = time


def _times(path: str, info: MediaInfo, fps: float | None) -> list[float]:
    if info.kind == "image":
        return [0.0]
    if fps is None or fps >= info.fps:
        from ..modalities.timing import cached, identity
        from ..modalities.video import start_seconds

        known = cached(identity(path, None, None))
        assert known is not None
        track = known.video
        assert track is not None
        return start_seconds(track, range(len(track.pts)))
    return (np.arange(max(int(np.ceil(info.duration * fps)), 1)) / fps).tolist()


def _sound(path: str, info: MediaInfo, rate: int, facts: dict) -> bytes:
    from ..modalities.read import read

    plan = Plan(audio=AudioSpan(0.0, max(info.duration, 1 / rate), rate), past_end="repeat")
    audio = read(path, plan, info=info).audio
    assert audio is not None
    facts["channels"] = audio.shape[0]
    values = (audio.numpy().T * 32767).round().astype("<i2")
    return np.ascontiguousarray(values).tobytes()


def _flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bytes:
    import pyarrow as pa
    import torch

    from ..modalities.flow import dis

    a, b = (torch.from_numpy(x).permute(2, 0, 1) for x in (first, second))
    values = (dis(a, b).numpy() * FLOW_SCALE).round().clip(-32768, 32767).astype("<i2")
    return pa.compress(np.ascontiguousarray(values), codec="zstd", asbytes=True)
