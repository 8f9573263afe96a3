"""Recognise the same picture or clip in two different views of it."""

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.input_spec import as_float
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.clip_input import ClipInput
from .parts.heads import projector
from .parts.losses import cosines, nt_xent
from .parts.pictures import ranked_pairs, strip
from .parts.transforms import Blur, Colour, Crop, of_view, stacked
from .task import Batch, Guard, Step, Task


@dataclass(frozen=True)
class ViewGuards:
    """Counter-measure against telling views apart without seeing what they show.

    Args:
        colour: change colours, so that their histogram does not give the medium away.
    """

    colour: bool = True


class SimCLR(Task):
    """SimCLR (Chen et al. 2020, arXiv:2002.05709; version 2: arXiv:2006.10029).

    Two views of each medium, cropped, mirrored, recoloured and blurred at random, have to find
    each other among all views of the batch, and of all processes' batches. Views are cut in the
    worker from the picture as it was read, whatever its shape, and no smaller than it needs to be;
    colours change on the device. On clips all frames of a view change alike, and the two views may
    start at different times (CVRL: Qian et al. 2020, arXiv:2008.03800).

    Args:
        video: what is pretrained, on pictures or clips.
        same_start: both views show the same frames; otherwise each starts at its own time.
        temperature: of the loss; the paper takes 0.1 for ImageNet and 0.5 for CIFAR-10.
        crop: of each view.
        colour: of each view; the paper takes these numbers for ImageNet, half of them for
            CIFAR-10.
        blur: of each view; the paper takes none for CIFAR-10.
        layers: of the projection head, 2 in version 1 and 3 in version 2.
        outputs: length of the projected vectors.
        guards: against shortcuts; the paper has it.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        same_start: bool = True,
        temperature: float = 0.1,
        crop: Crop = Crop(scale=(0.08, 1.0)),
        colour: Colour = Colour(0.8, 0.8, 0.8, 0.2, p=0.8, grey=0.2),
        blur: Blur = Blur(),
        layers: int = 2,
        outputs: int = 128,
        guards: ViewGuards = ViewGuards(),
    ):
        super().__init__(video=video)
        if not temperature > 0:
            raise InputError(f"temperature must be above 0, got {temperature:g}")
        self.video, self.same_start, self.temperature = video, same_start, temperature
        self.crop, self.blur = crop, blur
        self.colour = colour if guards.colour else Colour()
        self.projector = projector(video.dim, outputs, layers=layers)
        cue = "the histogram of colours, which two crops share"
        self.guards = (Guard("colour", cue, guards.colour, histogram),)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        count = 1 if self.same_start else 2
        starts = [self.video.random_start(info, rng) for _ in range(count)]
        # The smallest crop is not to be enlarged, as far as the medium's own pixels go.
        side = round(self.video.size / self.crop.scale[0] ** 0.5)
        own = min(info.height, info.width) or side
        return replace(self.video.plan(*starts), short_side=max(min(side, own), self.video.size))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.frames is not None
        # Where both views show the same frames, the first clip is also the last.
        clips = sample.frames.unflatten(0, (-1, self.video.frames))[[0, -1]]
        views = [self.crop.cut(clip, rng, self.video.size) for clip in clips]
        return {
            "views": torch.stack(views).transpose(1, 2),
            **stacked([self._draw(rng) for _ in views]),
        }

    def _draw(self, rng: Generator) -> Batch:
        return {**self.colour.draw(rng), **self.blur.draw(rng, self.video.size)}

    def augment(self, batch: Batch) -> Batch:
        return {"first": self._view(batch, 0), "second": self._view(batch, 1)}

    def _view(self, batch: Batch, k: int) -> Tensor:
        drawn = of_view(batch, k, ("colour", "blur"))
        x = self.colour.apply(as_float(batch["views"][:, k]), drawn)
        return self.blur.apply(x, drawn)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        views = torch.cat([batch["first"], batch["second"]])
        first, second = self.projector(self.video.encode(views)).chunk(2)
        loss, found = nt_xent(first, second, self.temperature)
        likeness = cosines(first, second)
        pictures = ranked_pairs(batch["first"], batch["second"], likeness, strip)
        return Step(loss, {"accuracy": found}, pictures)


def histogram(batch: Batch) -> Tensor:
    """Eight-bin histograms of each colour channel of both views: [B, 2, 24]."""
    bins = torch.linspace(0, 1, 8, device=batch["first"].device)
    sides = []
    for x in (batch["first"], batch["second"]):
        near = (1 - 7 * (x.flatten(2)[..., None] - bins).abs()).clamp_min(0)
        sides.append(near.mean(2).flatten(1))
    return torch.stack(sides, 1)
