"""A patch transformer for sound: waveform [B, 1, N], or its spectrogram -> [B, D]."""

from torch import Tensor

from ..errors import InputError
from .audio import as_spectrogram, front_end
from .encoder import Encoder
from .transformer import PatchTransformer, check_sizes
from .weights import start_from


class AudioTransformer(Encoder):
    """A transformer on patches of a log-mel spectrogram (AST: Gong et al. 2021, arXiv:2104.01778).

    Patches of 16 mels × 16 frames do not overlap; their positions are told by fixed sines and
    cosines along both axes, so that sound of any length can be heard; and the vector is the
    average of all patches. The published one has 128 mels, patches that overlap by 6, learned
    positions and class tokens, width 768, depth 12 and 12 heads. Levels are patches, block1 …
    block{depth}, each [B, width, mels / patch, frames / patch].

    Args:
        rate: Hz of the waveform.
        mels: mel filters, a multiple of `patch`; there are 100 frames per second.
        patch: mels, and frames, of one patch.
        width: numbers per patch, a multiple of 4 and of `heads`; `dim` is as many.
        depth: number of blocks, at least 2.
        heads: attention heads per block.
        weights: path of a local .safetensors file to start from: of such an encoder, or of one of
            timm's ViTs of these sizes, whose patches are then summed over their colours.

    Raises:
        InputError: sizes that do not divide, rate below 1000, unfitting weights, or an input that
            is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        rate: int = 16000,
        mels: int = 64,
        patch: int = 16,
        width: int = 96,
        depth: int = 4,
        heads: int = 3,
        weights: str | None = None,
    ):
        super().__init__()
        self.patch = (patch, patch)
        check_sizes(self.patch, width, depth, heads)
        if mels % patch:
            raise InputError(f"mels {mels} must be a multiple of patch {patch}")
        self.rate, self.dim = rate, width
        self.spectrogram = front_end("log-mel", rate, mels)
        # What it was tuned with, and its results measured.
        self.net = PatchTransformer(1, self.patch, width, depth, heads, eps=1e-5)
        self.levels = self.net.levels()
        start_from(self, weights, ("cls_token", "pos_embed", "head."))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return self.net.maps(as_spectrogram(x, self, self.spectrogram))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return self.net.tokens(as_spectrogram(x, self, self.spectrogram), keep)
