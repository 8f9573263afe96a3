"""Kernels that compare pixels by their motion and by their embeddings, and how far they agree.

Mahendran, Thewlis & Vedaldi 2018 (arXiv:1807.05636, section 3). All take M pixels of each of B
pictures and look at pairs of them: what they need grows with M², not with the picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 4.0  # by which the paper divides cosines before their softmax


def flow_kernel(flow: Tensor, sigma: Tensor | float) -> Tensor:
    """Radial basis functions of the difference of each two vectors: 1 for equal ones.

    Args:
        flow: float [B, M, 2], in any unit.
        sigma: width, in the same unit.

    Returns:
        float [B, M, M] in [0, 1].
    """
    apart = torch.cdist(flow, flow, compute_mode="donot_use_mm_for_euclid_dist")
    return torch.exp(-apart.square() / (2 * sigma**2))


def cosine_kernel(embeddings: Tensor) -> Tensor:
    """Cosines [B, M, M] of embeddings [B, M, D]."""
    unit = F.normalize(embeddings, dim=2)
    return unit @ unit.transpose(1, 2)


def kernel_cross_entropy(by_flow: Tensor, by_embedding: Tensor, asked: Tensor) -> Tensor:
    """Cross-entropy between what flow and what embeddings say of which pixels are alike.

    Each column of a kernel is a distribution over the other pixels, by its softmax. As cosines are
    divided by 4, embeddings cannot follow flow all the way: the least that is possible lies above
    the entropy of flow's distributions.

    Args:
        by_flow: [B, M, M] as `flow_kernel` gives it.
        by_embedding: [B, M, M] as `cosine_kernel` gives it.
        asked: bool [M, M], symmetric: which pairs are looked at; the diagonal is not.

    Returns:
        float [B], the mean over the columns.
    """
    target = _columns(by_flow, asked).softmax(1)
    said = _columns(by_embedding / TEMPERATURE, asked).log_softmax(1)
    return -(target * said.masked_fill(~asked, 0)).sum(1).mean(1)


def kernel_alignment(by_flow: Tensor, by_embedding: Tensor, asked: Tensor) -> Tensor:
    """Minus the mean product of both kernels over the pairs that are asked: [B]."""
    return -_mean(by_flow * by_embedding, asked)


def kernel_error(by_flow: Tensor, by_embedding: Tensor, asked: Tensor) -> Tensor:
    """Mean squared difference of both kernels over the pairs that are asked: [B]."""
    return _mean((by_flow - by_embedding).square(), asked)


def _columns(kernel: Tensor, asked: Tensor) -> Tensor:
    return kernel.masked_fill(~asked, -torch.inf)


def _mean(values: Tensor, asked: Tensor) -> Tensor:
    return (values * asked).sum((1, 2)) / asked.sum()


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
        by_flow, by_embedding: [B, M, M].

    Returns:
        the area under the curve float [B], and which of B pictures have pairs of both kinds.
    """
    count = min(most, by_flow.shape[1] // 2)
    said, kernel = (k[:, :count, -count:].flatten(1) for k in (by_embedding, by_flow))
    alike, rank = kernel > 0.5, said.argsort(1).argsort(1)
    yes, no = alike.sum(1), (~alike).sum(1)
    below = (rank * alike).sum(1) - yes * (yes - 1) / 2
    return below / (yes * no).clamp_min(1), (yes > 0) & (no > 0)
