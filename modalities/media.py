"""What a medium is, what to read from it, and what came out: plain values with units.

Times are seconds on the medium's own clock, whose zero is the start of the first video frame
(of the first audio sample where there is no video). Frame numbers appear nowhere: real videos
have variable frame rates and headers that miscount.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import InputError
from .text import TextInfo

Kind = Literal["video", "audio", "image", "text"]
PastEnd = Literal["error", "repeat", "wrap"]


class MediaError(InputError):
    """A file that cannot be read as asked.

    Args:
        path: the file.
        stage: what failed: "open", "probe", "demux", "decode", "seek", "convert" or "plan".
        reason: why, in words for the user.
    """

    def __init__(self, path: str, stage: str, reason: str):
        super().__init__(f"{path}: {stage}: {reason}")
        self.path, self.stage, self.reason = path, stage, reason

    def __reduce__(self):
        return type(self), (self.path, self.stage, self.reason)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What is known of a file without decoding it.

    Attributes:
        path: the file, as messages should name it.
        kind: "video" (with or without sound), "audio", "image" or "text".
        duration: seconds from the first frame's start to the last frame's end; of the sound
            where there is no video; 0 for images.
        fps: mean frames per second, 0 without video.
        frames: number of frames that are really there (headers overstate).
        height: pixels, rotation applied.
        width: pixels, rotation and sample aspect ratio applied.
        rotation: degrees counter-clockwise that the reader applies.
        codec: of the picture, or of the sound where there is no picture.
        audio_rate: Hz of the file's sound, 0 without sound.
        audio_channels: 0 without sound.
        audio_start: seconds at which the sound starts (negative: before the first frame).
        audio_duration: seconds of sound.
        motion: mean speed of the picture's points in each second, in hundredths of its longer side
            per second, or by differences of grey (see `motion.Motion`); empty if unmeasured.
        text: which tokens there are; None without text.
    """

    path: str
    kind: Kind
    duration: float = 0.0
    fps: float = 0.0
    frames: int = 0
    height: int = 0
    width: int = 0
    rotation: int = 0
    codec: str = ""
    audio_rate: int = 0
    audio_channels: int = 0
    audio_start: float = 0.0
    audio_duration: float = 0.0
    motion: tuple[float, ...] = ()
    text: TextInfo | None = None

    @property
    def has_audio(self) -> bool:
        return self.audio_rate > 0

    @property
    def has_video(self) -> bool:
        return self.kind == "video"


@dataclass(frozen=True, slots=True)
class AudioSpan:
    """A stretch of sound: start and duration in seconds, wanted rate in Hz."""

    start: float
    duration: float
    rate: int

    def __post_init__(self):
        if not (math.isfinite(self.start) and self.duration > 0 and self.rate > 0):
            raise ValueError(
                f"an audio span needs a finite start, duration > 0 and rate > 0: {self}"
            )

    @property
    def samples(self) -> int:
        """Number of samples the span holds, exact at its rate."""
        return round(self.duration * self.rate)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read from one medium; a reader decodes only this.

    Attributes:
        times: seconds, one frame each, in the order in which they are wanted (any order,
            repeats allowed). For an image any time gives the picture.
        audio: spans of sound, all of one rate; a single span may stand for the tuple.
        flow: pairs of seconds (from, to) between which optical flow is wanted.
        flow_method: how it is computed, see `flow.method.check_method`; None: as it is stored where
            it is, else "dis".
        short_side: pixels to which the shorter side of each frame is resized, None: as it is.
        frames_needed: whether the frames at `times` must be there; False: their times do, of a
            medium that holds flow alone.
        tokens: spans of text, each from its first token's position in the medium to the position
            behind its last one.
        past_end: what a time outside [0, duration) means: "error" raises MediaError; "repeat"
            holds the first or last frame and continues sound with silence and text with nothing
            (-1); "wrap" starts again.
        note: what the task's `example` has to know of this plan; it comes back in the Sample.
    """

    times: tuple[float, ...] = ()
    audio: tuple[AudioSpan, ...] = ()
    flow: tuple[tuple[float, float], ...] = ()
    flow_method: str | None = None
    short_side: int | None = None
    frames_needed: bool = True
    tokens: tuple[tuple[int, int], ...] = ()
    past_end: PastEnd = "error"
    note: Any = None

    def __post_init__(self):
        if isinstance(self.audio, AudioSpan):
            object.__setattr__(self, "audio", (self.audio,))
        if len({span.rate for span in self.audio}) > 1:
            raise ValueError(f"a plan's spans of sound must have one rate: {self.audio}")
        if not all(map(math.isfinite, (*self.times, *(t for pair in self.flow for t in pair)))):
            raise ValueError(f"a plan's times must be finite: {self.times}, {self.flow}")
        if self.short_side is not None and self.short_side < 1:
            raise ValueError(f"short_side must be at least 1 pixel: {self.short_side}")
        if any(stop < start for start, stop in self.tokens):
            raise ValueError(f"a span of tokens ends before it starts: {self.tokens}")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read.

    Attributes:
        frames: uint8 [T, 3, H, W], RGB, in the order of the plan's times.
        times: float64 [T], seconds at which each frame's presentation really starts.
        audio: float32 [C, N] in [-1, 1]: the plan's spans one after another.
        audio_rate: Hz.
        flow: float32 [P, 2, H, W], pixels between the two frames of each pair at the frames' size,
            (x, y).
        tokens: int64 [N], the plan's spans one after another; -1 where there is no token.
        word_starts: bool [N], whether a token is the first one of a word.
        note: the plan's.

    Raises:
        ValueError: a tensor of the wrong type or shape.
    """

    frames: Tensor | None = None
    times: Tensor | None = None
    audio: Tensor | None = None
    audio_rate: int = 0
    flow: Tensor | None = None
    tokens: Tensor | None = None
    word_starts: Tensor | None = None
    note: Any = None

    def __post_init__(self):
        if self.frames is not None:
            if (
                self.frames.dtype != torch.uint8
                or self.frames.ndim != 4
                or self.frames.shape[1] != 3
            ):
                raise ValueError(f"frames must be uint8 [T, 3, H, W], got {_describe(self.frames)}")
            if self.times is None or self.times.shape != self.frames.shape[:1]:
                raise ValueError("every frame needs its time")
        if self.audio is not None and (
            self.audio.dtype != torch.float32 or self.audio.ndim != 2 or self.audio_rate <= 0
        ):
            raise ValueError(
                f"audio must be float32 [C, N] with its rate, got {_describe(self.audio)}"
            )
        if self.flow is not None and (self.flow.ndim != 4 or self.flow.shape[1] != 2):
            raise ValueError(f"flow must be [P, 2, H, W], got {_describe(self.flow)}")
        if self.tokens is not None and (self.tokens.dtype != torch.int64 or self.tokens.ndim != 1):
            raise ValueError(f"tokens must be int64 [N], got {_describe(self.tokens)}")


def _describe(x: Tensor) -> str:
    return f"{x.dtype} {list(x.shape)}"
