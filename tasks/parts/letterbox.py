"""Bars along the borders of a film, letterbox or pillarbox: found and cut away."""

import torch.nn.functional as F
from torch import Tensor

BLACK = 24  # levels of 255: the most of a bar that needs no other sign of being one
_FLAT = 8.0  # levels by which a bar's line may differ from its colour, by noise and ringing
_PARTS = 8  # of each line, whose means are looked at: noise of single pixels averages out
_RINGING = 8  # lines at a bar's end that compression and resizing blend with the picture
_MOST = 0.4  # of the side: the longest bar


def without_letterbox(frames: Tensor) -> Tensor:
    """Cuts off borders of one colour that end in a straight edge, in all frames.

    The colour may be any, and another in each frame, as in a fade. What is not black must differ
    from the picture along more than half of the edge, or flat sky would be taken for a bar. The
    lines beside a bar, in which bar and picture are blended, are cut off with it. Nothing is cut
    where less than a quarter of a side would be left, nor off pictures as flat as bars.

    Args:
        frames: uint8 [N, 3, H, W].

    Returns:
        a view of them, [N, 3, H', W'].
    """
    for _ in range(2):  # bars beside bars hide their edge
        frames = frames[:, :, _picture(frames)]
        frames = frames[..., _picture(frames.transpose(2, 3))]
    return frames


def _picture(frames: Tensor) -> slice:
    """The lines of [N, 3, H, W] that belong to no bar."""
    height = frames.shape[2]
    lines = F.adaptive_avg_pool2d(frames.float(), (height, _PARTS))
    first, last = _bar(lines), height - _bar(lines.flip(2))
    return slice(first, last) if last - first >= max(height / 4, 1) else slice(0, height)


def _bar(lines: Tensor) -> int:
    """How many of the first lines [N, 3, H, parts] are a bar's."""
    height = lines.shape[2]
    colour = lines[:, :, :1].median(3, keepdim=True).values
    difference = lines - colour
    apart = difference.square().mean(3).sqrt().amax((0, 1))  # [H], in the frame that shows it most
    inside = float(apart[height // 4 : height - height // 4].median())
    flat = int((apart > max(_FLAT, inside / 4)).int().argmax())
    if flat == 0 or flat > _MOST * height or inside < 2 * _FLAT:
        return 0
    end = flat
    while end < min(flat + _RINGING, height - 1) and apart[end] < inside / 2:
        end += 1
    step = (lines[:, :, end : end + 4] - lines[:, :, flat - 1 : flat]).abs() > 2 * _FLAT
    straight = step.flatten(0, 2).any(0).float().mean()
    return end + 1 if colour.max() <= BLACK or straight > 0.5 else 0
