"""What flow is good for: moving pictures by it, chaining it, and telling where it can be right."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def warp(second: Tensor, flow: Tensor) -> Tensor:
    """The second frames as seen from the first: each pixel from where the flow says it went.

    Args:
        second: uint8 or float [P, C, H, W].
        flow: float [P, 2, H, W] in pixels, from the first to the second.

    Returns:
        float [P, C, H, W], bilinear; from outside the frame its border's values.
    """
    height, width = flow.shape[-2:]
    x, y = _targets(flow)
    # grid_sample counts from -1, the first pixel's centre, to 1, the last one's.
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
    picture = second.to(flow.dtype)
    return grid_sample(picture, grid, padding_mode="border", align_corners=True)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Flow over two steps from that over each, float [P, 2, H, W] all three.

    What leaves the frame in the first step goes on as its border does in the second.
    """
    return first + warp(second, first)


def consistent(forward: Tensor, backward: Tensor) -> Tensor:
    """Where the flow back returns to where the flow forth came from, and stays in the frame.

    The threshold is that of Sundaram, Brox & Keutzer 2010 (ECCV), equation 5: half a pixel, and
    more where much moves.

    Args:
        forward: float [P, 2, H, W] in pixels, from the first frames to the second.
        backward: float [P, 2, H, W], from the second to the first.

    Returns:
        bool [P, H, W]: False where a pixel is covered or leaves, or the flow is wrong.
    """
    height, width = forward.shape[-2:]
    back = warp(backward, forward)
    apart = (forward + back).square().sum(1)
    bound = 0.01 * (forward.square().sum(1) + back.square().sum(1)) + 0.5
    x, y = _targets(forward)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return inside & (apart < bound)


def _targets(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Columns and rows [P, H, W] to which the pixels go."""
    height, width = flow.shape[-2:]
    rows = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    columns = torch.arange(width, device=flow.device, dtype=flow.dtype)
    return columns + flow[:, 0], rows + flow[:, 1]
