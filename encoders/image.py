"""Image encoders; they serve video frame by frame."""

from torch import Tensor

from .blocks import IMAGENET, check_input, check_width, run_stages, tiny_stages
from .encoder import Encoder, Normalize

FORM = "[B, 3, H, W]"


class TinyImage(Encoder):
    """A small residual network for CPUs: levels stem (1/2 of the size), block1 … block3 (1/16).

    Args:
        width: channels of the first level; `dim` is eight times as many.

    Raises:
        InputError: width below 1, or an input that is not float [B, 3, H, W].
    """

    modality = "image"

    def __init__(self, *, width: int = 16):
        super().__init__()
        check_width(width)
        self.dim = 8 * width
        self.normalize = Normalize(*IMAGENET)
        self.stages = tiny_stages(3, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 3)
        x = self.normalize(x)
        return run_stages(self.stages, x)
