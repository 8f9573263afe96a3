"""What the picture tasks share: from a medium to a square clip, and from a clip to an encoder."""

import math

import torch.nn.functional as F
from torch import Generator, Tensor

from ...encoders.encoder import Encoder
from ...errors import InputError
from ...modalities.image import resize
from ...modalities.input_spec import InputSpec, as_float
from ...modalities.media import MediaError, MediaInfo, Plan, Sample
from ...modalities.rng import integer, uniform
from ...modalities.transforms.image import apply_crop, draw_crop, draw_flip
from ..task import Batch


def clip_view(encoder: Encoder, size: int, frames: int | None, step: float) -> InputSpec:
    """What a picture encoder looks at; `frames` None means 1 for images and 8 for video.

    Raises:
        InputError: an encoder of another modality, or numbers that make no clip.
    """
    if encoder.modality not in ("image", "video"):
        raise InputError(
            f"this task needs an image or video encoder, but {type(encoder).__name__} is an "
            f"encoder of {encoder.modality}"
        )
    if frames is None:
        frames = 8 if encoder.modality == "video" else 1
    if size < 1 or frames < 1 or step < 0:
        raise InputError(f"no such clip: size={size}, frames={frames}, step={step}")
    return InputSpec(encoder.modality, size=size, frames=frames, step=step if frames > 1 else 0.0)


def canvas(size: int) -> int:
    """Pixels of the square in which a worker delivers frames: 8/7 of the size, as 256 for 224."""
    return round(size * 8 / 7)


def need_pictures(info: MediaInfo) -> None:
    """Raises MediaError for sound alone."""
    if info.kind == "audio":
        raise MediaError(info.path, "plan", "no picture: this task needs videos or images")


def clip_times(view: InputSpec, start: float) -> tuple[float, ...]:
    """Seconds of the frames of a clip."""
    return tuple(start + view.step * k for k in range(view.frames))


def random_start(info: MediaInfo, span: float, rng: Generator) -> float:
    """Seconds at which `span` seconds may start; 0 where the medium is no longer than that."""
    return uniform(rng, 0, max(info.duration - span - 1e-3, 0.0))


def plan_clip(view: InputSpec, info: MediaInfo, rng: Generator) -> Plan:
    """A clip from anywhere in the medium; the last frame of a short one is repeated."""
    need_pictures(info)
    times = clip_times(view, random_start(info, view.span, rng))
    return Plan(times=times, short_side=canvas(view.size), past_end="repeat")


def square(sample: Sample, side: int, rng: Generator) -> Tensor:
    """All frames cut to one random square along their longer side: uint8 [3, T, side, side]."""
    assert sample.frames is not None
    frames = sample.frames
    if min(frames.shape[-2:]) != side:
        frames = resize(frames, side)
    top = integer(rng, frames.shape[-2] - side + 1)
    left = integer(rng, frames.shape[-1] - side + 1)
    return frames[..., top : top + side, left : left + side].transpose(0, 1).contiguous()


def draw_view(
    rng: Generator,
    scale: tuple[float, float],
    flip: bool,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Batch:
    """Crop box and mirroring of one view, for `cut`."""
    box = draw_crop(rng, scale=scale, ratio=ratio)
    return {"box": box, "flip": draw_flip(rng, 0.5 if flip else 0.0)}


def cut(frames: Tensor, drawn: Batch, size: int) -> Tensor:
    """Applies `draw_view` to uint8 [B, 3, T, S, S]: float [B, 3, T, size, size] in [0, 1]."""
    return apply_crop(as_float(frames), drawn["box"], drawn["flip"], size)


def embed(encoder: Encoder, clip: Tensor) -> Tensor:
    """Vectors [B, D] of float [B, 3, T, H, W] by an image or video encoder."""
    if encoder.modality == "image" and clip.shape[2] == 1:
        return encoder(clip[:, :, 0])
    return encoder(clip)


def embed_frames(encoder: Encoder, clip: Tensor) -> Tensor:
    """Vectors of float [B, 3, T, H, W] that keep the order of frames with any picture encoder.

    Returns:
        float [B, D] from a video encoder, [B, T · D], frame by frame, from an image encoder.
    """
    if encoder.modality == "video":
        return encoder(clip)
    return encoder(clip.transpose(1, 2).flatten(0, 1)).unflatten(0, (len(clip), -1)).flatten(1)


def embed_grid(encoder: Encoder, clip: Tensor, grid: int) -> Tensor:
    """Where in the picture is what: the deepest map of float [B, 3, T, H, W] at grid × grid places.

    Returns:
        float [B, D · grid · grid], the mean over time.
    """
    if encoder.modality == "image":
        *_, maps = encoder.maps(clip.transpose(1, 2).flatten(0, 1)).values()
        places = F.adaptive_avg_pool2d(maps, grid).unflatten(0, (len(clip), -1)).mean(1)
    else:
        *_, maps = encoder.maps(clip).values()
        places = F.adaptive_avg_pool2d(maps.mean(2), grid)
    return places.flatten(1)


def check_least(least: float, **options: float) -> None:
    """Raises InputError for the first option that is no finite number from `least` on."""
    for name, value in options.items():
        if not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} is a number from {least:g} on, got {value:g}")


def check_crop(scale: tuple[float, float], ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
    """Raises InputError where `draw_crop` could cut nothing of this scale and ratio."""
    if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
        raise InputError(
            f"scale is two shares of the area, 0 < least <= greatest <= 1, got {list(scale)}"
        )
    if not (len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf):
        raise InputError(
            f"ratio is two quotients of width and height, 0 < least <= greatest, got {list(ratio)}"
        )
