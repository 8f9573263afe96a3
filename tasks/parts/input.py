"""Input: an encoder together with how what it looks at is cut from a medium."""

from abc import ABC
from typing import Any

from torch import nn

from ...encoders.encoder import Encoder, constructor_arguments
from ...errors import InputError
from ...modalities.input_spec import InputSpec, Modality


class Input(nn.Module, ABC):
    """An encoder and its InputSpec.

    Attributes:
        encoder: what is pretrained.
        spec: what it looks at.
        arguments: what it was constructed with beside the encoder, so that a run's config can
            build it again.
    """

    encoder: Encoder
    spec: InputSpec
    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        given = constructor_arguments(self, args, kwargs)
        plain = {name: value for name, value in given.items() if not isinstance(value, nn.Module)}
        object.__setattr__(self, "arguments", plain)
        return self

    @property
    def modality(self) -> Modality:
        return self.spec.modality

    @property
    def dim(self) -> int:
        """Length D of the encoder's vector."""
        return self.encoder.dim

    def use_maps_only(self) -> None:
        """Freezes what the deepest map does not depend on, for tasks that see maps alone.

        Parameters that never get a gradient stop training on several devices at the second step.
        """
        needed = set(self.encoder.map_parameters())
        for name, parameter in self.encoder.named_parameters():
            if name not in needed:
                parameter.requires_grad_(False)


def check_modality(encoder: Encoder, *allowed: str) -> None:
    """Raises InputError for an encoder of another modality."""
    if encoder.modality not in allowed:
        raise InputError(
            f"this task needs an encoder of {' or '.join(allowed)}, but "
            f"{type(encoder).__name__} is one of {encoder.modality}"
        )


def last_map_channels(encoder: Encoder) -> int:
    """Channels of the encoder's deepest map, which need not be its `dim`."""
    *_, last = encoder.levels.values()
    return last.channels
