"""Clips beside sounds: how both are read, which are paired, and what each pair weighs.

Pairs that belong together weigh as much as those that do not. Tensors of pairs: "picture" int64
[P], which clip of this process; "sound" int64 [P], which sound of all processes; "target" int64
[P], 1 where they belong together; "weight" float32 [P], 0 for pairs that cannot be asked.
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
    task: PairingTask,
    head: Callable[[Tensor, Tensor], Tensor],
    batch: Batch,
    names: tuple[str, str],
    row: Callable[[Tensor, Tensor], tuple[list[Tensor], list[str]]],
) -> Step:
    """Asks of each pair of a batch whether clip and sound belong together; none is encoded twice.

    Args:
        head: logits [P, 2] of features of clips and of sounds.
        names: of the answers no and yes.
        row: images and captions of one clip [3, T, H, W] and one sound [1, S].
    """
    clips = task.encode_video(batch["inputs"])
    sounds, offset = gathered(task.encode_audio(batch["audio"]))
    logits = head(clips[batch["picture"]], sounds[batch["sound"]])
    local = batch["sound"] - offset

    def shown(i: int) -> tuple[list[Tensor], list[str]]:
        return row(batch["inputs"][batch["picture"][i]], batch["audio"][local[i]])

    here = (local >= 0) & (local < len(batch["audio"]))
    return classify(logits, batch, names, shown, rows=lambda: _some(batch["target"], here))


def beside_others(names: Tensor, audible: Tensor, count: int) -> Batch:
    """Each clip with its own sound, then with `count` sounds of other videos.

    Every sound stands as often as any other in both kinds of pairs.

    Args:
        names: int64 [B], which video each row is of; a batch may hold one twice.
        audible: bool [B]; others are not asked, and are nobody's partner.
        count: sounds of other videos, at most all others; together they weigh as much as the own.
    """
    own = torch.arange(len(names), device=names.device)
    count = min(count, max(len(names) - 1, 1))
    # Audible ones come first, and are partners of one another.
    order = (~audible).long().argsort(stable=True)
    place, some = order.argsort(), audible.sum().clamp_min(1)
    other = torch.cat([order[(place + k) % some] for k in range(1, count + 1)])
    picture = own.repeat(count)
    possible = ((names[picture] != names[other]) & audible[picture]).float().view(count, -1)
    negative = (possible / possible.sum(0).clamp_min(1)).flatten()
    return _pairs([own, picture], [own, other], [1, 0], [audible.float(), negative])


def beside_other_moments(names: Tensor, audible: Tensor, *, cross_video: bool = False) -> Batch:
    """Each clip with its own sound, then with that of the other moment of its video.

    Args:
        names: int64 [B], which video.
        audible: bool [2B]; rows 2i and 2i + 1 are two moments of video i, which is asked if both
            are audible.
        cross_video: then also with a sound of the next video; such pairs, and those with the
            other moment, weigh as much as each other, both as much as those that belong together.
    """
    own = torch.arange(len(audible), device=audible.device)
    asked = audible.unflatten(0, (-1, 2)).all(1).float().repeat_interleave(2)
    if not cross_video:
        return _pairs([own, own], [own, own ^ 1], [1, 0], [asked, asked])
    apart = (names != names.roll(-1)).float().repeat_interleave(2)
    weights = [asked, asked / 2, asked * asked.roll(-2) * apart / 2]
    return _pairs([own] * 3, [own, own ^ 1, own.roll(-2)], [1, 0, 0], weights)


def exchanged(names: Tensor, audible: Tensor, drawn: Tensor) -> Batch:
    """Each clip and each sound in one pair alone: half with their own, half exchanged.

    Args:
        names, audible: as in `beside_others`.
        drawn: float [B]; the lesser half is exchanged, each with the next greater.
    """
    own = torch.arange(len(names), device=names.device)
    order = torch.where(audible, drawn, drawn + drawn.max() + 1).argsort()
    place, half = order.argsort(), audible.sum() // 2
    moved = place < half
    other = order[(place + 1) % half.clamp_min(1)]
    sound = torch.where(moved, other, own)
    possible = (names != names[sound]) | ~moved
    weight = (possible & (place < 2 * half)).float()
    return {"picture": own, "sound": sound, "target": (~moved).long(), "weight": weight}


def among_all(choose: Callable[..., Batch], names: Tensor, audible: Tensor, *more: Tensor) -> Batch:
    """Pairs that `choose` makes of the rows of all processes: those whose clip is of this one.

    Args:
        choose: one of the above, from names, audible rows, and more tensors of one entry a row.
    """
    every, _ = gathered(names)
    flags, offset = gathered(audible)
    pairs = choose(every, flags, *(gathered(x)[0] for x in more))
    here = (pairs["picture"] >= offset) & (pairs["picture"] < offset + len(audible))
    kept = {name: x[here] for name, x in pairs.items()}
    return {**kept, "picture": kept["picture"] - offset}


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


def _some(target: Tensor, here: Tensor) -> list[int]:
    """Up to two pairs of either answer, alternately, of those whose sound is of this process."""
    right, wrong = (((target == answer) & here).nonzero()[:2, 0] for answer in (1, 0))
    both = torch.stack([right, wrong], 1).flatten() if len(right) == len(wrong) else right
    return both.tolist()
