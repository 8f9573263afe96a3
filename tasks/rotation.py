"""Which way is up? Tell by how many right angles a picture or clip was turned."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..modalities.image import resize
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.classify import accuracy
from .parts.clip_input import (
    canvas,
    check_crop,
    clip_view,
    cut,
    draw_view,
    embed,
    plan_clip,
    square,
)
from .parts.heads import classifier
from .parts.pictures import best, film_strip
from .task import Batch, Guard, Picture, Step, Task

NAMES = ("0°", "90°", "180°", "270°")


class Rotation(Task):
    """Rotation prediction (RotNet: Gidaris et al. 2018, arXiv:1803.07728).

    All four rotations, counter-clockwise by 0°, 90°, 180° and 270°, of one and the same crop
    stand in the batch, so that a batch of B media gives 4B inputs with balanced answers. Frames
    are turned exactly, without interpolation. On clips all frames turn alike (3D-RotNet: Jing et
    al. 2018, arXiv:1811.11387).

    Args:
        encoder: image or video encoder that is pretrained.
        size: pixels, side of the square input.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of a clip.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        hidden: width of a hidden layer in the head, 0 for the paper's linear one.
        square_crop: cut frames to a square before turning; otherwise they are squashed to one,
            and the direction of squashing gives the answer away.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.1,
        scale: tuple[float, float] = (0.35, 1.0),
        flip: bool = True,
        hidden: int = 0,
        square_crop: bool = True,
    ):
        super().__init__()
        check_crop(scale)
        self.view = clip_view(encoder, size, frames, step)
        self.scale, self.flip, self.square_crop = scale, flip, square_crop
        self.encoder = encoder
        self.head = classifier(encoder.dim, 4, hidden)
        cue = "squashing: detail is finer along one axis of a frame that was no square"
        self.guards = (Guard("square_crop", cue, square_crop, detail_by_axis),)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return plan_clip(self.view, info, rng)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        side = canvas(self.view.size)
        if self.square_crop:
            frames = square(sample, side, rng)
        else:
            assert sample.frames is not None
            frames = resize(sample.frames, (side, side)).transpose(0, 1).contiguous()
        return {"frames": frames, **draw_view(rng, self.scale, self.flip)}

    def augment(self, batch: Batch) -> Batch:
        crop = cut(batch["frames"], batch, self.view.size)
        turned = torch.stack([crop.rot90(k, (-2, -1)) for k in range(4)], 1)
        target = torch.arange(4, device=crop.device).repeat(len(crop))
        return {"inputs": turned.flatten(0, 1), "target": target}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, target = batch["inputs"], batch["target"]
        logits = self.head(embed(self.encoder, inputs))
        metrics = {"accuracy": accuracy(logits, target)}
        loss = F.cross_entropy(logits, target)
        return Step(loss, metrics, lambda: _pictures(inputs, target, logits, self.view.step))


def detail_by_axis(batch: Batch) -> Tensor:
    """Log energy of differences down and across, and of 2-pixel ones: [4B, 4]."""
    grey = batch["inputs"].mean((1, 2))
    steps = [grey.diff(n=n, dim=d) for n in (1, 2) for d in (-2, -1)]
    return torch.stack([s.square().mean((-2, -1)).clamp_min(1e-8).log() for s in steps], 1)


def _pictures(inputs: Tensor, target: Tensor, logits: Tensor, step: float) -> list[Picture]:
    # One rotation each of the first four media, so that all four answers are seen.
    chosen, made = [i for i in range(0, 20, 5) if i < len(target)], []
    for i in chosen:
        images, captions = film_strip(inputs[i], step * torch.arange(inputs.shape[2]))
        captions = [f"+{c}" for c in captions] if len(images) > 1 else ["Which way is up?"]
        answer = f"turned by {NAMES[int(target[i])]} counter-clockwise"
        made.append(Picture(images, captions, answer, best(logits[i], NAMES)))
    return made
