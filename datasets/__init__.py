"""What media exist and where; no pixels are interpreted here, and no task is known."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .folder import Folder as Folder
    from .index.source import Index as Index
    from .open import open_source as open_source
    from .packs.source import Packs as Packs
    from .source import Source as Source
    from .source import Subset as Subset
    from .synthetic.source import Synthetic as Synthetic

__all__ = ["Folder", "Index", "Packs", "Source", "Subset", "Synthetic", "open_source"]

__getattr__ = lazy(
    __name__,
    {
        "Folder": "folder",
        "Index": "index.source",
        "Packs": "packs.source",
        "Source": "source",
        "Subset": "source",
        "Synthetic": "synthetic.source",
        "open_source": "open",
    },
)
