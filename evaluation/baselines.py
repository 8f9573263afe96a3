"""Floors under encoders, without a network: statistics of the spectrogram; colour and position."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ..encoders.encoder import Encoder, Level, Modality
from ..encoders.places import grid_places
from ..encoders.spectrogram import LogMel
from ..errors import InputError
from ..modalities.lab import rgb_to_lab

FLOOR = "log-mel floor"
PIXEL_FLOOR = {"image": "colour floor", "video": "colour floor", "flow": "flow floor"}


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
        self.rate, self.dim, self.levels = rate, 128, {"log_mel": Level(1, (1, 1))}
        self.spectrogram = LogMel(rate=rate)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        return {"log_mel": self.spectrogram(x)}

    def embed(self, x: Tensor) -> Tensor:
        """The mean of each band, then its deviation, [B, 128]."""
        bands = self.maps(x)["log_mel"][:, 0]
        return torch.cat([bands.mean(2), bands.std(2, correction=0)], 1)


class PixelFloor(Encoder):
    """What each pixel shows by itself, and where it is: segments without a network.

    Of pictures and clips, in the middle of their time, Lab colour, in which k-means segments
    pictures classically (Achanta et al. 2012, "SLIC superpixels"); of flow its two components.

    Args:
        modality: "image", "video" or "flow".
    """

    modality = "image"

    def __init__(self, *, modality: Modality = "image"):
        super().__init__()
        own, channels = ("flow", 2) if modality == "flow" else ("colour", 3)
        # One frame or field at a time, whatever the others of its modality take.
        self.modality, self.fields = modality, 1  # pyright: ignore[reportAttributeAccessIssue]
        self.levels = {own: Level(channels, (1, 1)), "position": Level(2, (1, 1))}
        self.own, self.dim = own, 2

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        side = x.shape[-1]
        where = grid_places(side, len(x), x.device).transpose(1, 2).unflatten(2, (side, side))
        return {self.own: x if self.own == "flow" else rgb_to_lab(x), "position": where.to(x)}


def floor_methods(methods: Sequence[str]) -> list[str]:
    """Those that suit what has neither weights nor maps; the linear probe where none does."""
    return [method for method in methods if method not in ("finetune", "attentive")] or ["linear"]


E = TypeVar("E", bound=Encoder)


def random_init(encoder: E, *, seed: int = 0) -> E:
    """A freshly initialised encoder of the same class and arguments; `pretrained` is turned off.

    Deterministic by seed, on the CPU; the global random state is left as it was.

    Raises:
        InputError: the encoder's arguments do not rebuild it.
    """
    arguments = dict(encoder.arguments)
    if "pretrained" in arguments:
        arguments["pretrained"] = False
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed every GPU as well.
        torch.default_generator.manual_seed(seed)
        try:
            return type(encoder)(**arguments)
        except TypeError as error:
            raise InputError(
                f"{type(encoder).__name__} cannot be built anew from {sorted(arguments)}: {error}"
            ) from error
