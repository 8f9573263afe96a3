"""Pictures that lie in arrays, as the binaries of CIFAR and STL-10 do."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..modalities.image import resize
from ..modalities.media import MediaError, MediaInfo, Plan, Sample
from .source import Source


class ArraySource(Source):
    """Pictures in memory, or mapped into it from files.

    Args:
        pictures: parts of uint8 [N, 3, H, W] each, all of one size.
        names: of all pictures, in order.
        labels: int [N], -1 where there is none; None: none has.
        classes: names of the labels.
        splits: of each picture; None: none is said.
        title: a name for reports.

    Raises:
        ValueError: numbers of pictures, names, labels or splits that differ.
    """

    def __init__(
        self,
        pictures: Sequence[NDArray[np.uint8]],
        names: Sequence[str],
        labels: NDArray[np.integer] | None = None,
        classes: Sequence[str] = (),
        splits: Sequence[str] | None = None,
        title: str = "",
    ):
        self._pictures, self._names = list(pictures), names
        self._starts = np.cumsum([0, *map(len, pictures)])
        count = len(names)
        self._labels = np.full(count, -1) if labels is None else np.asarray(labels, np.int64)
        self._splits = [""] * count if splits is None else splits
        if {int(self._starts[-1]), len(self._labels), len(self._splits)} != {count}:
            raise ValueError(f"{int(self._starts[-1])} pictures, but {count} names")
        self.classes, self.title = tuple(classes), title

    def __len__(self) -> int:
        return len(self._names)

    def name(self, i: int) -> str:
        return self._names[i]

    def picture(self, i: int) -> NDArray[np.uint8]:
        """Picture i, uint8 [3, H, W]."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        part = int(np.searchsorted(self._starts, i, "right")) - 1
        return self._pictures[part][i - int(self._starts[part])]

    def info(self, i: int) -> MediaInfo:
        _, height, width = self.picture(i).shape
        return MediaInfo(self.name(i), "image", frames=1, height=height, width=width, codec="raw")

    def read(self, i: int, plan: Plan) -> Sample:
        if plan.audio:
            raise MediaError(self.name(i), "plan", "a picture has no sound")
        picture = torch.from_numpy(np.array(self.picture(i)))
        if plan.short_side:
            picture = resize(picture, plan.short_side)
        count = len(plan.times)
        still = picture.new_zeros(len(plan.flow), 2, *picture.shape[1:]).float()
        return Sample(
            picture.expand(count, -1, -1, -1) if count else None,
            torch.zeros(count, dtype=torch.float64) if count else None,
            flow=still if plan.flow else None,
            note=plan.note,
        )

    def label(self, i: int) -> int:
        return int(self._labels[i])

    def labels(self) -> NDArray[np.int64]:
        return self._labels.copy()

    def split(self, i: int) -> str:
        return self._splits[i]
