"""Refuses options of which no task can be made, in place of an error deep in training."""

import math

from ..errors import InputError


def check_least(least: float, **options: float) -> None:
    """Raises InputError for the first option that is no finite number from `least` on."""
    for name, value in options.items():
        if not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} is a number from {least:g} on, got {value:g}")


def check_crop(scale: tuple[float, float], ratio: tuple[float, float] = (3 / 4, 4 / 3)) -> None:
    """Raises InputError where `draw_crop` could cut nothing of this scale and ratio."""
    if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
        raise InputError(
            f"scale is two shares of the area, 0 < least <= greatest <= 1, got {list(scale)}"
        )
    if not (len(ratio) == 2 and 0 < ratio[0] <= ratio[1] < math.inf):
        raise InputError(
            f"ratio is two quotients of width and height, 0 < least <= greatest, got {list(ratio)}"
        )
