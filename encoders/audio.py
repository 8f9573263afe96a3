"""Audio encoders: waveform [B, 1, N], or its spectrogram -> [B, D]."""

import math
from typing import Any, Literal

from torch import Tensor, nn

from ..errors import InputError
from .blocks import (
    check_input,
    l3_levels,
    l3_tower,
    run_stages,
    tiny_levels,
    tiny_stages,
)
from .encoder import Encoder, Normalize
from .resnet import CLASSIFIER, resnet, resnet_levels, resnet_maps
from .spectrogram import MFCC, LogMel, LogSpectrogram
from .timm_model import (
    at_any_size,
    classifiers,
    complete_maps,
    create,
    pad_to_patches,
    patch_of,
    timm_levels,
    unused_by_maps,
    vit_tokens,
)
from .weights import start_from

FORM = "[B, 1, N]"

# Mean and deviation of ln mel energy over clips of ESC-10 at 16 kHz.
LOG_MEL = ((-6.0,), (7.0,))
# The same of each of 20 cepstral coefficients of 64 mels, over the whole of its 400 sounds.
CEPSTRUM_MEAN = (-40, 6.7, -1.2, 0.5, -0.5, 0.5, -0.5, 0.7, -0.1, 0.5, -0.1, 0.2, -0.1, 0.1, -0.2,
                 0.1, -0.2, 0.0, -0.1, 0.1)  # fmt: skip
CEPSTRUM_STD = (51, 9.1, 6.8, 4.2, 3.4, 2.6, 2.6, 2.2, 2.1, 2.1, 2.0, 1.9, 2.0, 1.8, 1.8, 1.8, 1.7,
                1.6, 1.5, 1.4)  # fmt: skip
Front = Literal["log-mel", "mfcc"]


def check_rate(rate: int) -> None:
    """Refuses a rate at which a spectrogram of 5 ms steps has no samples.

    Raises:
        InputError: rate below 1000 Hz.
    """
    if rate < 1000:
        raise InputError(f"rate is that of the sound in Hz, 1000 or more, got {rate}")


def front_end(front: Front, rate: int, mels: int) -> nn.Module:
    """From a waveform to what a network sees, normalised: [B, 1, N] -> [B, 1, H, N / hop].

    Args:
        front: "log-mel", H = mels, or "mfcc", the first 20 cepstral coefficients of as many mels.

    Raises:
        InputError: another front, too few mels for it, or no such rate.
    """
    check_rate(rate)
    if front == "log-mel":
        return nn.Sequential(LogMel(rate=rate, mels=mels), Normalize(*LOG_MEL))
    if front != "mfcc":
        raise InputError(f"front is log-mel or mfcc, not {front!r}")
    # An orthonormal transform of more filters gives larger numbers.
    scale, count = math.sqrt(mels / 64), len(CEPSTRUM_STD)
    mean, std = (tuple(scale * v for v in values) for values in (CEPSTRUM_MEAN, CEPSTRUM_STD))
    rows = (nn.Flatten(1, 2), Normalize(mean, std), nn.Unflatten(1, (1, count)))
    return nn.Sequential(MFCC(rate=rate, count=count, mels=mels), *rows)


def as_spectrogram(x: Tensor, owner: Encoder, front: nn.Module) -> Tensor:
    """What an encoder's first layer sees: made of a waveform by `front`, or given as such.

    Raises:
        InputError: neither float [B, 1, N] nor float [B, 1, rows, frames].
    """
    if x.ndim == 4 and x.shape[1] == 1 and x.is_floating_point():
        return x
    check_input(x, owner, FORM, 1)
    return front(x)


