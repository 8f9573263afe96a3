"""Optical flow: displacement in pixels from one frame to another, whatever computes it."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .colour import flow_to_rgb as flow_to_rgb
    from .estimate import optical_flow as optical_flow
    from .files import read_flow as read_flow
    from .files import write_flow as write_flow
    from .method import METHODS as METHODS
    from .method import check_method as check_method
    from .warping import compose as compose
    from .warping import consistent as consistent
    from .warping import warp as warp

__all__ = [
    "METHODS",
    "check_method",
    "compose",
    "consistent",
    "flow_to_rgb",
    "optical_flow",
    "read_flow",
    "warp",
    "write_flow",
]

__getattr__ = lazy(
    __name__,
    {
        "METHODS": "method",
        "check_method": "method",
        "compose": "warping",
        "consistent": "warping",
        "flow_to_rgb": "colour",
        "optical_flow": "estimate",
        "read_flow": "files",
        "warp": "warping",
        "write_flow": "files",
    },
)
