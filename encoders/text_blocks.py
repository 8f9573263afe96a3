"""Transformer blocks for text: attention with absolute or relative positions, cache and memory."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "relu": nn.ReLU,
}


@dataclass(slots=True)
class KeyValues:
    """Keys and values of the tokens before, float [B, H, S, d] each; grows as it is used."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def extended(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """These behind those that are kept, which they join."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat([self.keys, keys], 2)
            values = torch.cat([self.values, values], 2)
        self.keys, self.values = keys, values
        return keys, values


@dataclass(frozen=True, slots=True)
class Seen:
    """Which keys each query may look at.

    Attributes:
        mask: bool, broadcastable to [B, H, T, S]; None: all, or by `causal`.
        causal: no mask is needed but that of the past, and there are as many keys as queries.
    """

    mask: Tensor | None = None
    causal: bool = False


class Relative(nn.Module):
    """What relative positions share over all blocks (Dai et al. 2019, arXiv:1901.02860, section
    3.3): the biases u and v of the queries.

    Args:
        heads: attention heads.
        size: numbers per head.
        clamp: distances beyond it count as this one; 0: none does.
    """

    def __init__(self, heads: int, size: int, clamp: int):
        super().__init__()
        self.clamp = clamp
        self.content = nn.Parameter(torch.empty(heads, size))
        self.position = nn.Parameter(torch.empty(heads, size))

    def table(self, queries: int, keys: int, width: int, *, causal: bool, like: Tensor) -> Tensor:
        """Sines, then cosines of distances from keys - 1 downwards, [W, width]."""
        beyond = 1 if causal else max(queries - 1, 1)
        far = torch.arange(keys - 1, -beyond - 1, -1.0, device=like.device)
        if self.clamp:
            far = far.clamp(-self.clamp, self.clamp)
        waves = 10000 ** (-torch.arange(0.0, width, 2, device=like.device) / width)
        angle = far[:, None] * waves
        return torch.cat([angle.sin(), angle.cos()], 1).to(like.dtype)


def relative_shift(x: Tensor, keys: int) -> Tensor:
    """From scores by distance to scores by key.

    Args:
        x: [..., T, W]; column k is the distance S - 1 - k, W > S.
        keys: S.

    Returns:
        [..., T, S]; column j of row i is the distance S - T + i - j: x's column j + T - 1 - i.
    """
    t, w = x.shape[-2:]
    # Rows are one number shorter than they are, so that each begins one column further left.
    rows = x.flatten(-2)[..., t - 1 : t - 1 + t * (w - 1)].unflatten(-1, (t, w - 1))
    return rows[..., :keys]


class Attention(nn.Module):
    """Attention of several heads by PyTorch's fused kernels.

    Args:
        width: numbers per token.
        heads: that share them.
        dropout: of attention weights.
        relative: score distances, by a projection of their sines; no biases then.
    """

    def __init__(self, width: int, heads: int, dropout: float, *, relative: bool):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=not relative)
        self.out = nn.Linear(width, width, bias=not relative)
        self.distance = nn.Linear(width, width, bias=False) if relative else None

    def forward(self, x: Tensor, seen: Seen, **how) -> Tensor:
        """Of x [B, T, C]; see `_projected`."""
        q, k, v, mask = self._projected(x, seen, **how)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=seen.causal and mask is None
        )
        return self.out(y.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, seen: Seen, **how) -> Tensor:
        """What each query gives each key, [B, H, T, S], rows of sum 1; see `forward`."""
        q, k, _, mask = self._projected(x, seen, **how)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        if mask is None and seen.causal:
            mask = torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, float("-inf"))
        elif mask is not None:
            scores = scores + mask
        return scores.softmax(-1)

    def _projected(
        self,
        x: Tensor,
        seen: Seen,
        *,
        memory: Tensor | None = None,
        relative: Relative | None = None,
        table: Tensor | None = None,
        cache: KeyValues | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries of x [B, T, C], keys and values of it and of memory [B, M, C] before it, all
        [B, H, …, d], and what is added to scores or masks them."""
        past = 0 if memory is None else memory.shape[1]
        both = x if memory is None else torch.cat([memory, x], 1)
        q, k, v = self.qkv(both).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = q[:, :, past:]
        if cache is not None:
            k, v = cache.extended(k, v)
        mask = seen.mask
        if relative is not None and table is not None and self.distance is not None:
            far = self.distance(table).unflatten(-1, (self.heads, -1)).transpose(0, 1)
            biased = q + relative.position[:, None].to(q.dtype)
            scores = relative_shift(biased @ far.transpose(1, 2), k.shape[2])
            scores = scores * q.shape[-1] ** -0.5
            mask = scores if mask is None else scores.masked_fill(~mask, float("-inf"))
            q = q + relative.content[:, None].to(q.dtype)
        return q, k, v, mask


class Block(nn.Module):
    """Attention and two layers, each beside a shortcut.

    Args:
        width: numbers per token.
        heads: of the attention.
        hidden: numbers between the two layers.
        pre: normalise before each, as GPT-2; else behind each sum, as BERT.
        activation: between the two layers, of `ACTIVATIONS`.
        eps: what the normalisations add to the variance.
        dropout: of weights of attention, and of what is added.
        relative: attention by distances.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        *,
        pre: bool,
        activation: str,
        eps: float,
        dropout: float,
        relative: bool,
    ):
        super().__init__()
        self.pre = pre
        self.attention = Attention(width, heads, dropout, relative=relative)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation, self.drop = ACTIVATIONS[activation](), nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Seen, memory: Tensor | None = None, **how) -> Tensor:
        """[B, T, C]; see `Attention`."""
        if self.pre:
            past = None if memory is None else self.norm1(memory)
            x = x + self.drop(self.attention(self.norm1(x), seen, memory=past, **how))
            return x + self.drop(self._mlp(self.norm2(x)))
        x = self.norm1(x + self.drop(self.attention(x, seen, memory=memory, **how)))
        return self.norm2(x + self.drop(self._mlp(x)))

    def _mlp(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))
