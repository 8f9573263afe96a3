"""What a task has learned of single pixels, as an encoder that can be evaluated like others."""

import torch.nn.functional as F
from torch import Tensor

from ...encoders.encoder import Encoder, Level
from ...encoders.places import grid_places
from .hypercolumn import Hypercolumn
from .spatial_input import SpatialInput


class EmbeddedPixels(Encoder):
    """The embeddings that a hypercolumn's network gives all pixels, its only level, of length 1.

    Args:
        video: whose encoder it is.
        columns: what makes embeddings of its levels.
    """

    modality = "image"

    def __init__(self, video: SpatialInput, columns: Hypercolumn):
        super().__init__()
        self.modality = video.encoder.modality  # pyright: ignore[reportAttributeAccessIssue]
        self.video, self.columns = video, columns
        self.dim = columns.outputs
        self.levels = {"pixel embedding": Level(self.dim, (1, 1))}

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        clips, side = x if x.ndim == 5 else x.unsqueeze(2), x.shape[-1]
        found = self.columns(self.video, clips, grid_places(side, len(x), x.device))
        unit = F.normalize(found, dim=2).transpose(1, 2)
        return {"pixel embedding": unit.unflatten(2, (side, side))}
