"""What a child makes of a damaged file, compared with the undamaged one."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from pretexto.modalities.decode.analyze import analyze
from pretexto.modalities.decode.reader import probe, read
from pretexto.modalities.decode.sandbox import Reply
from pretexto.modalities.image import resize
from pretexto.modalities.media import AudioSpan, MediaError, Plan, Sample

WRONG = 40.0  # mean grey levels
_TIMES = 8


def judge(path: str, clean: str) -> Reply:
    """Reads a damaged file as a user would, and says what came of it.

    The answer holds `refused`, the stage at which it was refused; else `worst`, the largest
    difference of a frame from the undamaged file's at the same time, `unread` (strict reading
    delivers a wrong frame), `unindexed` (so would an index made strict) and `shorter` (frames
    missing, and nothing said).
    """
    times, frames = _clean(clean)
    try:
        info = probe(path)
        found = analyze(path)
        said = found.corrupt + len(found.errors) + bool(found.ends_early)
        answer: dict[str, Any] = {"kind": info.kind, "said": said, "worst": 0.0}
        if info.has_audio:
            _listen(path, info.duration)
        if not info.has_video and info.kind != "image":
            return answer, []
        _look(path, [(t, f) for t, f in zip(times, frames, strict=True)], answer)
        answer["shorter"] = not said and info.frames < 0.95 * probe(clean).frames
    except MediaError as error:
        return {"refused": error.stage}, []
    return answer, []


def _listen(path: str, duration: float) -> None:
    span = AudioSpan(0.0, min(max(duration, 0.01), 5.0), 16_000)
    sound = read(path, Plan(audio=span, past_end="repeat")).audio
    assert sound is not None
    assert sound.shape[1] == span.samples
    assert sound.isfinite().all()


def _look(path: str, wanted: list[tuple[float, Tensor]], answer: dict[str, Any]) -> None:
    duration = probe(path).duration or 1.0
    there = [(t, frame) for t, frame in wanted if t < duration]
    sample = read(path, Plan(tuple(t for t, _ in there)))
    for row, (time, frame) in enumerate(there):
        wrong = _difference(sample, row, frame)
        answer["worst"] = max(answer["worst"], wrong)
        if wrong > WRONG:
            answer["unindexed"] = not answer["said"]
            answer["unread"] = answer.get("unread") or _strictly(path, time, frame)


def _strictly(path: str, time: float, frame: Tensor) -> bool:
    """Whether strict reading delivers a wrong frame."""
    try:
        return _difference(read(path, Plan((time,)), strict=True), 0, frame) > WRONG
    except MediaError:
        return False


def _difference(sample: Sample, row: int, frame: Tensor) -> float:
    assert sample.frames is not None
    mine = sample.frames[row]
    if mine.shape != frame.shape:
        mine = resize(mine, (frame.shape[1], frame.shape[2]))
    return float((mine.float() - frame.float()).abs().mean())


@cache
def _clean(path: str) -> tuple[list[float], Tensor]:
    """Times in the middle of frames, and the frames [T, 3, H, W]."""
    info = probe(path)
    if info.kind == "image":
        times = [0.0]
    elif not info.has_video:
        return [], torch.empty(0)
    else:
        starts = [info.duration * (k + 0.5) / info.frames for k in range(info.frames)]
        times = starts[:: max(len(starts) // _TIMES, 1)]
    sample = read(path, Plan(tuple(times)))
    assert sample.frames is not None
    return times, sample.frames
