"""Recognise the same picture or clip in two different views of it."""

import torch
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.transforms.colour import apply_colour, draw_colour
from ..modalities.transforms.image import apply_blur, draw_blur
from .parts.clip_input import (
    canvas,
    check_crop,
    check_least,
    clip_times,
    clip_view,
    cut,
    draw_view,
    embed,
    need_pictures,
    random_start,
    square,
)
from .parts.heads import projector
from .parts.losses import nt_xent
from .parts.pictures import film
from .task import Batch, Guard, Picture, Step, Task


class SimCLR(Task):
    """SimCLR (Chen et al. 2020, arXiv:2002.05709; version 2: arXiv:2006.10029).

    Two views of each medium, cropped, mirrored, recoloured and blurred at random, have to find
    each other among all views of the batch, and of all processes' batches. Frames travel to the
    device once; both views are made there. On clips all frames of a view change alike, and the
    two views may start at different times (CVRL: Qian et al. 2020, arXiv:2008.03800).

    The paper's width of blur is meant for 224 pixels and shrinks in proportion to the size.

    Args:
        encoder: image or video encoder that is pretrained.
        size: pixels, side of the square input.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of a clip.
        same_start: both views show the same frames; otherwise each starts at its own time.
        temperature: of the loss; the paper takes 0.1 for ImageNet and 0.5 for CIFAR-10.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time.
        strength: of the colour jitter; the paper takes 1 for ImageNet and 0.5 for CIFAR-10.
        grey: probability of greyscale.
        blur: probability of blurring; the paper takes 0.5 for ImageNet and 0 for CIFAR-10.
        layers: of the projection head, 2 in version 1 and 3 in version 2.
        outputs: length of the projected vectors.
        colour: change colours, so that their histogram does not give the medium away.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.1,
        same_start: bool = True,
        temperature: float = 0.1,
        scale: tuple[float, float] = (0.08, 1.0),
        flip: bool = True,
        strength: float = 1.0,
        grey: float = 0.2,
        blur: float = 0.5,
        layers: int = 2,
        outputs: int = 128,
        colour: bool = True,
    ):
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature must be above 0, got {temperature:g}")
        if layers not in (2, 3):
            raise InputError(f"the projection head has 2 or 3 layers, not {layers}")
        check_crop(scale)
        check_least(0, strength=strength)
        self.view = clip_view(encoder, size, frames, step)
        self.same_start, self.temperature = same_start, temperature
        self.scale, self.flip = scale, flip
        self.strength, self.grey, self.blur, self.colour = strength, grey, blur, colour
        self.encoder = encoder
        self.projector = projector(encoder.dim, outputs, layers=layers)
        cue = "the histogram of colours, which two crops share"
        self.guards = (Guard("colour", cue, colour, histogram),)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        need_pictures(info)
        starts = [
            random_start(info, self.view.span, rng) for _ in range(1 if self.same_start else 2)
        ]
        times = tuple(t for start in starts for t in clip_times(self.view, start))
        return Plan(times=times, short_side=canvas(self.view.size), past_end="repeat")

    def example(self, sample: Sample, rng: Generator) -> Batch:
        views = [self._draw(rng), self._draw(rng)]
        drawn = {k: torch.stack([view[k] for view in views]) for k in views[0]}
        return {"frames": square(sample, canvas(self.view.size), rng), **drawn}

    def _draw(self, rng: Generator) -> Batch:
        s = 0.8 * self.strength if self.colour else 0.0
        wide = self.view.size / 224
        return {
            **draw_view(rng, self.scale, self.flip),
            "colour": draw_colour(
                rng,
                brightness=s,
                contrast=s,
                saturation=s,
                hue=s / 4,
                p=0.8,
                grey=self.grey if self.colour else 0.0,
            ),
            "blur": draw_blur(rng, sigma=(0.1 * wide, 2.0 * wide), p=self.blur),
        }

    def augment(self, batch: Batch) -> Batch:
        frames, t = batch["frames"], self.view.frames
        # Where both views show the same frames, the first t are also the last t.
        first, second = frames[:, :, :t], frames[:, :, -t:]
        return {"first": self._view(first, batch, 0), "second": self._view(second, batch, 1)}

    def _view(self, frames: Tensor, batch: Batch, k: int) -> Tensor:
        drawn = {name: batch[name][:, k] for name in ("box", "flip", "colour", "blur")}
        x = apply_colour(cut(frames, drawn, self.view.size), drawn["colour"])
        radius = self.view.size // 20
        return apply_blur(x, drawn["blur"], radius) if self.blur and radius else x

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        views = torch.cat([batch["first"], batch["second"]])
        first, second = self.projector(embed(self.encoder, views)).chunk(2)
        loss, found = nt_xent(first, second, self.temperature)
        return Step(loss, {"accuracy": found}, lambda: _pictures(batch, first, second))


def histogram(batch: Batch) -> Tensor:
    """Eight-bin histograms of each colour channel, those of both views side by side: [B, 48]."""
    bins = torch.linspace(0, 1, 8, device=batch["first"].device)
    sides = []
    for x in (batch["first"], batch["second"]):
        near = (1 - 7 * (x.flatten(2)[..., None] - bins).abs()).clamp_min(0)
        sides.append(near.mean(2).flatten(1))
    return torch.cat(sides, 1)


def _pictures(batch: Batch, first: Tensor, second: Tensor) -> list[Picture]:
    near = torch.nn.functional.normalize(second.detach(), dim=1)
    likeness = torch.nn.functional.normalize(first.detach(), dim=1) @ near.T
    return [
        Picture(
            images=[film(batch["first"][i]), film(batch["second"][i])],
            captions=["one view", "another view of the same"],
            answer="these two belong together",
            prediction=f"partner ranks {1 + int((likeness[i] > likeness[i, i]).sum())} "
            f"of {len(likeness)}",
        )
        for i in range(min(len(first), 4))
    ]
