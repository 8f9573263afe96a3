"""What may tell how pixels move without being understood, and its counter-measures."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...encoders.places import at_places
from ...errors import InputError
from ...modalities.media import Sample
from .camera_motion import Model, without_camera
from .check import check_least
from .letterbox import cut_letterbox

MIN_MOTION = 0.3  # hundredths of the side, root mean square


@dataclass(frozen=True)
class FlowGuards:
    """Counter-measures of all tasks that look at optical flow. Papers have none of them.

    Args:
        letterbox: cut away bars along the borders, which never move.
        static: leave out what does not move; there flow is noise of camera, codec and method.
        min_motion: least root mean square of flow about its mean, in hundredths of the side of the
            square.
    """

    letterbox: bool = True
    static: bool = True
    min_motion: float = MIN_MOTION

    def __post_init__(self):
        check_least(0, min_motion=self.min_motion)

    def cut(self, sample: Sample) -> Sample:
        """The sample without bars."""
        return cut_letterbox(sample, self.letterbox)

    def weight(self, flow: Tensor) -> Tensor:
        """1 where flow [B, 2, H, W] or [B, 2, T, H, W] moves against its mean, else 0: [B]."""
        if not self.static:
            return flow.new_ones(len(flow))
        return moves(flow, self.min_motion).to(flow.dtype)


@dataclass(frozen=True)
class TargetGuards(FlowGuards):
    """Counter-measures of tasks that ask for the flow of a picture. Papers have none of them.

    Args:
        camera: take the camera's motion off the flow: what zooms or turns as a whole moves at each
            place as the place says, whatever is seen there.
        model: of the camera's motion: "plane", the homography of small motions, or "median", a pan.
    """

    camera: bool = True
    model: Model = "plane"

    def __post_init__(self):
        super().__post_init__()
        if self.model not in ("plane", "median"):
            raise InputError(f'model is "plane" or "median", not {self.model!r}')

    def stabilised(self, flow: Tensor) -> Tensor:
        """Flow [B, 2, H, W] as a camera at rest would show it."""
        return without_camera(flow, self.model) if self.camera else flow


def moves(flow: Tensor, least: float = MIN_MOTION) -> Tensor:
    """Which of flow [B, 2, ..., H, W] moves against its mean, by `least` hundredths of the side."""
    return 100 * spread(flow) / flow.shape[-1] > least


def spread(flow: Tensor) -> Tensor:
    """Root mean square of flow [B, 2, ..., H, W] about its mean, in pixels: [B]."""
    rows = flow.flatten(2)
    return (rows - rows.mean(2, keepdim=True)).square().sum(1).mean(1).sqrt()


def in_bars(pictures: Tensor, places: Tensor) -> Tensor:
    """How little the row and the column of each place vary, as those of a bar do not.

    Args:
        pictures: float [B, 3, H, W].
        places: [B, M, 2] as in `at_places`.

    Returns:
        [B, 2M], log deviations of each.
    """
    rows, columns = (pictures.std(axis).mean(1).clamp_min(1e-3).log() for axis in (3, 2))
    numbers = (places * pictures.shape[-1]).long().clamp(0, pictures.shape[-1] - 1)
    down, across = numbers.unbind(2)
    return torch.cat([rows.gather(1, down), columns.gather(1, across)], 1)


def fine_noise(pictures: Tensor, places: Tensor) -> Tensor:
    """What each place [B, M, 2] has beyond the mean of its neighbours in [B, 3, H, W]: [B, M]."""
    rest = (pictures - F.avg_pool2d(pictures, 3, 1, 1)).abs().mean(1, keepdim=True)
    return at_places(rest, places).squeeze(2)
