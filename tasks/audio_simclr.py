"""Recognise the same recording in two segments of it that were changed at random."""

import torch

from ..errors import InputError
from .parts.across import rejected
from .parts.audio_input import AudioInput
from .parts.check import check_positive
from .parts.heads import projector
from .parts.losses import cosines, nt_xent
from .parts.segments import SegmentTask, segment_pictures
from .parts.sound_changes import SoundChanges, SoundGuards
from .task import Batch, Step


class AudioSimCLR(SegmentTask):
    """SimCLR on sound (Chen et al. 2020, arXiv:2002.05709; on sound, for example, CLAR:
    Al-Tahan & Mohsenzadeh 2021, arXiv:2010.09542).

    Two segments of each recording, each with its own background, shift, masks, colouring, noise
    and loudness, have to find each other among all segments of the batch, and of all processes'
    batches. Only the two segments are read; everything is changed on the device, before the
    encoder makes its spectrogram. The picture of a video is not read.

    Args:
        audio: what is pretrained; it hears each segment alone.
        context: seconds of a recording within which both segments lie; a recording that is
            shorter serves as a whole. They may overlap.
        temperature: of the loss.
        changes: of each segment.
        layers: of the projection head, 2 or 3.
        outputs: length of the projected vectors.
        guards: against shortcuts.
    """

    def __init__(
        self,
        audio: AudioInput,
        *,
        context: float = 4.0,
        temperature: float = 0.1,
        changes: SoundChanges = SoundChanges(mix=0.2, masks=1, noise=0.5),
        layers: int = 2,
        outputs: int = 128,
        guards: SoundGuards = SoundGuards(),
    ):
        super().__init__(audio, context, changes, guards)
        check_positive(temperature=temperature)
        if layers not in (2, 3):
            raise InputError(f"the projection head has 2 or 3 layers, not {layers}")
        self.temperature = temperature
        self.projector = projector(audio.dim, outputs, layers=layers)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.audio.encode(torch.cat([batch["first"], batch["second"]]))
        first, second = self.projector(vectors).chunk(2)
        loss, found = nt_xent(first, second, self.temperature, batch["weight"])
        metrics = {"accuracy": found, "rejected": rejected(batch["weight"])}
        return Step(loss, metrics, segment_pictures(batch, cosines(first, second), self.audio))
