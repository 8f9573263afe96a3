"""Flow encoders: [B, 2, H, W] in pixels per frame -> [B, D]."""

from torch import Tensor

from .blocks import check_input, run_stages, tiny_levels, tiny_stages
from .encoder import Encoder
from .resnet import CLASSIFIER, resnet, resnet_levels, resnet_maps
from .weights import start_from

FORM = "[B, 2, H, W]"


def compressed(x: Tensor, owner: Encoder) -> Tensor:
    """asinh of each component: as it is well below a pixel per frame, its logarithm well above.

    A camera's pan of 50 pixels so becomes 4.6, and a finger's tenth of a pixel remains a tenth.

    Raises:
        InputError: not float [B, 2, H, W].
    """
    check_input(x, owner, FORM, 2)
    return x.asinh()


class TinyFlow(Encoder):
    """A small residual network for CPUs: levels stem (1/2 of the size), block1 … block3 (1/16).

    Args:
        width: channels of the first level; `dim` is eight times as many.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float [B, 2, H, W].
    """

    modality = "flow"

    def __init__(self, *, width: int = 16, weights: str | None = None):
        super().__init__()
        self.dim, self.levels = 8 * width, tiny_levels(width)
        self.stages = tiny_stages(2, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return run_stages(self.stages, compressed(x, self))


class FlowResNet(Encoder):
    """A ResNet on two channels: levels stem (1/2 of the size), layer1 … layer4 (1/32).

    The temporal stream of Simonyan & Zisserman 2014 (arXiv:1406.2199) with one field in the place
    of its ten, and a ResNet for its network.

    Args:
        name: resnet18 or another of `TorchvisionImage`'s names.
        weights: path of a local .safetensors file to start from, in torchvision's layout too; the
            first kernels of a network for pictures are then averaged over their colours (Wang et
            al. 2016, arXiv:1608.00859, section 4.1).

    Raises:
        InputError: an unknown name, unfitting weights, or an input that is not float [B, 2, H, W].
    """

    modality = "flow"

    def __init__(self, *, name: str = "resnet18", weights: str | None = None):
        super().__init__()
        self.net = resnet(name, channels=2)
        self.levels = resnet_levels(self.net)
        self.dim = self.levels["layer4"].channels
        start_from(self, weights, CLASSIFIER)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return resnet_maps(self.net, compressed(x, self))
