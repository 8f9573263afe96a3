"""Audio encoders: waveform [B, 1, N] -> [B, D]; the spectrogram is computed inside."""

from torch import Tensor

from .blocks import check_input, check_width, l3_tower, run_stages, tiny_stages
from .encoder import Encoder, Normalize
from .resnet import resnet, resnet_dim, resnet_maps
from .spectrogram import LogMel, LogSpectrogram

FORM = "[B, 1, N]"

# Mean and deviation of ln mel energy over clips of ESC-10 at 16 kHz.
LOG_MEL = ((-6.0,), (7.0,))


class TinyAudio(Encoder):
    """A small residual network on a log-mel spectrogram, for CPUs.

    Its levels are stem (1/2 of the 64 mels and of the 100 frames per second) and block1 …
    block3 (1/16), each [B, C, mels, frames].

    Args:
        rate: Hz of the waveform.
        width: channels of the first level; `dim` is eight times as many.

    Raises:
        InputError: width below 1, or an input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(self, *, rate: int = 16000, width: int = 16):
        super().__init__()
        check_width(width)
        self.rate, self.dim = rate, 8 * width
        self.spectrogram = LogMel(rate=rate)
        self.normalize = Normalize(*LOG_MEL)
        self.stages = tiny_stages(1, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        x = self.normalize(self.spectrogram(x))
        return run_stages(self.stages, x)


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
        InputError: width below 1, or an input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(self, *, rate: int = 48000, width: int = 64, floor: float = 1e-5):
        super().__init__()
        check_width(width)
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

    Raises:
        InputError: an unknown name, or an input that is not float [B, 1, N].
    """

    modality = "audio"

    def __init__(self, *, name: str = "resnet18", rate: int = 16000, mels: int = 64):
        super().__init__()
        self.rate = rate
        self.spectrogram = LogMel(rate=rate, mels=mels)
        self.normalize = Normalize(*LOG_MEL)
        self.net = resnet(name, channels=1)
        self.dim = resnet_dim(self.net)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        return resnet_maps(self.net, self.normalize(self.spectrogram(x)))
