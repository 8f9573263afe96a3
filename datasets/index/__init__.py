"""Indexes of media as Parquet: facts, labels, splits, and what cannot be read."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from .build import scan as scan
    from .source import Index as Index

__all__ = ["Index", "scan"]

__getattr__ = lazy(
    __name__,
    {
        "Index": "source",
        "scan": "build",
    },
)
