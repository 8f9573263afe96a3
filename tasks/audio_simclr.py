"""Recognise the same recording in two stretches of it that were changed at random."""

import torch
import torch.nn.functional as F
from torch import Generator

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.view import View
from .contrast import nt_xent
from .heads import projector
from .sounds import (
    CODEC,
    change_sound,
    draw_sound,
    of_view,
    pair_loudness,
    pair_pictures,
    pair_room_tone,
    pair_silence,
    plan_stretches,
    silent_share,
    sound_view,
    stacked,
    two_stretches,
)
from .task import Batch, Guard, Picture, Step, Task


class AudioSimCLR(Task):
    """SimCLR on sound (Chen et al. 2020, arXiv:2002.05709; on sound, for example, CLAR:
    Al-Tahan & Mohsenzadeh 2021, arXiv:2010.09542).

    Two stretches of each recording, each with its own background, shift, masks, colouring, noise
    and loudness, have to find each other among all stretches of the batch. Sound travels to the
    device once per stretch; everything is changed there, before the encoder makes its
    spectrogram. The picture of a video is not read.

    Args:
        encoder: audio encoder that is pretrained.
        seconds: length of a stretch.
        reach: seconds of a recording within which both stretches lie; a recording that is
            shorter serves as a whole. They may overlap.
        temperature: of the loss.
        mix: greatest share of the energy that another sound of the batch takes, as a background
            of its own behind each stretch (BYOL-A: Niizumi et al. 2021, arXiv:2103.06695).
        shift: greatest share of the length by which a stretch turns around.
        masks: stretches of time, and bands of frequency, that are silenced in each view
            (SpecAugment: Park et al. 2019, arXiv:1904.08779, on the waveform).
        mask: greatest share of the length, and of the mel scale, of each.
        noise: probability of white noise, 10 to 40 decibels below the sound.
        layers: of the projection head, 2 or 3.
        outputs: length of the projected vectors.
        level: give each stretch a loudness of its own, so that the recording's tells nothing.
        equalise: change the colouring of each stretch by up to 12 decibels.
        skip_silence: cut stretches that are not silent, where a few tries find any.

    Raises:
        InputError: an encoder that does not hear, or options outside their range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        seconds: float = 1.0,
        reach: float = 4.0,
        temperature: float = 0.1,
        mix: float = 0.2,
        shift: float = 0.0,
        masks: int = 1,
        mask: float = 0.2,
        noise: float = 0.5,
        layers: int = 2,
        outputs: int = 128,
        level: bool = True,
        equalise: bool = True,
        skip_silence: bool = True,
    ):
        super().__init__()
        if temperature <= 0:
            raise InputError(f"temperature must be above 0, got {temperature:g}")
        if layers not in (2, 3):
            raise InputError(f"the projection head has 2 or 3 layers, not {layers}")
        for name, share in (("mix", mix), ("shift", shift), ("mask", mask), ("noise", noise)):
            if not 0 <= share <= 1:
                raise InputError(f"{name} is a share from 0 to 1, got {share:g}")
        self.view = sound_view(encoder, seconds)
        self.reach, self.temperature, self.skip_silence = reach, temperature, skip_silence
        self.mix, self.shift, self.masks, self.mask, self.noise = mix, shift, masks, mask, noise
        self.level, self.equalise = level, equalise
        self.encoder = encoder
        self.projector = projector(encoder.dim, outputs, layers=layers)
        tone = "room tone: microphone, room and codec colour all of a recording alike"
        self.guards = (
            Guard("level", "loudness of the recording", level, pair_loudness),
            Guard("equalise", tone, equalise, pair_room_tone),
            Guard("skip_silence", "silence at the ends", skip_silence, pair_silence),
        )
        self.audits = (CODEC,)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {"audio": self.encoder}

    @property
    def views(self) -> dict[str, View]:
        return {"audio": self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return plan_stretches(self.view, self.reach, info, rng)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        assert sample.audio is not None
        sound = two_stretches(sample.audio, self.view, rng, skip_silence=self.skip_silence)
        return {"audio": sound, **stacked([self._draw(rng), self._draw(rng)])}

    def _draw(self, rng: Generator) -> Batch:
        return draw_sound(
            rng,
            mix=self.mix,
            shift=self.shift,
            masks=self.masks,
            mask=self.mask,
            noise=self.noise,
            level=self.level,
            equalise=self.equalise,
        )

    def augment(self, batch: Batch) -> Batch:
        rate, sound = self.view.rate, batch["audio"]
        first, second = (change_sound(sound[:, k], of_view(batch, k), rate) for k in (0, 1))
        return {"first": first, "second": second}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.encoder(torch.cat([batch["first"], batch["second"]]))
        first, second = self.projector(vectors).chunk(2)
        loss, found = nt_xent(first, second, self.temperature)

        def pictures() -> list[Picture]:
            a, b = (F.normalize(x.detach(), dim=1) for x in (first, second))
            return pair_pictures(batch, a @ b.T, self.view.rate)

        return Step(loss, {"accuracy": found, "silent": silent_share(batch)}, pictures)
