"""Small media, encoders and tasks that live in memory, for tests of training."""

import os
from abc import ABC

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretexto.datasets.source import Source
from pretexto.encoders.encoder import Encoder, Level
from pretexto.modalities import rng as draw
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample
from pretexto.tasks.task import START, Batch, Phase, Step, Task

SIZE = 8
VIEW = InputSpec("image", size=SIZE, frames=1)


class FakeSource(Source):
    """`count` videos of two seconds at 8 frames per second; the brighter half is class 1.

    Args:
        count: how many.
        broken: numbers whose frames cannot be decoded.
        silent: numbers without sound.
        unprobed: numbers that cannot be probed.
        salt: other numbers give other names.
    """

    classes = ("dark", "bright")

    def __init__(self, count=24, *, broken=(), silent=(), unprobed=(), salt=""):
        self.count, self.salt = count, salt
        self.broken, self.silent, self.unprobed = set(broken), set(silent), set(unprobed)
        self.reads = 0

    def __len__(self):
        return self.count

    def name(self, i):
        return f"{self.salt}{i:03}.mp4"

    def label(self, i):
        return int(i >= self.count // 2)

    def info(self, i):
        if i in self.unprobed:
            raise MediaError(self.name(i), "open", "no such format")
        rate = 0 if i in self.silent else 8000
        return MediaInfo(
            self.name(i), "video", duration=2.0, fps=8.0, frames=16, height=SIZE, width=SIZE,
            audio_rate=rate, audio_channels=int(rate > 0), audio_duration=2.0,
        )  # fmt: skip

    def read(self, i, plan):
        self.reads += 1
        if i in self.broken:
            raise MediaError(self.name(i), "decode", "the stream ends early")
        rng = draw.generator(99, 0, i)
        base = torch.randint(0, 100, (1, 3, SIZE, SIZE), generator=rng) + 100 * self.label(i)
        steps = torch.tensor(plan.times).mul(8).round().view(-1, 1, 1, 1)
        return Sample(
            frames=(base + steps).to(torch.uint8),
            times=torch.tensor(plan.times, dtype=torch.float64),
        )


class Signalled(FakeSource):
    """Sends this process a signal at its n-th read."""

    def __init__(self, number, *, at, **changes):
        super().__init__(**changes)
        self.number, self.at = number, at

    def read(self, i, plan):
        if self.reads == self.at:
            os.kill(os.getpid(), self.number)
        return super().read(i, plan)


class FakeEncoder(Encoder):
    """Two layers on flattened frames, with dropout, and batch norm if asked."""

    modality = "image"

    def __init__(self, *, dim: int = 6, dropout: float = 0.2, norm: bool = False):
        super().__init__()
        self.dim, self.levels = dim, {"only": Level(dim, (SIZE // 2, SIZE // 2))}
        self.layer = nn.Conv2d(3, dim, SIZE // 2, SIZE // 2)
        self.norm = nn.BatchNorm2d(dim) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"only": self.dropout(self.norm(self.layer(x)).relu())}


class FrameTask(Task, ABC):
    """A task on single frames that holds its encoder itself, without an Input."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    @property
    def encoders(self):
        return {"image": self.encoder}

    @property
    def specs(self):
        return {"image": VIEW}


class FakeTask(FrameTask):
    """Was the frame turned upside down? The brightness drawn in the worker is applied later.

    Args:
        encoder: any image encoder.
        needs_sound: refuse clips without sound.
        poison: the number of an example whose loss is no number.
    """

    def __init__(self, encoder: Encoder, *, needs_sound: bool = False, poison: int = -1):
        super().__init__(encoder)
        self.needs_sound, self.poison = needs_sound, poison
        self.head = nn.Linear(encoder.dim, 2)
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))

    def plan(self, info, rng):
        if self.needs_sound and not info.has_audio:
            raise MediaError(info.path, "plan", "it has no sound")
        return Plan(times=(draw.uniform(rng, 0.0, info.duration - 0.2),))

    def example(self, sample, rng) -> Batch:
        turned = draw.coin(rng)
        frame = sample.frames[0].flip(-2) if turned else sample.frames[0]
        gain = torch.tensor(draw.uniform(rng, 0.8, 1.0))
        return {"frame": frame, "gain": gain, "target": torch.tensor(int(turned))}

    def augment(self, batch):
        frame = batch["frame"].float() / 255 * batch["gain"].view(-1, 1, 1, 1)
        return {**batch, "frame": frame}

    def forward(self, batch, phase=None):
        scores = self.head(self.encoder(batch["frame"]))
        loss = F.cross_entropy(scores, batch["target"])
        if self.poison in batch["index"].tolist():
            loss = loss * float("nan")
        right = (scores.argmax(1) == batch["target"]).float().mean()
        return Step(loss, {"accuracy": right})

    def after_step(self, phase=None, progress=START):
        self.get_buffer("steps_taken").add_(1)


class TwoPhases(FrameTask):
    """An encoder that hides from a critic which class a frame shows, as in domain confusion."""

    phases = (Phase("critic"), Phase("encoder"))

    def __init__(self, encoder: Encoder):
        super().__init__(encoder)
        self.critic = nn.Linear(encoder.dim, 2)

    def plan(self, info, rng):
        return Plan(times=(draw.uniform(rng, 0.0, 1.0),))

    def example(self, sample, rng):
        return {"frame": sample.frames[0]}

    def forward(self, batch, phase=None):
        scores = self.critic(self.encoder(batch["frame"].float() / 255))
        loss = F.cross_entropy(scores, batch["label"])
        return Step(loss if phase == "critic" else -loss, {f"{phase}_seen": loss.detach()})

    def param_groups(self, phase=None):
        return [{"params": (self.critic if phase == "critic" else self.encoder).parameters()}]


def fake_task(seed: int = 0, *, norm: bool = False, dropout: float = 0.2, **arguments) -> FakeTask:
    """A task whose weights follow from the seed."""
    torch.manual_seed(seed)
    return FakeTask(FakeEncoder(norm=norm, dropout=dropout), **arguments)
