"""K-means segments of a picture by its features, compared with the true ones.

Nothing is learnt from masks: what is alike in features is asked to belong together in the world.
Agreement is told by the adjusted Rand index (Hubert & Arabie 1985, "Comparing partitions") and by
the mean intersection over union of the best one-to-one matching (Kuhn 1955, "The Hungarian method
for the assignment problem"); of the features themselves, by how they rank pairs of pixels.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .masked_set import IGNORED

SIDE = 64  # most places along each side that are clustered
PIXELS = 256  # most that are drawn of a picture, of which all pairs are ranked
RECIPE = "k-means of the places of each picture, levels of equal variance"

Labels = NDArray[np.integer]


def columns(maps: Sequence[Tensor], side: int) -> Tensor:
    """Hypercolumns at side × side places, [side², ΣC], of the maps [C, H', W'] of one picture.

    Hariharan et al. 2015 (arXiv:1411.5752). Of each map the variance over the picture, summed over
    its channels, is made 1: levels differ in size by orders of magnitude, and all shall have a say.
    """
    out = []
    for m in maps:
        x = F.interpolate(m[None], (side, side), mode="bilinear", antialias=True)[0].flatten(1).T
        x = x - x.mean(0)
        out.append(x / x.square().sum(1).mean().sqrt().clamp_min(1e-6))
    return torch.cat(out, 1)


def kmeans_segments(x: Tensor, count: int, seed: int) -> Labels:
    """Numbers [side, side] of `count` segments of places [side², C]."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    side = round(len(x) ** 0.5)
    with warnings.catch_warnings():
        # It warns of fewer distinct places than segments, as a map of one position has.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(count, random_state=seed % 2**32)
        return means.fit_predict(x.cpu().numpy()).reshape(side, side)


def resized(labels: Labels, size: tuple[int, int]) -> Labels:
    """Numbers [h, w] at another size: each pixel has that of the place where its centre lies."""
    rows, across = (
        (np.arange(new) + 0.5) * old // new for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[rows.astype(int)[:, None], across.astype(int)]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How segments of one picture agree with the true ones.

    Attributes:
        rand: adjusted Rand index; 0 by chance, 1 where both are the same.
        iou: mean over the true segments of the IoU with the segment matched to each.
        blind: the same of a single segment that is the whole picture.
    """

    rand: float
    iou: float
    blind: float


def agreement(truth: Labels, found: Labels) -> Agreement:
    """Of segments `found`, numbered anyhow, with true ones, both [...]; 255 in truth is left out.

    Raises:
        ValueError: fewer than two true segments, of which nothing can be told.
    """
    from sklearn.metrics import adjusted_rand_score

    known = truth != IGNORED
    _, sizes = np.unique(truth[known], return_counts=True)
    if len(sizes) < 2:
        raise ValueError("agreement is told of two or more true segments")
    _, _, overlap, pairs = matching(truth, found)
    rand = float(adjusted_rand_score(truth[known], found[known]))
    iou = math.fsum(overlap[pair] for pair in pairs) / len(sizes)
    return Agreement(rand, iou, float(sizes.max() / sizes.sum() / len(sizes)))


def pair_auc(x: Tensor, truth: Labels, seed: int) -> float:
    """How often two pixels of one true segment are nearer than two of different ones, by x.

    Of each segment as many pixels are drawn as of each other one, as long as it has so many.

    Args:
        x: places [side², C].
        truth: numbers [H, W] of at least two segments; 255 is left out.
        seed: of the pixels drawn.

    Returns:
        the area under the curve: 1 always, 0.5 as by chance.
    """
    from sklearn.metrics import roc_auc_score

    side, rng = round(len(x) ** 0.5), np.random.default_rng(seed)
    numbers = np.unique(truth[truth != IGNORED])
    each = max(PIXELS // len(numbers), 2)
    drawn = [rng.permutation(np.argwhere(truth == k))[:each] for k in numbers]
    segment = np.repeat(numbers, [len(own) for own in drawn])
    row, column = ((np.concatenate(drawn) + 0.5) * side // truth.shape).astype(int).T
    far = torch.pdist(x.cpu()[row * side + column]).numpy()
    one, other = np.triu_indices(len(segment), 1)
    same = segment[one] == segment[other]
    return float(roc_auc_score(same, -far)) if 0 < same.sum() < len(same) else 0.5


def matching(
    truth: Labels, found: Labels
) -> tuple[Labels, Labels, NDArray[np.float64], list[tuple[int, int]]]:
    """True and found numbers, IoU of each with each, and which are matched, by places in it."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    known = truth != IGNORED
    own, other = np.unique(truth[known]), np.unique(found[known])
    both = np.asarray(contingency_matrix(truth[known], found[known]), float)
    overlap = both / (both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both)
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    return own, other, overlap, [(int(a), int(b)) for a, b in pairs]


def renumbered(truth: Labels, found: Labels) -> NDArray[np.uint8]:
    """Found segments with the numbers of the true ones matched to them; 255 where none is."""
    own, other, _, pairs = matching(truth, found)
    names = {int(other[b]): int(own[a]) for a, b in pairs}
    return np.vectorize(lambda k: names.get(int(k), IGNORED), otypes=[np.uint8])(found)


def count_segments(truth: Labels) -> int:
    """How many true segments there are."""
    return len(np.unique(truth[truth != IGNORED]))
