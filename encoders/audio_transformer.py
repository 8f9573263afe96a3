"""A patch transformer for sound: waveform [B, 1, N] -> [B, D]."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .audio import FORM, front_end
from .blocks import check_input, run_stages
from .encoder import Encoder


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

    Raises:
        InputError: sizes that do not divide, rate below 1000, or an input that is not float
            [B, 1, N].
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
    ):
        super().__init__()
        if patch < 1 or mels % patch or width % 4 or width % heads or depth < 2:
            raise InputError(
                f"no such transformer: mels {mels} must be a multiple of patch {patch}, width "
                f"{width} one of 4 and of heads {heads}, and depth {depth} at least 2"
            )
        self.rate, self.dim, self.patch = rate, width, patch
        self.front = front_end("log-mel", rate, mels)
        self.patches = nn.Conv2d(1, width, patch, patch)
        blocks: list[nn.Module] = [_Block(width, heads) for _ in range(depth)]
        blocks[-1] = nn.Sequential(blocks[-1], nn.LayerNorm(width))
        self.blocks = nn.ModuleDict({f"block{k + 1}": block for k, block in enumerate(blocks)})

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        x = self.front(x)
        # What is missing of the last patch is filled with the mean.
        x = self.patches(F.pad(x, (0, -x.shape[-1] % self.patch)))
        grid = x.shape[2:]
        x = (x + positions(grid[0], grid[1], self.dim).to(x)).flatten(2).transpose(1, 2)
        out = {"patches": x, **run_stages(self.blocks, x)}
        return {k: v.transpose(1, 2).unflatten(2, grid) for k, v in out.items()}


class _Block(nn.Module):
    """Attention and a hidden layer four times as wide, each normalised before and bypassed."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.queries_keys_values(self.norm1(x)).chunk(3, 2)
        )
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.hidden(self.norm2(x))


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Sines and cosines of the row, then of the column: [width, rows, columns]."""
    waves = 10000 ** (-torch.arange(width // 4) / (width // 4))
    row = torch.arange(rows)[None, :, None] * waves[:, None, None]
    column = torch.arange(columns)[None, None] * waves[:, None, None]
    parts = [f(x).expand(-1, rows, columns) for x in (row, column) for f in (torch.sin, torch.cos)]
    return torch.cat(parts)
