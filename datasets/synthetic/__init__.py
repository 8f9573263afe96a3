"""The embedded synthetic world: real encoded media whose every property is known."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .source import Synthetic as Synthetic
    from .write import World as World

__all__ = ["Synthetic", "World"]

__getattr__ = lazy(
    __name__,
    {
        "Synthetic": "source",
        "World": "write",
    },
)
