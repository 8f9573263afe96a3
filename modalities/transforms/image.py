"""Random transforms of a whole batch at once, with each sample's own parameters.

`draw_…` runs in a loader's worker and returns a few numbers; `apply_…` runs on the batch's device
and draws nothing. Cropping, resizing, mirroring and blurring are linear in each axis, so that each
is two matrix products per sample: exact antialiasing at any scale, and equally fast on CPU and GPU.
Pictures are float [B, C, T, H, W] or [B, C, H, W]; all frames of a clip share their parameters.
"""

import math

import torch
from torch import Generator, Tensor

from ..rng import coin, uniform


def draw_crop(
    rng: Generator,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """A random part of a picture (Szegedy et al. 2015, arXiv:1409.4842, section 6).

    Args:
        scale: least and greatest share of the picture's area.
        ratio: least and greatest width / height, relative to the picture's own.

    Returns:
        float32 [4]: top, left, height, width as shares of the picture's sides.
    """
    for _ in range(10):
        area = uniform(rng, *scale)
        aspect = math.exp(uniform(rng, math.log(ratio[0]), math.log(ratio[1])))
        height, width = math.sqrt(area / aspect), math.sqrt(area * aspect)
        if height <= 1 and width <= 1:
            top, left = uniform(rng, 0, 1 - height), uniform(rng, 0, 1 - width)
            return torch.tensor([top, left, height, width])
    return torch.tensor([0.0, 0.0, 1.0, 1.0])


def draw_flip(rng: Generator, p: float = 0.5) -> Tensor:
    """Whether to mirror left and right: bool []."""
    return torch.tensor(coin(rng, p))


def apply_crop(x: Tensor, boxes: Tensor, flips: Tensor | None, size: int) -> Tensor:
    """Cuts each sample's box, resizes it to a square (antialiased triangle filter), mirrors it.

    Args:
        x: float [B, C, T, H, W] or [B, C, H, W].
        boxes: [B, 4] as `draw_crop` gives them.
        flips: bool [B], or None for no mirroring.
        size: pixels, side of the result.

    Returns:
        float [B, C, T, size, size] or [B, C, size, size].
    """
    top, left, height, width = boxes.to(x.dtype).unbind(1)
    rows = _resampling(top, height, x.shape[-2], size)
    columns = _resampling(left, width, x.shape[-1], size)
    if flips is not None:
        columns = torch.where(flips[:, None, None], columns.flip(1), columns)
    return _separable(x, rows, columns)


def apply_crop_to_flow(x: Tensor, boxes: Tensor, flips: Tensor | None, size: int) -> Tensor:
    """Flow between frames of which `apply_crop` cuts the same boxes.

    Vectors grow as their axis does, and their x changes its sign where the frames are mirrored.

    Args:
        x: float [B, 2, T, H, W] or [B, 2, H, W], (x, y) in pixels.
        boxes: [B, 4] as `draw_crop` gives them.
        flips: bool [B], or None for no mirroring.
        size: pixels, side of the result.

    Returns:
        float [B, 2, T, size, size] or [B, 2, size, size].
    """
    _, _, height, width = boxes.to(x.dtype).unbind(1)
    across, down = size / (width * x.shape[-1]), size / (height * x.shape[-2])
    if flips is not None:
        across = torch.where(flips, -across, across)
    factors = torch.stack([across, down], 1)
    return apply_crop(x, boxes, flips, size) * factors.view(-1, 2, *(1,) * (x.ndim - 2))


def draw_blur(rng: Generator, *, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5) -> Tensor:
    """Width of a Gaussian blur in pixels, 0 for none: float32 []."""
    return torch.tensor(uniform(rng, *sigma) if coin(rng, p) else 0.0)


def apply_blur(x: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Gaussian blur, cut off `radius` pixels from its centre; borders are reflected.

    Args:
        x: float [B, C, T, H, W] or [B, C, H, W], sides greater than `radius`.
        sigmas: [B] in pixels; 0 leaves the sample as it is.
    """
    rows = _gaussian(sigmas.to(x.dtype), x.shape[-2], radius)
    columns = rows if x.shape[-1] == x.shape[-2] else _gaussian(sigmas, x.shape[-1], radius)
    return _separable(x, rows, columns)


def draw_gain(rng: Generator, amount: float = 0.1) -> Tensor:
    """A factor from [1 - amount, 1 + amount]: float32 []."""
    return torch.tensor(uniform(rng, 1 - amount, 1 + amount))


def apply_gain(audio: Tensor, gains: Tensor) -> Tensor:
    """Sound [B, C, N] times one factor [B] per sample, kept in [-1, 1]."""
    return (audio * gains.to(audio.dtype)[:, None, None]).clamp(-1, 1)


def _resampling(start: Tensor, extent: Tensor, pixels: int, size: int) -> Tensor:
    """Weights [B, size, pixels] that resize the part [start, start + extent) of one axis."""
    low, high = start * pixels, (start + extent) * pixels
    scale = (high - low) / size
    out = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    at = torch.arange(pixels, device=start.device, dtype=start.dtype) + 0.5
    centres = low[:, None] + out * scale[:, None]
    distance = (at - centres[:, :, None]).abs() / scale.clamp_min(1)[:, None, None]
    # Pixels that lie wholly outside the box must not bleed into its border.
    inside = (at + 0.5 > low[:, None] + 1e-4) & (at - 0.5 < high[:, None] - 1e-4)
    weights = (1 - distance).clamp_min(0) * inside[:, None]
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)


def _gaussian(sigmas: Tensor, pixels: int, radius: int) -> Tensor:
    """Weights [B, pixels, pixels] of a blur with reflected borders."""
    at = torch.arange(pixels, device=sigmas.device)
    padded = torch.arange(-radius, pixels + radius, device=sigmas.device)
    distance = padded - at[:, None]
    exponent = -0.5 * (distance / sigmas.clamp_min(1e-3)[:, None, None]).square()
    weights = exponent.exp() * (distance.abs() <= radius)
    weights = weights / weights.sum(-1, keepdim=True)
    reflected = pixels - 1 - (pixels - 1 - padded.abs()).abs()
    fold = (reflected[:, None] == at).to(weights.dtype)
    with torch.autocast(sigmas.device.type, enabled=False):
        return weights @ fold


def _separable(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows [B, H', H] · x [B, …, H, W] · columnsᵀ [W, W'] in full precision."""
    with torch.autocast(x.device.type, enabled=False):
        b, *_, h, w = x.shape
        y = x.reshape(b, -1, w) @ columns.transpose(1, 2)
        y = rows[:, None] @ y.view(b, -1, h, columns.shape[1])
    return y.view(*x.shape[:-2], rows.shape[1], columns.shape[1])
