"""Are three moments of a video in order? The first task of temporal order."""

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo
from ..modalities.rng import coin
from .parts.check import check_least, check_rising
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.guards import MomentGuards
from .parts.heads import classifier
from .parts.order import OrderTask
from .parts.pictures import moments_row
from .parts.sampling import tuple_times
from .parts.transforms import Colour, Crop
from .task import Batch, Step

NAMES = ("shuffled", "in order")


class ShuffleLearn(OrderTask):
    """Shuffle and Learn (Misra et al. 2016, arXiv:1603.08561, ECCV, section 3).

    Of five moments a < b < c < d < e of a segment with much motion, (b, c, d) is in order, and
    (b, a, d) and (b, e, d) are not: the endpoints are the same, only the middle tells. Every
    tuple is reversed in time half of the time, with the same answer. All moments share one crop,
    one mirroring and one colour change. With a video encoder each moment is a short clip.

    A middle that looks like another moment makes the question meaningless: as in the paper, a
    tuple whose c resembles a or e has no weight in the loss. Nor has one in which a middle is the
    very frame of an endpoint, which would give the answer away. Light is matched over all five,
    since what three have in common tells how far they lie apart, and so the answer. The paper's
    seconds are 60 and 15 frames of 25 per second.

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
        motion = {"by_motion": by_motion, "guards": guards}
        views = {"crop": crop, "colour": colour, "hidden": hidden, "spatial_grid": spatial_grid}
        super().__init__(video, **motion, **views)
        check_rising("tau", tau_min, tau_max)
        check_least(0, hidden=hidden)
        if not 0 < positives < 1:
            raise InputError(f"positives is a share between 0 and 1, got {positives:g}")
        self.taus, self.positives, self.compare = (tau_min, tau_max), positives, compare
        self.head = classifier((6 if compare else 3) * self.projection.dim, 2, hidden)

    def starts(self, info: MediaInfo, rng: Generator) -> tuple[float, ...]:
        return tuple_times(info, rng, self.taus, self.video.span, by_motion=self.by_motion)

    def puzzle(self, moments: Tensor, times: Tensor, rng: Generator) -> Batch:
        positive, later, reverse = coin(rng, self.positives), coin(rng), coin(rng)
        middle = 2 if positive else 4 if later else 0
        order = [3, middle, 1] if reverse else [1, middle, 3]
        others = [0, 2, 4] if self.moment_guards.exposure else [middle]
        others.remove(middle)
        # Other times were asked for, but what was read may be the same frame.
        distinct = (times.diff() > 0).all()
        return {
            "moments": moments[order + others],
            "times": times[order],
            "target": torch.tensor(int(positive)),
            "weight": self.moment_guards.weight(moments, torch.tensor([[2, 0], [2, 4]])) * distinct,
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.vectors(batch)
        if self.compare:
            vectors = torch.cat([vectors, (vectors - vectors.roll(1, 1)).abs()], 1)
        logits = self.head(vectors.flatten(1))
        return classify(logits, batch, NAMES, moments_row(batch), balanced=True)
