"""Which other stretch is from the same recording? A bilinear similarity decides."""

import torch
from torch import Generator, nn

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.view import View
from .contrast import match
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


class COLA(Task):
    """COLA: contrastive learning of general-purpose audio representations (Saeed et al. 2021,
    arXiv:2010.10915, section 2).

    Two stretches of each recording; the first of each has to find the second among the second
    stretches of the batch. Both are projected to g(x) = tanh(LayerNorm(linear)), and their
    similarity is g(x)ᵀ W g(x′) with a learned W. The paper changes nothing in the sound, and
    neither does this with `level=False`.

    Args:
        encoder: audio encoder that is pretrained.
        seconds: length of a stretch.
        reach: seconds of a recording within which both stretches lie; a recording that is
            shorter serves as a whole. They may overlap.
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
        outputs: int = 512,
        level: bool = True,
        equalise: bool = False,
        skip_silence: bool = True,
    ):
        super().__init__()
        if outputs < 1:
            raise InputError(f"outputs must be at least 1, got {outputs}")
        self.view = sound_view(encoder, seconds)
        self.reach, self.skip_silence = reach, skip_silence
        self.level, self.equalise = level, equalise
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(encoder.dim, outputs), nn.LayerNorm(outputs), nn.Tanh()
        )
        self.similarity = nn.Linear(outputs, outputs, bias=False)
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
        views = [draw_sound(rng, level=self.level, equalise=self.equalise) for _ in range(2)]
        return {"audio": sound, **stacked(views)}

    def augment(self, batch: Batch) -> Batch:
        rate, sound = self.view.rate, batch["audio"]
        first, second = (change_sound(sound[:, k], of_view(batch, k), rate) for k in (0, 1))
        return {"first": first, "second": second}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.encoder(torch.cat([batch["first"], batch["second"]]))
        first, second = self.projector(vectors).chunk(2)
        queries = self.similarity(first)
        loss, found = match(queries, second)

        def pictures() -> list[Picture]:
            likeness = queries.detach() @ second.detach().T
            return pair_pictures(batch, likeness, self.view.rate)

        return Step(loss, {"accuracy": found, "silent": silent_share(batch)}, pictures)
