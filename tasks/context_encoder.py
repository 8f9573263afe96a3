"""What was in the hole of this picture?"""

from typing import Any

import torch
from torch import Tensor

from .parts.across import weighted_mean
from .parts.adversarial import PatchCritic, judged
from .parts.check import check_least
from .parts.clip_input import ClipInput
from .parts.decoder import UpDecoder, doublings, middle_maps
from .parts.hole_guards import HoleGuards
from .parts.masks import Hole, around, filled
from .parts.painting import InpaintingTask, phases, trained
from .parts.transforms import Crop
from .task import Batch, Step


class ContextEncoder(InpaintingTask):
    """Context encoders (Pathak et al. 2016, arXiv:1604.07379, CVPR).

    The encoder sees a picture with a hole, filled with the mean colour, and a decoder on its
    deepest map paints the whole picture; its square error in the hole, and more so in a strip
    around it, is the loss, beside a critic's opinion of the filled picture. Nothing goes round the
    deepest map: what fills the hole has to be understood. Of a clip all frames have the hole, and
    the frame in the middle is painted.

    With `adversarial` above 0 the critic and the painter train in turn.

    Args:
        video: what is pretrained, on pictures or clips.
        hole: where it is; a square of a quarter of the area in the middle is the paper's.
        crop: the part that is seen, and its mirroring.
        overlap: pixels around the hole that are painted too; 4 of 128 in the paper's code.
        overlap_weight: of the error there, 10 in the paper.
        adversarial: weight of the critic's opinion, beside one less that much of the square
            error; 0.001 in the paper. 0: no critic.
        width: channels of the decoder's first step.
        critic_width: channels of the critic's first layer.
        critic_rate: the critic's learning rate as a share of the painter's, 0.1 in the authors'
            code.
        guards: against shortcuts; the paper has none.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        hole: Hole = Hole(),
        crop: Crop = Crop(scale=(0.35, 1.0)),
        overlap: int = 2,
        overlap_weight: float = 10.0,
        adversarial: float = 0.001,
        width: int = 128,
        critic_width: int = 32,
        critic_rate: float = 0.1,
        guards: HoleGuards = HoleGuards(),
    ):
        super().__init__(video, hole=hole, crop=crop, guards=guards)
        check_least(0, overlap=overlap, overlap_weight=overlap_weight, critic_rate=critic_rate)
        check_least(1, width=width)
        self.phases = phases(adversarial, critic_width)
        self.overlap, self.overlap_weight = overlap, overlap_weight
        self.adversarial, self.critic_rate = adversarial, critic_rate
        self.decoder = UpDecoder(video.map_dim, 3, doublings=doublings(video), width=width)
        self.critic = PatchCritic(3, width=critic_width) if adversarial else None

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        made, real, hole = self._painted(batch["inputs"]), batch["picture"], batch["hole"]
        whole, ones = filled(real, made, hole), torch.ones(len(real), device=real.device)
        losses = []
        if self.critic is not None and phase in (None, "critic"):
            shown = judged(self.critic(real), True, ones)
            losses.append((shown + judged(self.critic(whole.detach()), False, ones)) / 2)
        if phase in (None, "painter"):
            losses.append((1 - self.adversarial) * self._error(made, real, hole))
            if self.critic is not None:
                losses.append(self.adversarial * judged(self.critic(whole), True, ones))
        return self.step(losses, made, batch)

    def paint(self, inputs: Tensor, hole: Tensor) -> Tensor:
        return self._painted(inputs)

    def _painted(self, inputs: Tensor) -> Tensor:
        *_, deepest = middle_maps(self.video, inputs).values()
        return self.decoder(deepest, self.video.size).sigmoid()

    def _error(self, made: Tensor, real: Tensor, hole: Tensor) -> Tensor:
        """Square error in the hole and around it, a mean over what counts of each picture."""
        weight = hole.float() + self.overlap_weight * around(hole, self.overlap).float()
        error = ((made - real).square().mean(1) * weight).sum((1, 2)) / weight.sum((1, 2))
        return weighted_mean(error, torch.ones_like(error))

    def param_groups(self, phase: str | None = None) -> list[dict[str, Any]]:
        if phase == "critic":
            return trained(self.critic, lr_scale=self.critic_rate)
        return trained(self.video, self.decoder) if phase else super().param_groups()
