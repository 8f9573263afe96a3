"""Reads files named on standard input and prints the outcome of each as a line of JSON.

A process of its own: a crash in a decoder is a failed test then, not the end of all tests.
"""

import json
import sys

import av
import numpy as np

from pretexto.datasets.index.build import scan_job
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.media import AudioSpan, MediaError, Plan


def outcome(path: str) -> dict:
    """Kind and count of frames, or the stage of the refusal; how wrong the worst frame is."""
    try:
        info = probe(path)
        result = {"kind": info.kind, "frames": info.frames, "channels": info.audio_channels}
        result["scan"] = scan_job(path, None)[0]["status"]
        if info.has_video:
            result["worst"] = compare(path, info)
        if info.has_audio:
            span = AudioSpan(0.0, min(max(info.duration, 0.01), 5.0), 16_000)
            sound = read(path, Plan(audio=span, past_end="repeat")).audio
            result["sound"] = bool(sound.shape[1] == span.samples and sound.isfinite().all())
    except MediaError as error:
        return {"refused": error.stage}
    return result


def compare(path: str, info) -> float:
    """Largest mean difference in grey levels, over three times, from a full decode's frames."""
    starts, base = decoded(path, {})
    times = [info.duration * share for share in (0.1, 0.5, 0.93)]
    ticks = [starts[0] + t / base for t in times]
    expected = [max(s for s in starts if s <= tick + 1e-9) for tick in ticks]
    pictures = dict.fromkeys(expected)
    decoded(path, pictures)
    sample = read(path, Plan(times=tuple(times)))
    worst = 0.0
    for row, start in enumerate(expected):
        turned = np.rot90(pictures[start], info.rotation // 90).astype(float)
        if turned.shape[:2] == (info.height, info.width):
            mine = sample.frames[row].permute(1, 2, 0).numpy()
            worst = max(worst, float(np.abs(mine - turned).mean()))
        late = abs(float(sample.times[row]) - (start - starts[0]) * float(base))
        worst = max(worst, 1000.0 * (late > 1e-6))
    return worst


def decoded(path: str, pictures: dict) -> tuple[list[int], float]:
    """Ticks of all frames ascending; fills in the pictures that are asked for."""
    ticks = []
    with av.open(path, metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    continue
                for frame in frames:
                    if frame.pts in pictures and pictures[frame.pts] is None:
                        pictures[frame.pts] = frame.to_ndarray(format="rgb24")
                    ticks.append(frame.pts)
        except av.FFmpegError:
            pass  # the stream ends where it cannot be demuxed any further
        return sorted(t for t in ticks if t is not None), stream.time_base


for line in sys.stdin:
    print(json.dumps(outcome(line.strip())), flush=True)
