"""Shuffled pictures, put in order by a trained jigsaw run."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.source import Source
from ..modalities.image import resize
from ..modalities.media import MediaError, Plan
from ..modalities.rng import generator, integer
from ..tasks.jigsaw import Jigsaw
from ..tasks.parts.permutations import TILES
from .puzzles import save_image

_SIDE = 3  # tiles to a side


def unshuffle(
    task: Jigsaw, source: Source, i: int, out: Path, *, shuffled: bool = False, seed: int = 0
) -> dict[str, Any]:
    """Puts the nine tiles of one picture in order.

    It answers with one of the orders that the run knows. Another one it cannot name.

    Args:
        task: trained.
        source: of the pictures.
        i: number of the picture.
        out: where it is written, without a suffix.
        shuffled: the picture is shuffled already; otherwise its square in the middle is, into one
            of the run's orders, and that is written too.
        seed: of the order.

    Returns:
        The file's name, which tile each place showed, row by row from 1, the probability of that,
        and, of what was shuffled here, whether it is right.

    Raises:
        MediaError: no still picture, or one of fewer than 3 pixels.
    """
    info = source.info(i)
    if info.kind != "image" or min(info.height, info.width) < _SIDE:
        raise MediaError(info.path, "plan", "no still picture of 3×3 pixels or more")
    frames = source.read(i, Plan(times=(0.0,))).frames
    assert frames is not None
    tiles, target = tiles_of(frames[0] if shuffled else _square(frames[0])), None
    if not shuffled:
        target = integer(generator(seed, 0, i), len(task.orders))
        tiles = tiles[task.orders[target]]
        save_image(_laid(tiles) / 255, out.with_name(f"{out.name}.shuffled.png"), height=1)
    chances = task.logits(_seen(task, tiles)).softmax(1)[0]
    said = int(chances.argmax())
    path = out.with_name(f"{out.name}.png")
    save_image(_laid(tiles[task.orders[said].argsort()]) / 255, path, height=1)
    order = "-".join(str(k + 1) for k in task.orders[said].tolist())
    row = {"file": path.name, "order": order, "probability": float(chances[said])}
    return row if target is None else {**row, "right": said == target}


def tiles_of(picture: Tensor) -> Tensor:
    """Nine equal tiles of [3, H, W], row by row: [9, 3, H // 3, W // 3]."""
    high, wide = (length // _SIDE for length in picture.shape[-2:])
    grid = picture[:, : _SIDE * high, : _SIDE * wide].unfold(1, high, high).unfold(2, wide, wide)
    return grid.permute(1, 2, 0, 3, 4).flatten(0, 1)


def _laid(tiles: Tensor) -> Tensor:
    """The inverse of `tiles_of`."""
    grid = tiles.unflatten(0, (_SIDE, _SIDE)).permute(2, 0, 3, 1, 4)
    return grid.flatten(3, 4).flatten(1, 2)


def _square(picture: Tensor) -> Tensor:
    side = min(picture.shape[-2:])
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return picture[:, top : top + side, left : left + side]


def _seen(task: Jigsaw, tiles: Tensor) -> Tensor:
    """What the network sees of tiles uint8 [9, 3, h, w]: the middle of each, with its gaps."""
    size, cell = task.video.size, task.cell
    first = (cell - size) // 2
    middle = resize(tiles, (cell, cell))[..., first : first + size, first : first + size]
    clips = middle[:, :, None].expand(-1, -1, task.video.frames, -1, -1)
    batch = {"tiles": clips[None], "mix": torch.eye(3)[None], "target": torch.zeros(1).long()}
    assert len(tiles) == TILES
    return task.augment(batch)["inputs"]
