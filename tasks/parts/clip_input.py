"""ClipInput: frames for an image or video encoder, planned, cut and encoded."""

from dataclasses import replace
from typing import Any, final

import torch.nn.functional as F
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.image import resize
from ...modalities.input_spec import InputSpec
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import integer, uniform
from .input import Input, check_modality, last_map_channels

END = 1e-3  # seconds before a medium's end at which its last frame still stands


@final
class ClipInput(Input):
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
        if size < 1 or frames < 1 or not frame_interval >= 0:
            raise InputError(
                f"no such clip: size={size}, frames={frames}, frame_interval={frame_interval}"
            )
        self.encoder = encoder
        self.resize_side = round(size * 8 / 7) if resize_side is None else resize_side
        if self.resize_side < 1:
            raise InputError(f"resize_side is a number of pixels from 1 on, got {resize_side}")
        interval = frame_interval if frames > 1 else 0.0
        self.spec = InputSpec(encoder.modality, size, frames, frame_interval=interval)

    @property
    def size(self) -> int:
        """Pixels, side of the square that the encoder sees."""
        return self.spec.size

    @property
    def frames(self) -> int:
        """Frames per clip."""
        return self.spec.frames

    @property
    def span(self) -> float:
        """Seconds from a clip's first frame to its last."""
        return self.spec.span

    def see_lightness(self) -> None:
        """Says that the encoder is shown the lightness of pictures alone."""
        self.spec = replace(self.spec, colour="lightness")

    def need_frames(self, least: int) -> None:
        """Raises InputError for clips of fewer frames, or of frames at one time."""
        if self.frames < least or not self.span > 0:
            raise InputError(
                f"this task takes clips of {least} or more frames at different times: set frames "
                f"(now {self.frames}) and frame_interval (now {self.spec.frame_interval:g})"
            )

    def times(self, start: float) -> tuple[float, ...]:
        """Seconds of the frames of a clip."""
        return tuple(start + self.spec.frame_interval * k for k in range(self.frames))

    def random_start(self, info: MediaInfo, rng: Generator) -> float:
        """Seconds at which a clip may start; 0 where the medium is no longer than one."""
        need_picture(info)
        return uniform(rng, 0, max(info.duration - self.span - END, 0.0))

    def plan(self, *starts: float, note: Any = None) -> Plan:
        """Clips that start at these seconds; the last frame of a short medium is repeated."""
        times = tuple(t for start in starts for t in self.times(start))
        return Plan(times=times, short_side=self.resize_side, past_end="repeat", note=note)

    def clips(self, sample: Sample, rng: Generator) -> Tensor:
        """All clips of a sample, cut to one random square: uint8 [N, 3, T, S, S]."""
        return self.split(self.squares(sample, rng))

    def squares(self, sample: Sample, rng: Generator) -> Tensor:
        """All frames of a sample, cut to one random square along the longer side.

        Returns:
            uint8 [N, 3, S, S].
        """
        assert sample.frames is not None
        frames, side = resized(sample.frames, self.resize_side), self.resize_side
        top = integer(rng, frames.shape[-2] - side + 1)
        left = integer(rng, frames.shape[-1] - side + 1)
        return frames[..., top : top + side, left : left + side]

    def start_times(self, sample: Sample) -> Tensor:
        """Seconds at which each clip of a sample really starts: float32 [N]."""
        assert sample.times is not None
        return sample.times.float().view(-1, self.frames)[:, 0]

    def split(self, frames: Tensor) -> Tensor:
        """Frames [N · T, 3, H, W] as clips [N, 3, T, H, W]."""
        return frames.unflatten(0, (-1, self.frames)).transpose(1, 2).contiguous()

    def encode(self, x: Tensor) -> Tensor:
        """Vectors [B, D] of float [B, 3, T, H, W], or [B, N, D] of [B, N, 3, T, H, W]."""
        if x.ndim == 6:
            return self.encode(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if self.modality == "image" and x.shape[2] == 1:
            return self.encoder(x[:, :, 0])
        return self.encoder(x)

    def encode_frames(self, x: Tensor) -> Tensor:
        """Vectors of float [B, 3, T, H, W] that keep the order of the frames.

        Returns:
            float [B, D] from a video encoder, [B, T · D], frame by frame, from an image encoder.
        """
        if self.modality == "video":
            return self.encoder(x)
        return self.encoder(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)).flatten(1)

    @property
    def frames_dim(self) -> int:
        """Length of what `encode_frames` gives."""
        return self.dim * (self.frames if self.modality == "image" else 1)

    def encode_map(self, x: Tensor) -> Tensor:
        """The deepest map of float [B, 3, T, H, W]: [B, C, T', H', W'].

        An image encoder maps each frame on its own, so that T' = T.
        """
        if self.modality == "video":
            *_, last = self.encoder.maps(x).values()
            return last
        *_, last = self.encoder.maps(x.transpose(1, 2).flatten(0, 1)).values()
        return last.unflatten(0, (len(x), -1)).transpose(1, 2)

    @property
    def map_dim(self) -> int:
        """Channels C of what `encode_map` gives."""
        return last_map_channels(self.encoder)

    def encode_grid(self, x: Tensor, grid: int) -> Tensor:
        """The deepest map of float [B, 3, T, H, W], its mean over time, at grid × grid places.

        Returns:
            float [B, C · grid · grid].
        """
        return F.adaptive_avg_pool2d(self.encode_map(x).mean(2), grid).flatten(1)


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
