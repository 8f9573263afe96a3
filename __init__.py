"""pretexto: self-supervised learning from video, sound, motion, images and text."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .datasets.open import open_source as open_source
    from .encoders.store import load_encoder as load_encoder
    from .training.pretrain import pretrain as pretrain

__version__ = "0.1.0"

# Imported when first used: `import pretexto` must stay free of torch and of media libraries.
_homes = {
    "load_encoder": "encoders.store",
    "open_source": "datasets.catalog",
    "pretrain": "training.pretrain",
}
__all__ = ["__version__", "load_encoder", "open_source", "pretrain"]


def __getattr__(name: str):
    if name not in _homes:
        raise AttributeError(f"module 'pretexto' has no attribute {name!r}")
    return getattr(import_module(f".{_homes[name]}", __name__), name)
