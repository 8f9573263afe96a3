"""Image encoders; they serve video frame by frame."""

from typing import Any

from torch import Tensor

from .blocks import (
    IMAGENET,
    check_input,
    l3_levels,
    l3_tower,
    run_stages,
    tiny_levels,
    tiny_stages,
)
from .encoder import Encoder, Normalize
from .resnet import CLASSIFIER, resnet, resnet_levels, resnet_maps
from .timm_model import (
    at_any_size,
    check_size,
    classifiers,
    complete_maps,
    create,
    patch_of,
    timm_levels,
    unused_by_maps,
    vit_tokens,
)
from .weights import start_from

FORM = "[B, 3, H, W]"


class TinyImage(Encoder):
    """A small residual network for CPUs: levels stem (1/2 of the size), block1 … block3 (1/16).

    Args:
        width: channels of the first level; `dim` is eight times as many.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 16, weights: str | None = None):
        super().__init__()
        self.dim, self.levels = 8 * width, tiny_levels(width)
        self.normalize = Normalize(*IMAGENET)
        self.stages = tiny_stages(3, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
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
        weights: path of a local .safetensors file to start from, in torchvision's layout too.

    Raises:
        InputError: an unknown name, weights that cannot be fetched or do not fit, `pretrained`
            together with `small_input`, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(
        self,
        *,
        name: str = "resnet18",
        pretrained: bool = False,
        small_input: bool = False,
        weights: str | None = None,
    ):
        super().__init__()
        self.net = resnet(name, pretrained=pretrained, small_input=small_input)
        self.levels = resnet_levels(self.net)
        self.dim = self.levels["layer4"].channels
        self.normalize = Normalize(*IMAGENET)
        start_from(self, weights, CLASSIFIER)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return resnet_maps(self.net, self.normalize(x))


class TimmImage(Encoder):
    """A model of timm without its classifier.

    The vector is what timm's own classifier would see (for most transformers the class token,
    for convolutional networks the mean over positions and, in a few, a layer more). Levels are
    level1 … level4 or fewer, spread over the model's own, the last being its deepest with what
    the model's head does at each position: EfficientNet's last convolution, ConvNeXt's norm.

    Args:
        name: any of timm's, with or without a tag: "vit_tiny_patch16_224", "resnet50.a1_in1k".
        pretrained: start from timm's published weights for that name, which it downloads.
        weights: path of a local .safetensors file to start from instead, in timm's layout too.
        size: pixels of the square pictures that a transformer's positions are made for; None: the
            model's own. Most transformers take any size beside it (ViTs: multiples of their
            patch), with their positions interpolated.

    Raises:
        InputError: an unknown name (the message has the nearest), weights that cannot be read or
            do not fit, a size the model cannot take, a model without feature maps, or an input
            that is not float [B, 3, H, W] of such a size.
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
        self.net: Any = create(name, pretrained, size)
        self.dim, self.levels = self.net.head_hidden_size, timm_levels(self.net)
        self.patch, self.beyond_maps = patch_of(self.net), unused_by_maps(self.net)
        config = self.net.pretrained_cfg
        self.normalize = Normalize(tuple(config["mean"]), tuple(config["std"]))
        start_from(self, weights, classifiers(self.net))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return complete_maps(self.net, self._prepared(x))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return vit_tokens(self.net, self._prepared(x), keep) if self.patch else super().tokens(x)

    def embed(self, x: Tensor) -> Tensor:
        """What the model's classifier would see, [B, D]."""
        return at_any_size(self.net, self._prepared(x), self.net)

    def _prepared(self, x: Tensor) -> Tensor:
        check_input(x, self, FORM, self.channels)
        check_size(self.net, x)
        return self.normalize(x)


class L3Image(Encoder):
    """The vision tower of Look, Listen and Learn (Arandjelović & Zisserman 2017, section 3.1).

    Four blocks of two 3×3 convolutions each, levels block1 (full size) … block4 (1/8), and the
    maximum of block4 over all positions. Meant for 224 pixels.

    Args:
        width: channels of the first block (published: 64); `dim` is eight times as many.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, unfitting weights, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 64, weights: str | None = None):
        super().__init__()
        self.dim, self.levels = 8 * width, l3_levels(width)
        self.normalize = Normalize(*IMAGENET)
        self.stages = l3_tower(3, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, self.channels)
        return run_stages(self.stages, self.normalize(x))

    def embed(self, x: Tensor) -> Tensor:
        """The deepest map's maximum over all its positions, [B, D]."""
        return self.maps(x)["block4"].amax((2, 3))
