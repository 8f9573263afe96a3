"""Kernels that compare pixels by their motion and by their embeddings, and how far they agree.

Mahendran, Thewlis & Vedaldi 2018 (arXiv:1807.05636, section 3). All look at pairs of pixels: of Q
that ask and P that are compared with each of them. What they need grows with Q · P, not with the
picture.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 4.0  # by which the paper divides cosines before their softmax


def flow_kernel(flow: Tensor, other: Tensor, sigma: Tensor | float) -> Tensor:
    """Radial basis functions of the difference of each two vectors: 1 for equal ones.

    Args:
        flow: float [..., Q, 2], in any unit.
        other: float [..., P, 2], in the same unit.
        sigma: width, in the same unit.

    Returns:
        float [..., Q, P] in [0, 1].
    """
    unit = math.sqrt(2) * sigma
    apart = torch.cdist(flow / unit, other / unit, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.square().neg().exp()


def cosine_kernel(embeddings: Tensor, other: Tensor) -> Tensor:
    """Cosines [..., Q, P] of embeddings [..., Q, D] with others [..., P, D]."""
    return F.normalize(embeddings, dim=-1) @ F.normalize(other, dim=-1).mT


def off_diagonal(kernel: Tensor) -> Tensor:
    """A kernel of M pixels among themselves [..., M, M] without that of each with itself.

    Returns:
        [..., M, M - 1]: of each pixel all others, in their order.
    """
    count = kernel.shape[-1]
    # Without the first element, each M + 1 in a row end with one of the diagonal.
    rows = kernel.flatten(-2)[..., 1:].unflatten(-1, (count - 1, count + 1))
    return rows[..., :-1].reshape(*kernel.shape[:-1], count - 1)


def kernel_cross_entropy(by_flow: Tensor, by_embedding: Tensor) -> Tensor:
    """Cross-entropy between what flow and what embeddings say of which pixels are alike.

    Each row of a kernel is a distribution over the other pixels, by its softmax. As cosines are
    divided by 4, embeddings cannot follow flow all the way: the least that is possible lies above
    the entropy of flow's distributions.

    Args:
        by_flow: [..., Q, P] as `flow_kernel` gives it.
        by_embedding: [..., Q, P] as `cosine_kernel` gives it.

    Returns:
        float [...], the mean over the rows.
    """
    said = (by_embedding / TEMPERATURE).log_softmax(-1)
    return -(by_flow.softmax(-1) * said).sum(-1).mean(-1)


def kernel_alignment(by_flow: Tensor, by_embedding: Tensor) -> Tensor:
    """Minus the mean product of both kernels [..., Q, P] over their pairs: [...]."""
    return -(by_flow * by_embedding).mean((-2, -1))


def kernel_error(by_flow: Tensor, by_embedding: Tensor) -> Tensor:
    """Mean squared difference of both kernels [..., Q, P] over their pairs: [...]."""
    return (by_flow - by_embedding).square().mean((-2, -1))


LOSSES = {
    "cross_entropy": kernel_cross_entropy,
    "alignment": kernel_alignment,
    "squared_error": kernel_error,
}


def pair_auc(by_flow: Tensor, by_embedding: Tensor, most: int = 64) -> tuple[Tensor, Tensor]:
    """How well embeddings rank pairs that move alike before pairs that do not: 1 all, 0.5 none.

    Two pixels move alike where the kernel of their flow is above one half. Each of up to `most`
    first pixels is paired with as many last ones.

    Args:
        by_flow, by_embedding: [B, Q, P].

    Returns:
        the area under the curve float [B], and which of B pictures have pairs of both kinds.
    """
    count = min(most, by_flow.shape[1] // 2)
    said, kernel = (k[:, :count, -count:].flatten(1) for k in (by_embedding, by_flow))
    alike, rank = kernel > 0.5, said.argsort(1).argsort(1)
    yes, no = alike.sum(1), (~alike).sum(1)
    below = (rank * alike).sum(1) - yes * (yes - 1) / 2
    return below / (yes * no).clamp_min(1), (yes > 0) & (no > 0)
