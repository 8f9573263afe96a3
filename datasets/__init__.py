"""What media exist and where; no pixels are interpreted here, and no task is known."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .array import ArraySource as ArraySource
    from .flow_images import FlowImages as FlowImages
    from .folder import Folder as Folder
    from .index.source import Index as Index
    from .listed import ListFile as ListFile
    from .open import open_source as open_source
    from .packs.source import Packs as Packs
    from .source import Source as Source
    from .source import Subset as Subset
    from .source import balanced_weights as balanced_weights
    from .synthetic.source import Synthetic as Synthetic

__all__ = [
    "ArraySource",
    "FlowImages",
    "Folder",
    "Index",
    "ListFile",
    "Packs",
    "Source",
    "Subset",
    "Synthetic",
    "balanced_weights",
    "open_source",
]

__getattr__ = lazy(
    __name__,
    {
        "ArraySource": "array",
        "FlowImages": "flow_images",
        "Folder": "folder",
        "Index": "index.source",
        "ListFile": "listed",
        "Packs": "packs.source",
        "Source": "source",
        "Subset": "source",
        "Synthetic": "synthetic.source",
        "balanced_weights": "source",
        "open_source": "open",
    },
)
