"""timm's models as image encoders take them."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
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
    try:
        net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        raise InputError(f"{name} takes no size ({one_line(error)}); leave it out") from error
    except (RuntimeError, AssertionError, OSError) as error:
        raise InputError(f"timm cannot make {name}: {one_line(error)}") from error
    if not hasattr(net, "forward_intermediates"):
        raise InputError(f"{name} gives no feature maps; choose another model of timm")
    if weights is not None:
        _load(net, weights)
    return net


def _load(net: Any, weights: str) -> None:
    if not (Path(weights).is_file() and weights.endswith(".safetensors")):
        raise InputError(f"{weights}: weights must be a local .safetensors file")
    classifiers = net.pretrained_cfg.get("classifier") or ()
    heads = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    prefixes = tuple(f"{head}." for head in heads)
    try:
        state = load_file(weights)
        # The network is built without its classifier; the file may still have one.
        net.load_state_dict({k: v for k, v in state.items() if not k.startswith(prefixes)})
    except (RuntimeError, SafetensorError, OSError) as error:
        raise InputError(
            f"{weights}: not the weights of this {type(net).__name__}: {one_line(error)}"
        ) from error


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
