"""Which picture meets which sound of a batch, and what each pair weighs.

Pairs that belong together weigh as much as those that do not. Tensors of the results: "picture"
and "sound" int64 [P], which of the batch; "target" int64 [P], 1 where they belong together;
"weight" float32 [P], 0 for pairs that cannot be asked.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from ...modalities.input_spec import InputSpec
from ..task import Batch


@runtime_checkable
class Pairing(Protocol):
    """A task that says how well a picture and a sound belong together.

    Attributes:
        view: of the pictures, and `sound` of the sounds.
    """

    view: InputSpec
    sound: InputSpec

    def see(self, clips: Tensor) -> Tensor:
        """Features of pictures, float [B, 3, T, H, W] in [0, 1]: [B, D]."""
        ...

    def hear(self, sounds: Tensor) -> Tensor:
        """Features of sounds, float [B, 1, N] in [-1, 1]: [B, E]."""
        ...

    def agree(self, seen: Tensor, heard: Tensor) -> Tensor:
        """How well rows of features belong together, the more the better: [B]."""
        ...


def beside_others(names: Tensor, audible: Tensor, count: int) -> Batch:
    """Each picture with its own sound, then with `count` sounds of other videos.

    Every sound stands as often as any other in both kinds of pairs.

    Args:
        names: int64 [B], which video each row is of; a batch may hold one twice.
        audible: bool [B]; others are not asked, and are nobody's partner.
        count: sounds of other videos, at most all others; together they weigh as much as the own.
    """
    own = torch.arange(len(names), device=names.device)
    count = min(count, max(len(names) - 1, 1))
    # Those that are heard come first, and are partners of one another.
    order = (~audible).long().argsort(stable=True)
    place, heard = order.argsort(), audible.sum().clamp_min(1)
    other = torch.cat([order[(place + k) % heard] for k in range(1, count + 1)])
    picture = own.repeat(count)
    possible = ((names[picture] != names[other]) & audible[picture]).float().view(count, -1)
    negative = (possible / possible.sum(0).clamp_min(1)).flatten()
    return _pairs([own, picture], [own, other], [1, 0], [audible.float(), negative])


def beside_the_other_moment(audible: Tensor) -> Batch:
    """Each picture with its own sound, then with that of the other moment of its video.

    Args:
        audible: bool [2B]; rows 2i and 2i + 1 are two moments of one video, which is asked if
            both are heard.
    """
    own = torch.arange(len(audible), device=audible.device)
    asked = audible.unflatten(0, (-1, 2)).all(1).float().repeat_interleave(2)
    return _pairs([own, own], [own, own ^ 1], [1, 0], [asked, asked])


def each_once(names: Tensor, audible: Tensor, drawn: Tensor) -> Batch:
    """Each picture and each sound in one pair alone: half with their own, half exchanged.

    Args:
        names, audible: as in `beside_others`.
        drawn: float [B]; the lesser half is exchanged, each with the next greater.
    """
    own = torch.arange(len(names), device=names.device)
    order = torch.where(audible, drawn, drawn + drawn.max() + 1).argsort()
    place, half = order.argsort(), audible.sum() // 2
    exchanged = place < half
    other = order[(place + 1) % half.clamp_min(1)]
    sound = torch.where(exchanged, other, own)
    possible = (names != names[sound]) | ~exchanged
    asked = possible & (place < 2 * half)
    return {
        "picture": own,
        "sound": sound,
        "target": (~exchanged).long(),
        "weight": asked.float(),
    }


def _pairs(
    pictures: list[Tensor], sounds: list[Tensor], answers: list[int], weights: list[Tensor]
) -> Batch:
    targets = [torch.full_like(p, a) for p, a in zip(pictures, answers, strict=True)]
    return {
        "picture": torch.cat(pictures),
        "sound": torch.cat(sounds),
        "target": torch.cat(targets),
        "weight": torch.cat(weights),
    }
