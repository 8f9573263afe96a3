"""Video encoders: [B, 3, T, H, W] -> [B, D]."""

import torch
from torch import Tensor, nn

from .blocks import IMAGENET, KINETICS, check_input, check_width, run_stages
from .encoder import Encoder, Level, Normalize
from .resnet import torchvision_model
from .video_levels import (
    LEVELS,
    MEAN_STD,
    NAMES,
    check_size,
    drop_classifier,
    mvit_vector,
    video_maps,
)
from .weights import start_from

FORM = "[B, 3, T, H, W]"

Size = tuple[int, int, int]


class _WithDifference(nn.Conv3d):
    """A convolution over space of colours and their difference from the clip's mean, side by side.

    By linearity w·x + v·(x - m) = (w + v)·x - v·m: the difference is never made, and the mean is
    convolved once per clip. Measured on a CPU, 3.6 times as fast as convolving both.
    """

    def forward(self, input: Tensor) -> Tensor:
        colours, difference = self.weight.chunk(2, 1)
        moving = self._conv_forward(input, colours + difference, None)
        return moving - self._conv_forward(input.mean(2, keepdim=True), difference, None)


def _conv(
    inputs: int,
    outputs: int,
    kernel: Size,
    stride: Size = (1, 1, 1),
    layer: type[nn.Conv3d] = nn.Conv3d,
) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    conv = layer(inputs, outputs, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm3d(outputs))


class _Factored(nn.Module):
    """A spatial convolution, then a temporal one, beside a 1×1×1 shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]):
        super().__init__()
        time, space = stride
        self.deep = nn.Sequential(
            _conv(inputs, outputs, (1, 3, 3), (1, space, space)),
            nn.ReLU(inplace=True),
            _conv(outputs, outputs, (3, 1, 1), (time, 1, 1)),
        )
        self.shortcut = _conv(inputs, outputs, (1, 1, 1), (time, space, space))

    def forward(self, x: Tensor) -> Tensor:
        return (self.deep(x) + self.shortcut(x)).relu()


class TinyVideo(Encoder):
    """A small R(2+1)D for CPUs (Tran et al. 2018, arXiv:1711.11248, section 3.5).

    Space and time are convolved in turn. The levels are stem (1/4 of the size, all frames),
    block1 (1/8), block2 (1/16, half the frames) and block3 (1/16, a quarter of the frames).

    Beside each frame's colours stands its difference from the clip's mean, in the spirit of RGB
    differences (Wang et al. 2016, arXiv:1608.00859, section 3.1): what moves is then plain to so
    small a network.

    Args:
        width: channels of the first level; `dim` is eight times as many.
        difference: give the stem that difference too.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float
            [B, 3, T, H, W].
    """

    modality = "video"

    def __init__(self, *, width: int = 16, difference: bool = True, weights: str | None = None):
        super().__init__()
        check_width(width)
        self.dim = 8 * width
        strides = {"stem": (1, 4, 4), "block1": (1, 8, 8), "block2": (2, 16, 16)}
        strides["block3"] = (4, 16, 16)
        self.levels = {n: Level(width << k, s) for k, (n, s) in enumerate(strides.items())}
        self.normalize = Normalize(*IMAGENET)
        inputs, first = (6, _WithDifference) if difference else (3, nn.Conv3d)
        stem = nn.Sequential(
            _conv(inputs, width, (1, 7, 7), (1, 4, 4), first),
            nn.ReLU(inplace=True),
            _conv(width, width, (3, 1, 1)),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleDict(
            {
                "stem": stem,
                "block1": _Factored(width, 2 * width, (1, 2)),
                "block2": _Factored(2 * width, 4 * width, (2, 2)),
                "block3": _Factored(4 * width, 8 * width, (2, 1)),
            }
        )
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        # Measured on a CPU: a third more clips per second than in the usual order of axes.
        x = self.normalize(x).contiguous(memory_format=torch.channels_last_3d)
        return run_stages(self.stages, x)


class TorchvisionVideo(Encoder):
    """A video model of torchvision without its classifier.

    Names and sources: r3d_18, mc3_18 and r2plus1d_18 (Tran et al. 2018, arXiv:1711.11248), s3d
    (Xie et al. 2018, arXiv:1712.04851), swin3d_t (Liu et al. 2022, arXiv:2106.13230), mvit_v2_s
    (Li et al. 2022, arXiv:2112.01526). The levels are stem and layer1 … layer4, without the stem
    for the two transformers. The vector is the mean of layer4, for mvit_v2_s its class token.

    Args:
        name: one of the above. s3d needs 5 frames of 17 pixels or more, and 6 to be trained on
            CPUs with AVX-512, where torch 2.11 crashes on 5. The two transformers take clips of
            any length and size: their positions are relative, mvit_v2_s's are interpolated from
            those of 16 frames of 224 pixels.
        pretrained: start from torchvision's newest Kinetics-400 weights, which it downloads.
        weights: path of a local .safetensors file to start from, in torchvision's layout too.

    Raises:
        InputError: an unknown name, weights that cannot be fetched or do not fit, or an input
            that is not float [B, 3, T, H, W] or too small for the model.
    """

    modality = "video"

    def __init__(
        self, *, name: str = "r2plus1d_18", pretrained: bool = False, weights: str | None = None
    ):
        super().__init__()
        self.name = name
        self.net = torchvision_model(name, NAMES, pretrained)
        classifier = drop_classifier(name, self.net)
        self.levels = LEVELS[name]
        self.dim = self.levels["layer4"].channels
        self.normalize = Normalize(*MEAN_STD.get(name, KINETICS))
        start_from(self, weights, (f"{classifier}.",))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return video_maps(self.name, self.net, self._prepared(x))

    def embed(self, x: Tensor) -> Tensor:
        """The mean of layer4 over all positions, or MViT's class token, [B, D]."""
        if self.name == "mvit_v2_s":
            return mvit_vector(self.net, self._prepared(x))
        return super().embed(x)

    def _prepared(self, x: Tensor) -> Tensor:
        check_input(x, self, FORM, self.channels)
        check_size(self.name, x)
        return self.normalize(x)
