"""Audio encoders: waveform [B, 1, N] -> [B, D]; the spectrogram is computed inside."""

import math
from typing import Literal

from torch import Tensor, nn

from ..errors import InputError
from .blocks import check_input, check_width, l3_tower, run_stages, tiny_stages
from .encoder import Encoder, Normalize
from .resnet import resnet, resnet_dim, resnet_maps
from .spectrogram import MFCC, LogMel, LogSpectrogram

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


class TinyAudio(Encoder):
    """A small residual network on a log-mel spectrogram, for CPUs.

    Its levels are stem (1/2 of the 64 mels and of the 100 frames per second) and block1 …
    block3 (1/16), each [B, C, mels, frames].

    Args:
        rate: Hz of the waveform.
        width: channels of the first level; `dim` is eight times as many.
        front: "log-mel", or "mfcc": 20 cepstral coefficients in the place of 64 mels.

    Raises:
        InputError: width below 1, rate below 1000, an unknown front, or an input that is not
            float [B, 1, N].
    """

    modality = "audio"

    def __init__(self, *, rate: int = 16000, width: int = 16, front: Front = "log-mel"):
        super().__init__()
        check_width(width)
        self.rate, self.dim = rate, 8 * width
        self.front = front_end(front, rate, 64)
        self.stages = tiny_stages(1, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        return run_stages(self.stages, self.front(x))


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

    Raises:
        InputError: width below 1, rate below 1000, or an input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(self, *, rate: int = 48000, width: int = 64, floor: float = 1e-5):
        super().__init__()
        check_width(width)
        check_rate(rate)
        self.rate, self.dim = rate, 8 * width
        window = round(0.010 * rate)
        n_fft = 1 << (window - 1).bit_length()
        hop = round(0.005 * rate)
        self.spectrogram = LogSpectrogram(n_fft=n_fft, window=window, hop=hop, floor=floor)
        self.stages = l3_tower(1, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        return run_stages(self.stages, self.spectrogram(x) / 5)

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

    Raises:
        InputError: an unknown name or front, rate below 1000, or an input that is not float
            [B, 1, N].
    """

    modality = "audio"

    def __init__(
        self,
        *,
        name: str = "resnet18",
        rate: int = 16000,
        mels: int = 64,
        front: Front = "log-mel",
    ):
        super().__init__()
        self.rate = rate
        self.front = front_end(front, rate, mels)
        self.net = resnet(name, channels=1)
        self.dim = resnet_dim(self.net)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        return resnet_maps(self.net, self.front(x))
