"""SpatialInput: what frames and optical flow have in common: squares, several of them over time."""

from abc import ABC, abstractmethod
from typing import Any

import torch.nn.functional as F
from torch import Generator, Tensor

from ...errors import InputError
from ...modalities.media import MediaInfo, Plan, Sample
from ...modalities.rng import integer
from .input import Input, last_map_channels
from .transforms import Colour, Crop

END = 1e-3  # seconds before a medium's end at which its last frame still stands


class SpatialInput(Input, ABC):
    """Clips of T pictures, evenly apart, of C channels: three colours, or two components of flow.

    Attributes:
        resize_side: pixels of the square that a worker delivers, of which `size` are seen.
    """

    resize_side: int

    @property
    def size(self) -> int:
        """Pixels, side of the square that the encoder sees."""
        return self.spec.size

    @property
    def frames(self) -> int:
        """Frames, or fields of flow, per clip."""
        return self.spec.frames

    @property
    def span(self) -> float:
        """Seconds from a clip's first frame to its last."""
        return self.spec.span

    def need_frames(self, least: int) -> None:
        """Raises InputError for clips of fewer frames, or of frames at one time."""
        if self.frames < least or not self.span > 0:
            raise InputError(
                f"this task takes clips of {least} or more frames at different times: set frames "
                f"(now {self.frames}) and frame_interval (now {self.spec.frame_interval:g})"
            )

    @abstractmethod
    def random_start(self, info: MediaInfo, rng: Generator) -> float:
        """Seconds at which a clip may start; 0 where the medium is no longer than one."""

    @abstractmethod
    def plan(self, *starts: float, note: Any = None) -> Plan:
        """Clips that start at these seconds; the last frame of a short medium is repeated."""

    @abstractmethod
    def plan_both_ways(self, start: float) -> Plan:
        """What `both_ways` needs of a clip that starts at this second."""

    @abstractmethod
    def pictures(self, sample: Sample) -> Tensor:
        """All that was read, its shorter side `resize_side` pixels: [N · T, C, H, W]."""

    @abstractmethod
    def squashed(self, sample: Sample) -> Tensor:
        """All that was read, at `resize_side` whatever its shape: [N · T, C, S, S]."""

    @abstractmethod
    def frame_times(self, sample: Sample) -> Tensor:
        """Seconds of each frame, or of the first of each field, of all clips: float32 [N, T]."""

    def start_times(self, sample: Sample) -> Tensor:
        """Seconds at which each clip of a sample really starts: float32 [N]."""
        return self.frame_times(sample)[:, 0]

    @abstractmethod
    def crop(self, crop: Crop, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """The part of clips [B, C, T, S, S] or [B, N, C, T, S, S] that was drawn, at `size`."""

    @abstractmethod
    def recolour(self, colour: Colour, x: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        """Clips [B, C, T, H, W] or [B, N, C, T, H, W] recoloured, if they show colours."""

    @abstractmethod
    def turn(self, x: Tensor, quarters: int) -> Tensor:
        """Clips [..., C, T, H, W] turned counter-clockwise by so many quarters."""

    @abstractmethod
    def both_ways(self, x: Tensor) -> Tensor:
        """What was planned both ways [B, K, C, T, H, W], run backwards and forwards: [B, 2, …]."""

    def squares(self, sample: Sample, rng: Generator) -> Tensor:
        """All that was read, cut to one random square along the longer side: [N · T, C, S, S]."""
        pictures = self.pictures(sample)
        rows, columns = square_part(pictures, self.resize_side, rng)
        return pictures[..., rows, columns]

    def clips(self, sample: Sample, rng: Generator) -> Tensor:
        """All clips of a sample, cut to one random square: [N, C, T, S, S]."""
        return self.split(self.squares(sample, rng))

    def split(self, frames: Tensor) -> Tensor:
        """Frames [N · T, C, H, W] as clips [N, C, T, H, W]."""
        return frames.unflatten(0, (-1, self.frames)).transpose(1, 2).contiguous()

    def encode(self, x: Tensor) -> Tensor:
        """Vectors [B, D] of float [B, C, T, H, W], or [B, N, D] of [B, N, C, T, H, W]."""
        if x.ndim == 6:
            return self.encode(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if self.encoder.per_frame and x.shape[2] == 1:
            return self.encoder(x[:, :, 0])
        return self.encoder(x)

    def encode_frames(self, x: Tensor) -> Tensor:
        """Vectors of float [B, C, T, H, W] that keep the order of the frames.

        Returns:
            float [B, D]; from an encoder that takes each frame alone [B, T · D], frame by frame.
        """
        if not self.encoder.per_frame:
            return self.encoder(x)
        return self.encoder(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(x), -1)).flatten(1)

    @property
    def frames_dim(self) -> int:
        """Length of what `encode_frames` gives."""
        return self.dim * (self.frames if self.encoder.per_frame else 1)

    def encode_maps(self, x: Tensor) -> dict[str, Tensor]:
        """All maps of float [B, C, T, H, W] by level, each [B, C', T', H', W'].

        An encoder that takes each frame alone keeps them all, so that T' = T; of a stack T' is 1.
        """
        if not self.encoder.per_frame:
            maps = self.encoder.maps(x).items()
            return {level: m if m.ndim == 5 else m.unsqueeze(2) for level, m in maps}
        maps = self.encoder.maps(x.transpose(1, 2).flatten(0, 1)).items()
        return {level: m.unflatten(0, (len(x), -1)).transpose(1, 2) for level, m in maps}

    def encode_map(self, x: Tensor) -> Tensor:
        """The deepest of `encode_maps`."""
        *_, last = self.encode_maps(x).values()
        return last

    @property
    def map_dim(self) -> int:
        """Channels of what `encode_map` gives."""
        return last_map_channels(self.encoder)

    def encode_grid(self, x: Tensor, grid: int) -> Tensor:
        """The deepest map of float [B, C, T, H, W], its mean over time, at grid × grid places.

        Returns:
            float [B, C' · grid · grid].
        """
        return F.adaptive_avg_pool2d(self.encode_map(x).mean(2), grid).flatten(1)


def check_square(size: int, frames: int, interval: float, resize_side: int | None) -> int:
    """The resize side, 8/7 of the size where none is given.

    Raises:
        InputError: numbers that make no clip.
    """
    if size < 1 or frames < 1 or not interval >= 0:
        raise InputError(f"no such clip: size={size}, frames={frames}, frame_interval={interval}")
    side = round(size * 8 / 7) if resize_side is None else resize_side
    if side < 1:
        raise InputError(f"resize_side is a number of pixels from 1 on, got {resize_side}")
    return side


def square_part(pictures: Tensor, side: int, rng: Generator) -> tuple[slice, slice]:
    """Rows and columns of one random square of `side` pixels of [..., H, W]."""
    top, left = (integer(rng, length - side + 1) for length in pictures.shape[-2:])
    return slice(top, top + side), slice(left, left + side)
