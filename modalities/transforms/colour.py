"""Colour jitter and greyscale as one affine map of colour space per sample.

Brightness, contrast, saturation, hue and greyscale are each linear in a pixel's colour and the
picture's mean colour. Any sequence of them is therefore one pair of 3 × 3 matrices, which a worker
draws and the device applies in a single product: y = A·x + D·mean(x), then clamped to [0, 1].

Two differences from torchvision's ColorJitter follow: values are clamped once, at the end, not
between the steps; and hue turns the chroma plane of YIQ, which keeps luma, not the HSV circle.
"""

import math

import torch
from torch import Generator, Tensor

from ..rng import coin, permutation, uniform

LUMA = (0.299, 0.587, 0.114)
_GREY = torch.tensor([LUMA] * 3, dtype=torch.float64)
_YIQ = torch.tensor(
    [LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], dtype=torch.float64
)
_RGB = torch.linalg.inv(_YIQ)


def draw_colour(
    rng: Generator,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    p: float = 1.0,
    grey: float = 0.0,
) -> Tensor:
    """A random colour map: jitter in random order, then perhaps greyscale.

    Each factor comes from [1 - amount, 1 + amount], but not below 0, the hue from
    [-amount, amount] turns.

    Args:
        brightness: amount, as contrast and saturation.
        hue: amount, at most 0.5.
        p: probability of any jitter.
        grey: probability of greyscale, after the jitter.

    Returns:
        float32 [2, 3, 3]: the matrix of the pixel and the matrix of the mean colour.
    """
    steps: list[tuple[str, float]] = []
    if coin(rng, p):
        amounts = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        factors = [(name, uniform(rng, max(1 - a, 0), 1 + a)) for name, a in amounts.items()]
        factors.append(("hue", uniform(rng, -hue, hue)))
        steps = [factors[i] for i in permutation(rng, 4).tolist()]
    if coin(rng, grey):
        steps.append(("saturation", 0.0))
    return colour_map(steps)


def colour_map(steps: list[tuple[str, float]]) -> Tensor:
    """The map that applies named steps one after another, float32 [2, 3, 3].

    Args:
        steps: pairs of "brightness", "contrast", "saturation" or "hue" with their factor
            (1 changes nothing; turns for hue, 0 changes nothing).
    """
    pixel, mean = torch.eye(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    for name, factor in steps:
        if name == "contrast":
            mean = factor * mean + (1 - factor) * _GREY @ (pixel + mean)
            pixel = factor * pixel
        else:
            step = _linear(name, factor)
            pixel, mean = step @ pixel, step @ mean
    return torch.stack([pixel, mean]).float()


def _linear(name: str, factor: float) -> Tensor:
    if name == "brightness":
        return factor * torch.eye(3, dtype=torch.float64)
    if name == "saturation":
        return factor * torch.eye(3, dtype=torch.float64) + (1 - factor) * _GREY
    assert name == "hue", name
    c, s = math.cos(2 * math.pi * factor), math.sin(2 * math.pi * factor)
    turn = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)
    return _RGB @ turn @ _YIQ


def apply_colour(x: Tensor, maps: Tensor) -> Tensor:
    """Applies one colour map per sample.

    Args:
        x: float [B, 3, T, H, W] or [B, 3, H, W] in [0, 1]; the mean colour is that of all frames.
        maps: [B, 2, 3, 3] as `draw_colour` gives them.
    """
    with torch.autocast(x.device.type, enabled=False):
        flat = x.flatten(2)
        pixel, mean = maps.to(x.dtype).unbind(1)
        shift = mean @ flat.mean(2, keepdim=True)
        return torch.baddbmm(shift, pixel, flat).clamp_(0, 1).view(x.shape)
