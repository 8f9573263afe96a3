"""What `TorchvisionVideo` has to know of each of torchvision's video models."""

from collections.abc import Iterator

from torch import Tensor, nn

from ..errors import InputError
from .blocks import IMAGENET

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "mvit_v2_s")
MEAN_STD = {"swin3d_t": IMAGENET, "mvit_v2_s": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))}

# Of S3D's sixteen modules those of each level; every level but the first starts by pooling.
_S3D_LEVELS = ((0, 1), (1, 4), (4, 7), (7, 13), (13, 16))


def check_size(name: str, x: Tensor) -> None:
    """Refuses clips [B, 3, T, H, W] that a model cannot take.

    Raises:
        InputError: naming what it takes.
    """
    frames, *sides = x.shape[2:]
    if name == "s3d" and (frames < 5 or min(sides) < 17):
        raise InputError(
            f"s3d takes [B, 3, T, H, W] of at least 5 frames and 17 pixels, got {list(x.shape)}"
        )
    if name == "mvit_v2_s" and (frames, *sides) != (16, 224, 224):
        raise InputError(f"mvit_v2_s takes [B, 3, 16, 224, 224] alone, got {list(x.shape)}")


def drop_classifier(name: str, net: nn.Module) -> int:
    """Replaces a model's classifier by the identity and says how many channels reached it."""
    head = {"s3d": "classifier", "swin3d_t": "head", "mvit_v2_s": "head"}.get(name, "fc")
    layers = [m for m in net.get_submodule(head).modules() if isinstance(m, nn.Linear | nn.Conv3d)]
    setattr(net, head, nn.Identity())
    return layers[0].weight.shape[1]


def video_maps(name: str, net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Maps [B, C, T, H, W] by level, shallow to deep; a transformer's without class token."""
    return dict(_MAPS.get(name, _resnet_maps)(net, x))


Levels = Iterator[tuple[str, Tensor]]


def _resnet_maps(net: nn.Module, x: Tensor) -> Levels:
    for level in ("stem", "layer1", "layer2", "layer3", "layer4"):
        x = net.get_submodule(level)(x)
        yield level, x


def _s3d_maps(net: nn.Module, x: Tensor) -> Levels:
    features = list(net.get_submodule("features").children())
    for k, (start, stop) in enumerate(_S3D_LEVELS):
        for module in features[start:stop]:
            x = module(x)
        yield f"layer{k}" if k else "stem", x


def _swin_maps(net: nn.Module, x: Tensor) -> Levels:
    x = net.get_submodule("pos_drop")(net.get_submodule("patch_embed")(x))
    features = list(net.get_submodule("features").children())
    for k, module in enumerate(features):
        x = module(x)  # [B, T, H, W, C]
        if k == len(features) - 1:
            x = net.get_submodule("norm")(x)
        if k % 2 == 0:  # the odd ones merge patches
            yield f"layer{k // 2 + 1}", x.movedim(-1, 1)


def _mvit_maps(net: nn.Module, x: Tensor) -> Levels:
    x = net.get_submodule("conv_proj")(x)
    size = tuple(x.shape[2:])
    x = net.get_submodule("pos_encoding")(x.flatten(2).transpose(1, 2))
    blocks = list(net.get_submodule("blocks").children())
    level = 1
    for block in blocks:
        before, (y, after) = (x, size), block(x, size)
        if after != size:
            yield f"layer{level}", _grid(*before)
            level += 1
        x, size = y, after
    yield f"layer{level}", _grid(net.get_submodule("norm")(x), size)


def _grid(tokens: Tensor, size: tuple[int, ...]) -> Tensor:
    """Tokens [B, 1 + T·H·W, C] without the class token as a map [B, C, T, H, W]."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, size)


_MAPS = {"s3d": _s3d_maps, "swin3d_t": _swin_maps, "mvit_v2_s": _mvit_maps}
