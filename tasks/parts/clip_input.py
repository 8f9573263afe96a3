"""ClipInput: frames for an image or video encoder, planned, cut and encoded."""

from dataclasses import replace
from typing import Any, final

import torch
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...modalities.image import resize
from ...modalities.input_spec import InputSpec
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import uniform
from .input import check_modality
from .spatial_input import END, SpatialInput, check_square
from .transforms import Colour, Crop


@final
class ClipInput(SpatialInput):
    """What an image or video encoder looks at: clips of a few frames, evenly apart.

    Clips travel as uint8 [N, 3, T, S, S], N of each medium, where S is the resize side: a crop of
    it is resized to `size` on the device.

    Args:
        encoder: image or video encoder that is pretrained.
        size: pixels, side of the square that it sees.
        frames: per clip; None: 1 for an image encoder, 8 for a video encoder.
        frame_interval: seconds between the frames of a clip.
        resize_side: pixels of the square that a worker delivers, of which `size` are seen; None:
            8/7 of the size, as 256 for 224.

    Raises:
        InputError: an encoder of another modality, or numbers that make no clip.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        frame_interval: float = 0.1,
        resize_side: int | None = None,
    ):
        super().__init__()
        check_modality(encoder, "image", "video")
        if frames is None:
            frames = 8 if encoder.modality == "video" else 1
        self.resize_side = check_square(size, frames, frame_interval, resize_side)
        self.encoder = encoder
        interval = frame_interval if frames > 1 else 0.0
        self.spec = InputSpec(encoder.modality, size, frames, frame_interval=interval)

    def see_lightness(self) -> None:
        """Says that the encoder is shown the lightness of pictures alone."""
        self.spec = replace(self.spec, colour="lightness")

    def times(self, start: float) -> tuple[float, ...]:
        """Seconds of the frames of a clip."""
        return tuple(start + self.spec.frame_interval * k for k in range(self.frames))

    def random_start(self, info: MediaInfo, rng: Generator) -> float:
        need_picture(info)
        return uniform(rng, 0, max(info.duration - self.span - END, 0.0))

    def plan(self, *starts: float, note: Any = None) -> Plan:
        times = tuple(t for start in starts for t in self.times(start))
        return Plan(times=times, short_side=self.resize_side, past_end="repeat", note=note)

    def plan_both_ways(self, start: float) -> Plan:
        return self.plan(start)

    def pictures(self, sample: Sample) -> Tensor:
        """uint8 [N · T, 3, H, W]."""
        assert sample.frames is not None
        return resized(sample.frames, self.resize_side)

    def squashed(self, sample: Sample) -> Tensor:
        """uint8 [N · T, 3, S, S]."""
        assert sample.frames is not None
        return resize(sample.frames, (self.resize_side, self.resize_side))

    def frame_times(self, sample: Sample) -> Tensor:
        assert sample.times is not None
        return sample.times.float().view(-1, self.frames)

    def crop(self, crop: Crop, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return crop.apply(x, drawn, self.size)

    def recolour(self, colour: Colour, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return colour.apply(x, drawn)

    def turn(self, x: Tensor, quarters: int) -> Tensor:
        return x.rot90(quarters, (-2, -1))

    def both_ways(self, x: Tensor) -> Tensor:
        return torch.cat([x.flip(3), x], 1)


def need_picture(info: MediaInfo) -> None:
    """Raises MediaError for sound alone."""
    if info.kind == "audio":
        raise MediaError(info.path, "plan", "no picture: this task needs videos or images")


def need_video(info: MediaInfo, asks: str) -> None:
    """Raises MediaError where no video is; `asks` says in words what the task asks for."""
    if not info.has_video:
        raise MediaError(info.path, "plan", f"no video: this task asks for {asks}")


def resized(frames: Tensor, side: int) -> Tensor:
    """Frames [N, 3, H, W] whose shorter side is `side` pixels, as the reader may give them."""
    return frames if min(frames.shape[-2:]) == side else resize(frames, side)
