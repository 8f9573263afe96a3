"""What may give the order of moments away without being seen to move, measured and levelled.

Moments are float [B, N, C, T, H, W] in [0, 1]: B tuples of N clips, in the order shown.
"""

from collections.abc import Callable
from functools import partial
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...modalities.image import resize
from ...modalities.media import Sample
from ...modalities.rng import uniform
from ...modalities.transforms.image import draw_crop
from ..task import Batch
from .audio_input import bandwidth, room_tone

Cue = Callable[[Tensor], Tensor]


def levelled(moments: Tensor) -> Tensor:
    """Shifts each moment to the mean colour of its tuple."""
    own = moments.mean((3, 4, 5), keepdim=True)
    return (moments + own.mean(1, keepdim=True) - own).clamp(0, 1)


def brightness(moments: Tensor) -> Tensor:
    """Mean of each channel: [B, N, C]."""
    return moments.mean((3, 4, 5))


def chroma(moments: Tensor) -> Tensor:
    """How far neighbouring channels of [B, N, 3, T, H, W] differ, root mean square: [B, N, 1]."""
    return moments.diff(dim=2).square().mean((2, 3, 4, 5)).sqrt()[..., None]


def fine_detail(moments: Tensor) -> Tensor:
    """Log energy of what two by two pixels average away, as noise and ringing do: [B, N, 1]."""
    rest = (moments - coarse(moments)).square()
    return rest.mean((2, 3, 4, 5)).clamp_min(1e-8).log()[..., None]


def coarse(pictures: Tensor) -> Tensor:
    """Every two by two pixels of [..., H, W] replaced by their mean."""
    small = F.avg_pool2d(pictures.flatten(0, -3), 2, ceil_mode=True)
    large = small.repeat_interleave(2, -2).repeat_interleave(2, -1)
    return large[..., : pictures.shape[-2], : pictures.shape[-1]].reshape(pictures.shape)


def outermost(moments: Tensor) -> Tensor:
    """Mean of each channel in the outermost pixels of the four sides: [B, N, 4C]."""
    sides = [moments[..., :1, :], moments[..., -1:, :], moments[..., :1], moments[..., -1:]]
    return torch.cat([brightness(side) for side in sides], -1)


def place_of_detail(moments: Tensor) -> Tensor:
    """Where the edges lie on average, (y, x) as shares of the sides: [B, N, 2]."""
    grey = moments.mean((2, 3))
    down, across = grey.diff(dim=-2).abs().sum(-1), grey.diff(dim=-1).abs().sum(-2)
    return torch.stack([_centre(down), _centre(across)], -1)


def _centre(weight: Tensor) -> Tensor:
    at = torch.linspace(0, 1, weight.shape[-1], device=weight.device)
    return (weight * at).sum(-1) / weight.sum(-1).clamp_min(1e-6)


def probe(relation: Cue, cue: Cue, *, asked: bool = False) -> Callable[[Batch], Tensor]:
    """A guard's probe of a batch of moments: how a cue relates the moments of each tuple.

    Args:
        relation: `between` or `rising`.
        cue: from moments to values [B, N, F].
        asked: 0 for tuples that have no weight.
    """
    return partial(_probe, relation, cue, asked)


def _probe(relation: Cue, cue: Cue, asked: bool, batch: Batch) -> Tensor:
    found = relation(cue(batch["inputs"]))
    return found * batch["weight"][:, None] if asked else found


def between(values: Tensor) -> Tensor:
    """Which of three moments lies between the others, for every three of [B, N, F].

    It is the same for reversed moments, and settles their order but for the reversal.

    Returns:
        [B, 3 · F · N(N-1)(N-2)/6], near 1 for the one between and near -1 for the others, 0
        where the values are equal.
    """
    found = []
    for three in combinations(range(values.shape[1]), 3):
        for middle in three:
            first, last = (values[:, k] for k in three if k != middle)
            found.append((values[:, middle] - first) * (last - values[:, middle]))
    turns = torch.cat(found, 1)
    return turns / (turns.abs() + 1e-8)


def rising(values: Tensor) -> Tensor:
    """Which of two moments has more, for every two of [B, N, F]: [B, F · N(N-1)/2], near ±1."""
    pairs = combinations(range(values.shape[1]), 2)
    steps = torch.cat([values[:, j] - values[:, i] for i, j in pairs], 1)
    return steps / (steps.abs() + 1e-4)


def trend(values: Tensor) -> Tensor:
    """Whether [B, N, F] rises (near 1) or falls (near -1) from first to last: [B, F]."""
    at = torch.arange(values.shape[1], device=values.device) - (values.shape[1] - 1) / 2
    slope = (values * at[:, None]).sum(1) / at.square().sum()
    return slope / (slope.abs() + 1e-4)


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


def beside_pictures(batch: Batch, cue: Tensor) -> Tensor:
    """A cue of sounds [S, F] times the mean colour of pictures, for each pair: [P, 3F]."""
    return products(batch["inputs"].mean((2, 3, 4)), cue, batch["picture"], batch["sound"])


def file_marks(pictures: Tensor, sounds: Tensor, picture: Tensor, sound: Tensor) -> Tensor:
    """Marks of coding, resolution, room and data set in picture and sound, for each pair: [P, 9].

    Args:
        pictures: float [B, 3, T, H, W] in [0, 1]; their mark is the energy of fine detail.
        sounds: float [S, 1, N]; their marks are the band that they fill, and the room tone.
        picture, sound: int64 [P], which of them make a pair.
    """
    heard = torch.cat([bandwidth(sounds), room_tone(sounds)], 1)
    return products(fine_detail(pictures[:, None])[:, 0], heard, picture, sound)


def products(seen: Tensor, heard: Tensor, picture: Tensor, sound: Tensor) -> Tensor:
    """Products of cues [B, F] and [S, G], each centred over the batch, for pairs: [P, F·G]."""
    seen, heard = (seen - seen.mean(0))[picture], (heard - heard.mean(0))[sound]
    return (seen[:, :, None] * heard[:, None]).flatten(1)
