"""The control that every probe stands beside: the same network, untrained."""

from typing import TypeVar

import torch

from ..encoders.encoder import Encoder
from ..errors import InputError

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
