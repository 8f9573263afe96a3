"""Exact reading of media by time."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .reader import probe as probe
    from .reader import read as read

__all__ = ["probe", "read"]

__getattr__ = lazy(
    __name__,
    {
        "probe": "reader",
        "read": "reader",
    },
)
