"""What may tell how patches lie to each other without seeing what they show: cues for probes.

Patches are float [R, N, 3, T, S, S] in [0, 1]; all cues are [R, F].
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..task import Batch, Guard
from .patches import BLOCK


def patch_guards(switches: Any, patches: Callable[[Batch], Tensor]) -> tuple[Guard, ...]:
    """The guards of a dataclass of switches, of which each field's name is one of `_CUES`.

    Args:
        patches: takes them out of an augmented batch.
    """
    found = ((field.name, *_CUES[field.name]) for field in fields(switches))
    return tuple(
        Guard(name, cue, getattr(switches, name), partial(_measured, measure, patches))
        for name, cue, measure in found
    )


def _measured(
    measure: Callable[[Tensor], Tensor], patches: Callable[[Batch], Tensor], batch: Batch
) -> Tensor:
    return measure(patches(batch))


def statistics(x: Tensor) -> Tensor:
    """Mean and log deviation of each channel of each patch."""
    flat = x.flatten(3)
    return torch.cat([flat.mean(3), flat.std(3).clamp_min(1e-3).log()], 2).flatten(1)


def fine_detail(x: Tensor) -> Tensor:
    """Log energy of differences of one and of two pixels in each patch."""
    grey = x.mean((2, 3))
    steps = [grey[..., k:].sub(grey[..., :-k]).square().mean((2, 3)) for k in (1, 2)]
    return torch.stack(steps, 2).clamp_min(1e-8).log().flatten(1)


def edges_that_go_on(x: Tensor) -> Tensor:
    """How unlike the facing borders of every two patches are, on all four sides.

    Where two of them lie side by side without a gap, the colours along the common border are
    nearly equal.
    """
    thin = x.mean(3)  # [R, N, 3, S, S]
    top, bottom, left, right = thin[..., 0, :], thin[..., -1, :], thin[..., 0], thin[..., -1]
    faces = ((bottom, top), (top, bottom), (right, left), (left, right))
    n = x.shape[1]
    found = [
        (one[:, i] - other[:, j]).square().mean((1, 2)).clamp_min(1e-8).log()
        for i in range(n)
        for j in range(i + 1, n)
        for one, other in faces
    ]
    corners = [(a, b) for a in (0, -1) for b in (0, -1)]
    found += [
        (thin[:, 0, :, a, b] - thin[:, 1, :, -1 - a, -1 - b]).square().mean(1).clamp_min(1e-8).log()
        for a, b in corners
    ]
    return torch.stack(found, 1)


def fringes(x: Tensor) -> Tensor:
    """How far red and blue are shifted against green in each patch, in pixels down and across.

    A lens that breaks colours unlike shifts them away from the picture's centre: the shift tells
    where in the picture a patch was. It is found by least squares: a channel is green, moved.
    """
    thin = x.mean(3)
    thin = (thin - thin.mean((-2, -1), keepdim=True)) / thin.std((-2, -1), keepdim=True).clamp_min(
        1e-3
    )
    green = thin[:, :, 1, 1:-1, 1:-1]
    down = (thin[:, :, 1, 2:, 1:-1] - thin[:, :, 1, :-2, 1:-1]) / 2
    across = (thin[:, :, 1, 1:-1, 2:] - thin[:, :, 1, 1:-1, :-2]) / 2
    slopes = torch.stack([down, across], -1).flatten(2, 3)  # [R, N, P, 2]
    square = slopes.transpose(-1, -2) @ slopes + 1e-2 * torch.eye(2, device=x.device)
    shifts = []
    for channel in (0, 2):
        rest = (thin[:, :, channel, 1:-1, 1:-1] - green).flatten(2)[..., None]
        shifts.append(torch.linalg.solve(square, slopes.transpose(-1, -2) @ rest).squeeze(-1))
    return torch.cat(shifts, -1).clamp(-4, 4).flatten(1)


def block_grid(x: Tensor) -> Tensor:
    """Where a grid of 8 pixels begins in each patch, as waves along both axes, and their products.

    JPEG codes blocks of 8 × 8 pixels, whose borders show as steps. How far two patches are
    apart, in eighths of a block, is the difference of what is found in both.
    """
    grey = x.mean((2, 3))
    waves = [_wave(grey.diff(n=2, dim=d).abs().mean(-3 - d)) for d in (-2, -1)]
    found = torch.stack(waves, 2)  # [R, N, 2] complex
    turned = found[:, :1] * found[:, 1:].conj()
    flat = torch.cat([found.flatten(1), turned.flatten(1)], 1)
    return torch.cat([flat.real, flat.imag], 1)


def _wave(profile: Tensor) -> Tensor:
    """Phase of the wave of 8 pixels in the excess of [R, N, P] over its surroundings: [R, N]."""
    spread = F.avg_pool1d(profile, BLOCK, 1, BLOCK // 2, count_include_pad=False)
    excess = (profile - spread[..., : profile.shape[-1]]).clamp_min(0)
    at = torch.arange(excess.shape[-1], device=profile.device)
    wave = torch.exp(2j * torch.pi * at / BLOCK)
    found = (excess * wave).sum(-1)
    return found / found.abs().clamp_min(1e-6)


def outermost(x: Tensor) -> Tensor:
    """Mean of the grey and its deviation along the four borders of each patch."""
    grey = x.mean((2, 3))
    sides = [grey[..., 0, :], grey[..., -1, :], grey[..., 0], grey[..., -1]]
    return torch.cat([f for side in sides for f in (side.mean(-1), side.std(-1))], 1)


_LENS = "fringes of colour, by which lenses tell where in the picture a patch was"
_CUES: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "gap": ("edges that go on from one patch into the next", edges_that_go_on),
    "jitter": ("lines that meet again beyond the gap", edges_that_go_on),
    "block_grid": ("the grid of JPEG's blocks, 8 pixels wide", block_grid),
    "pixelation": ("how fine the detail is, as lenses blur corners", fine_detail),
    "grey": (_LENS, fringes),
    "colour_dropping": (_LENS, fringes),
    "colour_projection": (_LENS, fringes),
    "channel_jitter": (_LENS, fringes),
    "standardize": ("light and colour, darker towards the corners", statistics),
    "letterbox": ("black bars round the picture", outermost),
}
