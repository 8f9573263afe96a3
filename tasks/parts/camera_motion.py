"""The motion of a camera, estimated from optical flow and taken off it."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

Model = Literal["median", "plane"]
_ROUNDS = 8
_GRID = 32  # places per side at which the flow is looked at


def without_camera(flow: Tensor, model: Model) -> Tensor:
    """Flow less the motion that most of the picture has in common.

    Args:
        flow: float [B, 2, H, W].
        model: "median" takes off the median of each component: a pan. "plane" takes off what a
            plane shows to a camera that moves and turns in any way, the homography of small
            motions: polynomials of 8 parameters (Longuet-Higgins & Prazdny 1980,
            doi:10.1098/rspb.1980.0057), fitted by least squares that are repeated with less and
            less weight for what does not fit (Holland & Welsch 1977,
            doi:10.1080/03610927708827533).
    """
    pan = flow.flatten(2).median(2).values[:, :, None, None]
    if model == "median":
        return flow - pan
    basis = _basis(flow)
    down, across = (max(1, side // _GRID) for side in flow.shape[2:])
    some = flow[..., ::down, ::across].flatten(2)  # [B, 2, P]
    seen = basis[:, ::down, ::across].flatten(1, 2)  # [2, P, 8]
    # Normal equations: 8 numbers of a picture, whatever its size.
    products = (seen[..., None] * seen[:, :, None]).sum(0).flatten(1)  # [P, 64]
    left = some - pan.flatten(2)
    parameters = flow.new_zeros(len(flow), 8)
    for _ in range(_ROUNDS):
        parameters = _fit(seen, products, some, _weights(left))
        left = some - (parameters @ seen.flatten(0, 1).T).view_as(some)
    return flow - (parameters @ basis.flatten(0, 2).T).view_as(flow)


def _basis(flow: Tensor) -> Tensor:
    """What 8 parameters each add to x and y of flow [B, 2, H, W] at each place: [2, H, W, 8]."""
    line = partial(torch.linspace, -1, 1, dtype=flow.dtype, device=flow.device)
    y, x = torch.meshgrid(*map(line, flow.shape[2:]), indexing="ij")
    one, none = torch.ones_like(x), torch.zeros_like(x)
    across = [one, x, y, none, none, none, x * x, x * y]
    down = [none, none, none, one, x, y, x * y, y * y]
    return torch.stack([torch.stack(across, -1), torch.stack(down, -1)])


def _weights(left: Tensor) -> Tensor:
    """Of each place [B, P], by what is left [B, 2, P] of its flow: Cauchy's, of its median."""
    length = left.square().sum(1)
    scale = length.median(1, keepdim=True).values.clamp_min(1e-4)
    return 1 / (1 + length / (4 * scale))


def _fit(seen: Tensor, products: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """Parameters [B, 8] that explain flow [B, 2, P] best."""
    square = (weight @ products).unflatten(1, (8, 8))
    side = (weight[:, None] * flow).flatten(1) @ seen.flatten(0, 1)
    ridge = 1e-6 * square.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    eye = torch.eye(8, dtype=flow.dtype, device=flow.device)
    return torch.linalg.solve(square + (ridge + 1e-12) * eye, side)
