"""What may give the order of moments away without being seen to move, and its counter-measures.

Moments are float [B, N, C, T, H, W] in [0, 1], B tuples of N clips in the order shown, or, where
they were read, uint8 [N, 3, T, S, S].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ...modalities.media import Sample
from ..task import Batch, Guard
from .check import check_least
from .letterbox import without_letterbox
from .photometry import (
    draw_photometry,
    jitter_photometry,
    match_photometry,
    photometric_change,
    sensor_noise,
)
from .transforms import Crop


@dataclass(frozen=True)
class MomentGuards:
    """Counter-measures of all tasks that ask for the order of moments. Papers have none of them.

    Args:
        exposure: match the moments of a tuple in all that light, focus and noise change, and change
            each a little at random, so that fades and other drift tell nothing.
        letterbox: cut away bars along the borders; noise and light in them tell the order.
        static: leave tuples out of the loss in which nothing but light, focus and noise changes;
            there only the camera and the codec tell the order.
        min_change: least share of a moment's detail, 0 to 1, that light, focus and noise must
            leave unexplained (`photometric_change`).
    """

    exposure: bool = True
    letterbox: bool = True
    static: bool = True
    min_change: float = 0.1

    def __post_init__(self):
        check_least(0, min_change=self.min_change)

    def cut(self, sample: Sample) -> Sample:
        """The sample without bars."""
        assert sample.frames is not None
        if not self.letterbox:
            return sample
        return replace(sample, frames=without_letterbox(sample.frames))

    def weight(self, moments: Tensor, pairs: Tensor | None = None) -> Tensor:
        """1 where uint8 [N, 3, T, S, S] leave a question that light alone does not answer, else 0.

        Two of them may be alike, or some burnt out so much more than others that `match` cannot
        hide it.

        Args:
            pairs: int64 [K, 2], which moments must differ; None: all.
        """
        alike = self.static and static(moments, self.min_change, pairs)
        burnt = self.exposure and loses_detail(moments)
        return torch.tensor(float(not (alike or burnt)))

    def draw(self, rng: Generator, count: int) -> Batch:
        """What `match` needs for `count` moments."""
        return {"photometry": draw_photometry(rng, count)} if self.exposure else {}

    def crop(self, crop: Crop, moments: Tensor, batch: Batch, size: int) -> Tensor:
        """Moments that are cropped as `batch` says and that light then does not tell apart.

        Args:
            crop: what drew "box" and "flip" of the batch.
            moments: uint8 [B, N, C, T, S, S], C of 1 or 3.
            size: pixels.

        Returns:
            float [B, N, C, T, size, size] in [0, 1].
        """
        shown = crop.apply(moments, batch, size)
        if not self.exposure:
            return shown
        drawn = batch["photometry"]
        grain = crop.apply(sensor_noise(drawn.to(shown.device), moments.shape), batch, size)
        frames, noise = (x.transpose(2, 3).flatten(1, 2) for x in (shown, grain))
        alike = match_photometry(frames, noise).unflatten(1, (-1, shown.shape[3]))
        return jitter_photometry(alike.transpose(2, 3), drawn)

    def records(self, moments: Callable[[Batch], Tensor]) -> tuple[Guard, ...]:
        """The guards with their probes; `moments` takes them out of an augmented batch."""
        found = {
            "exposure": ("light that drifts with time, as in a fade", statistics),
            "letterbox": ("noise in the black bars round the picture", outermost),
            "static": ("noise and compression, where nothing moves", fine_detail),
        }
        return tuple(
            Guard(name, cue, getattr(self, name), probe_of(measure, moments))
            for name, (cue, measure) in found.items()
        )


def probe_of(
    measure: Callable[[Tensor], Tensor], moments: Callable[[Batch], Tensor]
) -> Callable[[Batch], Tensor]:
    """A guard's probe: a measure [B, N, F] of the moments of a batch, and how the moments compare.

    Probes learn from few examples; what they are to find of an order is laid open to them: the
    values, the differences of every two, and which of every three lies between the others.
    """
    return partial(_measured, measure, moments)


def _measured(
    measure: Callable[[Tensor], Tensor], moments: Callable[[Batch], Tensor], batch: Batch
) -> Tensor:
    values = measure(moments(batch))
    pairs = combinations(range(values.shape[1]), 2)
    steps = [values[:, j] - values[:, i] for i, j in pairs]
    return torch.cat([values.flatten(1), *steps, *_between(values)], 1)


def _between(values: Tensor) -> Iterator[Tensor]:
    """For every three of [B, N, F]: [B, F], above 0 where one lies between the others."""
    for three in combinations(range(values.shape[1]), 3):
        for middle in three:
            first, last = (values[:, k] for k in three if k != middle)
            turn = (values[:, middle] - first) * (last - values[:, middle])
            yield turn / (turn.abs() + 1e-8)


def shown(batch: Batch) -> Tensor:
    """The moments of an augmented batch of tuples."""
    return batch["inputs"]


def frames_as_moments(batch: Batch) -> Tensor:
    """Each frame of an augmented batch of clips as a moment of its own: [B, T, 3, 1, H, W]."""
    return batch["inputs"].transpose(1, 2).unsqueeze(3)


def static(moments: Tensor, min_change: float, pairs: Tensor | None = None) -> bool:
    """Whether light, focus and noise explain the difference of any two of uint8 [N, 3, T, S, S].

    Args:
        pairs: int64 [K, 2], which are compared; None: all.
    """
    if pairs is None:
        pairs = torch.combinations(torch.arange(len(moments)))
    change = photometric_change(moments)[pairs[:, 0], pairs[:, 1]]
    return bool(change.min() <= min_change)


_END = 15  # steps of 255 from black and from white; nearer, little but noise is seen
_MOST_LOST = 0.1  # share of a channel, by which moments may differ; J-HMDB passes it in 1 to 4 %


def loses_detail(moments: Tensor) -> bool:
    """Whether light takes the detail of some of uint8 [N, 3, T, S, S] and leaves it to others.

    No match gives back what was burnt out or drowned in the dark.
    """
    pixels = moments.transpose(0, 1).flatten(2).numpy()
    most = _MOST_LOST * pixels.shape[2]
    # numpy counts in a third of torch's time.
    lost = (pixels >= 255 - _END, pixels <= _END)
    return any(np.ptp(np.count_nonzero(each, axis=2), axis=1).max() > most for each in lost)


def statistics(moments: Tensor) -> Tensor:
    """Global statistics of each channel: mean, deviation, range, edges, centre: [B, N, 6C]."""
    flat = moments.flatten(3)
    edges = moments.diff(dim=-1).abs().mean((3, 4, 5)) + moments.diff(dim=-2).abs().mean((3, 4, 5))
    h, w = moments.shape[-2:]
    middle = moments[..., h // 4 : h - h // 4, w // 4 : w - w // 4].mean((3, 4, 5))
    columns = [flat.mean(3), flat.std(3), flat.amin(3), flat.amax(3), edges, middle]
    return torch.cat(columns, 2)


def chroma(moments: Tensor) -> Tensor:
    """How far neighbouring channels of [B, N, 3, T, H, W] differ, root mean square: [B, N, 1]."""
    return moments.diff(dim=2).square().mean((2, 3, 4, 5)).sqrt()[..., None]


def fine_detail(moments: Tensor) -> Tensor:
    """Log energy of what two by two pixels average away, as noise and ringing do: [B, N, 1]."""
    small = F.avg_pool2d(moments.flatten(0, -3), 2, ceil_mode=True)
    large = small.repeat_interleave(2, -2).repeat_interleave(2, -1)
    coarse = large[..., : moments.shape[-2], : moments.shape[-1]].reshape(moments.shape)
    rest = (moments - coarse).square()
    return rest.mean((2, 3, 4, 5)).clamp_min(1e-8).log()[..., None]


def outermost(moments: Tensor) -> Tensor:
    """Mean of each channel in the outermost pixels of the four sides: [B, N, 4C]."""
    sides = [moments[..., :1, :], moments[..., -1:, :], moments[..., :1], moments[..., -1:]]
    return torch.cat([side.mean((3, 4, 5)) for side in sides], -1)


def place_of_detail(moments: Tensor) -> Tensor:
    """Where the edges lie on average, (y, x) as shares of the sides: [B, N, 2]."""
    grey = moments.mean((2, 3))
    down, across = grey.diff(dim=-2).abs().sum(-1), grey.diff(dim=-1).abs().sum(-2)
    return torch.stack([_centre(down), _centre(across)], -1)


def _centre(weight: Tensor) -> Tensor:
    at = torch.linspace(0, 1, weight.shape[-1], device=weight.device)
    return (weight * at).sum(-1) / weight.sum(-1).clamp_min(1e-6)
