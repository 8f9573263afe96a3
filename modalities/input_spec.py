"""InputSpec: the shape of what one encoder looks at, shared by tasks and evaluation."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import InputError
from .lab import lightness
from .media import AudioSpan, MediaError, MediaInfo, Plan, Sample

Modality = Literal["image", "video", "audio", "flow", "text"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How one encoder input is cut from a medium.

    Attributes:
        modality: of the encoder that will look at it.
        size: pixels, side of the square picture (0 for sound).
        frames: frames, or fields of flow, per clip (1 for pictures, 0 for sound).
        frame_interval: seconds between the frames of a clip, or of a field of flow.
        seconds: length of a stretch of sound.
        rate: Hz of the sound.
        flow_method: how flow is computed; None: as a pack has it, else by the default.
        length: tokens of a span of text.
        tokenizer: SHA-256 of the tokenizer that made them; None: any of the same size.
        colour: "rgb", or "lightness": L of Lab in all three channels is what it was trained on.

    Raises:
        InputError: a stretch of sound without length or rate, a picture without size or frames.
    """

    modality: Modality
    size: int = 0
    frames: int = 0
    frame_interval: float = 0.0
    seconds: float = 0.0
    rate: int = 0
    flow_method: str | None = None
    colour: Literal["rgb", "lightness"] = "rgb"
    length: int | None = None
    tokenizer: str | None = None

    def __post_init__(self):
        if self.modality == "audio" and not (self.seconds > 0 and self.rate > 0):
            raise InputError(
                "seconds and rate of a stretch of sound are above 0, got "
                f"{self.seconds:g} s at {self.rate} Hz"
            )
        if self.modality in ("image", "video", "flow") and min(self.size, self.frames) < 1:
            raise InputError(
                f"size and frames of {self.modality} are 1 or more, got {self.size}, {self.frames}"
            )
        if self.modality == "text" and not (self.length or 0) > 0:
            raise InputError(f"length of a span of text is 1 token or more, got {self.length}")

    @property
    def span(self) -> float:
        """Seconds from the first instant to the last one looked at."""
        if self.modality == "audio":
            return self.seconds
        # The last field of flow reaches to one frame more.
        steps = self.frames if self.modality == "flow" else max(self.frames - 1, 0)
        return self.frame_interval * steps

    def plain(self) -> dict[str, Any]:
        """Its fields for files and stamps, those that are None left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def starts(self, info: MediaInfo, count: int) -> tuple[float, ...]:
        """`count` start times in seconds, evenly spread over the medium (the middle for one).

        Of text, positions of tokens, from the first one on.
        """
        if self.modality == "text":
            return _positions(info, self.length or 0, count)
        room = max(info.duration - self.span - 1e-3, 0.0)
        if count == 1:
            return (room / 2,)
        return tuple(room * k / (count - 1) for k in range(count))

    def plan(self, start: float, short_side: int | None = None) -> Plan:
        """Reads this input from `start` seconds on; short media are held at their end."""
        if self.modality == "audio":
            return Plan(audio=(AudioSpan(start, self.seconds, self.rate),), past_end="repeat")
        if self.modality == "text":
            return Plan(tokens=((int(start), int(start) + (self.length or 0)),), past_end="repeat")
        side = short_side or self.size
        if self.modality == "flow":
            at = [start + self.frame_interval * k for k in range(self.frames + 1)]
            pairs, method = tuple(pairwise(at)), self.flow_method
            return Plan(flow=pairs, flow_method=method, short_side=side, past_end="repeat")
        times = tuple(start + self.frame_interval * k for k in range(self.frames))
        return Plan(times=times, short_side=side, past_end="repeat")


def _positions(info: MediaInfo, length: int, count: int) -> tuple[float, ...]:
    """Where `count` spans of so many tokens start, evenly spread over an example's text."""
    if info.text is None or info.text.first == info.text.last:
        raise MediaError(info.path, "plan", "it holds no text")
    room = max(info.text.last - info.text.first - length, 0)
    return tuple(float(info.text.first + room * k // max(count - 1, 1)) for k in range(count))


def encoder_input(spec: InputSpec, sample: Sample) -> Tensor:
    """The tensor an encoder of this spec takes, without its batch axis, frames as they are.

    Returns:
        uint8 [3, H, W] for images of one frame, uint8 [3, T, H, W] for other pictures, float32
        [2, T, H, W] for flow, float32 [1, N] mono for sound, int64 [T] for text.
    """
    if spec.modality == "text":
        assert sample.tokens is not None
        return sample.tokens
    if spec.modality == "audio":
        assert sample.audio is not None
        return sample.audio.mean(0, keepdim=True)
    if spec.modality == "flow":
        assert sample.flow is not None
        return sample.flow.transpose(0, 1)
    assert sample.frames is not None
    frames = sample.frames
    if spec.colour == "lightness":
        frames = (255 * lightness(as_float(frames))).round().to(torch.uint8)
    clip = frames.transpose(0, 1)
    return clip[:, 0] if spec.modality == "image" and spec.frames == 1 else clip


def as_float(x: Tensor) -> Tensor:
    """Pixels uint8 0 … 255 to float32 0 … 1; floats pass unchanged."""
    return x.to(torch.float32).div_(255) if x.dtype == torch.uint8 else x
