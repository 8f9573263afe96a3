"""Texts that a causal encoder continues, token by token."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ...encoders.text import Memory, TextTransformer
from ...errors import InputError


def filtered(logits: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits [B, V] with -inf for all but the likeliest.

    Args:
        top_k: how many stay; 0: all.
        top_p: the fewest stay whose probabilities add up to it (nucleus sampling: Holtzman et al.
            2020, arXiv:1904.09751); 1: all.
    """
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if top_p < 1:
        ordered, place = logits.sort(descending=True)
        p = ordered.softmax(-1)
        beyond = p.cumsum(-1) - p >= top_p  # what stands before it is enough
        logits = logits.masked_fill(beyond.gather(-1, place.argsort(-1)), float("-inf"))
    return logits


Read = Callable[[Tensor], Tensor]  # of tokens [B, T] that follow those before the last state [B, C]


def _by_cache(encoder: TextTransformer) -> Read:
    cache = encoder.new_cache()
    return lambda tokens: encoder.states(tokens, cache=cache)[-1][:, -1]


def _by_memory(encoder: TextTransformer, length: int) -> Read:
    kept: Memory | None = None

    def read(tokens: Tensor) -> Tensor:
        nonlocal kept
        states = []
        for part in tokens.split(encoder.context, 1):
            states = encoder.states(part, memory=kept)
            kept = encoder.remember(kept, states, length)
        return states[-1][:, -1]

    return read


@torch.no_grad()
def continue_text(
    encoder: TextTransformer,
    score: Callable[[Tensor], Tensor],
    prompt: Tensor,
    count: int,
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    memory: int = 0,
    rng: Generator | None = None,
) -> Tensor:
    """So many tokens more, int64 [B, count].

    Of those before, an encoder with learned positions keeps keys and values, one with relative
    positions the last `memory` states, so that no context ends its text.

    Args:
        encoder: causal, in evaluation mode.
        score: gives logits [B, V] for last states [B, C].
        prompt: tokens, int64 [B, T].
        temperature: of the probabilities that are drawn from; 0: always the likeliest.
        top_k, top_p: see `filtered`.
        memory: of an encoder with relative positions, how many tokens it sees before each.
        rng: of the draws; None: PyTorch's own.

    Raises:
        InputError: an encoder of another kind, or more tokens than fit into a context of learned
            positions.
    """
    if temperature < 0 or not 0 < top_p <= 1 or top_k < 0:
        raise InputError("temperature and top_k are 0 or more, and top_p is above 0, at most 1")
    if encoder.relative is None and prompt.shape[1] + count > encoder.context:
        raise InputError(
            f"{prompt.shape[1]} tokens and {count} more do not fit into the encoder's context of "
            f"{encoder.context}"
        )
    read = _by_cache(encoder) if encoder.relative is None else _by_memory(encoder, memory)
    last, found = prompt, []
    for _ in range(count):
        logits = score(read(last))
        if temperature:
            p = filtered(logits / temperature, top_k, top_p).softmax(-1)
            last = torch.multinomial(p, 1, generator=rng)
        else:
            last = logits.argmax(-1, keepdim=True)
        found.append(last)
    return torch.cat(found, 1)
