"""In which order were these clips filmed? Sorting shuffled clips of a video."""

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo
from ..modalities.rng import integer
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.flow_input import FlowInput
from .parts.guards import MomentGuards
from .parts.heads import PairwiseOrder
from .parts.order import OrderTask
from .parts.pictures import moments_row
from .parts.sampling import ordered_times, orders
from .parts.transforms import Colour, Crop
from .task import Batch, Step


class ClipOrder(OrderTask):
    """Clip order prediction (VCOP: Xu et al. 2019, CVPR, section 3).

    Clips that follow one another in a video are shown in any order, and the task is to name it:
    n! classes, of which an order and its reverse are two, since a clip of several frames shows
    its own direction. The head is that of sequence sorting (arXiv:1708.01246). All clips share
    one crop, one mirroring and one colour change. With an image encoder the frames of a clip are
    averaged.

    Media too short for the gaps are refused: clips closer together than that are told from one
    another by whose last frame resembles whose first.

    Args:
        video: what is pretrained, on frames or on flow; it sees each clip alone.
        clips: how many are to be sorted, 2 to 5.
        gap: seconds from the last frame of a clip to the first of the next; the paper's is
            8 frames.
        by_motion: choose the segment by the motion in it, where that is known; the paper chooses
            uniformly.
        crop: one for all clips.
        colour: one change for all clips.
        hidden: width of the head's layer that sees two clips; the paper's is 512.
        compare: show the head the absolute differences of two clips beside them.
        spatial_grid: places per side of the deepest map that the head sees; 0: the encoder's
            vector, as in the paper.
        guards: against shortcuts; the paper has none of them.
    """

    def __init__(
        self,
        video: ClipInput | FlowInput,
        *,
        clips: int = 3,
        gap: float = 0.32,
        by_motion: bool = True,
        crop: Crop = Crop(),
        colour: Colour = Colour(0.2, 0.2, 0.2, 0.05),
        hidden: int = 256,
        compare: bool = True,
        spatial_grid: int = 0,
        guards: MomentGuards = MomentGuards(),
    ):
        super().__init__(
            video,
            by_motion=by_motion,
            crop=crop,
            colour=colour,
            hidden=hidden,
            spatial_grid=spatial_grid,
            guards=guards,
        )
        if not 2 <= clips <= 5:
            raise InputError(f"sorting takes 2 to 5 clips, not {clips}")
        if not gap >= max(video.spec.frame_interval, 1e-3):
            raise InputError(
                f"gap is a number of seconds above 0 and from frame_interval on, got {gap:g}"
            )
        self.gap, self.orders = gap, orders(clips, mirrored=False)
        sees = self.projection.dim, clips, len(self.orders)
        self.head = PairwiseOrder(*sees, hidden=hidden, compare=compare)

    def starts(self, info: MediaInfo, rng: Generator) -> tuple[float, ...]:
        span, remedy = self.video.span, "lower frames, frame_interval or gap"
        gaps, count = (span + self.gap, span + self.gap), len(self.orders[0])
        how = {"span": span, "by_motion": self.by_motion, "remedy": remedy}
        return ordered_times(info, rng, count=count, gaps=gaps, **how)

    def puzzle(self, moments: Tensor, times: Tensor, rng: Generator) -> Batch:
        answer = integer(rng, len(self.orders))
        order = list(self.orders[answer])
        weight = self.moment_guards.weight(moments)
        target = torch.tensor(answer)
        return {
            "moments": moments[order],
            "times": times[order],
            "target": target,
            "weight": weight,
        }

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits = self.head(self.vectors(batch))
        # Which clip to view first, second, …: the place in which each is shown.
        places = [[order.index(k) for k in range(len(order))] for order in self.orders]
        names = tuple("in order " + "-".join(str(k + 1) for k in place) for place in places)
        return classify(logits, batch, names, moments_row(batch))
