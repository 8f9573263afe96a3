"""Random changes of pictures: each draws its numbers in a worker and applies them on the device.

Every transform has two methods: `draw(rng)` gives a few small tensors by name, which travel with
the example, and `apply(x, drawn)` changes a whole batch by them and draws nothing. All frames of a
clip, and all clips of a tuple, change alike unless a task draws for each of them.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ...errors import InputError
from ...modalities.image import resize
from ...modalities.input_spec import as_float
from ...modalities.rng import coin
from ...modalities.transforms.colour import apply_colour, draw_colour
from ...modalities.transforms.image import (
    apply_blur,
    apply_crop,
    apply_crop_to_flow,
    draw_blur,
    draw_crop,
    draw_flip,
)
from .check import check_least, check_share

Drawn = dict[str, Tensor]


@dataclass(frozen=True)
class Crop:
    """A random part of the picture, resized to a square and perhaps mirrored.

    Args:
        scale: least and greatest share of the area that is kept.
        ratio: least and greatest width / height of the part, relative to the picture's own.
        flip: mirror left and right half of the time.

    Raises:
        InputError: a scale or ratio of which nothing can be cut.
    """

    scale: tuple[float, float] = (0.6, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True

    def __post_init__(self):
        if not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1] <= 1):
            raise InputError(
                "scale is two shares of the area, 0 < least <= greatest <= 1, got "
                f"{list(self.scale)}"
            )
        if not (len(self.ratio) == 2 and 0 < self.ratio[0] <= self.ratio[1] < float("inf")):
            raise InputError(
                "ratio is two quotients of width and height, 0 < least <= greatest, got "
                f"{list(self.ratio)}"
            )

    def draw(self, rng: Generator) -> Drawn:
        """ "box" float32 [4], shares of the picture's sides, and "flip" bool []."""
        box = draw_crop(rng, scale=self.scale, ratio=self.ratio)
        return {"box": box, "flip": draw_flip(rng, 0.5 if self.flip else 0.0)}

    def apply(self, x: Tensor, drawn: Drawn, size: int) -> Tensor:
        """uint8 or float [B, 3, T, S, S], or [B, N, 3, T, S, S], to float … size × size in [0, 1].

        Boxes [B, 4] and flips [B] hold for all clips of a tuple; boxes [B, N, 4] for each its own.
        """
        if x.ndim == 5:
            return apply_crop(as_float(x), drawn["box"], drawn["flip"], size)
        box, flip = _of_each(drawn, *x.shape[:2])
        return apply_crop(as_float(x.flatten(0, 1)), box, flip, size).unflatten(0, x.shape[:2])

    def apply_flow(self, x: Tensor, drawn: Drawn, size: int) -> Tensor:
        """Flow between frames that `apply` changes alike: its vectors are scaled and signed.

        float [B, 2, S, S], or [B, N, 2, S, S], in pixels, to … size × size in pixels of the result;
        boxes and flips as for `apply`.
        """
        if x.ndim == 4:
            return apply_crop_to_flow(x, drawn["box"], drawn["flip"], size)
        box, flip = _of_each(drawn, *x.shape[:2])
        return apply_crop_to_flow(x.flatten(0, 1), box, flip, size).unflatten(0, x.shape[:2])

    def cut(self, frames: Tensor, rng: Generator, size: int) -> Tensor:
        """One view of frames of any shape, in the worker: the ratio is that of pixels.

        Args:
            frames: uint8 [T, 3, H, W].

        Returns:
            uint8 [T, 3, size, size].
        """
        height, width = frames.shape[-2:]
        least, most = (r * height / width for r in self.ratio)
        box = draw_crop(rng, scale=self.scale, ratio=(least, most)).tolist()
        top, left = round(box[0] * height), round(box[1] * width)
        high, wide = max(round(box[2] * height), 1), max(round(box[3] * width), 1)
        view = resize(frames[..., top : top + high, left : left + wide], (size, size))
        return view.flip(-1) if self.flip and coin(rng) else view


def _of_each(drawn: Drawn, b: int, n: int) -> tuple[Tensor, Tensor]:
    """Box [B · N, 4] and flip [B · N] of each of a tuple's N parts, example by example."""
    box, flip = drawn["box"], drawn["flip"]
    box = box if box.ndim == 3 else box[:, None].expand(b, n, 4)
    return box.flatten(0, 1), flip[:, None].expand(b, n).flatten()


@dataclass(frozen=True)
class Colour:
    """Colour jitter in random order, then perhaps greyscale.

    Args:
        brightness: greatest change of the factor, 0 for none; as contrast and saturation.
        contrast: see brightness.
        saturation: see brightness.
        hue: greatest turn, 0 to 0.5.
        p: probability of any jitter.
        grey: probability of greyscale, after the jitter.

    Raises:
        InputError: a negative amount, or a probability that is none.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0
    grey: float = 0.0

    def __post_init__(self):
        amounts = {"contrast": self.contrast, "saturation": self.saturation, "hue": self.hue}
        check_least(0, brightness=self.brightness, **amounts)
        check_share(p=self.p, grey=self.grey)

    def draw(self, rng: Generator) -> Drawn:
        """ "colour" float32 [2, 3, 3]."""
        return {
            "colour": draw_colour(
                rng,
                brightness=self.brightness,
                contrast=self.contrast,
                saturation=self.saturation,
                hue=self.hue,
                p=self.p,
                grey=self.grey,
            )
        }

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        """float [B, 3, T, H, W] in [0, 1], or [B, N, 3, T, H, W] with one map for all N."""
        if x.ndim == 5:
            return apply_colour(x, drawn["colour"])
        joined = x.transpose(1, 2)
        return apply_colour(joined.flatten(2, 3), drawn["colour"]).view_as(joined).transpose(1, 2)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur.

    Args:
        p: probability.
        sigma: least and greatest width in pixels of a picture of 224; it shrinks with the size.

    Raises:
        InputError: a probability that is none.
    """

    p: float = 0.5
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self):
        check_share(p=self.p)

    def draw(self, rng: Generator, size: int) -> Drawn:
        """ "blur" float32 []: width in pixels of a picture of this size, 0 for none."""
        low, high = (s * size / 224 for s in self.sigma)
        return {"blur": draw_blur(rng, sigma=(low, high), p=self.p)}

    def apply(self, x: Tensor, drawn: Drawn) -> Tensor:
        """float [B, 3, T, H, W]."""
        radius = x.shape[-1] // 20
        return apply_blur(x, drawn["blur"], radius) if self.p and radius else x


def stacked(views: list[Drawn]) -> Drawn:
    """What was drawn for several views of one example, view after view: [V, …]."""
    return {name: torch.stack([view[name] for view in views]) for name in views[0]}


def of_view(batch: Drawn, k: int, names: tuple[str, ...]) -> Drawn:
    """What was drawn for view k of each example: [B, V, …] → [B, …]."""
    return {name: batch[name][:, k] for name in names if name in batch}
