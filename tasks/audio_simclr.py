"""Recognise the same recording in two stretches of it that were changed at random."""

import torch
import torch.nn.functional as F
from torch import Generator

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.audio_input import sound_changes
from .parts.heads import projector
from .parts.losses import nt_xent
from .parts.sampling import (
    CODEC,
    change_stretches,
    draw_stretches,
    pair_pictures,
    plan_stretches,
    stretch_guards,
    stretch_view,
)
from .task import Batch, Picture, Step, Task


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
        if not temperature > 0:
            raise InputError(f"temperature must be above 0, got {temperature:g}")
        if layers not in (2, 3):
            raise InputError(f"the projection head has 2 or 3 layers, not {layers}")
        self.view = stretch_view(encoder, seconds, reach)
        self.reach, self.temperature, self.skip_silence = reach, temperature, skip_silence
        changes = {"mix": mix, "shift": shift, "masks": masks, "mask": mask, "noise": noise}
        self.draw = sound_changes(**changes, level=level, equalise=equalise)
        self.encoder = encoder
        self.projector = projector(encoder.dim, outputs, layers=layers)
        self.guards = stretch_guards(level=level, equalise=equalise, skip_silence=skip_silence)
        self.audits = (CODEC,)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {"audio": self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {"audio": self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        return plan_stretches(self.view, self.reach, info, rng)

    def example(self, sample: Sample, rng: Generator) -> Batch:
        return draw_stretches(sample, self.view, self.draw, rng, skip_silence=self.skip_silence)

    def augment(self, batch: Batch) -> Batch:
        return change_stretches(batch, self.view.rate)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.encoder(torch.cat([batch["first"], batch["second"]]))
        first, second = self.projector(vectors).chunk(2)
        loss, found = nt_xent(first, second, self.temperature)

        def pictures() -> list[Picture]:
            a, b = (F.normalize(x.detach(), dim=1) for x in (first, second))
            return pair_pictures(batch, a @ b.T, self.view.rate)

        metrics = {"accuracy": found, "silent": batch["silent"].float().mean()}
        return Step(loss, metrics, pictures)
