"""Inflation: a network of pictures becomes one of clips (Carreira & Zisserman 2017)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .blocks import IMAGENET, check_input
from .encoder import Encoder, Level, Normalize
from .image import TorchvisionImage
from .resnet import CLASSIFIER, resnet, resnet_levels, resnet_maps
from .weights import inflate_kernel, load_state, start_from

FORM = "[B, 3, T, H, W]"
# As torchvision's r3d_18 does: time is halved with space, from the second stage on.
_HALVES_TIME = ("layer2", "layer3", "layer4")


class InflatedVideo(Encoder):
    """A residual network of torchvision, its kernels inflated over time (I3D, arXiv:1705.07750).

    Every kernel larger than 1×1 reaches over `frames` frames as well; a clip's ends are
    continued by their first and last frame. With the weights of pictures a clip that stands still
    gives exactly what its frame gives. Levels are stem (1/2 of the size, all frames), layer1
    (1/4), layer2 (1/8, half the frames) … layer4 (1/32, an eighth of the frames).

    Args:
        name: one of `TorchvisionImage`'s.
        frames: reach of a kernel over time, odd.
        pretrained: start from torchvision's newest ImageNet weights, which it downloads.
        small_input: as for `TorchvisionImage`.
        weights: path of a local .safetensors file to start from: of such an encoder, of a
            `TorchvisionImage`, or in torchvision's layout.

    Raises:
        InputError: an unknown name, an even reach, weights that cannot be fetched or do not fit,
            or an input that is not float [B, 3, T, H, W].
    """

    modality = "video"

    def __init__(
        self,
        *,
        name: str = "resnet18",
        frames: int = 3,
        pretrained: bool = False,
        small_input: bool = False,
        weights: str | None = None,
    ):
        super().__init__()
        self.net = resnet(name, pretrained=pretrained, small_input=small_input)
        self.levels = {
            level: Level(known.channels, (_time_stride(level), *known.stride))
            for level, known in resnet_levels(self.net).items()
        }
        inflate_layers(self.net, frames, _HALVES_TIME)
        self.dim = self.levels["layer4"].channels
        self.normalize = Normalize(*IMAGENET)
        start_from(self, weights, CLASSIFIER)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return resnet_maps(self.net, self.normalize(x))


def inflate(encoder: TorchvisionImage, frames: int = 3) -> InflatedVideo:
    """An encoder of clips that starts from an encoder of pictures.

    Args:
        encoder: with the weights to inflate; it stays as it is.
        frames: reach of a kernel over time, odd.
    """
    arguments = {k: encoder.arguments[k] for k in ("name", "small_input")}
    video = InflatedVideo(frames=frames, **arguments)
    load_state(video, encoder.state_dict(), "encoder")
    return video


def inflate_layers(net: nn.Module, frames: int, halve_time: tuple[str, ...] = ()) -> None:
    """Replaces a network's layers over pictures by layers over clips, in place.

    Args:
        net: of Conv2d, BatchNorm2d, MaxPool2d and layers that ask for no axes.
        frames: reach of each kernel larger than 1×1 over time, odd.
        halve_time: children in which a convolution's stride holds for time too.

    Raises:
        InputError: an even reach, or a layer that cannot be inflated.
    """
    if frames < 1 or frames % 2 == 0:
        raise InputError(f"frames, the reach over time, must be odd, got {frames}")
    for name, layer in list(net.named_modules()):
        new = _inflated(layer, frames, name.startswith(halve_time))
        if new is not layer:
            net.set_submodule(name, new)


def _inflated(layer: nn.Module, frames: int, strided: bool) -> nn.Module:
    if isinstance(layer, nn.Conv2d):
        return _OverTime(layer, frames if max(layer.kernel_size) > 1 else 1, strided)
    if isinstance(layer, nn.MaxPool2d):
        sizes = (layer.kernel_size, layer.stride, layer.padding)
        kernel, stride, padding = (v if isinstance(v, tuple) else (v, v) for v in sizes)
        return nn.MaxPool3d((1, *kernel), (1, *stride), (0, *padding))
    if isinstance(layer, nn.BatchNorm2d):
        norm = nn.BatchNorm3d(layer.num_features, layer.eps, layer.momentum)
        norm.load_state_dict(layer.state_dict())
        return norm
    if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
        return nn.AdaptiveAvgPool3d(1)
    if type(layer).__name__.endswith("2d"):
        raise InputError(f"{type(layer).__name__} cannot be inflated")
    return layer


class _OverTime(nn.Conv3d):
    """A convolution of pictures over clips, whose ends are continued as they are."""

    def __init__(self, conv: nn.Conv2d, frames: int, strided: bool):
        (h, w), (down, right) = conv.kernel_size, conv.stride
        assert isinstance(conv.padding, tuple)
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            (frames, h, w),
            (down if strided else 1, down, right),
            (0, conv.padding[0], conv.padding[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        self.weight.data = inflate_kernel(conv.weight.data, frames)
        if conv.bias is not None:
            self.bias = conv.bias

    def forward(self, input: Tensor) -> Tensor:
        reach = self.kernel_size[0] // 2
        if reach:
            input = F.pad(input, (0, 0, 0, 0, reach, reach), mode="replicate")
        return super().forward(input)


def _time_stride(level: str) -> int:
    return 2 ** (_HALVES_TIME.index(level) + 1) if level in _HALVES_TIME else 1
