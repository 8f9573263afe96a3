"""A transformer on tubelets of a clip: [B, 3, T, H, W] -> [B, D]."""

from torch import Tensor

from .blocks import IMAGENET, check_input
from .encoder import Encoder, Normalize
from .transformer import PatchTransformer, check_sizes
from .weights import start_from

FORM = "[B, 3, T, H, W]"


class VideoTransformer(Encoder):
    """A ViT on tubelets, as VideoMAE has it (Tong et al. 2022, arXiv:2203.12602, section 3.3).

    Tubelets of 2 frames × 16 × 16 pixels do not overlap; attention joins all of them over space
    and time; positions are fixed sines and cosines along the three axes, so that clips of any
    length and size can be seen (an end that fills no tubelet is filled with the mean). The vector
    is the average of all tubelets. Small is width 384, depth 12, 6 heads; base 768, 12 and 12.
    Levels are patches, block1 … block{depth}, each [B, width, T / tubelet, H / patch, W / patch].

    Args:
        patch: pixels of one tubelet's sides.
        tubelet: frames of one tubelet.
        width: numbers per tubelet, a multiple of 6 and of `heads`; `dim` is as many.
        depth: number of blocks, at least 2.
        heads: attention heads per block.
        weights: path of a local .safetensors file to start from: of such an encoder, or of one of
            timm's ViTs of these sizes, whose patches are then inflated.

    Raises:
        InputError: sizes that do not divide, unfitting weights, or an input that is not float
            [B, 3, T, H, W].
    """

    modality = "video"

    def __init__(
        self,
        *,
        patch: int = 16,
        tubelet: int = 2,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        weights: str | None = None,
    ):
        super().__init__()
        self.patch = (tubelet, patch, patch)
        check_sizes(self.patch, width, depth, heads)
        self.dim = width
        self.normalize = Normalize(*IMAGENET)
        self.net = PatchTransformer(3, self.patch, width, depth, heads)
        self.levels = self.net.levels()
        start_from(self, weights, ("cls_token", "pos_embed", "head."))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return self.net.maps(self._prepared(x))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.net.tokens(self._prepared(x), keep)

    def _prepared(self, x: Tensor) -> Tensor:
        check_input(x, self, FORM, self.channels)
        return self.normalize(x)
