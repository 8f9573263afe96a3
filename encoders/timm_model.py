"""timm's models as image and audio encoders take them."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .blocks import nearest, one_line
from .encoder import Level
from .transformer import take

Result = TypeVar("Result")
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


def create(name: str, pretrained: bool, size: int | None, channels: int = 3) -> Any:
    """A model without its classifier, for inputs of any size where it has a way to that.

    Raises:
        InputError: an unknown name, a size it cannot take, or a model without feature maps.
    """
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base) or ":" in name or "/" in name:
        raise InputError(f"timm has no model {name!r}; {nearest(base, timm.list_models())}")
    options: dict[str, Any] = {"in_chans": channels}
    options |= {} if size is None else {"img_size": size}
    try:
        net = _first_taken(name, pretrained, options)
    except TypeError as error:
        raise InputError(f"{name} takes no size ({one_line(error)}); leave it out") from error
    except (RuntimeError, AssertionError, OSError, ValueError) as error:
        raise InputError(f"timm cannot make {name}: {one_line(error)}") from error
    if not hasattr(net, "forward_intermediates"):
        raise InputError(f"{name} gives no feature maps; choose another model of timm")
    return net


def _first_taken(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """The model with the first way to any size that its constructor knows."""
    import timm

    *ways, last = _ANY_SIZE
    for way in ways:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **options, **way)
        except TypeError:  # before any weight is drawn
            continue
    return timm.create_model(name, pretrained=pretrained, num_classes=0, **options, **last)


def classifiers(net: Any) -> tuple[str, ...]:
    """Beginnings of the keys of a model's classifiers, which published files still have."""
    names = net.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def check_size(net: Any, x: Tensor) -> None:
    """Refuses inputs [B, C, H, W] of a size that a model cannot take.

    Raises:
        InputError: naming that size.
    """
    patches = getattr(net, "patch_embed", None)
    fixed = getattr(patches, "img_size", None)
    if fixed and getattr(patches, "strict_img_size", False) and x.shape[2:] != fixed:
        raise InputError(
            f"this {type(net).__name__} takes pictures of {fixed[0]}×{fixed[1]} pixels, "
            f"got {x.shape[2]}×{x.shape[3]}; give size={x.shape[2]}"
        )
    patch = patch_of(net)
    if patch and any(size % p for size, p in zip(x.shape[2:], patch, strict=True)):
        raise InputError(
            f"this {type(net).__name__} takes multiples of its patch of {patch[0]}×{patch[1]}, "
            f"got {x.shape[2]}×{x.shape[3]}"
        )


def at_any_size(net: Any, x: Tensor, run: Callable[[Tensor], Result]) -> Result:
    """`run(x)`; where a model that is built for one size fails on another, that is told.

    Raises:
        InputError: naming both sizes.
    """
    if patch_of(net) or not net.pretrained_cfg.get("fixed_input_size"):
        return run(x)
    try:
        return run(x)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        own = "×".join(map(str, net.pretrained_cfg["input_size"][1:]))
        raise InputError(
            f"this {type(net).__name__} is published for inputs of {own} and cannot take "
            f"{x.shape[2]}×{x.shape[3]} ({one_line(error)}); give it that size, or size="
        ) from error


def pad_to_patches(net: Any, x: Tensor) -> Tensor:
    """[B, C, H, W] with zeros at its ends, up to whole patches of a ViT."""
    down, right = (-size % p for size, p in zip(x.shape[2:], patch_of(net) or (1, 1), strict=True))
    x = F.pad(x, (0, right, 0, down)) if down or right else x
    check_size(net, x)
    return x


def patch_of(net: Any) -> tuple[int, ...]:
    """A ViT's patch in pixels; empty for other models, which have no `tokens`."""
    from timm.models.vision_transformer import VisionTransformer

    return tuple(net.patch_embed.patch_size) if isinstance(net, VisionTransformer) else ()


def timm_levels(net: Any) -> dict[str, Level]:
    """level1 … level4, or fewer, spread over a model's own levels; the last is its deepest."""
    own = [(level["num_chs"], level["reduction"]) for level in net.feature_info]
    levels = {
        f"level{k + 1}": Level(own[i][0], (own[i][1],) * 2) for k, i in enumerate(_spread(len(own)))
    }
    head = getattr(net, "conv_head", None)
    if isinstance(head, nn.Conv2d):
        levels[f"level{len(levels)}"] = Level(head.out_channels, (own[-1][1],) * 2)
    return levels


def complete_maps(net: Any, x: Tensor) -> dict[str, Tensor]:
    """The maps of `timm_levels`; to the deepest is applied what the head does at each position."""
    forward = partial(net.forward_intermediates, norm=True, intermediates_only=True)
    own = at_any_size(net, x, forward)
    maps = {f"level{k + 1}": own[i] for k, i in enumerate(_spread(len(own)))}
    last = f"level{len(maps)}"
    maps[last] = _head_norm(net, _conv_head(net, maps[last]))
    return maps


def vit_tokens(net: Any, x: Tensor, keep: Tensor | None) -> Tensor:
    """The deepest map's tokens of a ViT [B, K, C]; class and register tokens take part inside."""
    x = net._pos_embed(net.patch_embed(x))
    prefix = net.num_prefix_tokens
    if keep is not None:
        x = torch.cat([x[:, :prefix], take(x[:, prefix:], keep)], 1)
    x = net.norm(net.blocks(net.norm_pre(x)))
    return net.fc_norm(x[:, prefix:])


def unused_by_maps(net: Any) -> tuple[str, ...]:
    """Beginnings, within an encoder, of the parameters that a model's pooling alone uses."""
    pooling = ("attn_pool.", "head.attn_pool.", "head.pre_logits.", "pre_logits.", "head_dist.")
    return tuple(f"net.{name}" for name in pooling)


def _spread(own: int) -> list[int]:
    count = min(own, 4)
    return [-(-own * (k + 1) // count) - 1 for k in range(count)]


def _conv_head(net: Any, x: Tensor) -> Tensor:
    """EfficientNet's last convolution, and MobileNetV3's, which stands behind its pooling."""
    if getattr(net, "conv_head", None) is None:
        return x
    x = net.conv_head(x)
    return net.bn2(x) if hasattr(net, "bn2") else net.act2(net.norm_head(x))


def _head_norm(net: Any, x: Tensor) -> Tensor:
    """ConvNeXt's, and some transformers', normalisation of the pooled vector."""
    for norm in (getattr(net, "fc_norm", None), getattr(getattr(net, "head", None), "norm", None)):
        if norm is not None and not isinstance(norm, nn.Identity):
            channels_first = "2d" in type(norm).__name__
            x = norm(x) if channels_first else norm(x.movedim(1, -1)).movedim(-1, 1)
    return x
