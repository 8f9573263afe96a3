"""Building blocks and input checks that several encoders share."""

import difflib
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..errors import InputError
from .encoder import Level

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))


def check_input(x: Tensor, owner: nn.Module, form: str, channels: int) -> None:
    """Refuses a tensor that is not float of the named form, for example "[B, 3, T, H, W]".

    Raises:
        InputError: wrong number of axes, wrong number of channels, or not a float tensor.
    """
    if x.ndim == form.count(",") + 1 and x.shape[1] == channels and x.is_floating_point():
        return
    hint = "" if x.is_floating_point() else "; as_float brings pixels to 0 … 1"
    raise InputError(
        f"{type(owner).__name__} takes float {form}, got {x.dtype} {list(x.shape)}{hint}"
    )


def check_width(width: int) -> None:
    """Refuses a network without channels.

    Raises:
        InputError: width below 1.
    """
    if width < 1:
        raise InputError(f"width must be at least 1 channel, got {width}")


def conv2d(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution that keeps the size apart from its stride, then batch norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    # The layout of the weights decides that of the activations: faster on CPUs and in bf16.
    conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Residual2d(nn.Module):
    """A strided 3×3 convolution, then one with a bypass: [B, C, H, W] -> [B, outputs, H/2, W/2].

    The bypass needs no convolution of its own, which on a CPU is a third of the time.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.shrink = conv2d(inputs, outputs, 3, 2)
        self.refine = conv2d(outputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(x).relu()
        return (x + self.refine(x)).relu()


def tiny_stages(inputs: int, width: int) -> nn.ModuleDict:
    """The 2D network of the tiny encoders, 1/16 of the size at 8 × width channels.

    Raises:
        InputError: width below 1.
    """
    check_width(width)
    stem = nn.Sequential(conv2d(inputs, width, 5, 2), nn.ReLU(inplace=True))
    return nn.ModuleDict(
        {
            "stem": stem,
            "block1": Residual2d(width, 2 * width),
            "block2": Residual2d(2 * width, 4 * width),
            "block3": Residual2d(4 * width, 8 * width),
        }
    )


def tiny_levels(width: int) -> dict[str, Level]:
    """Those of `tiny_stages`."""
    stages = ("stem", "block1", "block2", "block3")
    return {name: Level(width << k, (2 << k, 2 << k)) for k, name in enumerate(stages)}


def run_stages(stages: nn.ModuleDict, x: Tensor) -> dict[str, Tensor]:
    """Every stage's output by its name, each stage fed with the one before."""
    maps = {}
    for name, stage in stages.items():
        x = maps[name] = stage(x)
    return maps


def l3_tower(inputs: int, width: int) -> nn.ModuleDict:
    """Four blocks of two 3×3 convolutions, halved between them; ends at 8 × width channels.

    Raises:
        InputError: width below 1.
    """
    check_width(width)
    stages = nn.ModuleDict()
    for k in range(4):
        before, after = width << max(k - 1, 0), width << k
        stages[f"block{k + 1}"] = nn.Sequential(
            nn.MaxPool2d(2) if k else nn.Identity(),
            conv2d(before if k else inputs, after, 3),
            nn.ReLU(inplace=True),
            conv2d(after, after, 3),
            nn.ReLU(inplace=True),
        )
    return stages


def l3_levels(width: int) -> dict[str, Level]:
    """Those of `l3_tower`."""
    return {f"block{k + 1}": Level(width << k, (1 << k, 1 << k)) for k in range(4)}


def nearest(name: str, names: Iterable[str]) -> str:
    """Words for a message about an unknown name: those most like it, else some to choose from."""
    names = list(names)
    close = difflib.get_close_matches(name, names, 4, 0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    return f"there are {', '.join(names[:12])}{' and more' if len(names) > 12 else ''}"


def one_line(value: object) -> str:
    """The text of an error, or of any value, on one line of at most 200 characters."""
    return " ".join(str(value).split())[:200]
