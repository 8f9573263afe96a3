"""Crops about the place that moves most (Lee et al. 2017, arXiv:1708.01246, section 3.3)."""

import torch
from torch import Generator, Tensor

from ...modalities.rng import uniform
from ...modalities.transforms.image import draw_crop


def motion_centre(frames: Tensor) -> tuple[float, float]:
    """Where uint8 [T, 3, H, W] changes most: (y, x) as shares of the sides; the middle if nowhere.

    The mean place, weighted by the squared grey difference of neighbouring frames; of flow
    [T, 2, H, W] by its squared length.
    """
    if frames.shape[1] == 2:
        change = frames.float().square().sum((0, 1))
    else:
        change = frames.float().mean(1).diff(dim=0).square().sum(0)
    if not change.any():
        return 0.5, 0.5
    y, x = ((torch.arange(n) + 0.5) / n for n in change.shape)
    total = change.sum()
    return float((change.sum(1) * y).sum() / total), float((change.sum(0) * x).sum() / total)


def square_around(frames: Tensor, side: int, centre: tuple[float, float]) -> Tensor:
    """Cuts [T, C, H, W], whose shorter side is `side`, to a square about (y, x), as shares.

    Returns:
        [T, C, side, side].
    """
    height, width = frames.shape[-2:]
    top = round(_within(centre[0] * height - side / 2, height - side))
    left = round(_within(centre[1] * width - side / 2, width - side))
    return frames[..., top : top + side, left : left + side]


def draw_boxes(
    rng: Generator,
    count: int,
    *,
    scale: tuple[float, float],
    jitter: float,
    centre: tuple[float, float] | None,
) -> Tensor:
    """One random crop for `count` moments, each shifted on its own.

    Args:
        scale: least and greatest share of the picture's area.
        jitter: most shift in either direction, as a share of the crop's sides; less where the
            picture leaves no room.
        centre: about which the crop lies, (y, x) as shares of the picture's sides, as far as the
            picture allows; None: anywhere.

    Returns:
        float32 [count, 4]: top, left, height, width as shares of the picture's sides.
    """
    *corner, height, width = draw_crop(rng, scale=scale).tolist()
    sides = (height, width)
    if centre is not None:
        corner = [c - s / 2 for c, s in zip(centre, sides, strict=True)]
    reach = [min(jitter * s, (1 - s) / 2) for s in sides]
    corner = [
        r + _within(c - r, 1 - s - 2 * r) for c, s, r in zip(corner, sides, reach, strict=True)
    ]
    boxes = [
        [*(c + uniform(rng, -r, r) for c, r in zip(corner, reach, strict=True)), *sides]
        for _ in range(count)
    ]
    return torch.tensor(boxes)


def _within(value: float, most: float) -> float:
    """`value` kept in [0, most]."""
    return min(max(value, 0.0), max(most, 0.0))
