"""The supervised control: what labels would have given with the same budget."""

import torch.nn.functional as F
from torch import Generator, Tensor

from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec, encoder_input
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.rng import uniform
from ..modalities.transforms.image import apply_gain, draw_gain
from .parts.audio_input import audible, sound_view
from .parts.classify import accuracy
from .parts.clip_input import (
    canvas,
    check_crop,
    clip_view,
    cut,
    draw_view,
    embed,
    plan_clip,
    square,
)
from .parts.heads import classifier
from .parts.pictures import best, film, spectrogram
from .task import Batch, Picture, Step, Task


class Supervised(Task):
    """Classification by label: no pretext task, but the control beside them in every comparison.

    Random crops and mirroring of pictures as in He et al. 2015, arXiv:1512.03385, section 3.4;
    random stretches of sound at a random gain. Sound that is shorter than a stretch is followed
    by silence, as in evaluation.

    Args:
        encoder: image, video or audio encoder that is trained.
        classes: number of labels.
        size: pixels, side of the square input.
        frames: frames per clip; None: 1 for an image encoder, 8 for a video encoder.
        step: seconds between the frames of a clip.
        scale: least and greatest share of the area that the random crop keeps.
        flip: mirror left and right half of the time; turn it off where a class is a direction.
        seconds: length of a stretch of sound.
        gain: greatest share by which its loudness changes.
        hidden: width of a hidden layer in the head, 0 for a linear one.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        *,
        size: int = 112,
        frames: int | None = None,
        step: float = 0.1,
        scale: tuple[float, float] = (0.35, 1.0),
        flip: bool = True,
        seconds: float = 1.0,
        gain: float = 0.5,
        hidden: int = 0,
    ):
        super().__init__()
        if classes < 2:
            raise InputError(f"classification needs at least 2 classes, got {classes}")
        if not 0 <= gain < 1:
            raise InputError(f"gain is a share from 0 to less than 1, got {gain:g}")
        check_crop(scale)
        hears = encoder.modality == "audio"
        self.view = (
            sound_view(encoder, seconds) if hears else clip_view(encoder, size, frames, step)
        )
        self.classes, self.scale, self.flip, self.gain = classes, scale, flip, gain
        self.encoder = encoder
        self.head = classifier(encoder.dim, classes, hidden)

    @property
    def encoders(self) -> dict[str, Encoder]:
        return {self.view.modality: self.encoder}

    @property
    def views(self) -> dict[str, InputSpec]:
        return {self.view.modality: self.view}

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if self.view.modality != "audio":
            return plan_clip(self.view, info, rng)
        first, last = audible(info)
        return self.view.plan(uniform(rng, first, max(last - self.view.seconds, first)))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        if self.view.modality == "audio":
            return {"audio": encoder_input(self.view, sample), "gain": draw_gain(rng, self.gain)}
        frames = square(sample, canvas(self.view.size), rng)
        return {"frames": frames, **draw_view(rng, self.scale, self.flip)}

    def augment(self, batch: Batch) -> Batch:
        if self.view.modality == "audio":
            inputs = apply_gain(batch["audio"], batch["gain"])
        else:
            inputs = cut(batch["frames"], batch, self.view.size)
        return {"inputs": inputs, "label": batch["label"]}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs, label = batch["inputs"], batch["label"]
        hears = self.view.modality == "audio"
        logits = self.head(self.encoder(inputs) if hears else embed(self.encoder, inputs))
        loss = F.cross_entropy(logits, label)
        metrics = {"accuracy": accuracy(logits, label)}
        return Step(loss, metrics, lambda: _pictures(inputs, label, logits, self.view.rate))


def _pictures(inputs: Tensor, label: Tensor, logits: Tensor, rate: int) -> list[Picture]:
    names = tuple(f"class {k}" for k in range(logits.shape[1]))
    return [
        Picture(
            images=[spectrogram(inputs[i], rate) if rate else film(inputs[i])],
            captions=["Which class?"],
            answer=names[int(label[i])],
            prediction=best(logits[i], names),
        )
        for i in range(min(len(inputs), 4))
    ]
