"""torchvision's residual networks as image encoders take them, and the sound encoder too."""

from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import Bottleneck

from ..errors import InputError
from .blocks import nearest
from .encoder import Level

CLASSIFIER = ("fc.",)
NAMES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


def torchvision_model(name: str, names: tuple[str, ...], pretrained: bool) -> nn.Module:
    """One of the named torchvision models, with its newest published weights if `pretrained`.

    Raises:
        InputError: a name that is not among `names`, or weights that cannot be fetched.
    """
    if name not in names:
        raise InputError(f"no model {name!r} here; {nearest(name, names)}")
    try:
        return models.get_model(name, weights="DEFAULT" if pretrained else None)
    except (URLError, OSError) as error:
        raise InputError(
            f"the weights of {name} cannot be fetched ({error}); leave out pretrained"
        ) from error


def resnet(
    name: str, *, pretrained: bool = False, small_input: bool = False, channels: int = 3
) -> models.ResNet:
    """A torchvision ResNet without its classifier.

    Raises:
        InputError: an unknown name, weights that cannot be fetched, or `pretrained` with
            `small_input`.
    """
    if pretrained and small_input:
        raise InputError(
            "the published weights have no stem for small pictures; choose one of both"
        )
    net = torchvision_model(name, NAMES, pretrained)
    assert isinstance(net, models.ResNet)
    if small_input or channels != 3:
        kernel, stride = (3, 1) if small_input else (7, 2)
        net.conv1 = nn.Conv2d(channels, 64, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    if small_input:
        setattr(net, "maxpool", nn.Identity())  # noqa: B010 - declared as a MaxPool2d
    del net.fc
    return net


def resnet_levels(net: models.ResNet) -> dict[str, Level]:
    """Channels and strides of stem and layer1 … layer4."""
    first = net.conv1.stride[0]
    # Small inputs go without pooling, after a stem without stride.
    pooled = first * (1 if isinstance(net.maxpool, nn.Identity) else 2)
    levels = {"stem": Level(net.conv1.out_channels, (first, first))}
    for k in range(4):
        block: Any = net.get_submodule(f"layer{k + 1}")[-1]  # type: ignore[index]
        norm: Any = block.bn3 if isinstance(block, Bottleneck) else block.bn2
        levels[f"layer{k + 1}"] = Level(norm.num_features, (pooled << k, pooled << k))
    return levels


def resnet_maps(net: models.ResNet, x: Tensor) -> dict[str, Tensor]:
    """Levels stem (before its pooling) and layer1 … layer4."""
    maps = {"stem": torch.relu(net.bn1(net.conv1(x)))}
    x = net.maxpool(maps["stem"])
    for level in ("layer1", "layer2", "layer3", "layer4"):
        x = maps[level] = getattr(net, level)(x)
    return maps
