"""Where and how much the frames of one medium differ."""

import torch
from torch import Generator, Tensor

from ..modalities.augment import draw_crop
from ..modalities.draw import uniform
from ..modalities.image import resize
from ..modalities.media import Sample

DARK = 24  # levels of 255: the most of a bar's rows on average, noise of compression included


def apart(moments: Tensor) -> Tensor:
    """Root mean square difference, of pixels in [0, 1], of every pair of uint8 [N, …]: [N, N]."""
    flat = moments.flatten(1).float() / 255
    return torch.stack([(flat - one).square().mean(1).sqrt() for one in flat])


def alike(moments: Tensor, similar: float) -> bool:
    """Whether any two of uint8 [N, …] differ by no more than `similar`, as `apart` measures."""
    differences = apart(moments).fill_diagonal_(torch.inf)
    return bool(differences.min() <= similar)


def motion_centre(frames: Tensor) -> tuple[float, float]:
    """Where uint8 [T, 3, H, W] changes most: (y, x) as shares of the sides; the middle if nowhere.

    The mean place, weighted by the squared grey difference of neighbouring frames.
    """
    grey = frames.float().mean(1)
    change = grey.diff(dim=0).square().sum(0)
    if len(grey) < 2 or not change.any():
        return 0.5, 0.5
    y, x = ((torch.arange(n) + 0.5) / n for n in change.shape)
    total = change.sum()
    return float((change.sum(1) * y).sum() / total), float((change.sum(0) * x).sum() / total)


def square_around(frames: Tensor, side: int, centre: tuple[float, float]) -> Tensor:
    """Cuts uint8 [T, 3, H, W] to a square about a centre, (y, x) as shares: [3, T, side, side]."""
    if min(frames.shape[-2:]) != side:
        frames = resize(frames, side)
    height, width = frames.shape[-2:]
    top = round(_within(centre[0] * height - side / 2, height - side))
    left = round(_within(centre[1] * width - side / 2, width - side))
    return frames[..., top : top + side, left : left + side].transpose(0, 1).contiguous()


def without_bars(sample: Sample) -> Sample:
    """Cuts away borders that stay dark in all frames, unless less than a third would be left."""
    assert sample.frames is not None
    light = sample.frames.float()
    rows = _lit(light.mean(3))
    columns = _lit(light[:, :, rows].mean(2))
    return Sample(sample.frames[:, :, rows, columns], sample.times)


def _lit(level: Tensor) -> slice:
    """From the first to the last of [T, 3, N] lines that are brighter than bars."""
    n = level.shape[-1]
    lit = (level.amax((0, 1)) > DARK).nonzero().flatten().tolist()
    if not lit:
        return slice(0, n)
    # The line beside a bar is a blend of bar and picture.
    first, last = lit[0] + (lit[0] > 0), lit[-1] + 1 - (lit[-1] < n - 1)
    return slice(first, last) if last - first >= n / 3 else slice(0, n)


def draw_boxes(
    rng: Generator,
    count: int,
    *,
    scale: tuple[float, float],
    shift: float,
    centre: tuple[float, float] | None,
) -> Tensor:
    """One random crop for `count` moments, each shifted on its own.

    Args:
        scale: least and greatest share of the picture's area.
        shift: most pixels of shift in either direction, as a share of the crop's sides; less
            where the picture leaves no room.
        centre: about which the crop lies, (y, x) as shares of the picture's sides, as far as the
            picture allows; None: anywhere.

    Returns:
        float32 [count, 4]: top, left, height, width as shares of the picture's sides.
    """
    *corner, height, width = draw_crop(rng, scale=scale).tolist()
    sides = (height, width)
    if centre is not None:
        corner = [c - s / 2 for c, s in zip(centre, sides, strict=True)]
    reach = [min(shift * s, (1 - s) / 2) for s in sides]
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
