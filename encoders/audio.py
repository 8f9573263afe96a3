"""Audio encoders: waveform [B, 1, N] -> [B, D]; the spectrogram is computed inside."""

from torch import Tensor

from .blocks import check_input, check_width, run_stages, tiny_stages
from .encoder import Encoder, Normalize
from .spectrogram import LogMel

FORM = "[B, 1, N]"


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
        self.normalize = Normalize((-5.0,), (4.0,))
        self.stages = tiny_stages(1, width)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        check_input(x, self, FORM, 1)
        x = self.normalize(self.spectrogram(x))
        return run_stages(self.stages, x)
