"""Flow encoders: [B, 2, H, W] or [B, 2, T, H, W] in pixels from one frame to the next -> [B, D]."""

import torch
from torch import Tensor, nn

from ..errors import InputError
from .blocks import check_input, run_stages, tiny_levels, tiny_stages
from .by_name import encoder_by_name
from .encoder import Encoder
from .resnet import CLASSIFIER, resnet, resnet_levels, resnet_maps
from .weights import share_out, start_from

FORM = "[B, 2, H, W]"
CLIP = "[B, 2, T, H, W]"


def compressed(x: Tensor, owner: Encoder) -> Tensor:
    """asinh of each component: as it is well below a pixel per frame, its logarithm well above.

    A camera's pan of 50 pixels so becomes 4.6, and a finger's tenth of a pixel remains a tenth.

    Returns:
        float [B, 2, H, W]; of a stack of L fields [B, 2L, H, W], the x and y of the first, then of
        the second; of an encoder over time [B, 2, T, H, W].

    Raises:
        InputError: not float [B, 2, H, W], or where it takes more fields, [B, 2, T, H, W].
    """
    check_input(x, owner, FORM if owner.fields == 1 else CLIP, 2)
    if owner.fields < 2:
        return x.asinh()
    if x.shape[2] != owner.fields:
        raise InputError(
            f"{type(owner).__name__} takes stacks of {owner.fields} fields of flow, got "
            f"{x.shape[2]}: set fields of the encoder, or frames of its input"
        )
    return x.asinh().transpose(1, 2).flatten(1, 2)


def check_fields(fields: int) -> None:
    """Raises InputError for a stack of no fields."""
    if fields < 1:
        raise InputError(f"fields of flow in a stack are 1 or more, got {fields}")


class TinyFlow(Encoder):
    """A small residual network for CPUs: levels stem (1/2 of the size), block1 … block3 (1/16).

    Args:
        width: channels of the first level; `dim` is eight times as many.
        fields: of flow that are stacked as its input's channels.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width or fields below 1, unfitting weights, or an input that is not float
            [B, 2, H, W] (of several fields [B, 2, T, H, W]).
    """

    modality = "flow"

    def __init__(self, *, width: int = 16, fields: int = 1, weights: str | None = None):
        super().__init__()
        check_fields(fields)
        self.fields = fields
        self.dim, self.levels = 8 * width, tiny_levels(width)
        self.stages = tiny_stages(2 * fields, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return run_stages(self.stages, compressed(x, self))


class FlowResNet(Encoder):
    """A ResNet on stacked flow: levels stem (1/2 of the size), layer1 … layer4 (1/32).

    The temporal stream of Simonyan & Zisserman 2014 (arXiv:1406.2199), which takes ten fields,
    with a ResNet for its network.

    Args:
        name: resnet18 or another of `TorchvisionImage`'s names.
        fields: of flow that are stacked as its input's channels.
        weights: path of a local .safetensors file to start from, in torchvision's layout too; the
            first kernels of a network for pictures are then averaged over their colours (Wang et
            al. 2016, arXiv:1608.00859, section 4.1).

    Raises:
        InputError: an unknown name, no fields, unfitting weights, or an input that is not float
            [B, 2, H, W] (of several fields [B, 2, T, H, W]).
    """

    modality = "flow"

    def __init__(self, *, name: str = "resnet18", fields: int = 1, weights: str | None = None):
        super().__init__()
        check_fields(fields)
        self.fields = fields
        self.net = resnet(name, channels=2 * fields)
        self.levels = resnet_levels(self.net)
        self.dim = self.levels["layer4"].channels
        start_from(self, weights, CLASSIFIER)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return resnet_maps(self.net, compressed(x, self))


class FlowImage(Encoder):
    """Any network of pictures on stacked flow, as a ViT; levels and vector are that network's.

    Args:
        name: short name of an image encoder.
        fields: of flow that are stacked as its input's channels.
        pretrained: start from the weights published for pictures, the first kernels averaged over
            their colours (arXiv:1608.00859, section 4.1).
        weights: path of a local .safetensors file to start from: of such an encoder, or of that
            image encoder.

    Raises:
        InputError: an unknown name, no fields, weights that cannot be fetched or do not fit, or an
            input that is not float [B, 2, H, W] (of several fields [B, 2, T, H, W]).
    """

    modality = "flow"

    def __init__(
        self,
        *,
        name: str = "vit_small",
        fields: int = 1,
        pretrained: bool = False,
        weights: str | None = None,
    ):
        super().__init__()
        check_fields(fields)
        self.fields = fields
        self.net = encoder_by_name(name, "image", pretrained=pretrained)
        _see_flow(self.net, 2 * fields, pretrained)
        self.dim, self.levels, self.patch = self.net.dim, self.net.levels, self.net.patch
        self.beyond_maps = tuple(f"net.{begin}" for begin in self.net.beyond_maps)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return self.net.maps(compressed(x, self))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.net.tokens(compressed(x, self), keep)

    def embed(self, x: Tensor) -> Tensor:
        """That network's own vector, [B, D]."""
        return self.net.embed(compressed(x, self))


class FlowVideo(Encoder):
    """Any network of clips on clips of flow (I3D: Carreira & Zisserman 2017, arXiv:1705.07750).

    Levels and vector are that network's; time is its own axis, so that clips of any length do.

    Args:
        name: short name of a video encoder.
        pretrained: start from the weights published for pictures or clips, the first kernels
            averaged over their colours (arXiv:1608.00859, section 4.1).
        weights: path of a local .safetensors file to start from: of such an encoder, or of that
            video encoder.

    Raises:
        InputError: an unknown name, weights that cannot be fetched or do not fit, or an input that
            is not float [B, 2, T, H, W] or too small for the network.
    """

    modality = "flow"

    def __init__(self, *, name: str = "tiny", pretrained: bool = False, weights: str | None = None):
        super().__init__()
        self.net = encoder_by_name(name, "video", pretrained=pretrained)
        _see_flow(self.net, 2, pretrained)
        self.dim, self.levels, self.patch = self.net.dim, self.net.levels, self.net.patch
        self.beyond_maps = tuple(f"net.{begin}" for begin in self.net.beyond_maps)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return self.net.maps(compressed(x, self))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.net.tokens(compressed(x, self), keep)

    def embed(self, x: Tensor) -> Tensor:
        """That network's own vector, [B, D]."""
        return self.net.embed(compressed(x, self))


def _see_flow(network: Encoder, channels: int, learnt: bool) -> None:
    """Lets a network of three colours take as many channels of flow, which it does not normalise.

    Args:
        learnt: its first kernels have learned: average them over colours; else draw them anew.
    """
    first = next(x for x in network.modules() if isinstance(x, nn.Conv2d | nn.Conv3d))
    # A first layer may see each colour twice: as it is, and its difference from the mean.
    first.in_channels = channels * first.in_channels // network.channels
    shape = (first.out_channels, first.in_channels, *first.kernel_size)
    if learnt:
        kernel = share_out(first.weight.data, first.in_channels)
    else:
        kernel = nn.init.kaiming_normal_(torch.empty(shape), nonlinearity="relu")
    first.weight = nn.Parameter(kernel)
    network.channels = channels
    network.normalize = nn.Identity()
