"""Refuses options of which no task can be made, in place of an error deep in training."""

import math

from ...errors import InputError


def check_least(least: float, **options: float) -> None:
    """Raises InputError for the first option that is no finite number from `least` on."""
    for name, value in options.items():
        if not (math.isfinite(value) and value >= least):
            raise InputError(f"{name} is a number from {least:g} on, got {value:g}")


def check_positive(**options: float) -> None:
    """Raises InputError for the first option that is no finite number above 0."""
    for name, value in options.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name} is a number above 0, got {value:g}")


def check_share(**options: float) -> None:
    """Raises InputError for the first option that is no number from 0 to 1."""
    for name, value in options.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} is a share from 0 to 1, got {value:g}")


def check_rising(name: str, low: float, high: float) -> None:
    """Raises InputError unless 0 < low <= high."""
    if not 0 < low <= high:
        raise InputError(f"need 0 < {name}_min <= {name}_max, got {low:g} and {high:g}")
