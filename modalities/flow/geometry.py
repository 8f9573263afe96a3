"""Cropping, resizing, mirroring and turning flow: vectors move with their pixels, and change.

Each gives the flow between two pictures that were changed alike. Flow is float [..., 2, H, W]:
(x, y) in pixels, x to the right and y down.
"""

import torch
from torch import Tensor

from ..image import resize as resize_pictures


def crop(flow: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """The part [top, top + height) × [left, left + width): its vectors stay as they are."""
    return flow[..., top : top + height, left : left + width]


def resize(flow: Tensor, size: int | tuple[int, int]) -> Tensor:
    """At another size, antialiased; each component grows as its side does.

    Args:
        flow: float [..., 2, H, W].
        size: (height, width) in pixels, or the length of the shorter side, the shape kept.
    """
    out = resize_pictures(flow, size)
    grown = (out.shape[-1] / flow.shape[-1], out.shape[-2] / flow.shape[-2])
    return out * out.new_tensor(grown)[:, None, None]


def mirror(flow: Tensor) -> Tensor:
    """Left and right changed over."""
    return flow.flip(-1) * flow.new_tensor([-1.0, 1.0])[:, None, None]


def turn(flow: Tensor, quarters: int) -> Tensor:
    """Turned counter-clockwise by so many quarters, as `torch.rot90(x, quarters, (-2, -1))`."""
    turned = torch.rot90(flow, quarters, (-2, -1))
    x, y = turned.unbind(-3)
    return torch.stack([(x, y), (y, -x), (-x, -y), (-y, x)][quarters % 4], -3)
