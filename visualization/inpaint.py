"""Holes in pictures, filled by a trained run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.source import Source
from ..errors import InputError
from ..modalities.image import resize
from ..modalities.input_spec import as_float
from ..modalities.media import MediaError, Plan
from ..modalities.rng import generator
from ..tasks.parts.masks import emptied, filled
from ..tasks.parts.painting import InpaintingTask
from .fidelity import fidelity
from .lpips import Lpips
from .puzzles import save_image

# Of a name and a size (height, width) the hole, bool [H, W].
Holes = Callable[[str, tuple[int, int]], Tensor]


def inpaint(
    task: InpaintingTask,
    source: Source,
    i: int,
    out: Path,
    *,
    holes: Holes | None = None,
    truth: Callable[[str], Tensor] | None = None,
    lpips: Lpips | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fills the hole of one picture; what lies beside it stays as it is to the last bit.

    Args:
        task: trained.
        source: of the pictures.
        i: number of the picture.
        out: where it is written, without a suffix.
        holes: where they are; None: where the task draws one, in the square in the middle.
        truth: gives of a name the picture as it was, uint8 [3, H, W]; of holes that are drawn the
            picture itself is the truth.
        lpips: a measure more.
        seed: of what is drawn.

    Returns:
        The file's name, the hole's share of the area, and how near the truth it comes.

    Raises:
        MediaError: no still picture.
        InputError: a hole that is empty or leaves nothing, or a truth of another size.
    """
    name, info = source.name(i), source.info(i)
    if info.kind != "image":
        raise MediaError(info.path, "plan", "no still picture: holes are filled in pictures")
    frames = source.read(i, Plan(times=(0.0,))).frames
    assert frames is not None
    picture = frames[0]
    size = (picture.shape[1], picture.shape[2])
    hole = holes(name, size) if holes else drawn_hole(task, size, seed, i)
    if not hole.any() or hole.all():
        what = "is empty" if not hole.any() else "leaves nothing of the picture to go by"
        raise InputError(f"{name}: its hole {what}; give another")
    made = fill_hole(task, as_float(picture), hole)
    path = out.with_name(f"{out.name}.png")
    save_image(made, path, height=1)
    row = {"file": path.name, "hole": float(hole.float().mean())}
    real = truth(name) if truth else (None if holes else picture)
    if real is None:
        return row
    if real.shape != picture.shape:
        raise InputError(
            f"{name}: the truth has {_pixels(real)} pixels, the picture {_pixels(picture)}; give "
            "the same picture without the hole"
        )
    return row | fidelity(made, as_float(real), hole, lpips)


def _pixels(picture: Tensor) -> str:
    return f"{picture.shape[2]}×{picture.shape[1]}"


def drawn_hole(task: InpaintingTask, size: tuple[int, int], seed: int, i: int) -> Tensor:
    """A hole as the task draws it for training, in the square in the middle of a picture."""
    side = min(size)
    hole = torch.zeros(size, dtype=torch.bool)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    drawn = task.hole.draw(generator(seed, 0, i), side)
    hole[top : top + side, left : left + side] = drawn
    return hole


def fill_hole(task: InpaintingTask, picture: Tensor, hole: Tensor) -> Tensor:
    """A picture float [3, H, W] with its hole bool [H, W] painted.

    The network sees a square around the hole, at the size that it learned at: as much beside the
    hole as there is in it, where the picture is large enough.
    """
    top, left, high, wide = window(hole, task.video.size)
    rows, columns = slice(top, top + high), slice(left, left + wide)
    part, gap = picture[:, rows, columns], hole[rows, columns]
    side = (task.video.size, task.video.size)
    # What lay in the hole is gone before anything is resized, and no pixel is known that has a part
    # in it.
    clip = resize(emptied(part[None, :, None], gap[None])[:, :, 0], side)[:, :, None]
    small = F.adaptive_max_pool2d(gap[None].float(), side) > 0
    seen = emptied(clip.expand(-1, -1, task.video.frames, -1, -1), small)
    made = resize(task.paint(seen, small), (high, wide))[0]
    whole = picture.clone()
    whole[:, rows, columns] = filled(part[None], made[None].clamp(0, 1), gap[None])[0]
    return whole


def window(hole: Tensor, least: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the square around a hole that the network sees.

    It is twice as long as the hole and no shorter than `least`; where the picture is smaller than
    that, the largest square that holds the hole, or the whole picture.
    """
    height, width = hole.shape
    rows, columns = (hole.any(k).nonzero()[:, 0] for k in (1, 0))
    extents = [(int(x[0]), int(x[-1]) + 1) for x in (rows, columns)]
    longest = max(end - start for start, end in extents)
    side = min(max(2 * longest, least), height, width)
    if side < longest:
        return 0, 0, height, width
    starts = [
        min(max((start + end - side) // 2, 0), length - side)
        for (start, end), length in zip(extents, (height, width), strict=True)
    ]
    return starts[0], starts[1], side, side
