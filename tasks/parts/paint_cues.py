"""What may tell the colours of a picture without seeing what it shows: cues for probes.

Each is [B, 2, F] of an augmented batch: what is seen, and what is asked for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Batch


def light_and_chroma(batch: Batch) -> Tensor:
    """Mean, deviation and detail of the light, and the colours' mean distance from grey."""
    light = batch["inputs"][:, 0].mean(1)
    flat = light.flatten(1)
    detail = light.diff(dim=-1).square().mean((1, 2)).clamp_min(1e-8).log()
    seen = torch.stack([flat.mean(1), flat.std(1), detail], 1)
    return torch.stack([seen, _chroma(batch)[:, None].expand_as(seen)], 1)


def border_and_chroma(batch: Batch) -> Tensor:
    """Light along the four borders, and how far from grey their colours are."""
    light, colours = batch["inputs"][:, 0].mean(1), batch["colours"].norm(dim=1)
    return torch.stack([torch.stack(_sides(x), 1) for x in (light, colours)], 1)


def _chroma(batch: Batch) -> Tensor:
    return batch["colours"].norm(dim=1).mean((1, 2))


def _sides(x: Tensor) -> list[Tensor]:
    small = F.adaptive_avg_pool2d(x[:, None], 16)[:, 0]
    return [
        small[:, 0].mean(1),
        small[:, -1].mean(1),
        small[..., 0].mean(1),
        small[..., -1].mean(1),
    ]


def bars_and_hole(batch: Batch) -> Tensor:
    """Light along the four borders of what is seen, and along those of the whole picture."""
    seen = batch["inputs"].mean((1, 2))
    whole = batch["picture"].mean(1)
    return torch.stack([torch.stack(_sides(x), 1) for x in (seen, whole)], 1)
