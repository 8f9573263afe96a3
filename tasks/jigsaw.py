"""In which order were the nine tiles of a picture laid out? The jigsaw puzzle."""

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import integer
from .parts.check import check_least, check_share
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.heads import SpatialProjection, classifier
from .parts.patch_cues import patch_guards
from .parts.patches import (
    NINE,
    cut_patch,
    draw_channel_mix,
    mix_channels,
    pictures,
    random_origin,
    standardized,
)
from .parts.permutations import TILES, greedy_orders, spread_orders
from .parts.pictures import strip
from .task import Batch, Step, Task


@dataclass(frozen=True)
class JigsawGuards:
    """Counter-measures against laying tiles out without seeing what they show.

    Args:
        gap: leave pixels out between tiles, so that nothing goes on across a border.
        grey: show some pictures in grey.
        colour_projection: take the axis of green and magenta out of half of the others.
        channel_jitter: cut every colour channel of a tile a little elsewhere.
        standardize: give every channel of every tile one mean and deviation.
        letterbox: cut away bars along the borders.
    """

    gap: bool = True
    grey: bool = True
    colour_projection: bool = True
    channel_jitter: bool = True
    standardize: bool = True
    letterbox: bool = True


class Jigsaw(Task):
    """Jigsaw puzzles (Noroozi & Favaro 2016, arXiv:1603.09246, ECCV, section 3).

    A square window of a picture is divided into nine cells, and of each a tile is cut somewhere in
    it. The tiles are shown in one of a fixed set of orders; which one was it? All tiles see the
    same encoder, and nothing of each other before the head (the context-free network). Of a clip
    all frames are cut alike.

    The set of orders decides how hard the puzzle is. "spread" takes orders that differ in as many
    places as can be; "greedy" is the paper's set, the greatest distance on average, in which some
    two differ in no more than two or three places.

    With `missing` tiles some are grey, as in damaged puzzles (Kim et al. 2018, arXiv:1802.01880).

    Args:
        video: what is pretrained; its `size` is the side of a tile in pixels, 64 in the paper.
        orders: how the set of orders is chosen, "spread" or "greedy".
        classes: number of orders; "spread" has up to 72 that differ in 8 places at least, 504 in
            7, 1512 in 6.
        cell: side of a cell as a share of the tile's; the paper's are 75 and 64 pixels.
        picture: side to which the picture is read, as a share of the window's; 256 of 225 in the
            paper.
        missing: how many tiles are grey.
        grey: probability that a picture is shown in grey.
        channel_jitter: most pixels by which a colour channel is cut elsewhere.
        features: width of a layer that every tile's vector goes through.
        hidden: width of the head's hidden layer.
        spatial_grid: places per side of the deepest map that the head sees of each tile, as the
            paper's fully connected layers see every place; 0: the mean over all places.
        guards: against shortcuts; all but `letterbox` are the paper's.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        orders: Literal["spread", "greedy"] = "spread",
        classes: int = 72,
        cell: float = 75 / 64,
        picture: float = 256 / 225,
        missing: int = 0,
        grey: float = 0.3,
        channel_jitter: int = 2,
        features: int = 128,
        hidden: int = 512,
        spatial_grid: int = 0,
        guards: JigsawGuards = JigsawGuards(),
    ):
        super().__init__(video=video)
        if orders not in ("spread", "greedy"):
            raise InputError(f'orders is "spread" or "greedy", not {orders!r}')
        check_least(1, cell=cell, picture=picture, features=features)
        check_least(0, channel_jitter=channel_jitter)
        check_share(grey=grey)
        if not 0 <= missing < TILES - 1:
            raise InputError(f"missing is a number of tiles from 0 to {TILES - 2}, got {missing}")
        self.video, self.missing, self.jigsaw_guards = video, missing, guards
        choose = spread_orders if orders == "spread" else greedy_orders
        self.orders = torch.from_numpy(choose(classes))
        self.cell = round(cell * video.size) if guards.gap else video.size
        self.shift = channel_jitter if guards.channel_jitter else 0
        self.grey = grey if guards.grey else 0.0
        self.side = max(round(picture * 3 * self.cell), self._window)
        self.guards = patch_guards(guards, itemgetter("inputs"))
        self.projection = SpatialProjection(video, grid=spatial_grid, hidden=features)
        self.tile = nn.Sequential(nn.Linear(self.projection.dim, features), nn.ReLU())
        self.head = classifier(TILES * features, classes, hidden)

    @property
    def _window(self) -> int:
        """Pixels of the square of which tiles are cut, with room for channels that are shifted."""
        return 3 * self.cell + 2 * self.shift

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        whole = self.video.plan(self.video.random_start(info, rng))
        return replace(whole, short_side=self.side)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        frames = pictures(sample, self._window, self.jigsaw_guards.letterbox)
        tiles = torch.stack(self._cut(frames, rng))
        target = integer(rng, len(self.orders))
        gone = torch.randperm(TILES, generator=rng)[: self.missing]
        tiles[gone] = 128
        project = 0.5 * self.jigsaw_guards.colour_projection
        mix = draw_channel_mix(rng, project=project, grey=self.grey)
        return {
            "tiles": tiles[self.orders[target]],
            "target": torch.tensor(target),
            "mix": mix,
        }

    def _cut(self, frames: Tensor, rng: Generator) -> list[Tensor]:
        """The nine tiles of a window anywhere in frames [T, 3, H, W], row by row."""
        top, left = random_origin(rng, frames, self._window, self._window)
        room, reach = self.cell - self.video.size + 1, 2 * self.shift + 1
        return [
            cut_patch(
                frames,
                top + row * self.cell + integer(rng, room),
                left + column * self.cell + integer(rng, room),
                self.video.size,
                [(integer(rng, reach), integer(rng, reach)) for _ in range(3)],
            )
            for row, column in NINE
        ]

    def augment(self, batch: Batch) -> Batch:
        x = mix_channels(batch["tiles"], batch["mix"])
        if self.jigsaw_guards.standardize:
            x = standardized(x, each_channel=True)
        return {"inputs": x, "target": batch["target"]}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        x = batch["inputs"]
        logits = self.logits(x)

        def row(i: int) -> tuple[list[Tensor], list[str]]:
            first = self.orders[int(batch["target"][i])].argsort().to(x.device)
            return [board(x[i]), board(x[i][first])], ["as shown", "as it was"]

        names = tuple("-".join(str(k + 1) for k in order) for order in self.orders.tolist())
        return classify(logits, batch, names, row)

    def logits(self, inputs: Tensor) -> Tensor:
        """Scores of all orders, [B, K], of tiles float [B, 9, 3, T, S, S]."""
        return self.head(self.tile(self.projection(self.video, inputs)).flatten(1))


def board(tiles: Tensor) -> Tensor:
    """Nine tiles [9, 3, T, S, S] laid out, their first frames: float [3, H, W] in [0, 1]."""
    side = tiles.shape[-1]
    gap = max(side // 8, 1)
    laid = tiles.new_ones(3, 1, 3 * side + 4 * gap, 3 * side + 4 * gap)
    for tile, (row, column) in zip(tiles, NINE, strict=True):
        top, left = gap + row * (side + gap), gap + column * (side + gap)
        laid[:, 0, top : top + side, left : left + side] = tile[:, 0]
    return strip(laid, 1)
