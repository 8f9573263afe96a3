"""Are three moments of a video in order? The first task of temporal order."""

import torch
from torch import Generator

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import coin
from .parts.check import check_least, check_rising
from .parts.classify import classify
from .parts.clip_input import ClipInput, need_video
from .parts.guards import MomentGuards, shown
from .parts.heads import SpatialProjection, classifier
from .parts.pictures import moments_row
from .parts.sampling import tuple_times
from .parts.transforms import Colour, Crop
from .task import Batch, Step, Task

NAMES = ("shuffled", "in order")


class ShuffleLearn(Task):
    """Shuffle and Learn (Misra et al. 2016, arXiv:1603.08561, ECCV, section 3).

    Of five moments a < b < c < d < e of a segment with much motion, (b, c, d) is in order, and
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
        video: what is pretrained; it sees each moment alone.
        tau_max: most seconds from b to d.
        tau_min: least seconds from a to b and from d to e.
        positives: share of tuples in order.
        by_motion: choose the segment by the motion in it, where that is known; else uniformly.
        crop: one for all moments.
        colour: one change for all moments.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        compare: show the head the absolute differences of the three vectors beside them.
        spatial_grid: places per side of the deepest map that the head sees, as the paper's fully
            connected layers see every place; 0: the mean over all places.
        guards: against shortcuts; `static` is the paper's, the others are not.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        tau_max: float = 2.4,
        tau_min: float = 0.6,
        positives: float = 0.25,
        by_motion: bool = True,
        crop: Crop = Crop(),
        colour: Colour = Colour(0.2, 0.2, 0.2, 0.05),
        hidden: int = 256,
        compare: bool = True,
        spatial_grid: int = 0,
        guards: MomentGuards = MomentGuards(),
    ):
        super().__init__(video=video)
        check_rising("tau", tau_min, tau_max)
        check_least(0, hidden=hidden)
        if not 0 < positives < 1:
            raise InputError(f"positives is a share between 0 and 1, got {positives:g}")
        self.video, self.tau_max, self.tau_min, self.positives = video, tau_max, tau_min, positives
        self.by_motion, self.crop, self.colour, self.moment_guards = by_motion, crop, colour, guards
        self.compare, self.guards = compare, guards.records(shown)
        self.projection = SpatialProjection(video, grid=spatial_grid, hidden=hidden)
        self.head = classifier((6 if compare else 3) * self.projection.dim, 2, hidden)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "the order of frames")
        times = tuple_times(
            info,
            rng,
            tau_min=self.tau_min,
            tau_max=self.tau_max,
            span=self.video.span,
            by_motion=self.by_motion,
        )
        return self.video.plan(*times)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        moments = self.video.clips(self.moment_guards.cut(sample), rng)
        times = self.video.start_times(sample)
        positive, later, reverse = coin(rng, self.positives), coin(rng), coin(rng)
        middle = 2 if positive else 4 if later else 0
        order = [3, middle, 1] if reverse else [1, middle, 3]
        # Other times were asked for, but what was read may be the same frame.
        distinct = (times.diff() > 0).all()
        return {
            "moments": moments[order],
            "times": times[order],
            "target": torch.tensor(int(positive)),
            "weight": self.moment_guards.weight(moments, torch.tensor([[2, 0], [2, 4]])) * distinct,
            **self.crop.draw(rng),
            **self.colour.draw(rng),
            **self.moment_guards.draw(rng, 3),
        }

    def augment(self, batch: Batch) -> Batch:
        x = self.crop.apply(batch["moments"], batch, self.video.size)
        inputs = self.colour.apply(self.moment_guards.match(x, batch), batch)
        return {"inputs": inputs, **{k: batch[k] for k in ("target", "weight", "times")}}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.projection(self.video, batch["inputs"])
        if self.compare:
            vectors = torch.cat([vectors, (vectors - vectors.roll(1, 1)).abs()], 1)
        logits = self.head(vectors.flatten(1))
        return classify(logits, batch, NAMES, moments_row(batch), balanced=True)
