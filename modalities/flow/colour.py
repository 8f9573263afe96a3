"""Flow as a picture: direction is hue, length is saturation."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def flow_to_rgb(flow: Tensor, longest: float | None = None) -> Tensor:
    """Flow in the colours of Baker et al. 2011 (IJCV 92, "A Database and Evaluation Methodology").

    White stands still.

    Args:
        flow: float [P, 2, H, W] in pixels.
        longest: pixels that are shown in full colour, and all beyond; None: the longest vector of
            each field.

    Returns:
        uint8 [P, 3, H, W] RGB.
    """
    return torch.stack([_painted(field, longest) for field in flow])


def _painted(field: Tensor, longest: float | None) -> Tensor:
    from torchvision.utils import flow_to_image

    length = field.square().sum(0).sqrt()
    most = float(length.max()) if longest is None else longest
    if not most > 0:
        return torch.full((3, *field.shape[1:]), 255, dtype=torch.uint8, device=field.device)
    shown = field * (most / length.clamp_min(most))
    # torchvision scales by the longest vector that it sees: a further column has that length.
    marked = pad(shown, (0, 1))
    marked[0, :, -1] = most
    return flow_to_image(marked)[..., :-1]
