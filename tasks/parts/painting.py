"""What tasks that paint share: how pictures are read, who trains when, and what is reported."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ...modalities.lab import lightness, rgb_to_lab
from ...modalities.media import MediaInfo, Plan, Sample
from ..task import Batch, Phase, Step, Task, Traits
from .adversarial import likeness, psnr
from .check import check_least
from .clip_input import ClipInput
from .colour_guards import ColorizationGuards
from .decoder import middle
from .hole_guards import HoleGuards
from .letterbox import cut_letterbox
from .masks import Hole, emptied, filled
from .pictures import painted
from .transforms import Crop

CRITIC, PAINTER = Phase("critic"), Phase("painter")


class ColorizationTask(Task, ABC):
    """A task that shows the lightness of pictures and asks for their colours.

    Args:
        video: what is pretrained, on pictures or clips; of a clip the frame in the middle is
            painted.
        crop: the part that is seen, and its mirroring.
        guards: against shortcuts.
    """

    traits = Traits(overfits_to=None, unit_metrics=False)

    def __init__(self, video: ClipInput, *, crop: Crop, guards: ColorizationGuards):
        super().__init__(video=video)
        self.video, self.crop, self.colour_guards = video, crop, guards
        video.see_lightness()
        video.use_maps_only()
        self.guards = guards.records()

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return self.video.plan(self.video.random_start(info, rng))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        (clip,) = self.video.clips(cut_letterbox(sample, self.colour_guards.letterbox), rng)
        weight = self.colour_guards.weight(clip)
        return {"frames": clip, "weight": weight, **self.crop.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        """Lightness "inputs" [B, 3, T, S, S], "colours" a, b and "picture" of the middle."""
        x = self.crop.apply(batch["frames"], batch, self.video.size)
        return {
            "inputs": lightness(x),
            "colours": rgb_to_lab(middle(x))[:, 1:],
            "picture": middle(x),
            "weight": batch["weight"],
        }

    @abstractmethod
    def colours(self, inputs: Tensor) -> Tensor:
        """Of lightness float [B, 3, T, S, S] the colours a, b of its middle: [B, 2, S, S]."""


class InpaintingTask(Task, ABC):
    """A task that shows pictures with a hole and asks for what was in it.

    Args:
        video: what is pretrained, on pictures or clips, of which the frame in the middle is filled.
        hole: where it is.
        crop: the part that is seen, and its mirroring.
        guards: against shortcuts.
    """

    traits = Traits(overfits_to=None, unit_metrics=False)

    def __init__(self, video: ClipInput, *, hole: Hole, crop: Crop, guards: HoleGuards):
        super().__init__(video=video)
        video.use_maps_only()
        self.video, self.hole, self.crop, self.hole_guards = video, hole, crop, guards
        self.guards = guards.records()

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return self.video.plan(self.video.random_start(info, rng))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        (clip,) = self.video.clips(cut_letterbox(sample, self.hole_guards.letterbox), rng)
        hole = self.hole.draw(rng, self.video.size)
        return {"frames": clip, "hole": hole, **self.crop.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        """Clips with a "hole" as "inputs", whole as "clip", and the "picture" in their middle."""
        x, hole = self.crop.apply(batch["frames"], batch, self.video.size), batch["hole"]
        return {"inputs": emptied(x, hole), "picture": middle(x), "clip": x, "hole": hole}

    @abstractmethod
    def paint(self, inputs: Tensor, hole: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] in [0, 1] of those with holes, float [B, 3, T, S, S].

        Args:
            hole: bool [B, S, S].
        """

    def step(self, losses: list[Tensor], made: Tensor, batch: Batch) -> Step:
        """The sum of losses, with how near pictures [B, 3, S, S] come to the true ones."""
        real, hole = batch["picture"], batch["hole"]
        metrics = {"likeness": likeness(made, real, hole), "psnr": psnr(made, real, hole[:, None])}
        whole = filled(real, made, hole)
        return Step(
            torch.stack(losses).sum(),
            metrics,
            lambda: painted(batch["inputs"], whole, real, "what was in the hole"),
        )


def phases(adversarial: float, critic_width: int) -> tuple[Phase, ...]:
    """Critic and painter in turn where the critic's opinion weighs, else the ordinary case.

    Raises:
        InputError: a weight below 0, or a critic of no width.
    """
    check_least(0, adversarial=adversarial)
    check_least(1, critic_width=critic_width)
    return (CRITIC, PAINTER) if adversarial else ()


def trained(*modules: nn.Module | None, lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """The group of what an optimiser moves of some modules, as `Task.param_groups` gives it."""
    params = [p for module in modules if module for p in module.parameters() if p.requires_grad]
    return [{"params": params, "lr_scale": lr_scale}]
