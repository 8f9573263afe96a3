"""Which colours had this grey picture?"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..modalities.lab import lab_to_rgb
from .parts.across import rejected, summed, weighted_mean
from .parts.check import check_least, check_share
from .parts.clip_input import ClipInput
from .parts.colour_bins import annealed_mean, bins, exact, rebalanced, soft_encoded
from .parts.colour_guards import ColorizationGuards
from .parts.decoder import MapDecoder, middle, middle_maps
from .parts.painting import ColorizationTask
from .parts.pictures import painted
from .parts.transforms import Crop
from .task import Batch, Picture, Step


class Colorization(ColorizationTask):
    """Colourful image colorization (Zhang et al. 2016, arXiv:1603.08511, ECCV, section 2).

    The encoder sees the lightness of a picture, and at every place of a coarser grid a decoder says
    which of 261 colours it had: cross-entropy with the five nearest of them, rare colours weighing
    more. The colours' frequencies, for which the paper counts ImageNet, are counted while training.
    Of a clip the colours of the frame in its middle are asked for.

    What is exported says that it saw lightness (`InputSpec.colour`), and evaluation feeds it so.

    Args:
        video: what is pretrained, on pictures or clips.
        crop: the part that is seen, and its mirroring.
        stride: pixels of the picture to a place of the grid on which colours are told.
        skips: let the decoder see all levels of the encoder; the paper's sees the deepest.
        width: channels of the decoder.
        uniform: share of the uniform distribution in the frequencies that weights follow; 0.5 in
            the paper, and 1 lets all colours weigh alike.
        temperature: of the colours that are painted, between the likeliest (0) and the mean (1);
            0.38 in the paper.
        momentum: of the counted frequencies, from step to step.
        guards: against shortcuts; the paper has none.
    """

    prior: Tensor
    centres: Tensor

    def __init__(
        self,
        video: ClipInput,
        *,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        stride: int = 4,
        skips: bool = False,
        width: int = 128,
        uniform: float = 0.5,
        temperature: float = 0.38,
        momentum: float = 0.02,
        guards: ColorizationGuards = ColorizationGuards(),
    ):
        super().__init__(video, crop=crop, guards=guards)
        check_least(1, stride=stride)
        check_share(uniform=uniform, temperature=temperature, momentum=momentum)
        self.side, self.temperature = max(video.size // stride, 1), temperature
        self.uniform, self.momentum = uniform, momentum
        self.register_buffer("centres", bins().clone(), persistent=False)
        self.register_buffer("prior", torch.full((len(self.centres),), 1 / len(self.centres)))
        self.decoder = MapDecoder(video, len(self.centres), width=width, skips=skips)

    def augment(self, batch: Batch) -> Batch:
        batch = super().augment(batch)
        return {**batch, "colours": F.adaptive_avg_pool2d(batch["colours"], self.side)}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        logits, weight = self.logits(batch["inputs"]), batch["weight"]
        shares = soft_encoded(batch["colours"], self.centres)
        nearest = shares.argmax(1)
        if self.training:
            self._count(nearest, weight)
        rare = rebalanced(self.prior, self.centres, self.uniform)[nearest]
        crosses = -(shares * exact(logits).log_softmax(1)).sum(1)
        loss = weighted_mean((rare * crosses).mean((1, 2)), weight)
        with torch.no_grad():
            right = (logits.argmax(1) == nearest).float().mean((1, 2))
            told = annealed_mean(logits, self.centres, self.temperature)
            chroma = told.norm(dim=1).mean((1, 2)), batch["colours"].norm(dim=1).mean((1, 2))
            found = summed(torch.stack([(weight * x).sum() for x in (weight, right, *chroma)]))
        metrics = {
            "accuracy": found[1] / found[0].clamp_min(1e-12),
            "saturation": found[2] / found[3].clamp_min(1e-12),
            "rejected": rejected(weight),
        }
        return Step(loss, metrics, self._pictures(batch, told))

    def logits(self, inputs: Tensor) -> Tensor:
        """Of lightness float [B, 3, T, S, S] scores of all colours: [B, Q, side, side]."""
        return self.decoder(middle_maps(self.video, inputs), self.side)

    def colours(self, inputs: Tensor) -> Tensor:
        told = annealed_mean(self.logits(inputs), self.centres, self.temperature)
        return F.interpolate(told, inputs.shape[-2:], mode="bicubic", align_corners=False)

    def _count(self, nearest: Tensor, weight: Tensor) -> None:
        """Moves the frequencies of colours towards those of a batch, of all processes."""
        places = weight[:, None, None].expand(nearest.shape).flatten().to(self.prior.dtype)
        count = self.prior.new_zeros(len(self.prior)).index_add_(0, nearest.flatten(), places)
        count = summed(count)
        # Where nothing was asked the old ones stay.
        found = torch.where(count.sum() > 0, count / count.sum().clamp_min(1), self.prior)
        self.prior.lerp_(found, self.momentum)

    def _pictures(self, batch: Batch, told: Tensor) -> Callable[[], list[Picture]]:
        return lambda: painted(
            batch["inputs"], coloured(batch["inputs"], told), batch["picture"], "its own colours"
        )


def coloured(inputs: Tensor, ab: Tensor) -> Tensor:
    """The middle of lightness [B, 3, T, S, S] in colours [B, 2, h, w]: RGB [B, 3, S, S]."""
    light = 100 * middle(inputs)[:, :1]
    full = F.interpolate(ab, light.shape[-2:], mode="bicubic", align_corners=False)
    return lab_to_rgb(torch.cat([light, full], 1))
