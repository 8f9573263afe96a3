"""Bars along the borders of a film, letterbox or pillarbox, and margins with marks: cut away."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from ...modalities.media import Sample
from .pooling import window_means

BLACK = 24  # levels of 255: the most of a bar that may lie at one end alone, if it is thin
_THIN = 0.06  # of the side
_FLAT = 8.0  # levels by which a bar's line may differ from its colour, by noise and ringing
_PARTS = 8  # of each line, whose means are looked at: noise of single pixels averages out
_RINGING = 6  # lines at a bar's end that compression and resizing blend with the picture
_MOST = 0.4  # of the side: the longest bar
_MARGIN = 1 / 6  # of each side, in which stations and photographers put their marks


def cut_letterbox(sample: Sample, cut: bool = True) -> Sample:
    """The sample without bars; what is cut off its frames is cut off its flow.

    It stays as it is where nothing shall be cut, or where it holds flow alone.
    """
    if not cut or sample.frames is None:
        return sample
    return _part(sample, *picture_part(sample.frames))


def cut_margins(sample: Sample, cut: bool = True) -> Sample:
    """The sample without a sixth of each side, which is where marks stand in a corner.

    It stays as it is where nothing shall be cut, or where it holds flow alone.
    """
    if not cut or sample.frames is None:
        return sample
    down, across = (round(_MARGIN * side) for side in sample.frames.shape[-2:])
    return _part(sample, slice(down, -down or None), slice(across, -across or None))


def _part(sample: Sample, rows: slice, columns: slice) -> Sample:
    """The sample with these rows and columns of its frames and of its flow alone."""
    assert sample.frames is not None
    flow = None if sample.flow is None else sample.flow[..., rows, columns]
    return replace(sample, frames=sample.frames[..., rows, columns], flow=flow)


def without_letterbox(frames: Tensor) -> Tensor:
    """Cuts off borders of one colour that end in a straight edge, in all frames; `picture_part`.

    Args:
        frames: uint8 [N, 3, H, W].

    Returns:
        a view of them, [N, 3, H', W'].
    """
    rows, columns = picture_part(frames)
    return frames[..., rows, columns]


def picture_part(frames: Tensor) -> tuple[slice, slice]:
    """Rows and columns of the picture that the borders of a letterbox leave, in all frames.

    The colour may be any, and another in each frame, as in a fade; but bars must lie at both ends,
    in the same colour, or lawns, skies and shade would be taken for bars. Only a thin black one
    may lie at one end alone, as where a digitised picture was not filled. The lines beside a bar,
    in which bar and picture are blended, are cut off with it. Nothing is cut where less than a
    quarter of a side would be left, nor off pictures as flat as bars.

    Args:
        frames: uint8 [N, 3, H, W].
    """
    rows, columns = slice(0, frames.shape[2]), slice(0, frames.shape[3])
    pixels = frames.float().contiguous()
    for _ in range(2):  # bars beside bars hide their edge
        before = rows, columns
        lines = window_means(pixels[..., rows, columns], None, _PARTS)
        rows = _within(rows, _picture(lines.numpy()))
        lines = window_means(pixels[..., rows, columns], _PARTS, None)
        columns = _within(columns, _picture(lines.numpy().swapaxes(2, 3)))
        if (rows, columns) == before:
            break
    return rows, columns


def _within(outer: slice, inner: slice) -> slice:
    """The part of a part."""
    return slice(outer.start + inner.start, outer.start + inner.stop)


def _picture(lines: np.ndarray) -> slice:
    """Which of H lines [N, 3, H, parts] belong to no bar.

    In numpy: loaders call this for every example, and torch takes nearly twice the time.
    """
    height = lines.shape[2]
    ends = np.stack([lines, lines[:, :, ::-1]])  # [2, N, 3, H, parts], from either end inwards
    colours = _median(ends[..., 0, :])
    difference = ends - colours[..., None, None]
    # [2, H], in the frame and channel that show it most.
    apart = np.sqrt(np.square(difference).mean(-1)).max((1, 2))
    bars = [_bar(*end) for end in zip(ends, apart, strict=True)]
    paired = min(bars) > 0 and np.abs(colours[0] - colours[1]).max() <= 2 * _FLAT
    first, last = (
        bar if paired or (bar <= _THIN * height + 1 and colour.max() <= BLACK) else 0
        for bar, colour in zip(bars, colours, strict=True)
    )
    return slice(first, height - last) if height - first - last >= height / 4 else slice(0, height)


def _bar(lines: np.ndarray, apart: np.ndarray) -> int:
    """How many of the first lines [N, 3, H, parts] are a bar's.

    Args:
        apart: [H], by how much each line differs from the bar's colour.
    """
    height = len(apart)
    inside = float(_median(apart[height // 4 : height - height // 4]))
    flat = int((apart > max(_FLAT, inside / 5)).argmax())
    if flat == 0 or flat > _MOST * height or inside < 2 * _FLAT:
        return 0
    end = flat
    while end < min(flat + _RINGING, height - 1) and apart[end] < inside / 2:
        end += 1
    step = np.abs(lines[:, :, end : end + 3] - lines[:, :, flat - 1 : flat]) > 2 * _FLAT
    return end + 1 if step.any((0, 1, 2)).mean() > 0.5 else 0


def _median(x: np.ndarray) -> np.ndarray:
    """Along the last axis; of an even number the lower of the two in the middle."""
    middle = (x.shape[-1] - 1) // 2
    return np.partition(x, middle)[..., middle]
