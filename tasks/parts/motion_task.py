"""What tasks on pictures and their optical flow share: how both are read and cut."""

from abc import ABC
from dataclasses import replace

from torch import Generator

from ...modalities.media import MediaInfo, Plan, Sample
from ..task import Batch, Task
from .check import check_positive
from .clip_input import ClipInput, need_video
from .flow_guards import FlowGuards, TargetGuards
from .flow_input import FlowInput, same_square
from .transforms import Colour, Crop


class MotionTargetTask(Task, ABC):
    """A task that shows a frame and asks how it is about to move, which the network does not see.

    Args:
        video: what is pretrained; of several frames the one in the middle is asked about, and an
            image encoder sees it alone.
        flow_interval: seconds from the frame to the one to which flow leads.
        flow_method: how flow is computed, as "dis" or "farneback"; null: as a pack has it, else
            "dis".
        crop: of the frame.
        colour: of the frame.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        flow_interval: float,
        flow_method: str | None,
        crop: Crop,
        colour: Colour,
        guards: TargetGuards,
    ):
        super().__init__(video=video)
        check_positive(flow_interval=flow_interval)
        self.video, self.interval, self.method = video, flow_interval, flow_method
        self.crop, self.colour, self.flow_guards = crop, colour, guards
        video.use_maps_only()

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "optical flow")
        plan = self.video.plan(self.video.random_start(info, rng))
        shown = plan.times[self.video.frames // 2]
        return replace(plan, flow=((shown, shown + self.interval),), flow_method=self.method)

    def shown(self, sample: Sample, rng: Generator) -> Batch:
        """ "clip" uint8 [3, T, S, S] and "flow" float16 [2, S, S], cut to the same square."""
        frames, flow = same_square(self.video, self.flow_guards.cut(sample), rng)
        clip, middle = self.video.split(frames)[0], self.video.frames // 2
        alone = self.video.modality == "image"
        return {"clip": clip[:, middle : middle + 1] if alone else clip, "flow": flow[0]}


class MotionPairTask(Task, ABC):
    """A task that shows clips beside their optical flow.

    Args:
        video: what is pretrained on pictures or clips.
        flow: what is pretrained on optical flow, which starts with the clip; its resize side is the
            video's.
        crop: of clips and of flow.
        colour: one change for all frames of a clip.
        guards: against shortcuts.
    """

    def __init__(
        self, video: ClipInput, flow: FlowInput, *, crop: Crop, colour: Colour, guards: FlowGuards
    ):
        super().__init__(video=video, flow=flow)
        self.video, self.flow = video, flow
        self.crop, self.colour, self.flow_guards = crop, colour, guards

    @property
    def span(self) -> float:
        """Seconds from the start of a clip to the end of what is read of it."""
        return max(self.video.span, self.flow.span)

    def side_by_side(self, sample: Sample, rng: Generator) -> Batch:
        """ "clips" uint8 [N, 3, T, S, S] and "fields" float16 [N, 2, L, S, S], cut alike."""
        frames, flow = same_square(self.video, self.flow_guards.cut(sample), rng)
        return {"clips": self.video.split(frames), "fields": self.flow.split(flow)}
