"""Which colours had this grey picture? Painted against a critic, with a look at what it shows."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..modalities.lab import lab_to_rgb
from ..modalities.media import Sample
from ..modalities.rng import uniform
from .parts.across import rejected, summed, weighted_mean
from .parts.adversarial import PatchCritic, gradient_penalty, psnr
from .parts.check import check_least
from .parts.clip_input import ClipInput
from .parts.colour_guards import ColorizationGuards
from .parts.decoder import UpDecoder, doublings, middle, middle_maps
from .parts.painting import ColorizationTask, phases, trained
from .parts.pictures import painted
from .parts.teacher import CLASSES, Teacher
from .parts.transforms import Crop
from .task import Batch, Step

REACH = 110.0  # of a and b, to which the painter's -1 … 1 is stretched


class ChromaGAN(ColorizationTask):
    """ChromaGAN (Vitoria et al. 2020, arXiv:1907.09837, WACV).

    The encoder sees the lightness of a picture. A vector of its whole, laid beside every place of
    its deepest map, and a decoder give the colours: square error, and the opinion of a Wasserstein
    critic with gradient penalty that sees lightness and colours. Critic and painter train in turn.

    A third part of the paper's loss asks for the classes that a VGG-16 sees in the picture. It has
    learned from the labels of ImageNet, which so leak into what is pretrained: here it is off
    unless weights for it are given.

    Args:
        video: what is pretrained, on pictures or clips; of a clip the frame in the middle is
            painted.
        crop: the part that is seen, and its mirroring.
        adversarial: weight of the critic's opinion, 0.1 in the paper. 0: no critic.
        penalty: weight of the gradient penalty, 10 in the paper.
        teacher: path of a .safetensors file with torchvision's weights of `teacher_name`, which
            has learned from labels; "": no teacher.
        teacher_name: a classifier of torchvision; VGG-16 in the paper.
        class_weight: weight of the classes' divergence, 0.003 in the paper.
        width: channels of the decoder's first step.
        critic_width: channels of the critic's first layer, 64 in the paper.
        guards: against shortcuts; the paper has none.
    """

    def __init__(
        self,
        video: ClipInput,
        *,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        adversarial: float = 0.1,
        penalty: float = 10.0,
        teacher: str = "",
        teacher_name: str = "vgg16",
        class_weight: float = 0.003,
        width: int = 128,
        critic_width: int = 32,
        guards: ColorizationGuards = ColorizationGuards(),
    ):
        super().__init__(video, crop=crop, guards=guards)
        check_least(0, penalty=penalty, class_weight=class_weight)
        check_least(1, width=width)
        self.phases = phases(adversarial, critic_width)
        self.adversarial, self.penalty = adversarial, penalty
        # Without activations between its layers, as in the authors' code.
        self.whole = nn.Sequential(nn.Linear(video.map_dim, 2 * width), nn.Linear(2 * width, width))
        self.decoder = UpDecoder(video.map_dim + width, 2, doublings=doublings(video), width=width)
        self.critic = PatchCritic(3, width=critic_width) if adversarial else None
        self.teacher = Teacher(teacher_name, teacher) if teacher else None
        self.class_weight = class_weight
        self.classes = nn.Linear(video.map_dim, CLASSES) if teacher else None

    def example(self, sample: Sample, rng: Generator) -> Batch:
        between = torch.tensor(uniform(rng), dtype=torch.float32)
        return {**super().example(sample, rng), "between": between}

    def augment(self, batch: Batch) -> Batch:
        return {**super().augment(batch), "between": batch["between"]}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        weight, light = batch["weight"], middle(batch["inputs"])[:, :1]
        made, seen = self._painted(batch["inputs"])
        real = batch["colours"] / REACH
        losses: list[Tensor] = []
        if self.critic is not None and phase in (None, "critic"):
            losses.append(self._critics(light, real, made.detach(), batch["between"], weight))
        if phase in (None, "painter"):
            losses.append(weighted_mean((made - real).square().mean((1, 2, 3)), weight))
            if self.critic is not None:
                scores = self.critic(torch.cat([light, made], 1))
                losses.append(-self.adversarial * weighted_mean(scores, weight))
            losses += self._taught(seen, batch["picture"], weight)
        with torch.no_grad():
            colours = lab_to_rgb(torch.cat([100 * light, REACH * made], 1))
        metrics = {
            "likeness": 1 - _mean_of([(made - real).abs()], weight)[0],
            "saturation": _saturation(made, real, weight),
            "psnr": psnr(colours, batch["picture"]),
            "rejected": rejected(weight),
        }
        return Step(
            torch.stack(losses).sum(),
            metrics,
            lambda: painted(batch["inputs"], colours, batch["picture"], "its own colours"),
        )

    def colours(self, inputs: Tensor) -> Tensor:
        return REACH * self._painted(inputs)[0]

    def _painted(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Colours in -1 … 1, [B, 2, S, S], and the deepest map's mean, [B, C]."""
        *_, deepest = middle_maps(self.video, inputs).values()
        seen = deepest.mean((2, 3))
        tiled = self.whole(seen)[:, :, None, None].expand(-1, -1, *deepest.shape[-2:])
        made = self.decoder(torch.cat([deepest, tiled], 1), self.video.size)
        return made.tanh(), seen

    def _critics(
        self, light: Tensor, real: Tensor, made: Tensor, between: Tensor, weight: Tensor
    ) -> Tensor:
        """What the critic gets wrong, and how far its slope along the colours is from 1."""
        critic = self.critic
        assert critic is not None

        def judge(colours: Tensor) -> Tensor:
            return critic.parts(torch.cat([light, colours], 1))

        # As in the authors' code the sum of the parts' scores has slope 1, while losses take their
        # mean: the critic pulls at the colours as many times less as there are parts. With slope 1
        # of the mean it outweighs the square error, and everything is painted in one hue.
        slope = gradient_penalty(judge, real, made, between)
        return weighted_mean((judge(made) - judge(real)).mean(1) + self.penalty * slope, weight)

    def _taught(self, seen: Tensor, picture: Tensor, weight: Tensor) -> list[Tensor]:
        """The divergence of the encoder's classes from the teacher's, where there is one."""
        if self.teacher is None or self.classes is None:
            return []
        expected = self.teacher(picture)
        said = self.classes(seen).log_softmax(1)
        divergence = F.kl_div(said, expected, reduction="none").sum(1)
        return [self.class_weight * weighted_mean(divergence, weight)]

    def param_groups(self, phase: str | None = None) -> list[dict[str, Any]]:
        if phase == "critic":
            return trained(self.critic)
        painter = self.video, self.whole, self.decoder, self.classes
        return trained(*painter) if phase else super().param_groups()


def _mean_of(values: Sequence[Tensor], weight: Tensor) -> list[Tensor]:
    """Means of [B, …] over the rows of all processes."""
    sums = [(weight * x.detach().flatten(1).mean(1)).sum() for x in values]
    total, *found = summed(torch.stack([weight.sum(), *sums]))
    return [x / total.clamp_min(1e-12) for x in found]


def _saturation(made: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """How far from grey the painted colours are, as a share of the true ones'."""
    painted_, true = _mean_of([made.norm(dim=1), real.norm(dim=1)], weight)
    return painted_ / true.clamp_min(1e-12)