class TinyAudio(Encoder):
    """A small residual network on a log-mel spectrogram, for CPUs.

    Its levels are stem (1/2 of the 64 mels and of the 100 frames per second) and block1 …
    block3 (1/16), each [B, C, mels, frames].

    Args:
        rate: Hz of the waveform.
        width: channels of the first level; `dim` is eight times as many.
        front: "log-mel", or "mfcc": 20 cepstral coefficients in the place of 64 mels.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, rate below 1000, an unknown front, unfitting weights, or an
            input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        rate: int = 16000,
        width: int = 16,
        front: Front = "log-mel",
        weights: str | None = None,
    ):
        super().__init__()
        self.rate, self.dim, self.levels = rate, 8 * width, tiny_levels(width)
        self.spectrogram = front_end(front, rate, 64)
        self.stages = tiny_stages(1, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return run_stages(self.stages, as_spectrogram(x, self, self.spectrogram))


class SpectrogramCNN(Encoder):
    """The sound tower of Look, Listen and Learn (Arandjelović & Zisserman 2017, section 3.1).

    One second at 48 kHz becomes a log-spectrogram of 257 bins × 200 frames (window 10 ms, hop
    5 ms), which is divided by 5 as in the reference code of Cramer et al. 2019 (ICASSP). Four
    blocks of two 3×3 convolutions each, levels block1 (full size) … block4 (1/8), and the
    maximum of block4 over all positions.

    Args:
        rate: Hz of the waveform; window and hop keep their milliseconds.
        width: channels of the first block (published: 64); `dim` is eight times as many.
        floor: least magnitude before the logarithm; 1e-5 lies below the steps of 16 bit sound,
            the reference code takes 1e-12.
        weights: path of a local .safetensors file to start from.

    Raises:
        InputError: width below 1, rate below 1000, unfitting weights, or an input that is not
            float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        rate: int = 48000,
        width: int = 64,
        floor: float = 1e-5,
        weights: str | None = None,
    ):
        super().__init__()
        check_rate(rate)
        self.rate, self.dim, self.levels = rate, 8 * width, l3_levels(width)
        window = round(0.010 * rate)
        n_fft = 1 << (window - 1).bit_length()
        hop = round(0.005 * rate)
        spectrogram = LogSpectrogram(n_fft=n_fft, window=window, hop=hop, floor=floor)
        self.spectrogram = nn.Sequential(spectrogram, Normalize((0.0,), (5.0,)))
        self.stages = l3_tower(1, width)
        start_from(self, weights)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return run_stages(self.stages, as_spectrogram(x, self, self.spectrogram))

    def embed(self, x: Tensor) -> Tensor:
        """The deepest map's maximum over all its positions, [B, D]."""
        return self.maps(x)["block4"].amax((2, 3))


class AudioResNet(Encoder):
    """A ResNet on a log-mel spectrogram: levels stem (1/2 of the size), layer1 … layer4 (1/32).

    Args:
        name: resnet18 or another of `TorchvisionImage`'s names.
        rate: Hz of the waveform.
        mels: mel filters, the height of the spectrogram; it has 100 frames per second.
        front: "log-mel", or "mfcc": 20 cepstral coefficients of these mels in their place.
        weights: path of a local .safetensors file to start from, in torchvision's layout too; the
            first kernels of a network for pictures are then summed over their colours.

    Raises:
        InputError: an unknown name or front, rate below 1000, unfitting weights, or an input that
            is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        name: str = "resnet18",
        rate: int = 16000,
        mels: int = 64,
        front: Front = "log-mel",
        weights: str | None = None,
    ):
        super().__init__()
        self.rate = rate
        self.spectrogram = front_end(front, rate, mels)
        self.net = resnet(name, channels=1)
        self.levels = resnet_levels(self.net)
        self.dim = self.levels["layer4"].channels
        start_from(self, weights, CLASSIFIER)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return resnet_maps(self.net, as_spectrogram(x, self, self.spectrogram))


class TimmAudio(Encoder):
    """A model of timm on a log-mel spectrogram, as if that were a picture of one channel.

    Levels and vector are those of `TimmImage`. Any of timm's convolutional networks will do, and
    those of its transformers that take any size; for them the sound is filled up to whole patches.

    Args:
        name: any of timm's, with or without a tag.
        pretrained: start from timm's published weights for that name, which it downloads; the
            first kernels are summed over their colours.
        weights: path of a local .safetensors file to start from instead, in timm's layout too.
        rate: Hz of the waveform.
        mels: mel filters, the height of the spectrogram; it has 100 frames per second.

    Raises:
        InputError: an unknown name (the message has the nearest), unfitting weights, a model
            without feature maps or for one size alone, rate below 1000, or an input that is not
            float [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        name: str = "efficientnet_b0",
        pretrained: bool = False,
        weights: str | None = None,
        rate: int = 16000,
        mels: int = 64,
    ):
        super().__init__()
        self.rate = rate
        self.spectrogram = front_end("log-mel", rate, mels)
        self.net: Any = create(name, pretrained, None, channels=1)
        self.dim, self.levels = self.net.head_hidden_size, timm_levels(self.net)
        self.patch, self.beyond_maps = patch_of(self.net), unused_by_maps(self.net)
        start_from(self, weights, classifiers(self.net))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return complete_maps(self.net, self._prepared(x))

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        return vit_tokens(self.net, self._prepared(x), keep) if self.patch else super().tokens(x)

    def embed(self, x: Tensor) -> Tensor:
        """What the model's classifier would see, [B, D]."""
        return at_any_size(self.net, self._prepared(x), self.net)

    def _prepared(self, x: Tensor) -> Tensor:
        return pad_to_patches(self.net, as_spectrogram(x, self, self.spectrogram))
