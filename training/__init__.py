"""One trainer for all tasks."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .args import TrainerArgs as TrainerArgs
    from .optim import OptimizerArgs as OptimizerArgs

__all__ = ["OptimizerArgs", "TrainerArgs"]

__getattr__ = lazy(
    __name__,
    {
        "OptimizerArgs": "optim",
        "TrainerArgs": "args",
    },
)
