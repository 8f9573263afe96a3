"""Starting an encoder from a local .safetensors file: its own, or one in a published layout."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import InputError, some
from .blocks import one_line
from .encoder import Encoder


def start_from(
    encoder: Encoder,
    path: str | None,
    drop: Iterable[str] = (),
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Loads weights into a new encoder, and lets its card need neither them nor a download.

    What it started from is kept in `starts_from` alone: its arguments rebuild its architecture.

    The file holds the encoder's own keys (a run's encoder.safetensors), or those of the network
    inside it as its publisher names them. Kernels of pictures are inflated where the encoder's
    reach over time, and those of three colours are shared out where it has other channels.

    Args:
        encoder: at the end of its construction.
        path: of the file; None: nothing is loaded.
        drop: beginnings of published keys that an encoder has no use for, as its classifier's.
        convert: gives the encoder's own keys for those of another publisher.

    Raises:
        InputError: no such file, or one whose keys or shapes are not the encoder's.
    """
    if path is not None:
        found = read_weights(path)
        load_state(encoder, convert(found) if convert else found, path, tuple(drop))
    encoder.starts_from = path or ("published" if encoder.arguments.get("pretrained") else None)
    for name, value in (("pretrained", False), ("weights", None)):
        if name in encoder.arguments:
            encoder.arguments[name] = value


def load_state(
    encoder: Encoder, found: dict[str, Tensor], origin: str, drop: tuple[str, ...] = ()
) -> None:
    """Loads weights as `start_from` says; `origin` names them in a refusal.

    Raises:
        InputError: keys or shapes that are not the encoder's.
    """
    own = encoder.state_dict()
    # The encoder's own keys, those of the network in it, or of the network in that.
    layouts = ("", "net.", "net.net.")
    prefix = next((p for p in layouts if own.keys() & {p + k for k in found}), "net.")
    if prefix:
        found = {prefix + k: v for k, v in found.items() if not k.startswith(drop)}
    # A counter that no forward reads; many converted files leave it out.
    wanted = [k for k in own if not k.endswith("num_batches_tracked")]
    fitted = {k: _fit(found[k], own[k]) for k in own if k in found}
    wrong = {
        "it lacks": [k for k in wanted if k not in found],
        "it has": [k for k in found if k not in own],
        "of another shape": [k for k, v in fitted.items() if v.shape != own[k].shape],
    }
    if any(wrong.values()):
        named = {what: [k.removeprefix(prefix) for k in keys] for what, keys in wrong.items()}
        words = "; ".join(f"{what} {some(keys)}" for what, keys in named.items() if keys)
        raise InputError(f"{origin}: not the weights of this {_called(encoder)}: {words}")
    encoder.load_state_dict({**own, **fitted})


def read_weights(path: str) -> dict[str, Tensor]:
    """The tensors of a local .safetensors file by name.

    Raises:
        InputError: no such file, or not one.
    """
    if not (Path(path).is_file() and path.endswith(".safetensors")):
        raise InputError(f"{path}: weights must be a local .safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: no readable .safetensors file ({one_line(error)})") from error


def _called(encoder: Encoder) -> str:
    name = encoder.arguments.get("name")
    return f"{type(encoder).__name__} {name}" if name else type(encoder).__name__


def _fit(value: Tensor, like: Tensor) -> Tensor:
    """Brings a kernel to another one's axes and channels, so that alike inputs give alike sums."""
    if value.ndim == 4 and like.ndim == 5:
        value = inflate_kernel(value, like.shape[2])
    if value.ndim > 2 and value.ndim == like.ndim and value.shape[1] != like.shape[1]:
        value = share_out(value, like.shape[1])
    return value


def share_out(kernel: Tensor, channels: int) -> Tensor:
    """[O, 3, …] averaged over colours for other channels; [O, 6, …], colours seen twice, likewise.

    Where all channels and all colours have one value, the sums stay as they are. Kernels of other
    shapes come back unchanged.
    """
    parts = kernel.shape[1] // 3
    if kernel.shape[1] not in (3, 6) or channels % parts:
        return kernel
    each = channels // parts
    mean = kernel.unflatten(1, (parts, 3)).mean(2, keepdim=True) * (3 / each)
    return mean.expand(-1, -1, each, *kernel.shape[2:]).flatten(1, 2).contiguous()


def inflate_kernel(kernel: Tensor, frames: int) -> Tensor:
    """[O, I, H, W] -> [O, I, frames, H, W] with the same sum on a clip that stands still.

    Carreira & Zisserman 2017, arXiv:1705.07750, section 2.4.1.
    """
    return torch.stack([kernel / frames] * frames, 2)
