"""Sounds that live in memory, for tests of evaluation and comparison."""

import evaluation_fakes as fakes
import torch
from helpers import audio_times

from pretexto.encoders.audio import TinyAudio
from pretexto.modalities.media import MediaInfo, Plan, Sample
from pretexto.tasks.cola import COLA
from pretexto.tasks.parts.audio_input import AudioInput


class Tones(fakes.Listed):
    """Two seconds of a tone and noise each; the class is the pitch, loudness tells nothing.

    Args:
        count: how many; three classes in turn, two folds.
        seed: of what is drawn.
    """

    def __init__(self, count: int = 36, seed: int = 0):
        labels = [i % 3 for i in range(count)]
        super().__init__(labels, names=[f"fold{i // 3 % 2}" for i in range(count)])
        self.seed = seed
        self.title = "tones"

    def info(self, i):
        return MediaInfo(f"{i}.wav", "audio", duration=2.0, audio_rate=8000, audio_channels=1,
                         audio_duration=2.0)  # fmt: skip

    def read(self, i, plan: Plan) -> Sample:
        rng = torch.Generator().manual_seed(1000 * self.seed + i)
        t = audio_times(plan)
        pitch = 300 * 1.5 ** self.label(i) * (1 + 0.1 * torch.rand((), generator=rng))
        loud = 0.02 + 0.3 * torch.rand((), generator=rng)
        noise = 0.1 * torch.randn(len(t), generator=rng)
        return Sample(audio=(loud * (torch.sin(6.2832 * pitch * t) + noise)).float()[None],
                      audio_rate=plan.audio[0].rate)  # fmt: skip


def cola() -> COLA:
    """The smallest of its kind."""
    return COLA(AudioInput(TinyAudio(width=4), seconds=0.5), outputs=16)
