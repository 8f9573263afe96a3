"""Are three moments of a video in order? The first task of temporal order."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, as_float
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from ..modalities.rng import coin
from ..modalities.transforms.colour import apply_colour, draw_colour
from ..modalities.transforms.image import apply_crop, draw_crop, draw_flip
from .parts.classify import accuracy, balanced_accuracy, weighted_mean
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_times,
    clip_view,
    embed,
    embed_grid,
    square,
)
from .parts.guards import (
    between,
    brightness,
    coarse,
    fine_detail,
    levelled,
    outermost,
    place_of_detail,
    probe,
    without_bars,
)
from .parts.heads import classifier, shared_layer
from .parts.pictures import best, film
from .parts.sampling import tuple_times
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("shuffled", "in order")


class ShuffleLearn(Task):
    """Shuffle and Learn (Misra et al. 2016, arXiv:1603.08561, ECCV, section 3).

    Of five moments a < b < c < d < e of a stretch with much motion, (b, c, d) is in order, and
    (b, a, d) and (b, e, d) are not: the endpoints are the same, only the middle tells. Every
    tuple is reversed in time half of the time, with the same answer. All moments share one crop,
    one mirroring and one colour change. With a video encoder each moment is a short clip.

    A middle that looks like another moment makes the question meaningless: as in the paper, a
    tuple whose c resembles a or e has no weight in the loss. Nor has one in which a middle is the
    very frame of an endpoint, which would give the answer away. The paper's seconds are 60 and 15
    frames of 25 per second.

    The paper's head is one linear layer on the three vectors (`hidden=0, compare=False`). In the
    synthetic world a small encoder learned nothing under it in 800 steps, nor with a hidden
    layer, and learned within 200 once the head also saw how far apart the vectors are.

    Args:
        encoder: image or video encoder that is pretrained; it sees each moment alone.
        size: pixels, side of the square input.
        frames: frames per moment; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of one moment.
        tau_max: most seconds from b to d.
        tau_min: least seconds from a to b and from d to e.
        positives: share of tuples in order.
        similar: least root mean square difference, of pixels in [0, 1], of c from both a and e.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        colour: strength of the shared colour change, 0 for none.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        compare: show the head the absolute differences of the three vectors beside them.
        motion: choose the stretch by the motion in it, where that is known; otherwise uniformly.
        grid: places per side of the deepest map that the head sees, through a layer of `hidden`
            numbers shared by the moments, as the paper's fully connected layers see every place;
            0: the encoder's vector, which is the mean over all places.
        level: give the moments of a tuple the same mean colour, so that fading tells nothing
            (not in the paper).
        bars: cut away bars that stay dark along the borders (not in the paper).
        shared_crop: cut all moments of a tuple alike, as the paper does; otherwise each by a crop
            of its own.
        soften: replace every two by two pixels by their mean; off, since it costs detail and the
            paper has none of it.
        moving: leave tuples out of the loss whose c looks like a or e. In still scenes only
            compression changes from frame to frame, and tells the order.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.04,
        tau_max: float = 2.4,
        tau_min: float = 0.6,
        positives: float = 0.25,
        similar: float = 0.01,
        scale: tuple[float, float] = (0.6, 1.0),
        flip: bool = True,
        colour: float = 0.2,
        hidden: int = 256,
        compare: bool = True,
        motion: bool = True,
        level: bool = True,
        grid: int = 0,
        bars: bool = True,
        shared_crop: bool = True,
        soften: bool = False,
        moving: bool = True,
    ):
        super().__init__()
        if not 0 < tau_min <= tau_max:
            raise InputError(f"need 0 < tau_min <= tau_max, got {tau_min:g} and {tau_max:g}")
        if not 0 < positives < 1:
            raise InputError(f"positives is a share between 0 and 1, got {positives:g}")
        check_crop(scale)
        check_least(0, similar=similar, colour=colour, hidden=hidden, grid=grid)
        if grid and not hidden:
            raise InputError("a grid needs a hidden layer: set hidden to 1 or more, or grid to 0")
        self.view = clip_view(encoder, size, frames, step)
        self.near, self.far, self.positives, self.similar = tau_min, tau_max, positives, similar
        self.scale, self.flip, self.colour = scale, flip, colour
        self.motion, self.compare = motion, compare
        self.level, self.bars, self.moving = level, bars, moving
        self.shared_crop, self.soften = shared_crop, soften
        self.encoder = encoder
        self.grid = grid
        self.place = shared_layer(encoder.dim * grid * grid, hidden) if grid else None
        width = hidden if grid else encoder.dim
        self.head = classifier((6 if compare else 3) * width, 2, hidden)
        self.guards = _guards(
            level=level, bars=bars, shared_crop=shared_crop, soften=soften, moving=moving
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
        moments = tuple_times(
            info,
            rng,
            near=self.near,
            far=self.far,
            span=self.view.span,
            use_motion=self.motion,
        )
        times = tuple(t for start in moments for t in clip_times(self.view, start))
        return Plan(times=times, short_side=canvas(self.view.size), past_end="repeat")

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.times is not None
        lit = without_bars(sample) if self.bars else sample
        frames = square(lit, canvas(self.view.size), rng)
        moments = frames.unflatten(1, (5, self.view.frames)).transpose(0, 1)
        times = sample.times.float().view(5, -1)
        target, s = coin(rng, self.positives), self.colour
        order = self._order(target, rng)
        return {
            "moments": moments[order],
            "times": times[order, 0],
            "target": torch.tensor(int(target)),
            "weight": torch.tensor(float(self._asks(moments, times))),
            "boxes": self._boxes(rng)[order],
            "flip": draw_flip(rng, 0.5 if self.flip else 0.0),
            "colour": draw_colour(rng, brightness=s, contrast=s, saturation=s, hue=s / 4),
        }

    def _order(self, positive: bool, rng: Generator) -> list[int]:
        """Which of the five moments are shown, in this order; the endpoints are always b and d."""
        later, reverse = coin(rng), coin(rng)
        middle = 2 if positive else 4 if later else 0
        return [3, middle, 1] if reverse else [1, middle, 3]

    def _asks(self, moments: Tensor, times: Tensor) -> bool:
        """Whether the five moments [5, 3, T, S, S], read at times [5, T], leave a question."""
        # Other times were asked for, but what was read may be the same frame.
        if not (times[:, 0].diff() > 0).all():
            return False
        change = (moments[2].float() - moments[[0, 4]].float()) / 255
        alike = bool(change.square().mean((1, 2, 3, 4)).sqrt().min() <= self.similar)
        return not (self.moving and alike)

    def _boxes(self, rng: Generator) -> Tensor:
        """Crop boxes [5, 4] of the five moments."""
        drawn = [draw_crop(rng, scale=self.scale) for _ in range(1 if self.shared_crop else 5)]
        return torch.stack(drawn).expand(5, -1)

    def augment(self, batch: Batch) -> Batch:
        flips, boxes = batch["flip"].repeat_interleave(3), batch["boxes"].flatten(0, 1)
        x = apply_crop(as_float(batch["moments"].flatten(0, 1)), boxes, flips, self.view.size)
        joined = x.unflatten(0, (-1, 3)).transpose(1, 2)
        x = apply_colour(joined.flatten(2, 3), batch["colour"]).view_as(joined).transpose(1, 2)
        if self.soften:
            x = coarse(x)
        kept = {k: batch[k] for k in ("target", "weight", "times")}
        return {"inputs": levelled(x) if self.level else x, **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, target, weight = batch["inputs"], batch["target"], batch["weight"]
        vectors = self._vectors(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        if self.compare:
            vectors = torch.cat([vectors, (vectors - vectors.roll(1, 1)).abs()], 1)
        logits = self.head(vectors.flatten(1))
        loss = weighted_mean(F.cross_entropy(logits, target, reduction="none"), weight)
        metrics = {
            "balanced_accuracy": balanced_accuracy(logits, target, weight),
            "accuracy": accuracy(logits, target, weight),
            "rejected": 1 - weight.mean(),
        }
        return Step(loss, metrics, lambda: _pictures(batch, logits))

    def _vectors(self, moments: Tensor) -> Tensor:
        if self.place is None:
            return embed(self.encoder, moments)
        return self.place(embed_grid(self.encoder, moments, self.grid))


def _guards(
    *, level: bool, bars: bool, shared_crop: bool, soften: bool, moving: bool
) -> tuple[Guard, ...]:
    exposure, place = probe(between, brightness), probe(between, place_of_detail)
    noise, asked = probe(between, fine_detail), probe(between, fine_detail, asked=True)
    return (
        Guard("level", "fading, or exposure that drifts with time", level, exposure),
        Guard("bars", "noise in the black bars round the picture", bars, probe(between, outermost)),
        Guard("shared_crop", "crops that move from moment to moment", shared_crop, place),
        Guard("soften", "compression that is finer in some frames", soften, noise),
        Guard("moving", "compression noise, where nothing else changes", moving, asked),
    )


def _pictures(batch: Batch, logits: Tensor) -> list[Picture]:
    return [
        Picture(
            images=[film(moment, 2) for moment in batch["inputs"][i]],
            captions=[f"{float(t):.2f} s" for t in batch["times"][i]],
            answer=NAMES[int(batch["target"][i])],
            prediction=best(logits[i], NAMES),
        )
        for i in range(min(len(logits), 4))
    ]
