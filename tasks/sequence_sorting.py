"""In which order were these moments filmed? Sorting shuffled frames of a video."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.image import resize
from ..modalities.input_spec import InputSpec, as_float
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import coin, integer, uniform
from ..modalities.transforms.image import apply_crop, draw_flip
from .parts.classify import accuracy, weighted_mean
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_times,
    clip_view,
    embed,
    embed_grid,
)
from .parts.guards import (
    alike,
    between,
    brightness,
    chroma,
    coarse,
    draw_boxes,
    fine_detail,
    levelled,
    motion_centre,
    outermost,
    place_of_detail,
    probe,
    square_around,
    without_bars,
)
from .parts.heads import PairwiseOrder, shared_layer
from .parts.pictures import best, film
from .parts.sampling import ordered_times, orders
from .task import Batch, Guard, Picture, Step, Task


class SequenceSorting(Task):
    """Sorting sequences (OPN: Lee et al. 2017, arXiv:1708.01246, ICCV, section 3).

    Moments of a stretch with much motion are shown shuffled, and the task is to put them in order:
    to name the places that the first, the second, … of them were given. An order and its reverse
    are one class, since many actions may run either way: n! / 2 classes. Which of the two it is
    is drawn by a coin. All moments share one crop about the place that
    moves most, and one mirroring; each is then shifted a little on its own, and keeps but one of
    its colour channels, which stands in for all three. With a video encoder each moment is a
    short clip.

    Tuples in which two moments look alike have no answer, and no weight in the loss.

    "The reverse" can be read in two ways. With `reverse="film"` a film run backwards gives the
    same classes. With `reverse="tuple"` the moments shown from last to first are of the same
    class; then who cannot tell forwards from backwards is right in no more than 2 of 3 cases with
    four moments, even if he sees every frame's place in the action.

    The paper's head has no `compare`; its authors train for 170,000 steps.

    Args:
        encoder: image or video encoder that is pretrained; it sees each moment alone.
        size: pixels, side of the square input.
        moments: how many are to be sorted, 3 to 5.
        frames: frames per moment; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of one moment.
        tau_min: least seconds between the starts of neighbouring moments.
        tau_max: most seconds between them.
        similar: least root mean square difference, of pixels in [0, 1], between two moments.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        reverse: what may be reversed without another answer, the "film" or the "tuple" shown.
        centre: crop about the place that moves most, otherwise anywhere.
        motion: choose the stretch by the motion in it, where that is known; otherwise uniformly.
        hidden: width of the head's layer that sees two moments.
        compare: show the head the absolute differences of two moments beside them.
        grid: places per side of the deepest map that the head sees, through a layer of `hidden`
            numbers shared by the moments, as the paper's fully connected layers see every place;
            0: the encoder's vector, which is the mean over all places.
        shift: most shift of one moment, as a share of the crop's sides; the paper's is 5 of 80
            pixels.
        jitter: shift each moment on its own.
        split: show one random colour channel of each moment.
        level: give the moments of a tuple the same mean colour (not in the paper).
        bars: cut away bars that stay dark along the borders (not in the paper).
        soften: replace every two by two pixels by their mean; off, since it costs detail and the
            paper has none of it.
        moving: leave tuples without visible motion out of the loss.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 80,
        moments: int = 4,
        frames: int | None = None,
        step: float = 0.04,
        tau_min: float = 0.2,
        tau_max: float = 0.8,
        similar: float = 0.01,
        scale: tuple[float, float] = (0.4, 0.7),
        flip: bool = True,
        reverse: Literal["film", "tuple"] = "film",
        centre: bool = True,
        motion: bool = True,
        hidden: int = 256,
        compare: bool = True,
        grid: int = 0,
        shift: float = 1 / 16,
        jitter: bool = True,
        split: bool = True,
        level: bool = True,
        bars: bool = True,
        soften: bool = False,
        moving: bool = True,
    ):
        super().__init__()
        if not 3 <= moments <= 5:
            raise InputError(f"sorting takes 3 to 5 moments, not {moments}")
        if not 0 < tau_min <= tau_max:
            raise InputError(f"need 0 < tau_min <= tau_max, got {tau_min:g} and {tau_max:g}")
        if reverse not in ("film", "tuple"):
            raise InputError(f'reverse is "film" or "tuple", not {reverse!r}')
        if not 0 <= shift < 0.5:
            raise InputError(f"shift is a share of the crop from 0 to below 0.5, got {shift:g}")
        check_crop(scale)
        check_least(0, similar=similar, grid=grid)
        check_least(1, hidden=hidden)
        self.view = clip_view(encoder, size, frames, step)
        self.orders = orders(moments, mirrored=True)
        self.count, self.near, self.far, self.similar = moments, tau_min, tau_max, similar
        self.scale, self.flip, self.centre, self.motion = scale, flip, centre, motion
        self.reverse = reverse
        self.shift, self.jitter, self.split = shift, jitter, split
        self.level, self.bars, self.soften = level, bars, soften
        self.moving, self.grid = moving, grid
        self.encoder = encoder
        self.place = shared_layer(encoder.dim * grid * grid, hidden) if grid else None
        width = hidden if grid else encoder.dim
        self.head = PairwiseOrder(width, moments, len(self.orders), hidden=hidden, compare=compare)
        self.guards = _guards(
            jitter=jitter, split=split, level=level, bars=bars, soften=soften, moving=moving
        )

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if not info.has_video:
            raise MediaError(info.path, "plan", "no video: this task asks for the order of frames")
        starts = ordered_times(
            info,
            rng,
            count=self.count,
            near=self.near,
            far=self.far,
            span=self.view.span,
            use_motion=self.motion,
            option="tau_min",
        )
        times = tuple(t for start in starts for t in clip_times(self.view, start))
        return Plan(times=times, short_side=canvas(self.view.size), past_end="repeat")

    def example(self, sample: Sample, rng: Generator) -> Batch:
        lit = without_bars(sample) if self.bars else sample
        assert lit.frames is not None
        assert sample.times is not None
        side = canvas(self.view.size)
        frames = resize(lit.frames, side)
        centre = motion_centre(frames) if self.centre else _anywhere(rng)
        clips = square_around(frames, side, centre).unflatten(1, (self.count, -1)).transpose(0, 1)
        target = integer(rng, len(self.orders))
        order = self._shown(self.orders[target][:: -1 if coin(rng) else 1])
        return {
            "moments": clips[order],
            "times": sample.times.float().view(self.count, -1)[order, 0],
            "target": torch.tensor(target),
            "weight": torch.tensor(float(not (self.moving and alike(clips, self.similar)))),
            "boxes": self._boxes(clips, rng),
            "flip": draw_flip(rng, 0.5 if self.flip else 0.0),
            "channels": torch.tensor([integer(rng, 3) for _ in order]),
        }

    def _shown(self, order: tuple[int, ...]) -> list[int]:
        """Which moment is shown in each place."""
        if self.reverse == "tuple":
            return list(order)
        return [order.index(k) for k in range(self.count)]

    def _boxes(self, clips: Tensor, rng: Generator) -> Tensor:
        """Crop boxes [N, 4] of the moments [N, 3, T, S, S]."""
        return draw_boxes(
            rng,
            self.count,
            scale=self.scale,
            shift=self.shift if self.jitter else 0.0,
            centre=motion_centre(clips.transpose(1, 2).flatten(0, 1)) if self.centre else None,
        )

    def augment(self, batch: Batch) -> Batch:
        moments, n = batch["moments"], self.count
        flips = batch["flip"].repeat_interleave(n)
        boxes = batch["boxes"].flatten(0, 1)
        x = apply_crop(as_float(moments.flatten(0, 1)), boxes, flips, self.view.size)
        if self.split:
            x = _one_channel(x, batch["channels"].flatten())
        if self.soften:
            x = coarse(x)
        x = x.unflatten(0, (-1, n))
        kept = {k: batch[k] for k in ("target", "weight", "times")}
        return {"inputs": levelled(x) if self.level else x, **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, target, weight = batch["inputs"], batch["target"], batch["weight"]
        logits = self.head(self._vectors(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2]))
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), weight)
        metrics = {"accuracy": accuracy(logits, target, weight), "rejected": 1 - weight.mean()}
        return Step(loss, metrics, lambda: _pictures(batch, logits, self.orders, self.reverse))

    def _vectors(self, moments: Tensor) -> Tensor:
        if self.place is None:
            return embed(self.encoder, moments)
        return self.place(embed_grid(self.encoder, moments, self.grid))


