"""Small sources and encoders whose features are known, for the tests of evaluation."""

import torch
from helpers import audio_times
from torch import Tensor, nn

from pretexto.datasets.source import Source
from pretexto.encoders.encoder import Encoder, Level
from pretexto.modalities.input_spec import InputSpec
from pretexto.modalities.media import MediaError, MediaInfo, Plan, Sample

SIZE = 8
IMAGE = InputSpec(modality="image", size=SIZE, frames=1)
VIDEO = InputSpec(modality="video", size=SIZE, frames=4, frame_interval=0.1)
SOUND = InputSpec(modality="audio", seconds=0.5, rate=100)


class Listed(Source):
    """Examples that exist only as lists of labels, groups and split names."""

    def __init__(self, labels, groups=None, names=None, classes=None):
        self.listed_labels = list(labels)
        self.listed_groups = (
            list(groups) if groups is not None else [f"g{i}" for i in range(len(labels))]
        )
        self.parts = list(names) if names is not None else [""] * len(self.listed_labels)
        self.classes = classes or tuple(
            f"c{k}" for k in range(max(self.listed_labels, default=-1) + 1)
        )

    def __len__(self):
        return len(self.listed_labels)

    def name(self, i):
        return f"{i:04}.mp4"

    def label(self, i):
        return self.listed_labels[i]

    def group(self, i):
        return str(self.listed_groups[i])

    def split(self, i):
        return self.parts[i]

    def info(self, i):
        raise AssertionError("nothing here can be read")

    def read(self, i, plan):
        raise AssertionError("nothing here can be read")


class Coloured(Listed):
    """Media of 6x8-proportioned pictures in which every pixel of example i is colours[i].

    Counts what is asked of it in `plans`; examples in `broken` raise MediaError.
    """

    def __init__(self, colours, labels, *, kind="video", duration=2.0, broken=(), **rest):
        super().__init__(labels, **rest)
        self.colours, self.kind, self.duration = colours, kind, duration
        self.broken, self.plans = set(broken), []

    def info(self, i):
        return MediaInfo(
            self.name(i), self.kind, duration=self.duration, fps=10, frames=20, height=12, width=16
        )

    def read(self, i, plan: Plan) -> Sample:
        if i in self.broken:
            raise MediaError(self.name(i), "decode", "planted damage")
        self.plans.append(plan)
        side = plan.short_side or SIZE
        frames = self.colours[i].view(1, 3, 1, 1).expand(len(plan.times), 3, side, side * 4 // 3)
        return Sample(frames=frames.clone(), times=torch.tensor(plan.times, dtype=torch.float64))


class Clock(Listed):
    """Media that tell the time: red = 10 x seconds, green = column; sound = time / 10."""

    def __init__(self, labels, *, kind="video", duration=2.0, width=16, height=8, **rest):
        super().__init__(labels, **rest)
        self.kind, self.duration, self.wide, self.tall = kind, duration, width, height
        self.plans = []

    def info(self, i):
        sound = {} if self.kind == "silent" else {"audio_rate": 100, "audio_channels": 2}
        kind = "video" if self.kind == "silent" else self.kind
        return MediaInfo(self.name(i), kind, duration=self.duration, **sound)

    def read(self, i, plan: Plan) -> Sample:
        self.plans.append(plan)
        if plan.audio:
            t = audio_times(plan)
            return Sample(
                audio=(t / 10).float().expand(2, -1).clone(), audio_rate=plan.audio[0].rate
            )
        times = torch.tensor(plan.times, dtype=torch.float64)
        frames = torch.zeros(len(times), 3, self.tall, self.wide)
        frames[:, 0] = (10 * times).float().round().view(-1, 1, 1)
        frames[:, 1] = torch.arange(self.wide).view(1, 1, -1)
        frames[:, 2] = torch.arange(self.tall).view(1, -1, 1)
        return Sample(frames=frames.to(torch.uint8), times=times)


class MeanColour(Encoder):
    """Two levels: 'pixels' [B, 3, H, W] in 0 … 255 and 'half', the same pooled and halved."""

    modality = "image"

    def __init__(self, *, gain: float = 1.0, pretrained: bool = False):
        super().__init__()
        self.dim = 3
        self.levels = {"pixels": Level(3, (1, 1)), "half": Level(3, (2, 2))}
        self.gain, self.pretrained = gain, pretrained
        self.scale = nn.Parameter(torch.ones(3))
        self.noise = nn.Parameter(torch.randn(3))
        self.norm = nn.BatchNorm2d(3, affine=False, eps=1e-12)
        self.calls = 0

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        pixels = self.norm(x * 255 * self.gain) * self.scale.view(1, 3, 1, 1)
        return {"pixels": pixels, "half": nn.functional.avg_pool2d(pixels, 2) / 2}


class ClipColour(MeanColour):
    """The same for clips; its output is not the deepest map's mean."""

    modality = "video"

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"pixels": x * 255, "half": x * 127.5}

    def embed(self, x: Tensor) -> Tensor:
        return 3 * super().embed(x)


class MeanWave(Encoder):
    """The mean of the wave, times ten: the time in the middle of what it hears in a Clock."""

    modality = "audio"

    def __init__(self, *, rate: int = 100):
        super().__init__()
        self.rate, self.dim, self.levels = rate, 1, {"wave": Level(1, (1,))}
        self.anchor = nn.Parameter(torch.zeros(1))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"wave": x * 10}
