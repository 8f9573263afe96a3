"""OrderTask: moments of a video are shown in some order, and the question is about it."""

from abc import ABC, abstractmethod

from torch import Generator, Tensor

from ...modalities.media import MediaInfo, Plan, Sample
from ..task import Batch, Task
from .clip_input import ClipInput, need_video
from .guards import MomentGuards, shown
from .heads import SpatialProjection
from .transforms import Colour, Crop


class OrderTask(Task, ABC):
    """A task that shows some moments of a video, all cut, mirrored and recoloured alike.

    Batches have "inputs" float [B, N, 3, T, H, W], "times" float [B, N] in seconds, "target" int64
    [B] and "weight" float [B], 0 where moments cannot be told apart.

    Args:
        video: what is pretrained; it sees each moment alone.
        by_motion: choose the segment by the motion in it, where that is known; else uniformly.
        crop: one for all moments.
        colour: one change for all moments.
        hidden: width of the layer through which the head sees a spatial grid.
        spatial_grid: places per side of the deepest map that the head sees; 0: the encoder's
            vector, which is the mean over all places.
        guards: against shortcuts.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        by_motion: bool,
        crop: Crop,
        colour: Colour,
        hidden: int,
        spatial_grid: int,
        guards: MomentGuards,
    ):
        super().__init__(video=video)
        self.video, self.by_motion = video, by_motion
        self.crop, self.colour, self.moment_guards = crop, colour, guards
        self.guards = guards.records(shown)
        self.projection = SpatialProjection(video, grid=spatial_grid, hidden=hidden)

    @abstractmethod
    def starts(self, info: MediaInfo, rng: Generator) -> tuple[float, ...]:
        """Seconds at which the moments start that are read. Raises MediaError."""

    @abstractmethod
    def puzzle(self, moments: Tensor, times: Tensor, rng: Generator) -> Batch:
        """The moments uint8 [N, 3, T, S, S] that are shown, of those read [M, …], in their order.

        Args:
            times: float32 [M], when they really start.

        Returns:
            "moments", "times", "target" and "weight". Moments beyond the last of the times are
            matched with the others, and not shown.
        """

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_video(info, "the order of moments")
        return self.video.plan(*self.starts(info, rng))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        moments = self.video.clips(self.moment_guards.cut(sample), rng)
        puzzle = self.puzzle(moments, self.video.start_times(sample), rng)
        count = len(puzzle["moments"])
        drawn = {**self.crop.draw(rng), **self.colour.draw(rng)}
        return {**puzzle, **drawn, **self.moment_guards.draw(rng, count)}

    def augment(self, batch: Batch) -> Batch:
        x = self.moment_guards.crop(self.crop, batch["moments"], batch, self.video.size)
        x = self.colour.apply(x[:, : batch["times"].shape[1]], batch)
        return {"inputs": x, **{name: batch[name] for name in ("target", "weight", "times")}}

    def vectors(self, batch: Batch) -> Tensor:
        """What the head sees of each moment: [B, N, D]."""
        return self.projection(self.video, batch["inputs"])
