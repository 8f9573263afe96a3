"""Heads that tasks put on encoders; they are thrown away after pretraining."""

from itertools import combinations, pairwise

import torch
from torch import Tensor, nn

from ...errors import InputError
from .check import check_least
from .spatial_input import SpatialInput


def classifier(inputs: int, classes: int, hidden: int = 0) -> nn.Module:
    """One linear layer, or two with a ReLU between them where `hidden` is not 0.

    Raises:
        InputError: a width below 0.
    """
    check_least(0, hidden=hidden)
    if not hidden:
        return nn.Linear(inputs, classes)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def shared_layer(inputs: int, outputs: int) -> nn.Module:
    """A linear layer with batch norm and ReLU, for inputs that are compared afterwards."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU())


def projector(
    inputs: int, outputs: int, *, layers: int = 2, hidden: int | None = None
) -> nn.Module:
    """SimCLR's projection head: linear layers without bias, each with batch norm, ReLU between.

    The last batch norm has no scale and shift.

    Args:
        layers: 2 (Chen et al. 2020, arXiv:2002.05709) or 3 (arXiv:2006.10029).
        hidden: width of the inner layers; None: that of the input.

    Raises:
        InputError: no outputs.
    """
    check_least(1, outputs=outputs)
    width = hidden or inputs
    widths = [inputs] + [width] * (layers - 1)
    inner = [
        module
        for a, b in pairwise(widths)
        for module in (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU())
    ]
    last = nn.Linear(width if layers > 1 else inputs, outputs, bias=False)
    return nn.Sequential(*inner, last, nn.BatchNorm1d(outputs, affine=False))


class Comparison(nn.Module):
    """Classifies pairs of vectors from two encoders by how they compare.

    Each side is projected to `hidden` numbers and normalised over the batch; a classifier then
    sees both sides, their product and their absolute difference.

    Args:
        first: length of the first vectors.
        second: length of the second vectors.
        classes: number of answers.
        hidden: width of the projections and of the classifier's hidden layer.

    Raises:
        InputError: projections of no width.
    """

    def __init__(self, first: int, second: int, classes: int, *, hidden: int):
        super().__init__()
        check_least(1, hidden=hidden)
        self.first = nn.Sequential(nn.Linear(first, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.second = nn.Sequential(nn.Linear(second, hidden, bias=False), nn.BatchNorm1d(hidden))
        self.classifier = classifier(4 * hidden, classes, hidden)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits [B, classes] of vectors [B, first] and [B, second]."""
        a, b = self.first(first), self.second(second)
        return self.classifier(torch.cat([a, b, a * b, (a - b).abs()], 1))


class Fusion(nn.Module):
    """Classifies pairs of vectors from two encoders by both of them, side by side.

    Args:
        first: length of the first vectors.
        second: length of the second vectors.
        classes: number of answers.
        hidden: width of the hidden layer.

    Raises:
        InputError: hidden below 1.
    """

    def __init__(self, first: int, second: int, classes: int, *, hidden: int):
        super().__init__()
        check_least(1, hidden=hidden)
        self.classifier = classifier(first + second, classes, hidden)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits [B, classes] of vectors [B, first] and [B, second]."""
        return self.classifier(torch.cat([first, second], 1))


def margin(logits: Tensor) -> Tensor:
    """By how much [B, 2] say yes, the second answer, rather than no: [B]."""
    return logits[:, 1] - logits[:, 0]


class SpatialProjection(nn.Module):
    """One vector of each moment for a head: of the whole picture, or of what is where in it.

    Args:
        video: whose encoder sees the moments.
        grid: places per side of the encoder's deepest map that the head sees, through a layer of
            `hidden` numbers that the moments share; 0: the encoder's vector.
        hidden: width of that layer.

    Attributes:
        dim: length of the vectors.
    """

    def __init__(self, video: SpatialInput, *, grid: int, hidden: int):
        super().__init__()
        check_least(0, spatial_grid=grid)
        if grid and not hidden:
            raise InputError("a spatial_grid needs a hidden layer: set hidden, or the grid to 0")
        self.grid, self.dim = grid, hidden if grid else video.dim
        self.layer = shared_layer(video.map_dim * grid * grid, hidden) if grid else None

    def forward(self, video: SpatialInput, moments: Tensor) -> Tensor:
        """[B, N, dim] of float [B, N, C, T, H, W]."""
        if self.layer is None:
            return video.encode(moments)
        places = self.layer(video.encode_grid(moments.flatten(0, 1), self.grid))
        return places.unflatten(0, moments.shape[:2])


class PairwiseOrder(nn.Module):
    """Classifies tuples of vectors by what each two of them say of their order.

    A layer that all pairs share sees two vectors side by side; one linear layer sees the results
    of all pairs (Lee et al. 2017, arXiv:1708.01246, section 3.2).

    Args:
        inputs: length of the vectors.
        moments: number of vectors in a tuple.
        classes: number of answers.
        hidden: width of the shared layer.
        compare: show the shared layer the absolute difference of the two vectors as well.
    """

    def __init__(self, inputs: int, moments: int, classes: int, *, hidden: int, compare: bool):
        super().__init__()
        check_least(1, hidden=hidden)
        first, second = zip(*combinations(range(moments), 2), strict=True)
        self.first, self.second, self.compare = list(first), list(second), compare
        self.pair = shared_layer((3 if compare else 2) * inputs, hidden)
        self.classifier = nn.Linear(hidden * len(first), classes)

    def pairs(self, vectors: Tensor) -> Tensor:
        """What the shared layer says [B, N(N-1)/2, hidden] of vectors [B, N, D]."""
        a, b = vectors[:, self.first], vectors[:, self.second]
        sides = [a, b, (a - b).abs()] if self.compare else [a, b]
        seen = torch.cat(sides, -1)
        return self.pair(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits [B, classes] of vectors [B, N, D]."""
        return self.classifier(self.pairs(vectors).flatten(1))
