"""Which way is up? Tell by how many right angles a picture or clip was turned."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..modalities.media import MediaInfo, Plan, Sample
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.flow_input import FlowInput
from .parts.heads import classifier
from .parts.letterbox import cut_letterbox, cut_margins
from .parts.picture_cues import borders, corners
from .parts.pictures import timed_strip
from .parts.transforms import Crop
from .task import Batch, Guard, Step, Task

NAMES = tuple(f"turned by {angle}° counter-clockwise" for angle in (0, 90, 180, 270))


@dataclass(frozen=True)
class RotationGuards:
    """Counter-measures against telling the axis, if not the direction, of upright.

    Args:
        square_crop: cut frames to a square before turning; otherwise they are squashed to one,
            and the direction of squashing gives the answer away.
        letterbox: cut away bars along the borders.
        corner_marks: cut a sixth off each side, where stations and photographers put their marks;
            off unless asked for, because more than half of the picture goes with it.
    """

    square_crop: bool = True
    letterbox: bool = True
    corner_marks: bool = False


class Rotation(Task):
    """Rotation prediction (RotNet: Gidaris et al. 2018, arXiv:1803.07728).

    All four rotations, counter-clockwise by 0°, 90°, 180° and 270°, of one and the same crop
    stand in the batch, so that a batch of B media gives 4B inputs with balanced answers. Frames
    are turned exactly, without interpolation. On clips all frames turn alike (3D-RotNet: Jing et
    al. 2018, arXiv:1811.11387); on optical flow vectors turn with their places.

    Args:
        video: what is pretrained, on pictures, clips or flow.
        crop: one for all frames and rotations.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        guards: against shortcuts; the square crop is the paper's.
    """

    def __init__(
        self,
        video: ClipInput | FlowInput,
        *,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        hidden: int = 0,
        guards: RotationGuards = RotationGuards(),
    ):
        super().__init__(video=video)
        self.video, self.crop, self.rotation_guards = video, crop, guards
        self.head = classifier(video.dim, 4, hidden)
        squashing = "squashing: detail is finer along one axis of a frame that was no square"
        bars = "black bars, which lie along the longer side of the screen"
        marks = "marks in a corner, as those of television stations"
        self.guards = (
            Guard("square_crop", squashing, guards.square_crop, detail_by_axis),
            Guard("letterbox", bars, guards.letterbox, borders_seen),
            Guard("corner_marks", marks, guards.corner_marks, corners_seen),
        )

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return self.video.plan(self.video.random_start(info, rng))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        sample = cut_letterbox(sample, self.rotation_guards.letterbox)
        sample = cut_margins(sample, self.rotation_guards.corner_marks)
        if self.rotation_guards.square_crop:
            frames = self.video.squares(sample, rng)
        else:
            frames = self.video.squashed(sample)
        return {"frames": self.video.split(frames)[0], **self.crop.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        x = self.video.crop(self.crop, batch["frames"], batch)
        turned = torch.stack([self.video.turn(x, k) for k in range(4)], 1)
        target = torch.arange(4, device=x.device).repeat(len(x))
        return {"inputs": turned.flatten(0, 1), "target": target}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, interval = batch["inputs"], self.video.spec.frame_interval

        def row(i: int) -> tuple[list[Tensor], list[str]]:
            images, captions = timed_strip(inputs[i], interval * torch.arange(inputs.shape[2]))
            return images, [f"+{c}" for c in captions] if len(images) > 1 else ["Which way is up?"]

        logits = self.head(self.video.encode(inputs))
        # One rotation each of the first four media, so that all four answers are seen.
        return classify(logits, batch, NAMES, row, rows=range(0, min(len(logits), 20), 5))


def detail_by_axis(batch: Batch) -> Tensor:
    """Log energy of differences down and across, and of 2-pixel ones: [4B, 4]."""
    grey = batch["inputs"].mean((1, 2))
    steps = [grey.diff(n=n, dim=d) for n in (1, 2) for d in (-2, -1)]
    return torch.stack([s.square().mean((-2, -1)).clamp_min(1e-8).log() for s in steps], 1)


def borders_seen(batch: Batch) -> Tensor:
    """Mean and deviation of the outermost two pixels of the four sides: [4B, 8]."""
    return borders(batch["inputs"].mean(2)[:, None])


def corners_seen(batch: Batch) -> Tensor:
    """Mean and deviation of the four corners: [4B, 8]."""
    return corners(batch["inputs"].mean(2)[:, None])
