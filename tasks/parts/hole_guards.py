"""What tasks that fill holes share: their guard, and what their painters train."""

from dataclasses import dataclass

from torch import nn

from ..task import Guard
from .paint_cues import bars_and_hole


@dataclass(frozen=True)
class HoleGuards:
    """Counter-measure against filling holes without seeing what a picture shows.

    Args:
        letterbox: cut away bars along the borders, which go on through any hole in them.
    """

    letterbox: bool = True

    def records(self) -> tuple[Guard, ...]:
        """The guard with its probe."""
        bars = "black bars, which go on through a hole"
        return (Guard("letterbox", bars, self.letterbox, bars_and_hole),)


def trained(*modules: nn.Module) -> list[nn.Parameter]:
    """What an optimiser moves of some modules."""
    return [p for module in modules for p in module.parameters() if p.requires_grad]
