"""What tasks that fill holes share: their guard."""

from dataclasses import dataclass

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
