"""A plain transformer on patches of a grid of any size, which sound and video share."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .encoder import Level

Grid = tuple[int, ...]


def check_sizes(patch: Grid, width: int, depth: int, heads: int) -> None:
    """Refuses a transformer whose sizes do not divide.

    Raises:
        InputError: naming what must divide what.
    """
    each = 2 * len(patch)
    if min(patch) < 1 or width < 1 or width % each or width % heads or depth < 2:
        raise InputError(
            f"no such transformer: patch {list(patch)} must be 1 or more, width {width} a "
            f"multiple of {each} and of heads {heads}, and depth {depth} at least 2"
        )


def take(tokens: Tensor, keep: Tensor | None) -> Tensor:
    """Those of tokens [B, N, C] that int64 [B, K] names, [B, K, C]; all where it is None.

    Raises:
        InputError: indexes of another kind.
    """
    if keep is None:
        return tokens
    if keep.ndim != 2 or len(keep) != len(tokens) or keep.dtype != torch.int64:
        raise InputError(
            f"keep holds indexes of tokens, int64 [{len(tokens)}, K], got {keep.dtype} "
            f"{list(keep.shape)}"
        )
    return tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[2]))


class PatchTransformer(nn.Module):
    """Patches that do not overlap, fixed positions, blocks that normalise first (ViT).

    Dosovitskiy et al. 2021, arXiv:2010.11929, without its class token. Positions are sines and
    cosines along each axis, so that a grid of any size has them. Keys are those of timm's ViTs.

    Args:
        channels: of the input [B, channels, …].
        patch: size of a patch along each of the input's two or three axes.
        width: numbers per token, a multiple of twice the axes and of `heads`.
        depth: number of blocks.
        heads: attention heads per block.
        eps: what the normalisations add to the variance.
    """

    def __init__(
        self, channels: int, patch: Grid, width: int, depth: int, heads: int, eps: float = 1e-6
    ):
        super().__init__()
        from timm.models.vision_transformer import Block

        norm = partial(nn.LayerNorm, eps=eps)
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[len(patch)]
        self.patch = patch
        self.patch_embed = nn.ModuleDict({"proj": conv(channels, width, patch, patch)})
        self.positions = Positions(width)
        self.blocks = nn.ModuleList(
            Block(width, heads, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
            for _ in range(depth)
        )
        self.norm = norm(width)

    def levels(self) -> dict[str, Level]:
        """patches and block1 … block{depth}, all of the grid's size."""
        names = ["patches", *(f"block{k + 1}" for k in range(len(self.blocks)))]
        return {name: Level(self.positions.width, self.patch) for name in names}

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Every level's tokens on their grid, [B, width, …]; the last are normalised."""
        x, grid = self._patches(x)
        out = [x]
        for block in self.blocks:
            out.append(block(out[-1]))
        out[-1] = self.norm(out[-1])
        on_grid = [tokens.transpose(1, 2).unflatten(2, grid) for tokens in out]
        return dict(zip(self.levels(), on_grid, strict=True))

    def tokens(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """The last block's tokens, normalised, [B, K, width]; see `Encoder.tokens`."""
        x = take(self._patches(x)[0], keep)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def _patches(self, x: Tensor) -> tuple[Tensor, Grid]:
        # What is missing of the last patch along an axis is filled with the mean, which is zero.
        missing = [-size % patch for size, patch in zip(x.shape[2:], self.patch, strict=True)]
        x = F.pad(x, [n for m in reversed(missing) for n in (0, m)]) if any(missing) else x
        x = self.patch_embed["proj"](x)
        return x.flatten(2).transpose(1, 2) + self.positions(x), tuple(x.shape[2:])


class Positions(nn.Module):
    """Sines and cosines of every position of a grid, kept where and for which they were last made.

    Args:
        width: numbers per position.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width, self.grid = width, ()
        self.register_buffer("table", torch.empty(0, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width] for a map [B, width, …] of N positions, of its type and on its device."""
        grid = tuple(x.shape[2:])
        table = self.get_buffer("table")
        if self.grid != grid or table.device != x.device:
            with torch.inference_mode(False):
                table = sine_positions(grid, self.width, x.device).flatten(1).T.contiguous()
            self.grid, self.table = grid, table
        return table.to(x.dtype)


def sine_positions(grid: Grid, width: int, device: torch.device | str = "cpu") -> Tensor:
    """For each axis in turn sines, then cosines of its coordinate: [width, *grid].

    Vaswani et al. 2017, arXiv:1706.03762, section 3.5: frequencies fall from 1 to 1/10000.
    """
    count = width // (2 * len(grid))
    waves = 10000 ** (-torch.arange(count, device=device) / count)
    parts = []
    for axis, size in enumerate(grid):
        shape = [count] + [1] * len(grid)
        shape[axis + 1] = size
        angle = (torch.arange(size, device=device) * waves[:, None]).view(shape)
        parts += [f(angle).expand(-1, *grid) for f in (torch.sin, torch.cos)]
    return torch.cat(parts)
