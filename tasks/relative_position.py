"""Where was the second patch cut, seen from the first? The eight places around it."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import coin, integer
from .parts.check import check_least, check_share
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.heads import SpatialProjection, classifier
from .parts.patch_cues import patch_guards
from .parts.patches import (
    BLOCK,
    NINE,
    cut_patch,
    draw_channel_mix,
    mix_channels,
    one_channel_and_noise,
    pictures,
    pixelated,
    random_origin,
    short_side,
    standardized,
)
from .parts.pictures import strip
from .task import Batch, Step, Task

CENTRE = NINE.index((1, 1))
AROUND = [k for k in range(9) if k != CENTRE]
NAMES = (
    "above left of", "above", "above right of", "left of", "right of",
    "below left of", "below", "below right of",
)  # fmt: skip


@dataclass(frozen=True)
class PatchGuards:
    """Counter-measures against fitting patches together without seeing what they show.

    Args:
        gap: leave pixels out between patches, so that nothing goes on across a border.
        jitter: move every patch a little on its own.
        block_grid: put neighbours a multiple of 8 pixels apart, before they are moved.
        pixelation: shrink and enlarge some patches.
        colour_dropping: leave one random channel of each patch, and noise in place of the others.
        colour_projection: take the axis of green and magenta out of the colours, the paper's other
            way; with both, a coin chooses for each picture.
        standardize: give all patches one mean and deviation.
        letterbox: cut away bars along the borders.
    """

    gap: bool = True
    jitter: bool = True
    block_grid: bool = True
    pixelation: bool = True
    colour_dropping: bool = True
    colour_projection: bool = False
    standardize: bool = True
    letterbox: bool = True


class RelativePosition(Task):
    """Context prediction (Doersch et al. 2015, arXiv:1505.05192, section 3).

    Two patches of a picture are cut at its own resolution, neighbours on a grid with gaps, each
    moved a little on its own; which of eight neighbours is the second one? Both see the same
    encoder. A picture too small for two patches side by side is enlarged until it holds them, and
    one of very many pixels is made smaller. Of a clip all frames are cut alike.

    The grid of nine (Kolesnikov et al. 2019, arXiv:1901.09005) asks for all eight places around
    one centre at once: nine patches encoded, eight questions.

    Args:
        video: what is pretrained; its `size` is the side of a patch in pixels, 96 in the paper.
        form: "pair", one question of each picture, or "grid", eight.
        gap: between neighbours, as a share of a patch's side; the paper leaves out 48 pixels of 96.
        jitter: most shift of a patch, up, down, left and right, as a share of its side; 7 of 96
            in the paper.
        pixelation: probability that a patch is shrunk and enlarged; the paper shrinks to between
            100 and 96² pixels.
        most_pixels: a picture of more is made smaller to so many; the paper's has at most 450,000.
        hidden: width of the head's hidden layer.
        spatial_grid: places per side of the deepest map that the head sees, as the paper's fully
            connected layers see every place; 0: the mean over all places.
        guards: against shortcuts; all but `block_grid`, `standardize` and `letterbox` are the
            paper's, whose distance is a multiple of 8 pixels.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        form: Literal["pair", "grid"] = "pair",
        gap: float = 0.5,
        jitter: float = 7 / 96,
        pixelation: float = 1 / 3,
        most_pixels: int = 450_000,
        hidden: int = 256,
        spatial_grid: int = 0,
        guards: PatchGuards = PatchGuards(),
    ):
        super().__init__(video=video)
        if form not in ("pair", "grid"):
            raise InputError(f'form is "pair" or "grid", not {form!r}')
        check_least(0, gap=gap, jitter=jitter)
        check_least(1, most_pixels=most_pixels)
        check_share(pixelation=pixelation)
        if guards.gap and guards.jitter and 2 * jitter >= gap:
            raise InputError(
                f"patches moved by {jitter:g} of their side overlap across a gap of {gap:g}: make "
                "the gap more than twice the jitter"
            )
        self.video, self.form, self.patch_guards = video, form, guards
        self.pitch = video.size + (round(gap * video.size) if guards.gap else 0)
        if guards.block_grid:
            self.pitch = -(-self.pitch // BLOCK) * BLOCK
        self.jitter = round(jitter * video.size) if guards.jitter else 0
        self.pixelation = pixelation if guards.pixelation else 0.0
        self.most_pixels, self.guards = most_pixels, patch_guards(guards, _shown_pairs)
        self.projection = SpatialProjection(video, grid=spatial_grid, hidden=hidden)
        self.head = classifier(2 * self.projection.dim, len(NAMES), hidden)

    @property
    def least(self) -> int:
        """Pixels of the shortest side that holds what is cut."""
        return self._extent(2 if self.form == "grid" else 1)

    def _extent(self, steps: int) -> int:
        return steps * self.pitch + self.video.size + 2 * self.jitter

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        whole = self.video.plan(self.video.random_start(info, rng))
        return replace(whole, short_side=short_side(info, self.least, self.most_pixels))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        frames = pictures(sample, self.least, self.patch_guards.letterbox)
        target = torch.arange(8) if self.form == "grid" else torch.tensor(integer(rng, 8))
        cells = NINE if self.form == "grid" else (NINE[CENTRE], NINE[AROUND[int(target)]])
        project = self.patch_guards.colour_projection
        drop = self.patch_guards.colour_dropping and not (project and coin(rng))
        patches = [self._hidden(patch, rng, drop) for patch in self._cut(frames, cells, rng)]
        mix = draw_channel_mix(rng, project=float(project and not drop))
        return {"patches": torch.stack(patches), "target": target, "mix": mix}

    def _cut(
        self, frames: Tensor, cells: tuple[tuple[int, int], ...], rng: Generator
    ) -> list[Tensor]:
        """Patches of these cells (row, column) of a grid laid anywhere that holds them."""
        rows, columns = zip(*cells, strict=True)
        first = min(rows), min(columns)
        extents = (self._extent(max(rows) - first[0]), self._extent(max(columns) - first[1]))
        top, left = random_origin(rng, frames, *extents)
        return [
            cut_patch(
                frames,
                top + (row - first[0]) * self.pitch + integer(rng, 2 * self.jitter + 1),
                left + (column - first[1]) * self.pitch + integer(rng, 2 * self.jitter + 1),
                self.video.size,
            )
            for row, column in cells
        ]

    def _hidden(self, patch: Tensor, rng: Generator, drop: bool) -> Tensor:
        if coin(rng, self.pixelation):
            patch = pixelated(patch, rng, 10 / 96)
        return one_channel_and_noise(patch, rng) if drop else patch

    def augment(self, batch: Batch) -> Batch:
        x = mix_channels(batch["patches"], batch["mix"])
        if self.patch_guards.standardize:
            x = standardized(x, each_channel=False)
        name = "patches" if self.form == "grid" else "inputs"
        return {name: x, "target": batch["target"].flatten()}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        x = batch["patches" if self.form == "grid" else "inputs"]
        pairs = paired(self.projection(self.video, x)).flatten(1)
        shown = paired(x)

        def row(i: int) -> tuple[list[Tensor], list[str]]:
            return [strip(patch, 2) for patch in shown[i]], ["this one", "and where is that?"]

        names = tuple(f"the second was {name} the first" for name in NAMES)
        return classify(self.head(pairs), batch, names, row)


def paired(x: Tensor) -> Tensor:
    """Of pairs [B, 2, …] themselves; of grids [B, 9, …] the centre beside each: [8B, 2, …]."""
    if x.shape[1] == 2:
        return x
    around = x[:, AROUND]
    centre = x[:, CENTRE : CENTRE + 1].expand_as(around)
    return torch.stack([centre, around], 2).flatten(0, 1)


def _shown_pairs(batch: Batch) -> Tensor:
    return paired(batch["inputs"] if "inputs" in batch else batch["patches"])
