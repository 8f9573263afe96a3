"""Which other segment is from the same recording? A bilinear similarity decides."""

import torch
from torch import nn

from .parts.across import rejected
from .parts.audio_input import AudioInput
from .parts.check import check_least
from .parts.losses import match
from .parts.segments import SegmentTask, segment_pictures
from .parts.sound_changes import SoundChanges, SoundGuards
from .task import Batch, Step


class COLA(SegmentTask):
    """COLA: contrastive learning of general-purpose audio representations (Saeed et al. 2021,
    arXiv:2010.10915, section 2).

    Two segments of each recording; the first of each has to find the second among the second
    segments of the batch. Both are projected to g(x) = tanh(LayerNorm(linear)), and their
    similarity is g(x)ᵀ W g(x′) with a learned W. The paper changes nothing in the sound, and
    neither does this without its guards, unless it is told to.

    Args:
        audio: what is pretrained; it hears each segment alone.
        context: seconds of a recording within which both segments lie; a recording that is
            shorter serves as a whole. They may overlap.
        changes: of each segment; the paper's are none.
        outputs: length of the projected vectors.
        guards: against shortcuts; the paper has none of them.
    """

    def __init__(
        self,
        audio: AudioInput,
        *,
        context: float = 10.0,
        changes: SoundChanges = SoundChanges(),
        outputs: int = 512,
        guards: SoundGuards = SoundGuards(equalise=False),
    ):
        super().__init__(audio, context, changes, guards)
        check_least(1, outputs=outputs)
        layers = nn.Linear(audio.dim, outputs), nn.LayerNorm(outputs), nn.Tanh()
        self.projector = nn.Sequential(*layers)
        self.similarity = nn.Linear(outputs, outputs, bias=False)

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        vectors = self.audio.encode(torch.cat([batch["first"], batch["second"]]))
        first, second = self.projector(vectors).chunk(2)
        queries = self.similarity(first)
        loss, found = match(queries, second, batch["weight"])
        likeness = queries.detach() @ second.detach().T
        metrics = {"accuracy": found, "rejected": rejected(batch["weight"])}
        return Step(loss, metrics, segment_pictures(batch, likeness, self.audio))
