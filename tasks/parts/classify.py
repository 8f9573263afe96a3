"""Scores that tasks report; they carry no gradient and wait for no device."""

import torch
from torch import Tensor


def accuracy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Share of rows [N, K] whose greatest entry is the target [N], weighted by [N] ≥ 0."""
    right = (logits.detach().argmax(1) == target).float()
    if weight is None:
        return right.mean()
    return (right * weight).sum() / weight.sum().clamp_min(1e-12)


def balanced_accuracy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the classes that occur of the share of their rows that are right."""
    classes = torch.nn.functional.one_hot(target, logits.shape[1]).float()
    if weight is not None:
        classes = classes * weight[:, None]
    right = (logits.detach().argmax(1) == target).float()
    count = classes.sum(0)
    recall = (classes * right[:, None]).sum(0) / count.clamp_min(1e-12)
    return recall.sum() / (count > 0).sum().clamp_min(1)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of [N] weighted by [N] ≥ 0; 0, with gradient, where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp_min(1e-12)
