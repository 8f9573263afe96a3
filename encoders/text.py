"""A transformer for text: tokens [B, T] -> [B, D]; as GPT-2, BERT or Transformer-XL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..errors import InputError
from .encoder import Encoder, Level
from .text_blocks import ACTIVATIONS, Block, KeyValues, Relative, Seen
from .text_hub import from_hugging_face
from .weights import start_from


@dataclass(frozen=True, slots=True)
class Memory:
    """What a recurrent transformer keeps of the tokens before.

    Attributes:
        states: what each block was given, float [B, M, C] each, without gradient.
        valid: bool [B], whether a row goes on where its memory ends; None: all rows do.
    """

    states: Sequence[Tensor]
    valid: Tensor | None = None


class TextTransformer(Encoder):
    """A transformer on tokens (Vaswani et al. 2017, arXiv:1706.03762), by PyTorch's attention.

    As GPT-2 (Radford et al. 2019), BERT (Devlin et al. 2019, arXiv:1810.04805) or Transformer-XL
    (Dai et al. 2019, arXiv:1901.02860), by `norm`, `positions`, `activation` and size. The vector
    is the average of the last states of all tokens. Levels are embeddings, block1 … block{depth},
    each [B, width, T]. Where a text ends before its row, -1 stands for nothing.

    Args:
        vocabulary: how many tokens there are.
        context: tokens that it takes at most, memory aside.
        width: numbers per token, even and a multiple of `heads`; `dim` is as many.
        depth: number of blocks, at least 2.
        heads: attention heads per block.
        hidden: numbers in the middle of a block's two layers; 0: four times `width`.
        norm: "pre" (and once at the end), or "post".
        positions: "learned" ones are added to tokens (and normalised with them, where `norm` is
            "post"), or attention knows "relative" ones.
        activation: "gelu", "gelu_tanh" or "relu".
        segments: kinds of text within a row that have an embedding, 2 in BERT; 0: none has.
        causal: whether a token sees only those before it; null: as the task has it, else all.
        clamp: relative distances beyond it count as this one; 0: none does.
        eps: what the normalisations add to the variance.
        dropout: of embeddings, of attention's weights, and of what a block adds.
        weights: path of a local .safetensors file to start from, in the layout of Hugging Face's
            GPT-2 and BERT too.

    Raises:
        InputError: sizes that do not divide, unknown words, unfitting weights, or an input that is
            not int64 [B, T].
    """

    modality = "text"

    def __init__(
        self,
        *,
        vocabulary: int = 260,
        context: int = 128,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        hidden: int = 0,
        norm: Literal["pre", "post"] = "pre",
        positions: Literal["learned", "relative"] = "relative",
        activation: Literal["gelu", "gelu_tanh", "relu"] = "gelu",
        segments: int = 0,
        causal: bool | None = None,
        clamp: int = 0,
        eps: float = 1e-5,
        dropout: float = 0.0,
        weights: str | None = None,
    ):
        super().__init__()
        _check(vocabulary, context, width, depth, heads, activation)
        self.vocabulary, self.context, self.causal, self.dim = vocabulary, context, causal, width
        relative, pre = positions == "relative", norm == "pre"
        self.embeddings = nn.Embedding(vocabulary, width)
        self.positions = None if relative else nn.Embedding(context, width)
        self.segments = nn.Embedding(segments, width) if segments else None
        self.relative = Relative(heads, width // heads, clamp) if relative else None
        normed = not (pre or relative)
        self.norm_in = nn.LayerNorm(width, eps) if normed else nn.Identity()
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden or 4 * width, pre=pre, activation=activation, eps=eps,
                  dropout=dropout, relative=relative)
            for _ in range(depth)
        )  # fmt: skip
        self.norm_out = nn.LayerNorm(width, eps) if pre else nn.Identity()
        names = ["embeddings", *(f"block{k + 1}" for k in range(depth))]
        self.levels = {name: Level(width, (1,)) for name in names}
        self._initialize(depth)
        start_from(self, weights, convert=from_hugging_face)

    def _initialize(self, depth: int) -> None:
        """Radford et al. 2019, section 2.3: what is added to the shortcut starts smaller."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                small = name.endswith(("attention.out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * depth) ** 0.5 if small else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def set_causal(self, causal: bool) -> None:
        """Says whether a token sees only those before it, where the constructor left it open.

        Raises:
            InputError: it was made for the opposite.
        """
        if self.causal not in (None, causal):
            needed = "true" if causal else "false"
            raise InputError(
                f"this task needs an encoder of text with causal: {needed} (or null), but this "
                f"one was made with {str(self.causal).lower()}"
            )
        self.causal = self.arguments["causal"] = causal

    def states(
        self,
        x: Tensor,
        *,
        segments: Tensor | None = None,
        memory: Memory | None = None,
        same_length: int = 0,
        cache: Sequence[KeyValues] | None = None,
    ) -> list[Tensor]:
        """States of every level, [B, T, C] each, shallow to deep; the last are normalised.

        Args:
            x: tokens, int64 [B, T].
            segments: the kind of text that each is of, int64 [B, T]; None: the first.
            memory: of the tokens before, with relative positions.
            same_length: each token sees so many tokens, itself among them; 0: all that it may.
            cache: of the tokens before, of a causal encoder with learned positions; it grows by
                these.

        Raises:
            InputError: not int64 [B, T], or more tokens than `context`.
        """
        before = _cached(cache)
        self._check_input(x, before)
        out = [self._embedded(x, segments, before)]
        past = memory.states if memory else [None] * len(self.blocks)
        kept = past[0].shape[1] if memory and past[0] is not None else before
        seen = self._seen(x, kept, memory, same_length)
        how = {"relative": self.relative, "table": None}
        if self.relative is not None:
            sizes = x.shape[1], kept + x.shape[1], self.dim
            how["table"] = self.relative.table(*sizes, causal=bool(self.causal), like=out[0])
        for k, block in enumerate(self.blocks):
            own = {"cache": cache[k]} if cache is not None else {}
            out.append(block(out[-1], seen, past[k], **how, **own))
        out[-1] = self.norm_out(out[-1])
        return out

    def _embedded(self, x: Tensor, segments: Tensor | None, before: int) -> Tensor:
        e = self.embeddings(x.clamp_min(0))
        if self.segments is not None:
            e = e + self.segments(torch.zeros_like(x) if segments is None else segments)
        if self.positions is None:
            return self.drop(e * self.dim**0.5)
        at = torch.arange(before, before + x.shape[1], device=x.device)
        return self.drop(self.norm_in(e + self.positions(at)))

    def _seen(self, x: Tensor, kept: int, memory: Memory | None, same_length: int) -> Seen:
        """Who looks at whom; behind a text there is nothing to be seen, and before it invalid
        memory."""
        t = x.shape[1]
        if self.causal and not kept and not same_length and self.relative is None:
            return Seen(causal=True)  # nothing stands behind a text, out of its tokens' sight
        if self.causal:
            far = kept + torch.arange(t, device=x.device)[:, None]
            far = far - torch.arange(kept + t, device=x.device)
            mask = (far >= 0) & (far < same_length) if same_length else far >= 0
        else:
            there = x >= 0
            # One key at least must be seen, even where there is nothing at all.
            there = torch.cat([torch.ones_like(there[:, :1]), there[:, 1:]], 1)
            mask = nn.functional.pad(there, (kept, 0), value=True)[:, None, None]
        if memory is not None and memory.valid is not None:
            remembered = nn.functional.pad(
                memory.valid[:, None].expand(-1, kept), (0, t), value=True
            )
            mask = mask & remembered[:, None, None]
        return Seen(mask)

    def _check_input(self, x: Tensor, before: int) -> None:
        if x.ndim != 2 or x.dtype != torch.int64 or not 0 < x.shape[1] <= self.context - before:
            raise InputError(
                f"{type(self).__name__} takes tokens, int64 [B, T] with T from 1 to its context "
                f"of {self.context}, got {x.dtype} {list(x.shape)} behind {before} others"
            )

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        states = self.states(x)
        return dict(zip(self.levels, (s.transpose(1, 2) for s in states), strict=True))

    def average(self, m: Tensor, x: Tensor) -> Tensor:
        """States [B, C, T] averaged over the tokens that there are, [B, C]."""
        there = (x >= 0).unsqueeze(1)
        return m.masked_fill(~there, 0).sum(2) / there.sum(2).clamp_min(1)

    def new_cache(self) -> list[KeyValues]:
        """An empty cache for `states`.

        Raises:
            InputError: an encoder that cannot go on token by token.
        """
        if not self.causal or self.relative is not None:
            raise InputError("only a causal encoder with learned positions keeps keys and values")
        return [KeyValues() for _ in self.blocks]

    def remember(self, memory: Memory | None, states: list[Tensor], length: int) -> Memory:
        """The last `length` of what each block was given, with what it remembered of before."""
        kept = []
        for k, new in enumerate(states[:-1]):
            both = new if memory is None else torch.cat([memory.states[k], new], 1)
            kept.append(both[:, max(both.shape[1] - length, 0) :].detach())
        return Memory(kept)


def _cached(cache: Sequence[KeyValues] | None) -> int:
    keys = cache[0].keys if cache else None
    return 0 if keys is None else keys.shape[2]


def _check(
    vocabulary: int, context: int, width: int, depth: int, heads: int, activation: str
) -> None:
    if min(vocabulary, context, width, heads) < 1 or width % 2 or width % heads or depth < 2:
        raise InputError(
            f"no such transformer: vocabulary {vocabulary} and context {context} are 1 or more, "
            f"width {width} an even multiple of heads {heads}, and depth {depth} at least 2"
        )
    if activation not in ACTIVATIONS:
        raise InputError(f"no activation {activation!r}; take {', '.join(ACTIVATIONS)}")
