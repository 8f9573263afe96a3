"""Linear segmentation probe: a 1×1 convolution on frozen maps says what each pixel shows.

As in Ziegler & Asano 2022 (arXiv:2204.13101, section 4), on upsampled maps. A 1×1 convolution and
bilinear interpolation may change places, so the probe is a logistic regression on hypercolumns of
single pixels. It is learnt from some pixels of each picture, as Larsson et al. 2016
(arXiv:1603.06668, section 3) learn, and tested on all of them. The strength of its L2 penalty is
picked on validation pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..encoders.places import at_places
from ..modalities.rng import generator
from .linear import STRENGTHS, UNTUNED, Classifier, fit
from .masked_set import IGNORED, Seen
from .metrics import confusion

PIXELS = 64  # drawn of each picture, less where all of them would not fit into MOST
MOST = 2**28  # numbers of all pixels drawn, 1 GiB
RECIPE = (
    f"1x1 convolution on upsampled maps, standardised, logistic regression on up to {PIXELS} "
    "pixels of a picture, L2 picked on val, refit on train+val"
)


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels drawn of one example: by level features [P, C], and their classes int64 [P]."""

    features: dict[str, Tensor]
    classes: Tensor


def draw_pixels(one: Seen, count: int, seed: int) -> Pixels:
    """So many pixels of each picture of an example, of those of which the mask says something."""
    rng = generator(seed, 0, one.index)
    places, classes = [], []
    for mask in torch.from_numpy(np.ascontiguousarray(one.masks)):
        known = (mask != IGNORED).nonzero()
        if not len(known):  # nothing is said of this picture: its places weigh nothing
            places.append(torch.zeros(count, 2))
            classes.append(torch.full((count,), IGNORED))
            continue
        at = known[torch.randint(len(known), (count,), generator=rng)]
        places.append((at + 0.5) / torch.tensor(mask.shape))
        classes.append(mask[at[:, 0], at[:, 1]].long())
    where, y = torch.stack(places), torch.stack(classes).flatten()
    found = {level: at_places(m, where.to(m)).flatten(0, 1) for level, m in one.maps.items()}
    kept = (y != IGNORED).to(next(iter(found.values())).device)
    return Pixels({level: x[kept] for level, x in found.items()}, y.to(kept.device)[kept])


def pixels_each(pictures: int, channels: int) -> int:
    """How many pixels to draw of each of so many pictures."""
    return max(1, min(PIXELS, MOST // max(1, pictures * channels)))


@dataclass(frozen=True, slots=True)
class SegmentationProbe:
    """A fitted probe.

    Attributes:
        classifier: of the levels' channels side by side.
        levels: in that order.
        strength: of its penalty; validation: its mean IoU on pixels of the validation part.
    """

    classifier: Classifier
    levels: tuple[str, ...]
    strength: float
    validation: float | None

    def classes(self, maps: Mapping[str, Tensor], size: tuple[int, int]) -> NDArray[np.int64]:
        """What it takes each pixel [V, H, W] for, of maps [V, C, H', W'] shown at that size."""
        one = self.classifier
        weight = one.weight / one.scale
        scores = (one.bias - weight @ one.mean)[:, None, None]
        widths = [maps[level].shape[1] for level in self.levels]
        for level, part in zip(self.levels, weight.split(widths, 1), strict=True):
            small = F.conv2d(maps[level], part[:, :, None, None])
            scores = scores + F.interpolate(small, size, mode="bilinear", align_corners=False)
        return scores.argmax(1).cpu().numpy()


def fit_probe(
    parts: Mapping[int, Pixels],
    levels: Sequence[str],
    train: Sequence[int],
    val: Sequence[int],
    classes: int,
) -> SegmentationProbe:
    """Learns on the pixels of the examples in train, picks on those in val, learns on both."""
    x, y = _side_by_side(parts, levels, train)
    names = tuple(levels)
    if not val:
        return SegmentationProbe(fit(x, y, classes, [UNTUNED])[0], names, UNTUNED, None)
    held, truth = _side_by_side(parts, levels, val)
    scored = [
        mean_iou(confusion(one.scores(held).argmax(1), truth, classes).cpu().numpy())
        for one in fit(x, y, classes, STRENGTHS)
    ]
    best = max(range(len(scored)), key=lambda k: scored[k])
    x, y = torch.cat([x, held]), torch.cat([y, truth])
    # The way through the grid is kept: weak penalties are reached much sooner from strong ones.
    final = fit(x, y, classes, STRENGTHS[: best + 1])[-1]
    return SegmentationProbe(final, names, STRENGTHS[best], scored[best])


def _side_by_side(
    parts: Mapping[int, Pixels], levels: Sequence[str], examples: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Features [N, ΣC] and classes [N] of the pixels of these examples."""
    x = torch.cat([torch.cat([parts[i].features[k] for k in levels], 1) for i in examples])
    return x, torch.cat([parts[i].classes for i in examples])


def counts(
    truth: NDArray[np.integer], found: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Pixels by true class (row) and found class (column), [K, K]; 255 in truth is left out."""
    known = truth != IGNORED
    pairs = truth[known].astype(np.int64) * classes + found[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def ious(table: NDArray[np.number]) -> list[float | None]:
    """Intersection over union of each class by pixels [K, K]; None of one that is nowhere.

    Everingham et al. 2010, "The PASCAL visual object classes (VOC) challenge": over all pixels of
    all pictures, not picture by picture.
    """
    union = table.sum(0) + table.sum(1) - np.diag(table)
    return [float(a / u) if u else None for a, u in zip(np.diag(table), union, strict=True)]


def mean_iou(table: NDArray[np.number]) -> float:
    """Mean of `ious` over the classes that are in the truth or in what was found."""
    known = [value for value in ious(table) if value is not None]
    return sum(known) / len(known) if known else float("nan")


def blind_iou(table: NDArray[np.number]) -> float:
    """The mean IoU of taking every pixel for the most frequent class."""
    sizes = table.sum(1)
    return float(sizes.max() / sizes.sum() / np.count_nonzero(sizes)) if sizes.sum() else 0.0
