"""Frozen probes and fine-tuning; cannot know how an encoder was made."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .finetune import Tuning as Tuning
    from .methods import METHODS as METHODS
    from .splits import Split as Split
    from .stamp import Protocol as Protocol

__all__ = ["METHODS", "Protocol", "Split", "Tuning"]

__getattr__ = lazy(
    __name__,
    {
        "METHODS": "methods",
        "Protocol": "stamp",
        "Split": "splits",
        "Tuning": "finetune",
    },
)
