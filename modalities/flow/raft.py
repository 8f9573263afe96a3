"""Optical flow by RAFT (Teed & Deng, ECCV 2020, arXiv:2003.12039), torchvision's networks."""

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ...errors import InputError
from .method import DOWNLOAD

_STRIDE = 8  # pixels of a picture per place of the features
_SMALLEST = 128  # pixels: of less, four levels of correlations cannot be made
_TOGETHER = 1 << 30  # bytes of correlations that are worked on at a time
_MOST = 8 << 30  # bytes of those of one pair


@lru_cache(maxsize=2)
def raft_network(size: str, weights: str | None) -> nn.Module:
    """A RAFT in eval mode, on the CPU.

    Args:
        size: "small" or "large".
        weights: path of a .safetensors file with torchvision's keys; "download": those that
            torchvision publishes as its default; None: random ones.

    Raises:
        InputError: weights that cannot be had or are not this network's.
    """
    from torchvision.models import optical_flow

    network: nn.Module = getattr(optical_flow, f"raft_{size}")(weights=None, progress=False)
    if weights == DOWNLOAD:
        network.load_state_dict(_downloaded(f"Raft_{size.capitalize()}_Weights"))
    elif weights:
        _load(network, weights)
    return network.eval().requires_grad_(False)


def raft(network: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """Flow on the frames' device, to which the network is moved.

    Sides are filled up with the border's pixels to multiples of 8 of at least 128, at the right and
    below, which is cut off again: at multiples of 8 it is torchvision's own call.

    Args:
        network: torchvision's.
        first: uint8 [P, 3, H, W].
        second: uint8 [P, 3, H, W].

    Returns:
        float32 [P, 2, H, W] in pixels.

    Raises:
        InputError: pictures of which the correlations would take more than 8 GiB.
    """
    height, width = first.shape[-2:]
    padding = (0, _filled(width) - width, 0, _filled(height) - height)
    places = _filled(height) * _filled(width) // _STRIDE**2
    bytes_ = places**2 * 4 * 4 // 3  # float32, and a pyramid above
    if bytes_ > _MOST:
        raise InputError(
            f"RAFT on {width}x{height} pixels takes {bytes_ / 2**30:.0f} GiB a pair: ask for "
            "smaller frames (short_side), or take the method dis"
        )
    network = network.to(first.device)
    out = []
    count = max(_TOGETHER // bytes_, 1)
    with torch.no_grad():
        for a, b in zip(first.split(count), second.split(count), strict=True):
            pair = (pad(x.float() / 127.5 - 1, padding, mode="replicate") for x in (a, b))
            out.append(network(*pair)[-1][..., :height, :width])
    return torch.cat(out).contiguous()


def _filled(side: int) -> int:
    return max(-(-side // _STRIDE) * _STRIDE, _SMALLEST)


def _downloaded(name: str) -> dict[str, Tensor]:
    from torchvision.models import optical_flow

    weights = getattr(optical_flow, name).DEFAULT
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{weights.url}: cannot be fetched ({' '.join(str(error).split())[:120]}); save it as "
            ".safetensors and name that"
        ) from error


def _load(network: nn.Module, path: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path}: not the weights of this RAFT ({reason})") from error