def _guards(
    *, jitter: bool, split: bool, level: bool, bars: bool, soften: bool, moving: bool
) -> tuple[Guard, ...]:
    drift, fading = probe(between, place_of_detail), probe(between, chroma)
    exposure, edges = probe(between, brightness), probe(between, outermost)
    noise, asked = probe(between, fine_detail), probe(between, fine_detail, asked=True)
    return (
        Guard("jitter", "slow drift of the whole picture, as of a moving camera", jitter, drift),
        Guard("split", "colour that fades or grows, and fringes that lenses make", split, fading),
        Guard("level", "exposure that drifts with time", level, exposure),
        Guard("bars", "noise in the black bars round the picture", bars, edges),
        Guard("soften", "compression that is finer in some frames", soften, noise),
        Guard("moving", "compression noise, where nothing else changes", moving, asked),
    )


def _anywhere(rng: Generator) -> tuple[float, float]:
    return uniform(rng), uniform(rng)


def _one_channel(x: Tensor, channels: Tensor) -> Tensor:
    """[N, 3, T, H, W] with channel [N] of each in all three."""
    return x[torch.arange(len(x), device=x.device), channels][:, None].expand_as(x)


def _pictures(
    batch: Batch, logits: Tensor, every: tuple[tuple[int, ...], ...], reverse: str
) -> list[Picture]:
    names = tuple("-".join(str(k + 1) for k in order) for order in every)
    asked = "in order" if reverse == "film" else "shown as"
    return [
        Picture(
            images=[film(moment, 2) for moment in batch["inputs"][i]],
            captions=[f"{float(t):.2f} s" for t in batch["times"][i]],
            answer=f"{asked} {names[int(batch['target'][i])]} (or reversed)",
            prediction=best(logits[i], names),
        )
        for i in range(min(len(logits), 4))
    ]
