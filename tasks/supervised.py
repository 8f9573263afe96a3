"""The supervised control: what labels would have given with the same budget."""

from torch import Generator, Tensor

from ..errors import InputError
from ..modalities.media import MediaInfo, Plan, Sample
from ..modalities.transforms.image import apply_gain, draw_gain
from .parts.audio_input import AudioInput
from .parts.classify import classify
from .parts.clip_input import ClipInput
from .parts.flow_input import FlowInput
from .parts.heads import classifier
from .parts.pictures import spectrogram, strip
from .parts.text_input import TextInput
from .parts.text_pictures import text_picture
from .parts.transforms import Crop
from .task import Batch, Step, Task, Traits


class Supervised(Task):
    """Classification by label: no pretext task, but the control beside them in every comparison.

    Random crops and mirroring of pictures as in He et al. 2015, arXiv:1512.03385, section 3.4;
    random segments of sound at a random gain; random spans of text. Sound that is shorter than a
    segment is followed by silence, and text by nothing, as in evaluation.

    Args:
        input: what is trained: pictures, clips, sound, flow or text.
        classes: number of labels.
        crop: of pictures and flow; turn its flip off where a class is a direction.
        gain: greatest share by which the loudness of sound changes.
        hidden: width of a hidden layer in the head, 0 for a linear one.
    """

    def __init__(
        self,
        input: ClipInput | AudioInput | FlowInput | TextInput,
        classes: int,
        *,
        crop: Crop = Crop(scale=(0.35, 1.0)),
        gain: float = 0.5,
        hidden: int = 0,
    ):
        super().__init__(input=input)
        if classes < 2:
            raise InputError(f"classification needs at least 2 classes, got {classes}")
        if not 0 <= gain < 1:
            raise InputError(f"gain is a share from 0 to less than 1, got {gain:g}")
        self.input, self.crop, self.gain = input, crop, gain
        self.classes = tuple(f"class {k}" for k in range(classes))
        self.traits = Traits(classes=classes)
        self.head = classifier(input.dim, classes, hidden)

    def plan(self, info: MediaInfo, rng: Generator) -> Plan:
        if isinstance(self.input, TextInput):
            text = self.input.about(info)
            return self.input.spec.plan(self.input.random_start(text, self.input.length, rng))
        return self.input.plan(self.input.random_start(info, rng))

    def example(self, sample: Sample, rng: Generator) -> Batch:
        if isinstance(self.input, TextInput):
            assert sample.tokens is not None
            return {"tokens": sample.tokens}
        if isinstance(self.input, AudioInput):
            return {"audio": self.input.sounds(sample)[0], "gain": draw_gain(rng, self.gain)}
        return {"frames": self.input.clips(sample, rng)[0], **self.crop.draw(rng)}

    def augment(self, batch: Batch) -> Batch:
        if isinstance(self.input, AudioInput):
            inputs = apply_gain(batch["audio"], batch["gain"])
        elif isinstance(self.input, TextInput):
            inputs = batch["tokens"]
        else:
            inputs = self.input.crop(self.crop, batch["frames"], batch)
        return {"inputs": inputs, "target": batch["label"]}

    def forward(self, batch: Batch, phase: str | None = None) -> Step:
        inputs = batch["inputs"]
        logits = self.head(self.input.encode(inputs))
        return classify(
            logits, batch, self.classes, lambda i: ([self._picture(inputs[i])], ["Which?"])
        )

    def _picture(self, x: Tensor) -> Tensor:
        if isinstance(self.input, TextInput):
            words = self.input.words(x.cpu())
            return text_picture(words, [0] * len(words))
        return spectrogram(x, self.input.spec.rate) if self.input.modality == "audio" else strip(x)
