"""timm's models as image encoders take them."""

from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError
from .blocks import nearest, one_line


def create(name: str, pretrained: bool, weights: str | None, size: int | None) -> Any:
    """A model without its classifier; the arguments are `TimmImage`'s.

    Raises:
        InputError: an unknown name, a size it cannot take, unreadable or unfitting weights, or a
            model without feature maps.
    """
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base) or ":" in name or "/" in name:
        raise InputError(f"timm has no model {name!r}; {nearest(base, timm.list_models())}")
    options: dict[str, Any] = {} if size is None else {"img_size": size}
    if weights is not None:
        if not (Path(weights).is_file() and weights.endswith(".safetensors")):
            raise InputError(f"{weights}: weights must be a local .safetensors file")
        options["pretrained_cfg_overlay"] = {"file": weights}
    try:
        net = timm.create_model(
            name, pretrained=pretrained or weights is not None, num_classes=0, **options
        )
    except TypeError as error:
        raise InputError(f"{name} takes no size ({error}); leave it out") from error
    except (RuntimeError, AssertionError, OSError) as error:
        source = weights or ("published weights" if pretrained else "timm")
        raise InputError(f"{name} cannot be made from {source}: {one_line(error)}") from error
    if not hasattr(net, "forward_intermediates"):
        raise InputError(f"{name} gives no feature maps; choose another model of timm")
    return net


def check_size(net: Any, x: Tensor) -> None:
    """Refuses pictures [B, 3, H, W] of another size than the one a model is built for.

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
