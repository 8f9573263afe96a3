"""pretexto: self-supervised learning from video, sound, motion, images and text."""

from typing import TYPE_CHECKING

from .lazy import lazy

if TYPE_CHECKING:
    from .datasets.open import open_source as open_source
    from .encoders.store import load_encoder as load_encoder
    from .training.pretrain import pretrain as pretrain

__version__ = "0.1.0"
__all__ = ["__version__", "load_encoder", "open_source", "pretrain"]

# Imported when first used: `import pretexto` must stay free of torch and of media libraries.
__getattr__ = lazy(
    __name__,
    {
        "load_encoder": "encoders.store",
        "open_source": "datasets.open",
        "pretrain": "training.pretrain",
    },
)
