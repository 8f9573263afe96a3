"""Optical flow between two frames: where each pixel of the first went in the second."""

import numpy as np
import torch
from torch import Tensor

from .decode.pixels import opencv

_SMALLEST = 16  # pixels: DIS needs patches of 8 on a half-size picture


def dis(first: Tensor, second: Tensor) -> Tensor:
    """Flow by dense inverse search (Kroeger et al., ECCV 2016), OpenCV's medium preset.

    Args:
        first: uint8 [3, H, W].
        second: uint8 [3, H, W].

    Returns:
        float32 [2, H, W]: (x, y) displacement in pixels from the first to the second.
    """
    cv2 = opencv()
    height, width = first.shape[-2:]
    below, right = max(_SMALLEST - height, 0), max(_SMALLEST - width, 0)
    grey = [
        cv2.copyMakeBorder(_grey(x), 0, below, 0, right, cv2.BORDER_REPLICATE)
        for x in (first, second)
    ]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = method.calc(grey[0], grey[1], None)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return torch.from_numpy(np.ascontiguousarray(flow[:height, :width].transpose(2, 0, 1)))


def _grey(picture: Tensor):
    cv2 = opencv()
    return cv2.cvtColor(picture.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2GRAY)
