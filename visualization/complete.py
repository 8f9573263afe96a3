"""What a trained language model makes of a text: it goes on with it, or fills what is masked."""

from typing import Any

import torch
from torch import Generator

from ..errors import InputError
from ..modalities.tokenizer import MASK, Tokenizer
from ..tasks.causal_language import CausalLanguage
from ..tasks.masked_language import MaskedLanguage
from ..tasks.parts.generation import continue_text
from ..tasks.segment_recurrence import SegmentRecurrence

Row = dict[str, Any]


def complete(
    task: CausalLanguage | SegmentRecurrence,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    tokens: int | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    rng: Generator | None = None,
) -> Row:
    """How the text goes on, up to the end of its document.

    Args:
        task: trained, in evaluation mode.
        tokenizer: of its run.
        prompt: the beginning.
        tokens: how many more at most; None: 100, or as many as half of a context of learned
            positions.
        temperature, top_k, top_p, rng: see `continue_text`.

    Returns:
        `prompt`; `text`, what follows; `tokens`, how many; `left_out`, how many of the prompt's
        first tokens have no room in a context of learned positions.

    Raises:
        InputError: an empty prompt, more tokens than such a context has room for, or no such draws.
    """
    encoder = task.text.encoder
    (read,) = tokenizer.encode([prompt])
    if not len(read):
        raise InputError("the prompt has no tokens: give some text to go on from")
    left_out, learned = 0, encoder.relative is None
    tokens = tokens or min(100, encoder.context // 2 if learned else 100)
    if learned:
        if tokens >= encoder.context:
            raise InputError(
                f"--tokens {tokens}: the encoder's context of {encoder.context} tokens has no room "
                f"for them and a prompt; take {encoder.context - 1} or fewer"
            )
        left_out = max(len(read) + tokens - encoder.context, 0)
    own = task.memory if isinstance(task, SegmentRecurrence) else 0
    found = continue_text(
        encoder,
        task.logits,
        torch.from_numpy(read[left_out:])[None],
        tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        memory=own or task.text.length,
        rng=rng,
    )[0].tolist()
    end = tokenizer.vocabulary.end
    found = found[: found.index(end)] if end in found else found
    text = tokenizer.decode(found)
    return {"prompt": prompt, "text": text, "tokens": len(found), "left_out": left_out}


@torch.no_grad()
def fill_masks(task: MaskedLanguage, tokenizer: Tokenizer, prompt: str, *, most: int = 5) -> Row:
    """What may stand in the place of each [MASK].

    Args:
        task: trained, in evaluation mode.
        tokenizer: of its run.
        prompt: the text with its masks.
        most: candidates of each.

    Returns:
        `prompt`; `masks`, for each its candidates with their probabilities, likeliest first;
        `text`, the prompt with the likeliest ones.

    Raises:
        InputError: no mask in it, or more tokens than the encoder's context.
    """
    words, encoder = tokenizer.vocabulary, task.text.encoder
    parts = prompt.split(MASK)
    if len(parts) == 1:
        raise InputError(f"the prompt has no {MASK}: write it where a token is to be guessed")
    read = [words.cls] if words.cls >= 0 else []
    for k, part in enumerate(tokenizer.encode(parts)):
        read += [words.mask] * (k > 0) + part.tolist()
    read += [words.sep] if words.sep >= 0 else []
    if len(read) > encoder.context:
        raise InputError(
            f"the prompt has {len(read)} tokens with its special ones, but the encoder's context "
            f"is {encoder.context}: shorten it"
        )
    x = torch.tensor([read])
    p = task.logits(encoder.states(x)[-1][x == words.mask]).softmax(-1)
    best = p.topk(min(most, p.shape[1]))
    text = parts[0]
    for token, part in zip(best.indices[:, 0].tolist(), parts[1:], strict=True):
        text += tokenizer.spelling(token).removeprefix("##") + part
    masks = [
        [
            {"token": tokenizer.spelling(t), "probability": round(q, 4)}
            for t, q in zip(*both, strict=True)
        ]
        for both in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
    return {"prompt": prompt, "text": text, "masks": masks}
