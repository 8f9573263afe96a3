"""Which motion goes with which picture? Choose among all of the batch, both ways."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from .parts.across import rejected
from .parts.check import check_least, check_positive
from .parts.clip_input import ClipInput, need_video
from .parts.flow_guards import FlowGuards
from .parts.flow_input import FlowInput, need_seconds
from .parts.heads import projector
from .parts.losses import cosines, info_nce, match_any, nearest_rows
from .parts.motion_cues import INSTANCE_MARKS, instance_guards
from .parts.motion_task import MotionPairTask
from .parts.pictures import rank_text, strip
from .parts.transforms import Colour, Crop, of_view, stacked
from .task import Batch, Picture, Step


class FlowContrast(MotionPairTask):
    """RGB-flow contrast (CMC: Tian et al. 2020, arXiv:1906.05849; CoCLR: Han et al. 2020,
    arXiv:2010.09709).

    A clip and its optical flow, each projected to a common space, have to find each other among
    all flows and all clips of the batch, and of all processes' batches. Picture and flow have a
    crop each, and are mirrored together.

    With `co_training` each stream also contrasts two moments of a film with each other, and takes
    for positives besides the other moment the films that are nearest to it *in the other stream*:
    what moves alike may look unlike, and what looks alike may move unlike. CoCLR mines 5 of a
    memory of 2048 after both streams have learned by themselves, one stream at a time; here they
    are of the batch, in both streams at once.

    Args:
        video: what is pretrained on pictures or clips.
        flow: what is pretrained on optical flow, which starts with the clip; its resize side is the
            video's.
        temperature: of all terms; CMC and CoCLR take 0.07.
        co_training: positives that each stream mines for the other, beside the film's own; 0: none.
        crop: of each moment in each stream.
        colour: of each moment.
        outputs: length of the projected vectors.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        flow: FlowInput,
        *,
        temperature: float = 0.07,
        co_training: int = 0,
        crop: Crop = Crop(scale=(0.3, 1.0)),
        colour: Colour = Colour(0.4, 0.4, 0.4, 0.1),
        outputs: int = 128,
        guards: FlowGuards = FlowGuards(),
    ):
        super().__init__(video, flow, crop=crop, colour=colour, guards=guards)
        check_positive(temperature=temperature)
        check_least(0, co_training=co_training)
        self.temperature = temperature
        self.mined, self.moments = co_training, 2 if co_training else 1
        self.guards, self.audits = instance_guards(guards), (INSTANCE_MARKS,)
        self.video_projector = projector(video.dim, outputs)
        self.flow_projector = projector(flow.dim, outputs)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "optical flow")
        room = need_seconds(info, self.span, "lower frames or fields") - self.span
        starts = [uniform(rng, 0, room) for _ in range(self.moments)]
        return self.flow.plan_beside(self.video, *starts)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        both = self.side_by_side(sample, rng)
        return {**both, **stacked([self._drawn(rng) for _ in range(self.moments)])}

    def _drawn(self, rng: Generator) -> Batch:
        seen, moved = self.crop.draw(rng), self.crop.draw(rng)
        return {**seen, "flow_box": moved["box"], **self.colour.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        """Each moment's clips "inputs" and "flow"; of a second one "inputs_again", "flow_again"."""
        moments = [self._moment(batch, k) for k in range(self.moments)]
        made = {name: x for name, x in moments[0].items() if name != "weight"}
        made["weight"] = torch.stack([moment["weight"] for moment in moments]).amin(0)
        if self.mined:
            made |= {f"{name}_again": moments[1][name] for name in ("inputs", "flow")}
        return made

    def _moment(self, batch: Batch, k: int) -> Batch:
        drawn = of_view(batch, k, ("box", "flip", "colour", "flow_box"))
        clip = self.video.crop(self.crop, batch["clips"][:, k], drawn)
        drawn["box"] = drawn["flow_box"]
        flow = self.flow.crop(self.crop, batch["fields"][:, k], drawn)
        weight = self.flow_guards.weight(flow)
        return {"inputs": self.colour.apply(clip, drawn), "flow": flow, "weight": weight}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        weight, temperature = batch["weight"], self.temperature
        clips, flows = self._encoded(batch, "")
        loss, found = info_nce(clips, flows, temperature, weight)
        metrics = {"accuracy": found, "rejected": rejected(weight)}
        if self.mined:
            clips_again, flows_again = self._encoded(batch, "_again")
            alike = {
                "video": (clips, clips_again, nearest_rows(flows_again, self.mined, weight)),
                "flow": (flows, flows_again, nearest_rows(clips_again, self.mined, weight)),
            }
            for name, (query, keys, positives) in alike.items():
                term, share = match_any(query, keys, positives, temperature, weight)
                loss, metrics[f"{name}_accuracy"] = loss + term, share
        return Step(loss, metrics, _pictures(batch, cosines(clips, flows)))

    def _encoded(self, batch: Batch, which: str) -> tuple[Tensor, Tensor]:
        clips = self.video_projector(self.video.encode(batch[f"inputs{which}"]))
        return clips, self.flow_projector(self.flow.encode(batch[f"flow{which}"]))


def _pictures(batch: Batch, likeness: Tensor) -> Callable[[], list[Picture]]:
    """Shows up to four clips, the flow of each, and the one that [B, B] takes for it."""
    captions = ["the clip", "its motion (hue: direction)", "the motion that seems nearest"]

    def picture(i: int) -> Picture:
        flows = [strip(batch["flow"][k]) for k in (i, int(likeness[i].argmax()))]
        images = [strip(batch["inputs"][i]), *flows]
        answer = "the first motion belongs to the clip"
        return Picture(images, captions, answer, rank_text(likeness, i), made=(2,))

    return lambda: [picture(i) for i in range(min(len(likeness), 4))]
