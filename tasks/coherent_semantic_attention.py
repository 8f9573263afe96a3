"""What was in the hole, filled so that neighbours fit? Inpainting in two steps with attention."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..errors import InputError
from .parts.across import weighted_mean
from .parts.adversarial import PatchCritic, relativistic
from .parts.check import check_least
from .parts.clip_input import ClipInput
from .parts.decoder import MapDecoder, middle, middle_maps
from .parts.hole_attention import Attention, fill
from .parts.hole_guards import HoleGuards
from .parts.masks import Hole, cells_of, filled
from .parts.painting import InpaintingTask, phases, trained
from .parts.rough import RoughPainter
from .parts.transforms import Crop
from .task import Batch, Step


class CoherentSemanticAttention(InpaintingTask):
    """Coherent semantic attention (Liu et al. 2019, arXiv:1905.12384, ICCV).

    A rough network fills the hole of a picture. The encoder sees that picture; in one of its maps
    the hole's cells are filled anew, each from the most alike of what is known and from the cell
    filled before it; a decoder paints the picture from all maps. Losses: the absolute error of both
    pictures; the consistency, that the filled cells be what the encoder finds there in the true
    picture; and the opinions of two relativistic critics, of pictures and of maps.

    The paper's networks are U-Nets made for it, and its feature space a VGG-16 that has seen
    labels. Here the refinement's encoder is the one that is pretrained, whichever it is, and what
    it finds in the true picture is the target, without gradient through the target. The released
    code's consistency has no gradient at all; the paper's and this one's has.

    Args:
        video: what is pretrained, on pictures or clips, of which the frame in the middle is filled.
        hole: where it is; the paper has squares in the middle and irregular strokes.
        attention: the layer: "coherent", "contextual", "shift", or "none".
        level: whose map is filled; "": the deepest of stride 8 or less, else the shallowest.
        crop: the part that is seen, and its mirroring.
        consistency: weight of the consistency loss, 0.01 in the paper.
        adversarial: weight of the critics' opinion, 0.002 in the paper. 0: no critics.
        width: channels of the rough network's first level and of the decoder.
        critic_width: channels of the critics' first layers.
        guards: against shortcuts; the paper has none.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        hole: Hole = Hole(),
        attention: Attention = "coherent",
        level: str = "",
        crop: Crop = Crop(scale=(0.35, 1.0)),
        consistency: float = 0.01,
        adversarial: float = 0.002,
        width: int = 32,
        critic_width: int = 32,
        guards: HoleGuards = HoleGuards(),
    ):
        super().__init__(video, hole=hole, crop=crop, guards=guards)
        if attention not in ("coherent", "contextual", "shift", "none"):
            raise InputError(
                f'attention is "coherent", "contextual", "shift" or "none", not {attention!r}'
            )
        check_least(0, consistency=consistency)
        check_least(1, width=width)
        self.phases = phases(adversarial, critic_width)
        self.attention: Attention = attention
        self.level = level_of(video, level)
        self.consistency, self.adversarial = consistency, adversarial
        self.rough = RoughPainter(width)
        self.decoder = MapDecoder(video, 3, width=width)
        channels = video.encoder.levels[self.level].channels
        self.critics = nn.ModuleDict()
        if adversarial:
            self.critics["picture"] = PatchCritic(3, width=critic_width)
            self.critics["map"] = PatchCritic(channels, width=critic_width, layers=1)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        real, hole = batch["picture"], batch["hole"]
        rough, made, maps = self._painted(batch["inputs"], hole)
        whole = filled(real, made, hole)
        with torch.no_grad():
            true = middle_maps(self.video, batch["clip"])[self.level]
        losses = []
        if phase in (None, "critic") and self.critics:
            losses.append(self._opinion(whole.detach(), real, true, critic=True))
        if phase in (None, "painter"):
            losses += [_mean((rough - real).abs()), _mean((made - real).abs())]
            losses.append(self.consistency * inconsistency(maps[self.level], true, hole))
            if self.critics:
                opinion = self._opinion(whole, real, true, critic=False)
                losses.append(self.adversarial * opinion)
        return self.step(losses, made, batch)

    def paint(self, inputs: Tensor, hole: Tensor) -> Tensor:
        return self._painted(inputs, hole)[1]

    def _painted(self, inputs: Tensor, hole: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The rough picture, the refined one, and the maps between them."""
        seen = middle(inputs)
        rough = self.rough(seen, hole)
        # All frames of a clip have the hole, and what was roughly painted stands in all of them.
        clip = torch.where(hole[:, None, None], rough[:, :, None], inputs)
        maps = middle_maps(self.video, clip)
        cells = cells_of(hole, (maps[self.level].shape[-2], maps[self.level].shape[-1]))
        maps = {**maps, self.level: fill(maps[self.level], cells, self.attention)}
        return rough, self.decoder(maps, self.video.size).sigmoid(), maps

    def _opinion(self, made: Tensor, real: Tensor, true: Tensor, *, critic: bool) -> Tensor:
        """Both critics' losses, or what the painter makes of their opinions."""
        ones = torch.ones(len(real), device=real.device)
        judge = self.critics["picture"]
        found = relativistic(judge(real), judge(made), ones, critic=critic)
        judge, seen = self.critics["map"], self._maps_of(made)
        return found + relativistic(judge(true), judge(seen), ones, critic=critic)

    def _maps_of(self, made: Tensor) -> Tensor:
        """The encoder's map of painted pictures, whose gradient moves the pictures alone.

        Could it move the encoder, that would learn to look away.
        """
        network = _Level(self.video, self.level)
        fixed = {name: p.detach() for name, p in network.named_parameters()}
        fixed |= {name: b.clone() for name, b in network.named_buffers()}
        clip = made[:, :, None].expand(-1, -1, self.video.frames, -1, -1)
        return functional_call(network, fixed, (clip,))

    def param_groups(self, phase: str | None = None) -> list[dict[str, Any]]:
        if phase == "critic":
            return trained(self.critics)
        return trained(self.video, self.rough, self.decoder) if phase else super().param_groups()


class _Level(nn.Module):
    """One level of an encoder, as a network."""

    def __init__(self, video: ClipInput, level: str):
        super().__init__()
        self.video, self.level = video, level

    def forward(self, clip: Tensor) -> Tensor:
        return middle_maps(self.video, clip)[self.level]


def level_of(video: ClipInput, name: str) -> str:
    """The level of that name, or the deepest whose cells are 8 pixels or less.

    Raises:
        InputError: no such level.
    """
    levels = video.encoder.levels
    if name and name not in levels:
        raise InputError(f"the encoder has no level {name!r}; it has {', '.join(levels)}")
    fine = [key for key, level in levels.items() if max(level.stride[-2:]) <= 8]
    return name or (fine[-1] if fine else next(iter(levels)))


def inconsistency(made: Tensor, true: Tensor, hole: Tensor) -> Tensor:
    """Mean square distance of maps [B, C, H, W] in their holes [B, S, S], over all processes."""
    cells = cells_of(hole, (made.shape[-2], made.shape[-1])).float()
    error = ((made - true).square().mean(1) * cells).sum((1, 2)) / cells.sum((1, 2)).clamp_min(1)
    return weighted_mean(error, torch.ones_like(error))


def _mean(values: Tensor) -> Tensor:
    each = values.flatten(1).mean(1)
    return weighted_mean(each, torch.ones_like(each))
