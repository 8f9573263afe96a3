"""Networks from one modality to vectors; one interface."""

from typing import TYPE_CHECKING

from ..lazy import lazy

if TYPE_CHECKING:
    from .encoder import Encoder as Encoder
    from .store import load_encoder as load_encoder
    from .store import save_encoder as save_encoder

__all__ = ["Encoder", "load_encoder", "save_encoder"]

__getattr__ = lazy(
    __name__,
    {
        "Encoder": "encoder",
        "load_encoder": "store",
        "save_encoder": "store",
    },
)
