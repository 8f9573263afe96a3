"""Which other stretch is from the same recording? A bilinear similarity decides."""

import torch
from torch import Generator, nn

from ..encoders.encoder import Encoder
from ..modalities.input_spec import InputSpec
from ..modalities.media import MediaInfo, Plan, Sample
from .parts.audio_input import sound_changes
from .parts.clip_input import check_least
from .parts.losses import match
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


class COLA(Task):
    """COLA: contrastive learning of general-purpose audio representations (Saeed et al. 2021,
    arXiv:2010.10915, section 2).

    Two stretches of each recording; the first of each has to find the second among the second
    stretches of the batch. Both are projected to g(x) = tanh(LayerNorm(linear)), and their
    similarity is g(x)ᵀ W g(x′) with a learned W. The paper changes nothing in the sound, and
    neither does this with `level=False`, unless it is told to.

    Args:
        encoder: audio encoder that is pretrained.
        seconds: length of a stretch.
        reach: seconds of a recording within which both stretches lie; a recording that is
            shorter serves as a whole. They may overlap.
        mix: greatest share of the energy that another sound of the batch takes, as a background
            of its own behind each stretch.
        shift: greatest share of the length by which a stretch turns around.
        masks: stretches of time, and bands of frequency, that are silenced in each stretch.
        mask: greatest share of the length, and of the mel scale, of each.
        noise: probability of white noise, 10 to 40 decibels below the sound.
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
        seconds: float = 0.96,
        reach: float = 10.0,
        mix: float = 0.0,
        shift: float = 0.0,
        masks: int = 0,
        mask: float = 0.2,
        noise: float = 0.0,
        outputs: int = 512,
        level: bool = True,
        equalise: bool = False,
        skip_silence: bool = True,
    ):
        super().__init__()
        check_least(1, outputs=outputs)
        self.view = stretch_view(encoder, seconds, reach)
        self.reach, self.skip_silence = reach, skip_silence
        changes = {"mix": mix, "shift": shift, "masks": masks, "mask": mask, "noise": noise}
        self.draw = sound_changes(**changes, level=level, equalise=equalise)
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(encoder.dim, outputs), nn.LayerNorm(outputs), nn.Tanh()
        )
        self.similarity = nn.Linear(outputs, outputs, bias=False)
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
        queries = self.similarity(first)
        loss, found = match(queries, second)

        def pictures() -> list[Picture]:
            likeness = queries.detach() @ second.detach().T
            return pair_pictures(batch, likeness, self.view.rate)

        metrics = {"accuracy": found, "silent": batch["silent"].float().mean()}
        return Step(loss, metrics, pictures)
