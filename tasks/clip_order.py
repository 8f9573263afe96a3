"""In which order were these clips filmed? Sorting shuffled clips of a video."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import integer
from ..modalities.transforms.colour import apply_colour, draw_colour
from ..modalities.transforms.image import draw_crop, draw_flip
from .parts.classify import accuracy, weighted_mean
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_times,
    clip_view,
    cut,
    embed,
    embed_grid,
    square,
)
from .parts.guards import (
    alike,
    brightness,
    coarse,
    fine_detail,
    levelled,
    outermost,
    probe,
    rising,
    without_bars,
)
from .parts.heads import PairwiseOrder, shared_layer
from .parts.pictures import best, film
from .parts.sampling import ordered_times, orders
from .task import Batch, Guard, Picture, Step, Task


class ClipOrder(Task):
    """Clip order prediction (VCOP: Xu et al. 2019, CVPR, section 3).

    Clips that follow one another in a video are shown in any order, and the task is to name it:
    n! classes, of which an order and its reverse are two, since a clip of several frames shows
    its own direction. The head is that of sequence sorting (arXiv:1708.01246). All clips share
    one crop, one mirroring and one colour change. With an image encoder the frames of a clip are
    averaged, one frame each unless `frames` says otherwise.

    Tuples in which two clips look alike have no answer, and no weight in the loss.

    Args:
        encoder: image or video encoder that is pretrained; it sees each clip alone.
        size: pixels, side of the square input.
        clips: how many are to be sorted, 2 to 5.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of one clip.
        gap: seconds from the last frame of a clip to the first of the next, less in a medium too
            short for that, but not less than `step`; the paper's is 8 frames.
        similar: least root mean square difference, of pixels in [0, 1], between two clips.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: strength of the shared colour change, 0 for none.
        motion: choose the stretch by the motion in it, where that is known; otherwise uniformly,
            as the paper does.
        hidden: width of the head's layer that sees two clips; the paper's is 512.
        compare: show the head the absolute differences of two clips beside them.
        grid: places per side of the deepest map that the head sees, through a layer of `hidden`
            numbers shared by the clips; 0: the encoder's vector, as in the paper.
        level: give the clips of a tuple the same mean colour (not in the paper).
        bars: cut away bars that stay dark along the borders (not in the paper).
        soften: replace every two by two pixels by their mean; off, since it costs detail and the
            paper has none of it.
        moving: leave tuples without visible motion out of the loss (not in the paper).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        clips: int = 3,
        frames: int | None = None,
        step: float = 0.04,
        gap: float = 0.32,
        similar: float = 0.01,
        scale: tuple[float, float] = (0.6, 1.0),
        flip: bool = True,
        colour: float = 0.2,
        motion: bool = True,
        hidden: int = 256,
        compare: bool = True,
        grid: int = 0,
        level: bool = True,
        bars: bool = True,
        soften: bool = False,
        moving: bool = True,
    ):
        super().__init__()
        if not 2 <= clips <= 5:
            raise InputError(f"sorting takes 2 to 5 clips, not {clips}")
        if not 0 < step <= gap:
            raise InputError(f"need 0 < step <= gap, got {step:g} and {gap:g}")
        check_crop(scale)
        check_least(0, similar=similar, colour=colour, grid=grid)
        check_least(1, hidden=hidden)
        self.view = clip_view(encoder, size, frames, step)
        self.orders = orders(clips, mirrored=False)
        self.count, self.step, self.gap, self.similar = clips, step, gap, similar
        self.scale, self.flip, self.colour, self.motion = scale, flip, colour, motion
        self.level, self.bars, self.soften = level, bars, soften
        self.moving, self.grid = moving, grid
        self.encoder = encoder
        self.place = shared_layer(encoder.dim * grid * grid, hidden) if grid else None
        width = hidden if grid else encoder.dim
        self.head = PairwiseOrder(width, clips, len(self.orders), hidden=hidden, compare=compare)
        self.guards = _guards(level=level, bars=bars, soften=soften, moving=moving)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if not info.has_video:
            raise MediaError(info.path, "plan", "no video: this task asks for the order of clips")
        starts = ordered_times(
            info,
            rng,
            count=self.count,
            near=self.view.span + self.step,
            far=self.view.span + self.gap,
            varied=False,
            span=self.view.span,
            use_motion=self.motion,
            option="frames or step",
        )
        times = tuple(t for start in starts for t in clip_times(self.view, start))
        return Plan(times=times, short_side=canvas(self.view.size), past_end="repeat")

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.times is not None
        lit = without_bars(sample) if self.bars else sample
        frames = square(lit, canvas(self.view.size), rng)
        clips = frames.unflatten(1, (self.count, -1)).transpose(0, 1)
        target, s = integer(rng, len(self.orders)), self.colour
        order = list(self.orders[target])
        return {
            "clips": clips[order],
            "times": sample.times.float().view(self.count, -1)[order, 0],
            "target": torch.tensor(target),
            "weight": torch.tensor(float(not (self.moving and alike(clips, self.similar)))),
            "box": draw_crop(rng, scale=self.scale),
            "flip": draw_flip(rng, 0.5 if self.flip else 0.0),
            "colour": draw_colour(rng, brightness=s, contrast=s, saturation=s, hue=s / 4),
        }

    def augment(self, batch: Batch) -> Batch:
        n = self.count
        joined = batch["clips"].transpose(1, 2).flatten(2, 3)
        x = apply_colour(cut(joined, batch, self.view.size), batch["colour"])
        x = x.unflatten(2, (n, -1)).transpose(1, 2)
        if self.soften:
            x = coarse(x)
        kept = {k: batch[k] for k in ("target", "weight", "times")}
        return {"inputs": levelled(x) if self.level else x, **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, target, weight = batch["inputs"], batch["target"], batch["weight"]
        logits = self.head(self._vectors(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]))
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), weight)
        metrics = {"accuracy": accuracy(logits, target, weight), "rejected": 1 - weight.mean()}
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.orders))

    def _vectors(self, clips: Tensor) -> Tensor:
        if self.place is None:
            return embed(self.encoder, clips)
        return self.place(embed_grid(self.encoder, clips, self.grid))


def _guards(*, level: bool, bars: bool, soften: bool, moving: bool) -> tuple[Guard, ...]:
    exposure, edges = probe(rising, brightness), probe(rising, outermost)
    noise, asked = probe(rising, fine_detail), probe(rising, fine_detail, asked=True)
    return (
        Guard("level", "fading, or exposure that drifts with time", level, exposure),
        Guard("bars", "noise in the black bars round the picture", bars, edges),
        Guard("soften", "compression that is finer in some clips", soften, noise),
        Guard("moving", "compression noise, where nothing else changes", moving, asked),
    )


def _pictures(batch: Batch, logits: Tensor, every: tuple[tuple[int, ...], ...]) -> list[Picture]:
    # Which clip to view first, second, …: the place in which each is shown.
    places = [[order.index(k) for k in range(len(order))] for order in every]
    names = tuple("-".join(str(k + 1) for k in place) for place in places)
    return [
        Picture(
            images=[film(clip, 2) for clip in batch["inputs"][i]],
            captions=[f"from {float(t):.2f} s" for t in batch["times"][i]],
            answer=f"in order {names[int(batch['target'][i])]}",
            prediction=best(logits[i], names),
        )
        for i in range(min(len(logits), 4))
    ]
