"""Random changes of sound, and the guards among them: drawn in a worker, applied on the device."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor

from ...modalities.transforms import audio
from ..task import Guard
from .check import check_least, check_share
from .sound_cues import Relation, loudness, room_tone, silence, silent
from .transforms import Drawn, of_view

EQUALISE = 12.0  # decibels by which colouring changes at most
DRAWN = ("mix", "shift", "masks", "bands", "gains", "noise", "loudness")


@dataclass(frozen=True)
class SoundGuards:
    """Counter-measures against telling sounds by what all of a recording has in common.

    Args:
        loudness: give each segment a loudness of its own.
        equalise: change the colouring of each segment by up to 12 decibels, smoothly: that of
            rooms and microphones is hidden, the edge where a codec cuts is not.
        silence: leave out whatever has a silent segment in it: it is neither asked, nor an
            answer that others choose from.
    """

    loudness: bool = True
    equalise: bool = True
    silence: bool = True

    def audible(self, sounds: Tensor) -> Tensor:
        """Which of float [..., 1, S], as they were read, may be asked: bool [...]."""
        mute = silent(sounds)
        return ~mute if self.silence else torch.ones_like(mute)

    def records(self, relation: Relation, **cues: str) -> tuple[Guard, ...]:
        """The guards with their probes.

        Args:
            relation: how a probe relates a cue of sounds to the question.
            cues: by a guard's name the shortcut that it removes from this task, in words.
        """
        measures = {"loudness": loudness, "equalise": room_tone, "silence": silence}
        return tuple(
            Guard(name, cue, getattr(self, name), partial(relation, measures[name]))
            for name, cue in cues.items()
        )


@dataclass(frozen=True)
class SoundChanges:
    """Random changes of each segment of sound. Only what is asked for is drawn.

    `mix` alone depends on what else is in the batch: its backgrounds are of the same process.

    Args:
        mix: greatest share of the energy that another sound of the batch takes, as a background
            (BYOL-A: Niizumi et al. 2021, arXiv:2103.06695).
        shift: greatest share of the length by which a segment turns around.
        masks: segments of time, and as many bands of frequency, that are silenced (SpecAugment:
            Park et al. 2019, arXiv:1904.08779, on the waveform).
        mask: greatest share of the length, and of the mel scale, of each.
        noise: probability of white noise, 10 to 40 decibels below the sound.

    Raises:
        InputError: a share that is none, or a negative number of masks.
    """

    mix: float = 0.0
    shift: float = 0.0
    masks: int = 0
    mask: float = 0.2
    noise: float = 0.0

    def __post_init__(self):
        check_share(mix=self.mix, shift=self.shift, mask=self.mask, noise=self.noise)
        check_least(0, masks=self.masks)

    def draw(self, rng: Generator, guards: SoundGuards) -> Drawn:
        """What changes one segment, what guards change among it, by the names in `DRAWN`."""
        drawn: Drawn = {}
        if self.mix:
            drawn["mix"] = audio.draw_mixup(rng, self.mix)
        if self.shift:
            drawn["shift"] = audio.draw_shift(rng, self.shift)
        if self.masks:
            drawn["masks"] = audio.draw_masks(rng, self.masks, self.mask)
            drawn["bands"] = audio.draw_masks(rng, self.masks, self.mask)
        if guards.equalise:
            drawn["gains"] = audio.draw_equaliser(rng, EQUALISE)
        if self.noise:
            drawn["noise"] = audio.draw_noise(rng, p=self.noise)
        if guards.loudness:
            drawn["loudness"] = audio.draw_level(rng)
        return drawn

    def apply(self, x: Tensor, drawn: Drawn, rate: int) -> Tensor:
        """Changes float [B, 1, S] at `rate` Hz, or [B, N, 1, S] by [B, N, …]; it stays in [-1, 1].

        Loudness comes last, so that nothing of the recording's own remains in it.
        """
        if x.ndim == 4:
            views = [self.apply(x[:, k], of_view(drawn, k, DRAWN), rate) for k in range(x.shape[1])]
            return torch.stack(views, 1)
        if "mix" in drawn:
            x = audio.apply_mixup(x, drawn["mix"])
        if "shift" in drawn:
            x = audio.apply_shift(x, drawn["shift"])
        if "bands" in drawn or "gains" in drawn:
            x = audio.apply_filter(x, rate, bands=drawn.get("bands"), gains=drawn.get("gains"))
        if "noise" in drawn:
            x = audio.apply_noise(x, drawn["noise"])
        if "masks" in drawn:
            x = audio.apply_masks(x, drawn["masks"])
        if "loudness" in drawn:
            x = audio.apply_level(x, drawn["loudness"])
        return x.clamp(-1, 1)
