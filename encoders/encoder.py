"""Encoder: the interface that every task, probe and export relies on."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import InputError

Modality = Literal["image", "video", "audio", "flow", "text"]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an encoder's maps, known before any forward.

    Attributes:
        channels: C of its map [B, C, …].
        stride: steps of the input from one position of the map to the next, for each axis of the
            map: (rows, columns) of pictures and flow, (frames, rows, columns) of clips, (rows,
            frames) of a sound's spectrogram, (tokens,) of text. The map's size is the input's
            divided by it, rounded up or down; inputs too small for a network may have been filled
            up before.
    """

    channels: int
    stride: tuple[int, ...]


class Encoder(nn.Module, ABC):
    """A network from one modality to vectors. An encoder normalises its input itself.

    Inputs by modality:
        image: float [B, 3, H, W] in [0, 1], or [B, 3, T, H, W]: each frame alone, then the mean.
        video: float [B, 3, T, H, W] in [0, 1].
        audio: float [B, 1, N] in [-1, 1] at `rate` Hz, or what the encoder's own `spectrogram`
            made of it, [B, 1, rows, frames]: normalised, to be masked or changed before the rest.
        flow: float [B, 2, T, H, W], pixels from each frame to the next, (x, y), in one of two ways:
            2D networks take `fields` of them stacked as channels, or with one field [B, 2, H, W],
            and of clips each field alone, then the mean; networks over time take clips.
        text: tokens, int64 [B, T]; -1 where there is none, behind a text.

    Attributes:
        modality: what it looks at.
        dim: length D of its output vector; it may differ from the deepest level's channels.
        levels: the maps that it gives, shallow to deep.
        patch: size of one token along each axis of the input (of the spectrogram, for sound); empty
            where there is no `tokens`.
        rate: Hz of the sound it expects, 0 for other modalities.
        channels: of the pictures or clips that a network of colours takes.
        fields: of flow that a 2D network takes at once; 0 over time, and for other modalities.
        arguments: what it was constructed with, so that `encoder.json` can rebuild it.
        starts_from: which weights it was constructed with: the path of a file, "published", or None
            for random ones.
        beyond_maps: beginnings of the names of those parameters that only `forward` uses.
    """

    modality: ClassVar[Modality]
    dim: int
    levels: dict[str, Level]
    patch: tuple[int, ...] = ()
    rate: int = 0
    channels: int = 3
    fields: int = 0
    arguments: dict[str, Any]
    starts_from: str | None = None
    beyond_maps: tuple[str, ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        object.__setattr__(self, "arguments", constructor_arguments(self, args, kwargs))
        return self

    @abstractmethod
    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps by level, shallow to deep: each [B, C, …] with the modality's own axes."""

    def tokens(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """A transformer's last tokens [B, K, C], those of classes and registers left out.

        All of them, in row-major order over the grid, are the deepest map. Where only some are
        kept, the others are dropped after the positions were added and before the first block:
        nothing is computed of them.

        Args:
            x: as in `forward`.
            keep: int64 [B, K], which tokens of the grid of size / `patch` positions; None: all.

        Raises:
            InputError: an encoder without tokens, or `keep` of another kind.
        """
        raise InputError(
            f"{type(self).__name__} has no tokens; a masked task takes a transformer, "
            "for example vit_small"
        )

    def map_parameters(self) -> dict[str, nn.Parameter]:
        """By name, the parameters that the deepest map depends on.

        A task that calls `maps` alone trains these and freezes the others: where several devices
        train together, a parameter that never gets a gradient stops them at the second step.
        """
        return {k: p for k, p in self.named_parameters() if not k.startswith(self.beyond_maps)}

    def average(self, m: Tensor, x: Tensor) -> Tensor:
        """A map [B, C, …] of inputs x averaged over all its positions that show something, [B, C].

        All do but those behind the end of a text.
        """
        return m.flatten(2).mean(2) if m.ndim > 2 else m

    def embed(self, x: Tensor) -> Tensor:
        """The deepest map averaged over its positions, see `average`, [B, D]."""
        *_, deepest = self.maps(x).values()
        return self.average(deepest, x)

    @property
    def per_frame(self) -> bool:
        """Whether it takes each frame, or field of flow, of a clip [B, C, T, H, W] alone."""
        return self.modality == "image" or self.fields == 1

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, D]."""
        if self.per_frame and x.ndim == 5:
            return self._per_frame(x)
        return self.embed(x)

    def _per_frame(self, x: Tensor) -> Tensor:
        b, _, t, *_ = x.shape
        frames = x.transpose(1, 2).flatten(0, 1)
        return self.embed(frames).unflatten(0, (b, t)).mean(1)


def constructor_arguments(
    made: object, args: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Any]:
    """What `__new__` was given for the constructor of what it makes, by name, defaults included.

    Copying calls `__new__` without arguments: what is missing comes with the copied `__dict__`.
    """
    bound = inspect.signature(type(made).__init__).bind_partial(made, *args, **named)
    bound.apply_defaults()
    return dict(list(bound.arguments.items())[1:])


class Normalize(nn.Module):
    """Subtracts a mean and divides by a deviation per channel of [B, C, …]."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return (x - mean.view(shape)) / std.view(shape)
