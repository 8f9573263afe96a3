"""What may tell how a picture moves without being understood, and probes of it."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ...encoders.places import grid_places
from ..task import Audit, Batch, Guard
from .flow_guards import FlowGuards, TargetGuards, fine_noise, in_bars
from .sound_cues import of_both_sides, of_pairs, resolution, tint


def amount(flow: Tensor) -> Tensor:
    """Log mean length of flow [B, 2, T, H, W]: [B, 1]."""
    return flow.square().sum(1).sqrt().mean((1, 2, 3)).clamp_min(1e-3).log()[:, None]


def border_light(pictures: Tensor) -> Tensor:
    """Mean of the outermost pixels of the four sides of [B, 3, T, H, W]: [B, 4]."""
    return _borders(pictures.mean((1, 2)))


def border_motion(flow: Tensor) -> Tensor:
    """Log mean length of flow [B, 2, T, H, W] along the four sides: [B, 4]."""
    return _borders(flow.square().sum(1).sqrt().mean(1)).clamp_min(1e-3).log()


def _borders(x: Tensor) -> Tensor:
    sides = [x[:, :1], x[:, -1:], x[..., :1], x[..., -1:]]
    return torch.stack([side.mean((1, 2)) for side in sides], 1)


def grain(flow: Tensor) -> Tensor:
    """Log energy of the fine detail of flow [B, 2, T, H, W], as of the size of a file: [B, 1]."""
    return resolution(flow)


def pair_guards(guards: FlowGuards) -> tuple[Guard, ...]:
    """The guards of tasks that ask of pairs, with their probes."""
    return _records(guards, partial(of_pairs, other="flow"))


def instance_guards(guards: FlowGuards) -> tuple[Guard, ...]:
    """The guards of tasks in which picture and flow have to find each other."""
    return _records(guards, partial(of_both_sides, other="flow"))


def _records(guards: FlowGuards, relation: Callable[..., Tensor]) -> tuple[Guard, ...]:
    bars = "bars along the borders, which are black and never move"
    still = "little motion, which goes with kinds of pictures"
    return (
        Guard("letterbox", bars, guards.letterbox, partial(relation, border_light, border_motion)),
        Guard("static", still, guards.static, partial(relation, tint, amount)),
    )


def _marks(relation: Callable[..., Tensor]) -> Audit:
    return Audit(
        "file",
        "size and codec of the file, of which picture and flow bear marks",
        "take negatives of the same film: FlowCorrespondence with negatives: same_video, or one "
        "data set at a time",
        partial(relation, resolution, grain),
    )


def target_guards(guards: TargetGuards) -> tuple[Guard, ...]:
    """The guards of tasks that ask how each cell of a picture moves, with their probes."""
    zoom = "where a cell lies: a camera that zooms or turns moves each place in a way of its own"
    bars = "bars along the borders, which never move"
    noise = "noise and compression, where nothing moves"
    return (
        Guard("camera", zoom, guards.camera, partial(_of_cells, _position)),
        Guard("letterbox", bars, guards.letterbox, partial(_of_cells, in_bars)),
        Guard("static", noise, guards.static, partial(_of_cells, fine_noise)),
    )


def _of_cells(measure: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> Tensor:
    """A measure of pictures and places, of every cell of an augmented batch: [B · grid², F]."""
    x = batch["inputs"]
    cells = len(batch["target"]) // len(x)
    places = grid_places(math.isqrt(cells), len(x), x.device)
    found = measure(x[:, :, x.shape[2] // 2], places)
    return found.unflatten(1, (-1, cells)).transpose(1, 2).flatten(0, 1)


def _position(pictures: Tensor, places: Tensor) -> Tensor:
    return places.transpose(1, 2).flatten(1)


MARKS = _marks(partial(of_pairs, other="flow"))
INSTANCE_MARKS = _marks(partial(of_both_sides, other="flow"))
