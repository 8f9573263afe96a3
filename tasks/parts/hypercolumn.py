"""Hypercolumn: an embedding of single pixels from all levels of an encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...encoders.places import at_places, spread_levels
from ...errors import InputError
from .heads import shared_layer
from .spatial_input import SpatialInput


class Hypercolumn(nn.Module):
    """Levels of an encoder at one place, side by side, through a small network to an embedding.

    Hariharan et al. 2015 (arXiv:1411.5752); at a few places only, as Larsson et al. 2016
    (arXiv:1603.06668, section 3). Maps are interpolated; of clips the middle of their time is seen.
    Each channel is normalised first, since levels differ in size.

    Args:
        video: whose encoder it is.
        levels: names of them, the deepest included; none: up to four, from shallow to deep.
        hidden: width of the hidden layer.
        outputs: length of an embedding.

    Raises:
        InputError: a level that the encoder lacks, or the deepest one left out.
    """

    def __init__(self, video: SpatialInput, levels: Sequence[str], *, hidden: int, outputs: int):
        super().__init__()
        known, self.outputs = video.encoder.levels, outputs
        self.levels = tuple(levels) or spread_levels(list(known))
        wrong = [name for name in self.levels if name not in known]
        if wrong:
            raise InputError(f"no level {wrong[0]!r}: the encoder has {', '.join(known)}")
        *_, deepest = known
        if deepest not in self.levels:
            # What lies behind the last level used would never get a gradient.
            raise InputError(f"levels leave out the deepest, {deepest}: add it")
        channels = sum(known[name].channels for name in self.levels)
        self.normalize = nn.BatchNorm1d(channels, affine=False)
        self.network = nn.Sequential(shared_layer(channels, hidden), nn.Linear(hidden, outputs))

    def forward(self, video: SpatialInput, x: Tensor, places: Tensor) -> Tensor:
        """[B, M, outputs] of float clips [B, 3, T, H, W] at places [B, M, 2], (y, x) as shares."""
        maps = video.encode_maps(x)
        middles = [maps[name][:, :, maps[name].shape[2] // 2] for name in self.levels]
        column = torch.cat([at_places(middle, places) for middle in middles], 2)
        return self.network(self.normalize(column.flatten(0, 1))).unflatten(0, column.shape[:2])
