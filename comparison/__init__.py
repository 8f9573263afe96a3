"""Tasks × seeds × data × protocols, and what may be concluded from them."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .grid import Entry as Entry

__all__ = ["Entry"]

__getattr__ = lazy(
    __name__,
    {
        "Entry": "grid",
    },
)
