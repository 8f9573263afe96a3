"""Critics of what a task paints, and the losses of both sides.

All losses are means over the rows of all processes, as other losses are (`weighted_mean`).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .across import gathered, summed, weighted_mean


class PatchCritic(nn.Module):
    """PatchGAN: one score for every part of a picture (Isola et al. 2017, arXiv:1611.07004).

    4×4 convolutions with LeakyReLU and without norms, which would tie the pictures of a batch
    together in a gradient penalty.

    Args:
        channels: of what is judged.
        width: channels of the first layer, which double from layer to layer.
        layers: of stride 2, before two more.
    """

    def __init__(self, channels: int, *, width: int = 64, layers: int = 3):
        super().__init__()
        widths = [channels, *(width << k for k in range(layers))]
        parts: list[nn.Module] = []
        for a, b in pairwise(widths):
            parts += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
        last = widths[-1]
        parts += [nn.Conv2d(last, last, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(last, 1, 3, 1, 1)]
        self.net = nn.Sequential(*parts)

    def parts(self, x: Tensor) -> Tensor:
        """Scores of the parts of float [B, C, H, W]: [B, P]."""
        return self.net(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Mean score of float [B, C, H, W]: [B]."""
        return self.parts(x).mean(1)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, share: Tensor
) -> Tensor:
    """How far the critic's slope between real and made is from 1, squared (Gulrajani et al. 2017).

    Args:
        critic: scores [B] of [B, …], or [B, P] of its parts, whose sum is what has the slope.
        real, made: [B, …].
        share: float [B] in [0, 1], of the real one at the point where the slope is taken.

    Returns:
        [B], (‖gradient‖ - 1)².
    """
    weight = share.view(-1, *[1] * (real.ndim - 1)).to(real)
    # Also where nothing else keeps gradients: the penalty itself is one.
    with torch.enable_grad():
        between = (weight * real + (1 - weight) * made).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square()


def relativistic(real: Tensor, made: Tensor, weight: Tensor, *, critic: bool) -> Tensor:
    """Relativistic average least squares (Jolicoeur-Martineau 2018, arXiv:1807.00734).

    Real ones should score 1 more than made ones do on average, and made ones 1 less than real ones;
    for the painter the other way round. 0 where the gap is 1.

    Args:
        real, made: scores [B].
        weight: [B] ≥ 0.
        critic: whose loss it is.
    """
    sign = 1.0 if critic else -1.0
    # With gradient: every row of one process pulls at the means that those of the others see.
    shares = gathered(weight)[0]
    shares = shares / shares.sum().clamp_min(1e-12)
    mean_real, mean_made = ((gathered(x)[0] * shares).sum() for x in (real, made))
    losses = (real - mean_made - sign).square() + (made - mean_real + sign).square()
    return weighted_mean(losses / 2, weight)


def judged(scores: Tensor, real: bool, weight: Tensor) -> Tensor:
    """Cross-entropy of scores [B] that should say real, or made (Goodfellow et al. 2014)."""
    target = torch.full_like(scores, float(real))
    return weighted_mean(
        F.binary_cross_entropy_with_logits(scores, target, reduction="none"), weight
    )


def psnr(made: Tensor, real: Tensor, weight: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB of all processes' pictures, float [B, C, …] in [0, 1].

    Args:
        weight: of each value, as [B, 1, H, W]; None: all alike.
    """
    share = torch.ones_like(real) if weight is None else weight.expand_as(real).to(real)
    error = (made.detach().clamp(0, 1) - real).square() * share
    found = summed(torch.stack([error.sum(), share.sum()]))
    return -10 * torch.log10((found[0] / found[1].clamp_min(1e-12)).clamp_min(1e-10))


def likeness(made: Tensor, real: Tensor, hole: Tensor) -> Tensor:
    """1 less the mean absolute error in the holes [B, S, S] of all processes' pictures."""
    share = hole[:, None].expand_as(real).to(real)
    error = (made.detach() - real).abs() * share
    found = summed(torch.stack([error.sum(), share.sum()]))
    return 1 - found[0] / found[1].clamp_min(1e-12)
