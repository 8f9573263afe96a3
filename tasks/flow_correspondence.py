"""Does this motion belong to this picture?"""

from functools import partial
from typing import Literal

from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from .parts.check import check_rising
from .parts.clip_input import ClipInput, need_video
from .parts.flow_guards import FlowGuards
from .parts.flow_input import FlowInput, need_seconds
from .parts.heads import Comparison
from .parts.motion_cues import MARKS, pair_guards
from .parts.motion_task import MotionPairTask
from .parts.pairing import among_all, beside_other_moments, beside_others, judged
from .parts.pictures import strip
from .parts.transforms import Colour, Crop
from .task import Batch, Step

NAMES = ("motion of another moment or film", "motion of this picture")

Negatives = Literal["both", "other_video", "same_video"]


class FlowCorrespondence(MotionPairTask):
    """RGB-flow correspondence (Sayed, Brattoli & Ommer 2018, arXiv:1811.03879, section 3).

    A frame, or a clip, and optical flow that starts with it are asked about: do they belong
    together? Audio-visual correspondence (arXiv:1705.08168) with motion in the place of sound. The
    paper tells pairs apart by a loss on distances; here a head compares both vectors and answers.

    Wrong motion is that of another film, and that of another moment of the same one: there
    whatever picture and flow share of a file, as its place, persons and codec, tells nothing. Every
    picture and every motion stands as often in right pairs as in wrong ones. Nothing is encoded
    twice. Motion that hardly is one has no weight.

    Args:
        video: what is pretrained on pictures or clips.
        flow: what is pretrained on optical flow, which starts with the picture; its resize side is
            the video's.
        negatives: where wrong motion is from: "both" in equal shares, "other_video", "same_video".
        shift_min: least seconds between two moments of a film.
        shift_max: most seconds; in a shorter film shifts end where it does.
        crop: one for picture and flow, and for both moments.
        colour: one change for all frames.
        hidden: width of the hidden layer of the head.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        flow: FlowInput,
        *,
        negatives: Negatives = "both",
        shift_min: float = 0.5,
        shift_max: float = 3.0,
        crop: Crop = Crop(scale=(0.5, 1.0)),
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.1),
        hidden: int = 128,
        guards: FlowGuards = FlowGuards(),
    ):
        super().__init__(video, flow, crop=crop, colour=colour, guards=guards)
        check_rising("shift", shift_min, shift_max)
        if negatives not in ("both", "other_video", "same_video"):
            raise InputError(
                f'negatives are "both", "other_video" or "same_video", not {negatives!r}'
            )
        self.negatives, self.shifts = negatives, (shift_min, shift_max)
        self.guards, self.audits = pair_guards(guards), (MARKS,)
        self.head = Comparison(video.dim, flow.dim, 2, hidden=hidden)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "optical flow")
        span, (least, most) = self.span, self.shifts
        if self.negatives == "other_video":
            return self.flow.plan_beside(self.video, self.flow.random_start(info, rng))
        room = need_seconds(info, span + least, "lower shift_min") - span
        shift = uniform(rng, least, min(most, room))
        first = uniform(rng, 0, room - shift)
        return self.flow.plan_beside(self.video, first, first + shift)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        both = self.side_by_side(sample, rng)
        return {**both, **self.crop.draw(rng), **self.colour.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        """Joins the moments of all films: inputs [B · N, 3, T, H, W], flow [B · N, 2, L, H, W]."""
        clips = self.video.crop(self.crop, batch["clips"], batch)
        flow = self.flow.crop(self.crop, batch["fields"], batch).flatten(0, 1)
        moving = self.flow_guards.weight(flow) > 0
        return {
            "inputs": self.colour.apply(clips, batch).flatten(0, 1),
            "flow": flow,
            **among_all(self._choose(), batch["index"], moving),
        }

    def _choose(self):
        if self.negatives == "other_video":
            return partial(beside_others, count=1)
        return partial(beside_other_moments, cross_video=self.negatives == "both")

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        clips, flow = batch["inputs"], batch["flow"]

        def row(clip: int, partner: int) -> tuple[list[Tensor], list[str]]:
            captions = ["the picture", "the motion: hue is direction, colour is speed"]
            return [strip(clips[clip]), strip(flow[partner])], captions

        encoded = self.video.encode(clips), self.flow.encode(flow)
        return judged(*encoded, self.head, batch, NAMES, row)
