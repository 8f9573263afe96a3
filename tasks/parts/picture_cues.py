"""What single frames show at their edges: cues for probes. Frames are float [R, F, C, H, W]."""

import torch
from torch import Tensor


def borders(x: Tensor) -> Tensor:
    """Mean and deviation of the outermost two pixels of each side: [R, 8 F]."""
    return _statistics(x[..., :2, :], x[..., -2:, :], x[..., :2], x[..., -2:])


def corners(x: Tensor) -> Tensor:
    """Mean and deviation of the four corners, an eighth of the sides each: [R, 8 F]."""
    down, across = (max(side // 8, 2) for side in x.shape[-2:])
    rows, columns = (slice(down), slice(-down, None)), (slice(across), slice(-across, None))
    return _statistics(*(x[..., r, c] for r in rows for c in columns))


def _statistics(*parts: Tensor) -> Tensor:
    found = []
    for part in parts:
        grey = part.mean(2).flatten(2)
        found += [grey.mean(-1), grey.std(-1)]
    return torch.cat(found, 1)
