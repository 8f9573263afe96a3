"""The floor under all encoders of sound: statistics of the log-mel spectrogram, no network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..encoders.encoder import Encoder
from ..encoders.spectrogram import LogMel

FLOOR = "log-mel floor"


class LogMelFloor(Encoder):
    """Mean and deviation over time of each of 64 log-mel bands: [B, 1, N] -> [B, 128].

    An encoder only in form: it has no weights. A linear probe on it is how sound was classified
    before networks (Piczak 2015, ACM Multimedia, section 4, with MFCC); what a frozen encoder
    does not tell beyond it, learning has not found.

    Args:
        rate: Hz of the waveform.
    """

    modality = "audio"

    def __init__(self, *, rate: int = 16000):
        super().__init__()
        self.rate, self.dim = rate, 128
        self.spectrogram = LogMel(rate=rate)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"log_mel": self.spectrogram(x)}

    def embed(self, x: Tensor) -> Tensor:
        """The mean of each band, then its deviation, [B, 128]."""
        bands = self.maps(x)["log_mel"][:, 0]
        return torch.cat([bands.mean(2), bands.std(2, correction=0)], 1)


def floor_methods(methods: Sequence[str]) -> list[str]:
    """Those that suit what has no weights to tune; the linear probe where none does."""
    return [method for method in methods if method != "finetune"] or ["linear"]
