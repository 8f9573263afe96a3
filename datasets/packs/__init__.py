"""Packs: media transcoded so that loading costs little more than decoding JPEG."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .source import Packs as Packs
    from .write import pack as pack

__all__ = ["Packs", "pack"]

__getattr__ = lazy(
    __name__,
    {
        "Packs": "source",
        "pack": "write",
    },
)
