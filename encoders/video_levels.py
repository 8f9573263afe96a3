"""What `TorchvisionVideo` has to know of each of torchvision's video models."""

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from ..errors import InputError
from .blocks import IMAGENET
from .encoder import Level

NAMES = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "mvit_v2_s")
MEAN_STD = {"swin3d_t": IMAGENET, "mvit_v2_s": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))}


def _levels(
    names: Sequence[str], channels: Sequence[int], time: Sequence[int], space: Sequence[int]
) -> dict[str, Level]:
    strides = [(t, s, s) for t, s in zip(time, space, strict=True)]
    return dict(zip(names, map(Level, channels, strides), strict=True))


_DEEP = ("layer1", "layer2", "layer3", "layer4")
_ALL = ("stem", *_DEEP)
_R3D = _levels(_ALL, (64, 64, 128, 256, 512), (1, 1, 2, 4, 8), (2, 2, 4, 8, 16))
LEVELS = {
    "r3d_18": _R3D,
    "r2plus1d_18": _R3D,
    "mc3_18": _levels(_ALL, (64, 64, 128, 256, 512), (1,) * 5, (2, 2, 4, 8, 16)),
    "s3d": _levels(_ALL, (64, 192, 480, 832, 1024), (2, 2, 2, 4, 8), (2, 4, 8, 16, 32)),
    "swin3d_t": _levels(_DEEP, (96, 192, 384, 768), (2,) * 4, (4, 8, 16, 32)),
    "mvit_v2_s": _levels(_DEEP, (96, 192, 384, 768), (2,) * 4, (4, 8, 16, 32)),
}

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


def drop_classifier(name: str, net: nn.Module) -> str:
    """Replaces a model's classifier by the identity and says what it was called."""
    head = {"s3d": "classifier", "swin3d_t": "head", "mvit_v2_s": "head"}.get(name, "fc")
    setattr(net, head, nn.Identity())
    return head


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


def mvit_vector(net: nn.Module, x: Tensor) -> Tensor:
    """MViT's class token, normalised, [B, C]."""
    *_, (tokens, _) = _mvit_tokens(net, x)
    return tokens[:, 0]


def _mvit_maps(net: nn.Module, x: Tensor) -> Levels:
    for k, (tokens, size) in enumerate(_mvit_tokens(net, x)):
        yield f"layer{k + 1}", tokens[:, 1:].transpose(1, 2).unflatten(2, size)


def _mvit_tokens(net: nn.Module, x: Tensor) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """Tokens [B, 1 + T·H·W, C] with the class token and (T, H, W), before each pooling and last.

    torchvision's own forward takes its grid from the constructor, not from the clip.
    """
    x = net.get_submodule("conv_proj")(x)
    size = tuple(x.shape[2:])
    x = net.get_submodule("pos_encoding")(x.flatten(2).transpose(1, 2))
    for block in net.get_submodule("blocks").children():
        if block.pool_skip is not None:
            yield x, size
        x, size = block(x, size)
    yield net.get_submodule("norm")(x), size


_MAPS = {"s3d": _s3d_maps, "swin3d_t": _swin_maps, "mvit_v2_s": _mvit_maps}
