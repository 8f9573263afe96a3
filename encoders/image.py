"""Image encoders; they serve video frame by frame."""

from typing import Any

from torch import Tensor

from .blocks import IMAGENET, check_input, check_width, l3_tower, run_stages, tiny_stages
from .encoder import Encoder, Normalize
from .resnet import resnet, resnet_dim, resnet_maps
from .timm_model import check_size, create

FORM = "[B, 3, H, W]"


class TinyImage(Encoder):
    """A small residual network for CPUs: levels stem (1/2 of the size), block1 … block3 (1/16).

    Args:
        width: channels of the first level; `dim` is eight times as many.

    Raises:
        InputError: width below 1, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 16):
        super().__init__()
        check_width(width)
        self.dim = 8 * width
        self.normalize = Normalize(*IMAGENET)
        self.stages = tiny_stages(3, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 3)
        x = self.normalize(x)
        return run_stages(self.stages, x)


class TorchvisionImage(Encoder):
    """A residual network of torchvision without its classifier (He et al. 2016).

    Its levels are stem (1/2 of the size), layer1 (1/4) … layer4 (1/32).

    Args:
        name: resnet18, 34, 50, 101 or 152, resnext50_32x4d, resnext101_32x8d, resnext101_64x4d,
            wide_resnet50_2 or wide_resnet101_2; others are in `TimmImage`.
        pretrained: start from torchvision's newest ImageNet weights, which it downloads.
        small_input: for pictures of about 32 pixels a 3×3 stem without stride and without
            pooling (SimCLR, arXiv:2002.05709, appendix B.9), so that layer4 is 1/8 of the size.

    Raises:
        InputError: an unknown name, weights that cannot be fetched, `pretrained` together with
            `small_input`, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(
        self, *, name: str = "resnet18", pretrained: bool = False, small_input: bool = False
    ):
        super().__init__()
        self.net = resnet(name, pretrained=pretrained, small_input=small_input)
        self.dim = resnet_dim(self.net)
        self.normalize = Normalize(*IMAGENET)
        # The card rebuilds the network; its weights then come from the file beside it.
        self.arguments["pretrained"] = False

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 3)
        return resnet_maps(self.net, self.normalize(x))


class TimmImage(Encoder):
    """A model of timm without its classifier.

    The vector is what timm's own classifier would see (for most transformers the class token,
    for convolutional networks the mean over positions and, in a few, a layer more). Levels are
    level1 … level4 or fewer, spread over the model's own, the last being its deepest.

    Args:
        name: any of timm's, with or without a tag: "vit_tiny_patch16_224", "resnet50.a1_in1k".
        pretrained: start from timm's published weights for that name, which it downloads.
        weights: path of a local .safetensors file to start from instead.
        size: pixels of the square pictures, for transformers that are built for one size;
            None: the model's own.

    Raises:
        InputError: an unknown name (the message has the nearest), weights that cannot be read or
            do not fit, a size the model cannot take, a model without feature maps, or an input
            that is not float [B, 3, H, W] of its size.
    """

    modality = "image"

    def __init__(
        self,
        *,
        name: str = "resnet18",
        pretrained: bool = False,
        weights: str | None = None,
        size: int | None = None,
    ):
        super().__init__()
        self.net: Any = create(name, pretrained, weights, size)
        self.dim = getattr(self.net, "head_hidden_size", self.net.num_features)
        config = self.net.pretrained_cfg
        self.normalize = Normalize(tuple(config["mean"]), tuple(config["std"]))
        # The card rebuilds the network; its weights then come from the file beside it.
        self.arguments |= {"pretrained": False, "weights": None}

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        x = self._prepared(x)
        levels = self.net.forward_intermediates(x, norm=True, intermediates_only=True)
        count = min(len(levels), 4)
        chosen = [levels[-(-len(levels) * (k + 1) // count) - 1] for k in range(count)]
        return {f"level{k + 1}": level for k, level in enumerate(chosen)}

    def embed(self, x: Tensor) -> Tensor:
        """What the model's classifier would see, [B, D]."""
        return self.net(self._prepared(x))

    def _prepared(self, x: Tensor) -> Tensor:
        check_input(x, self, FORM, 3)
        check_size(self.net, x)
        return self.normalize(x)


class L3Image(Encoder):
    """The vision tower of Look, Listen and Learn (Arandjelović & Zisserman 2017, section 3.1).

    Four blocks of two 3×3 convolutions each, levels block1 (full size) … block4 (1/8), and the
    maximum of block4 over all positions. Meant for 224 pixels.

    Args:
        width: channels of the first block (published: 64); `dim` is eight times as many.

    Raises:
        InputError: width below 1, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 64):
        super().__init__()
        check_width(width)
        self.dim = 8 * width
        self.normalize = Normalize(*IMAGENET)
        self.stages = l3_tower(3, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 3)
        return run_stages(self.stages, self.normalize(x))

    def embed(self, x: Tensor) -> Tensor:
        """The deepest map's maximum over all its positions, [B, D]."""
        return self.maps(x)["block4"].amax((2, 3))
