"""Pretext tasks, one file each; `parts` is what they are built of."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .task import Audit as Audit
    from .task import Guard as Guard
    from .task import Picture as Picture
    from .task import Step as Step
    from .task import Task as Task

__all__ = ["Audit", "Guard", "Picture", "Step", "Task"]

__getattr__ = lazy(
    __name__,
    {
        "Audit": "task",
        "Guard": "task",
        "Picture": "task",
        "Step": "task",
        "Task": "task",
    },
)
