"""Flow between frames, a batch in and a batch out, the same unit from every method."""

from collections.abc import Callable

import torch
from torch import Tensor

from .method import DEFAULT, check_method

Estimator = Callable[[Tensor, Tensor], Tensor]


def optical_flow(first: Tensor, second: Tensor, method: str = DEFAULT) -> Tensor:
    """Where each pixel of the first frames went in the second ones.

    RAFT runs on the frames' device, the others on the CPU. A film's cut gives vectors that mean
    nothing: `consistent` tells which to trust.

    Args:
        first: uint8 [P, 3, H, W], RGB, of any size.
        second: uint8 [P, 3, H, W].
        method: see `check_method`.

    Returns:
        float32 [P, 2, H, W] on the frames' device: displacement (x, y) in pixels.

    Raises:
        InputError: an unknown method, one that is not installed, unfitting weights, or frames that
            are too large for it.
    """
    return estimator(method)(first, second)


def estimator(method: str = DEFAULT) -> Estimator:
    """`optical_flow` by one method, all that can be wrong with which has been looked at before."""
    name, preset, weights = check_method(method)
    if name == "raft":
        from .raft import raft, raft_network

        network = raft_network(preset, weights)
        return _checked(lambda a, b: raft(network, a, b))
    from .classical import classical

    return _checked(classical(name, preset))


def _checked(estimate: Estimator) -> Estimator:
    def checked(first: Tensor, second: Tensor) -> Tensor:
        for x in (first, second):
            if x.dtype != torch.uint8 or x.ndim != 4 or x.shape[1] != 3:
                raise ValueError(f"frames are uint8 [P, 3, H, W], got {x.dtype} {list(x.shape)}")
        if first.shape != second.shape:
            raise ValueError(f"frames of two sizes: {list(first.shape)}, {list(second.shape)}")
        if not first.numel():
            return torch.zeros(len(first), 2, *first.shape[2:], device=first.device)
        return estimate(first, second)

    return checked
