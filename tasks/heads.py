"""Heads that tasks put on encoders; they are thrown away after pretraining."""

from itertools import pairwise

from torch import nn


def classifier(inputs: int, classes: int, hidden: int = 0) -> nn.Module:
    """One linear layer, or two with a ReLU between them where `hidden` is not 0."""
    if not hidden:
        return nn.Linear(inputs, classes)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def projector(
    inputs: int, outputs: int, *, layers: int = 2, hidden: int | None = None
) -> nn.Module:
    """SimCLR's projection head: linear layers without bias, each with batch norm, ReLU between.

    The last batch norm has no scale and shift.

    Args:
        layers: 2 (Chen et al. 2020, arXiv:2002.05709) or 3 (arXiv:2006.10029).
        hidden: width of the inner layers; None: that of the input.
    """
    width = hidden or inputs
    widths = [inputs] + [width] * (layers - 1)
    inner = [
        module
        for a, b in pairwise(widths)
        for module in (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU())
    ]
    last = nn.Linear(width if layers > 1 else inputs, outputs, bias=False)
    return nn.Sequential(*inner, last, nn.BatchNorm1d(outputs, affine=False))
