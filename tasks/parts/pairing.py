"""Clips beside sounds or flow: how both are read, which are paired, and what each pair weighs.

Pairs that belong together weigh as much as those that do not. Tensors of pairs: "picture" int64
[P], which clip of this process; "partner" int64 [P], which sound or flow of all processes; "target"
int64 [P], 1 where they belong together; "weight" float32 [P], 0 for pairs that cannot be asked.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...errors import InputError
from ...modalities.media import Plan
from ..task import Batch, Step, Task
from .across import gathered
from .audio_input import AudioInput
from .classify import classify
from .clip_input import ClipInput
from .sound_changes import SoundGuards
from .transforms import Colour, Crop


class PairingTask(Task, ABC):
    """A task that says how well a clip and a sound belong together.

    Args:
        video: what is pretrained on pictures or clips.
        audio: what is pretrained on sound; its length is that inside which the clip lies.
        crop: one for all frames of a medium.
        colour: one change for all frames of a medium.
        guards: against shortcuts.

    Raises:
        InputError: a clip that is longer than the sound in which it is to lie.
    """

    def __init__(
        self,
        video: ClipInput,
        audio: AudioInput,
        *,
        crop: Crop,
        colour: Colour,
        guards: SoundGuards,
    ):
        super().__init__(video=video, audio=audio)
        if video.span > audio.seconds:
            raise InputError(
                f"a clip of {video.span:g} s does not fit into {audio.seconds:g} s of sound: lower "
                "frames or frame_interval of the video, or raise seconds of the audio"
            )
        self.video, self.audio = video, audio
        self.crop, self.colour, self.sound_guards = crop, colour, guards

    @abstractmethod
    def encode_video(self, clips: Tensor) -> Tensor:
        """Features of clips, float [B, 3, T, H, W] in [0, 1]: [B, D]."""

    @abstractmethod
    def encode_audio(self, sounds: Tensor) -> Tensor:
        """Features of sounds, float [B, 1, S] in [-1, 1]: [B, E]."""

    @abstractmethod
    def score(self, clips: Tensor, sounds: Tensor) -> Tensor:
        """How well rows of features belong together, the more the better: [B]."""


def plan_pairs(
    video: ClipInput, audio: AudioInput, clips: Sequence[float], sounds: Sequence[float]
) -> Plan:
    """Clips and sounds of one medium that start at these seconds; nothing between them is read."""
    return replace(video.plan(*clips), audio=audio.spans(*sounds))


def judged(
    clips: Tensor,
    partners: Tensor,
    head: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
    names: tuple[str, str],
    row: Callable[[int, int], tuple[list[Tensor], list[str]]],
) -> Step:
    """Asks of each pair of a batch whether both belong together; nothing is encoded twice.

    Args:
        clips: features [B, D] of this process's clips.
        partners: features [B, E] of its sounds or flow.
        head: logits [P, 2] of features of both.
        names: of the answers no and yes.
        row: images and captions of a clip and a partner of this process, by their numbers.
    """
    every, offset = gathered(partners)
    logits = head(clips[batch["picture"]], every[batch["partner"]])
    local = batch["partner"] - offset

    def shown(i: int) -> tuple[list[Tensor], list[str]]:
        return row(int(batch["picture"][i]), int(local[i]))

    here = (local >= 0) & (local < len(partners))
    return classify(logits, batch, names, shown, rows=lambda: _some(batch["target"], here))


def beside_others(names: Tensor, usable: Tensor, count: int) -> Batch:
    """Each clip with its own partner, then with `count` partners of other videos.

    Every partner stands as often as any other in both kinds of pairs.

    Args:
        names: int64 [B], which video each row is of; a batch may hold one twice.
        usable: bool [B], as sounds that are audible; others are not asked, and are nobody's
            partner.
        count: partners of other videos, at most all others; together they weigh as much as the
            own.
    """
    own = torch.arange(len(names), device=names.device)
    count = min(count, max(len(names) - 1, 1))
    # Usable ones come first, and are partners of one another.
    order = (~usable).long().argsort(stable=True)
    place, some = order.argsort(), usable.sum().clamp_min(1)
    other = torch.cat([order[(place + k) % some] for k in range(1, count + 1)])
    picture = own.repeat(count)
    possible = ((names[picture] != names[other]) & usable[picture]).float().view(count, -1)
    negative = (possible / possible.sum(0).clamp_min(1)).flatten()
    return _pairs([own, picture], [own, other], [1, 0], [usable.float(), negative])


def beside_other_moments(names: Tensor, usable: Tensor, *, cross_video: bool = False) -> Batch:
    """Each clip with its own partner, then with that of the other moment of its video.

    Args:
        names: int64 [B], which video.
        usable: bool [2B]; rows 2i and 2i + 1 are two moments of video i, which is asked if both
            are usable.
        cross_video: then also with a partner of the next video; such pairs, and those with the
            other moment, weigh as much as each other, both as much as those that belong together.
    """
    own = torch.arange(len(usable), device=usable.device)
    asked = usable.unflatten(0, (-1, 2)).all(1).float().repeat_interleave(2)
    if not cross_video:
        return _pairs([own, own], [own, own ^ 1], [1, 0], [asked, asked])
    apart = (names != names.roll(-1)).float().repeat_interleave(2)
    weights = [asked, asked / 2, asked * asked.roll(-2) * apart / 2]
    return _pairs([own] * 3, [own, own ^ 1, own.roll(-2)], [1, 0, 0], weights)


def exchanged(names: Tensor, usable: Tensor, drawn: Tensor) -> Batch:
    """Each clip and each partner in one pair alone: half with their own, half exchanged.

    Args:
        names, usable: as in `beside_others`.
        drawn: float [B]; the lesser half is exchanged, each with the next greater.
    """
    own = torch.arange(len(names), device=names.device)
    order = torch.where(usable, drawn, drawn + drawn.max() + 1).argsort()
    place, half = order.argsort(), usable.sum() // 2
    moved = place < half
    other = order[(place + 1) % half.clamp_min(1)]
    partner = torch.where(moved, other, own)
    possible = (names != names[partner]) | ~moved
    weight = (possible & (place < 2 * half)).float()
    return {"picture": own, "partner": partner, "target": (~moved).long(), "weight": weight}


def among_all(choose: Callable[..., Batch], names: Tensor, usable: Tensor, *more: Tensor) -> Batch:
    """Pairs that `choose` makes of the rows of all processes: those whose clip is of this one.

    Args:
        choose: one of the above, from names, usable rows, and more tensors of one entry a row.
    """
    every, _ = gathered(names)
    flags, offset = gathered(usable)
    pairs = choose(every, flags, *(gathered(x)[0] for x in more))
    here = (pairs["picture"] >= offset) & (pairs["picture"] < offset + len(usable))
    kept = {name: x[here] for name, x in pairs.items()}
    return {**kept, "picture": kept["picture"] - offset}


def _pairs(
    pictures: list[Tensor], partners: list[Tensor], answers: list[int], weights: list[Tensor]
) -> Batch:
    targets = [torch.full_like(p, a) for p, a in zip(pictures, answers, strict=True)]
    return {
        "picture": torch.cat(pictures),
        "partner": torch.cat(partners),
        "target": torch.cat(targets),
        "weight": torch.cat(weights),
    }


def _some(target: Tensor, here: Tensor) -> list[int]:
    """Up to two pairs of either answer, alternately, of those whose partner is of this process."""
    right, wrong = (((target == answer) & here).nonzero()[:2, 0] for answer in (1, 0))
    both = torch.stack([right, wrong], 1).flatten() if len(right) == len(wrong) else right
    return both.tolist()
