"""What tasks on text share: the loss over tokens of all processes, and its measures."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..task import Picture, Step
from .across import shared_mean, summed, weighted_mean
from .text_pictures import in_one_line, lines_of, text_picture


def language_step(
    losses: Tensor,
    right: Tensor,
    asked: Tensor,
    bytes_per_token: Tensor,
    pictures: Callable[[], list[Picture]],
) -> Step:
    """The mean loss over the tokens that are asked, and what it means.

    Args:
        losses: float [N], of each token, in nats.
        right: bool [N], whether the likeliest one was it.
        asked: bool [N]; the others do not count.
        bytes_per_token: float [B], of the texts that the tokens are of.
        pictures: see `Step`.
    """
    weight = asked.float()
    loss = weighted_mean(losses, weight, summed(weight.sum()))
    mean = shared_mean(losses.detach().float(), weight)
    size = shared_mean(bytes_per_token.float(), torch.ones_like(bytes_per_token).float())
    metrics = {
        "accuracy": shared_mean(right.float(), weight),
        "bits_per_byte": mean / math.log(2) / size,
        "perplexity": mean.clamp(max=30).exp(),
    }
    return Step(loss, metrics, pictures)


def guess_pictures(
    tokens: Tensor, target: Tensor, guess: Tensor, words: Callable[[Tensor], list[str]]
) -> list[Picture]:
    """Up to four texts, with the tokens that were asked for in colour, and what was said instead.

    Args:
        tokens: int64 [B, T], what was read.
        target: int64 [B, T], what was asked for; -1: nothing.
        guess: int64 [B, T], what was said.
        words: how tokens [N] are written.
    """
    made = []
    for row in range(min(len(tokens), 4)):
        asked = target[row] >= 0
        right = asked & (guess[row] == target[row])
        said = torch.where(asked, guess[row], tokens[row])
        shades = [0 if not a else 1 if r else 2 for a, r in zip(asked, right, strict=True)]
        hidden = [3 if a else 0 for a in asked]
        texts = words(tokens[row].cpu()), words(said.cpu())
        lines = max(map(lines_of, texts))
        images = [
            text_picture(text, ground, lines=lines)
            for text, ground in zip(texts, (hidden, shades), strict=True)
        ]
        some = asked.nonzero()[:, 0][:6].cpu()
        answer = "".join(words(target[row].cpu()[some])) or "nothing"
        share = f"{int(right.sum())} of {int(asked.sum())} right"
        prediction = f"{''.join(words(guess[row].cpu()[some])) or 'nothing'} … {share}"
        answer, prediction = map(in_one_line, (answer, prediction))
        made.append(Picture(images, ["read", "said"], answer, prediction))
    return made
