"""The networks of the first image tasks: AlexNet and network in network, with batch norm."""

from torch import Tensor, nn

from .blocks import IMAGENET, check_input, check_width, conv2d, run_stages
from .encoder import Encoder, Level, Normalize
from .weights import start_from

FORM = "[B, 3, H, W]"


def _layers(*widths: tuple[int, int, int]) -> list[nn.Module]:
    """Convolutions (inputs, outputs, kernel), each with batch norm and ReLU."""
    return [
        module
        for inputs, outputs, kernel in widths
        for module in (conv2d(inputs, outputs, kernel), nn.ReLU(inplace=True))
    ]


class AlexNet(Encoder):
    """AlexNet's convolutions with batch norm, as RotNet trains them (Gidaris et al. 2018).

    Five levels, conv1 … conv5, of 64, 192, 384, 256 and 256 channels, without groups and without
    the fully connected layers; the vector is the mean of conv5. With `stride=2` it is the tower of
    the context-free network (Noroozi & Favaro 2016, arXiv:1603.09246, section 3.2), which sees
    tiles of 64 pixels.

    Args:
        stride: of the first convolution, in pixels; published: 4, for tiles 2.
        width: channels of the first level, of which the others are multiples.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, stride: int = 4, width: int = 64, weights: str | None = None):
        super().__init__()
        check_width(width)
        w = (width, 3 * width, 6 * width, 4 * width, 4 * width)
        strides = (stride, 2 * stride, *(4 * stride,) * 3)
        self.dim = w[-1]
        self.levels = {
            f"conv{k + 1}": Level(c, (s, s))
            for k, (c, s) in enumerate(zip(w, strides, strict=True))
        }
        self.normalize = Normalize(*IMAGENET)
        first = [conv2d(3, w[0], 11, stride), nn.ReLU(inplace=True)]
        self.stages = nn.ModuleDict(
            {
                "conv1": nn.Sequential(*first),
                "conv2": nn.Sequential(nn.MaxPool2d(3, 2, 1), *_layers((w[0], w[1], 5))),
                "conv3": nn.Sequential(nn.MaxPool2d(3, 2, 1), *_layers((w[1], w[2], 3))),
                "conv4": nn.Sequential(*_layers((w[2], w[3], 3))),
                "conv5": nn.Sequential(*_layers((w[3], w[4], 3))),
            }
        )
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return run_stages(self.stages, self.normalize(x))


class NetworkInNetwork(Encoder):
    """Network in network (Lin et al. 2013, arXiv:1312.4400), as RotNet trains it on CIFAR-10.

    Four levels, block1 … block4, of three convolutions each, the second and third of 1×1; they
    are as large as the picture, a half, a quarter and a quarter of it. Probes of CIFAR-10 are best
    on block2.

    Args:
        width: channels of all but the first block's last two, which have 5/6 and 1/2 of it.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 192, weights: str | None = None):
        super().__init__()
        check_width(width)
        half, most = max(width // 2, 1), max(width * 5 // 6, 1)
        self.dim = width
        self.levels = {
            f"block{k + 1}": Level(c, (s, s))
            for k, (c, s) in enumerate(zip((half, width, width, width), (1, 2, 4, 4), strict=True))
        }
        self.normalize = Normalize(*IMAGENET)
        same = ((width, width, 1), (width, width, 1))
        self.stages = nn.ModuleDict(
            {
                "block1": nn.Sequential(*_layers((3, width, 5), (width, most, 1), (most, half, 1))),
                "block2": nn.Sequential(nn.MaxPool2d(3, 2, 1), *_layers((half, width, 5), *same)),
                "block3": nn.Sequential(nn.AvgPool2d(3, 2, 1), *_layers((width, width, 3), *same)),
                "block4": nn.Sequential(*_layers((width, width, 3), *same)),
            }
        )
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return run_stages(self.stages, self.normalize(x))
