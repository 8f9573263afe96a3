"""In which order were these moments filmed? Sorting shuffled frames of a video."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import coin, integer, uniform
from .parts.check import check_rising
from .parts.classify import classify
from .parts.clip_input import ClipInput, need_video, resized
from .parts.guards import MomentGuards, chroma, place_of_detail, probe_of, shown
from .parts.heads import PairwiseOrder, SpatialProjection
from .parts.motion_crop import draw_boxes, motion_centre, square_around
from .parts.pictures import moments_row
from .parts.sampling import ordered_times, orders
from .parts.transforms import Crop
from .task import Batch, Guard, Step, Task


@dataclass(frozen=True)
class SortingGuards(MomentGuards):
    """Those of all tasks on order, and the two of the paper (section 3.3).

    Args:
        spatial_jitter: shift each moment on its own.
        channel_splitting: show one random colour channel of each moment, in all three.
    """

    spatial_jitter: bool = True
    channel_splitting: bool = True

    def records(self, moments: Callable[[Batch], Tensor]) -> tuple[Guard, ...]:
        """The guards with their probes."""
        drift, fringes = (
            "slow drift of the whole picture, as of a moving camera",
            ("colour that fades or grows, and fringes that lenses make"),
        )
        return (
            Guard("spatial_jitter", drift, self.spatial_jitter, probe_of(place_of_detail, moments)),
            Guard("channel_splitting", fringes, self.channel_splitting, probe_of(chroma, moments)),
            *super().records(moments),
        )


class SequenceSorting(Task):
    """Sorting sequences (OPN: Lee et al. 2017, arXiv:1708.01246, ICCV, section 3).

    Moments of a segment with much motion are shown shuffled, and the task is to put them in order:
    to name the places that the first, the second, … of them were given. An order and its reverse
    are one class, since many actions may run either way: n! / 2 classes. Which of the two it is
    is drawn by a coin. All moments share one crop about the place that moves most, and one
    mirroring; each is then shifted a little on its own, and keeps but one of its colour channels,
    which stands in for all three. With a video encoder each moment is a short clip.

    Tuples in which two moments look alike have no answer, and no weight in the loss.

    "The reverse" can be read in two ways. With `reverse="film"` a film run backwards gives the
    same classes. With `reverse="tuple"` the moments shown from last to first are of the same
    class; then who cannot tell forwards from backwards is right in no more than 2 of 3 cases with
    four moments, even if he sees every frame's place in the action.

    The paper's head has no `compare`; its authors train for 170,000 steps.

    Args:
        video: what is pretrained; it sees each moment alone.
        moments: how many are to be sorted, 3 to 5.
        tau_min: least seconds between the starts of neighbouring moments.
        tau_max: most seconds between them.
        reverse: what may be reversed without another answer, the "film" or the "tuple" shown.
        by_motion: choose the segment by the motion in it, where that is known, and crop about the
            place that moves most; otherwise anywhere.
        crop: the part of the picture that all moments share.
        jitter: most shift of one moment, as a share of the crop's sides; the paper's is 5 of 80
            pixels.
        hidden: width of the head's layer that sees two moments.
        compare: show the head the absolute differences of two moments beside them.
        spatial_grid: places per side of the deepest map that the head sees, as the paper's fully
            connected layers see every place; 0: the mean over all places.
        guards: against shortcuts; spatial jitter and channel splitting are the paper's.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        moments: int = 4,
        tau_min: float = 0.2,
        tau_max: float = 0.8,
        reverse: Literal["film", "tuple"] = "film",
        by_motion: bool = True,
        crop: Crop = Crop(scale=(0.4, 0.7)),
        jitter: float = 1 / 16,
        hidden: int = 256,
        compare: bool = True,
        spatial_grid: int = 0,
        guards: SortingGuards = SortingGuards(),
    ):
        super().__init__(video=video)
        if not 3 <= moments <= 5:
            raise InputError(f"sorting takes 3 to 5 moments, not {moments}")
        if reverse not in ("film", "tuple"):
            raise InputError(f'reverse is "film" or "tuple", not {reverse!r}')
        if not 0 <= jitter < 0.5:
            raise InputError(f"jitter is a share of the crop from 0 to below 0.5, got {jitter:g}")
        check_rising("tau", tau_min, tau_max)
        self.video, self.taus, self.reverse = video, (tau_min, tau_max), reverse
        self.by_motion, self.crop, self.moment_guards = by_motion, crop, guards
        self.jitter = jitter if guards.spatial_jitter else 0.0
        self.orders, self.guards = orders(moments, mirrored=True), guards.records(shown)
        self.projection = SpatialProjection(video, grid=spatial_grid, hidden=hidden)
        classes = len(self.orders)
        self.head = PairwiseOrder(
            self.projection.dim, moments, classes, hidden=hidden, compare=compare
        )

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "the order of frames")
        starts = ordered_times(
            info,
            rng,
            count=len(self.orders[0]),
            gaps=self.taus,
            span=self.video.span,
            by_motion=self.by_motion,
            remedy="lower tau_min",
        )
        return self.video.plan(*starts)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        lit, side = self.moment_guards.cut(sample).frames, self.video.resize_side
        assert lit is not None
        frames = resized(lit, side)
        centre = motion_centre(frames) if self.by_motion else (uniform(rng), uniform(rng))
        square = square_around(frames, side, centre)
        moments = self.video.split(square)
        target = integer(rng, len(self.orders))
        order = self._places(self.orders[target][:: -1 if coin(rng) else 1])
        boxes = draw_boxes(
            rng,
            len(order),
            scale=self.crop.scale,
            jitter=self.jitter,
            centre=motion_centre(square) if self.by_motion else None,
        )
        return {
            "moments": moments[order],
            "times": self.video.start_times(sample)[order],
            "target": torch.tensor(target),
            "weight": self.moment_guards.weight(moments),
            **self.crop.draw(rng),
            "box": boxes,
            "channels": torch.tensor([integer(rng, 3) for _ in order]),
            **self.moment_guards.draw(rng, len(order)),
        }

    def _places(self, order: tuple[int, ...]) -> list[int]:
        """Which moment is shown in each place."""
        if self.reverse == "tuple":
            return list(order)
        return [order.index(k) for k in range(len(order))]

    def augment(self, batch: Batch) -> Batch:
        x = batch["moments"]
        if self.moment_guards.channel_splitting:
            x = one_channel(x, batch["channels"])
        x = self.moment_guards.crop(self.crop, x, batch, self.video.size)
        x = x.expand(-1, -1, 3, -1, -1, -1)
        kept = {k: batch[k] for k in ("target", "weight", "times")}
        return {"inputs": x, **kept}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits = self.head(self.projection(self.video, batch["inputs"]))
        asked = "in order" if self.reverse == "film" else "shown as"
        names = tuple(
            f"{asked} {'-'.join(str(k + 1) for k in order)} (or reversed)" for order in self.orders
        )
        return classify(logits, batch, names, moments_row(batch))


def one_channel(x: Tensor, channels: Tensor) -> Tensor:
    """Of [B, N, 3, T, H, W] the channel [B, N] of each moment: [B, N, 1, T, H, W]."""
    index = channels[:, :, None, None, None, None].expand(-1, -1, 1, *x.shape[3:])
    return x.gather(2, index)
