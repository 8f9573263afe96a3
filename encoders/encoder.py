"""Encoder: the interface that every task, probe and export relies on."""

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

Modality = Literal["image", "video", "audio", "flow", "text"]


class Encoder(nn.Module, ABC):
    """A network from one modality to vectors. An encoder normalises its input itself.

    Inputs by modality:
        image: float [B, 3, H, W] in [0, 1], or [B, 3, T, H, W]: each frame alone, then the mean.
        video: float [B, 3, T, H, W] in [0, 1].
        audio: float [B, 1, N] in [-1, 1] at `rate` Hz; the spectrogram is computed inside.
        flow: float [B, 2, H, W], pixels per frame.

    Attributes:
        modality: what it looks at.
        dim: length D of its output vector.
        rate: Hz of the sound it expects, 0 for other modalities.
        arguments: what it was constructed with, so that `encoder.json` can rebuild it.
    """

    modality: ClassVar[Modality]
    dim: int
    rate: int = 0
    arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        # Copying a module calls __new__ without arguments; the copied __dict__ then brings them.
        object.__setattr__(self, "arguments", dict(list(bound.arguments.items())[1:]))
        return self

    @abstractmethod
    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Feature maps by level, shallow to deep: each [B, C, …] with the modality's own axes."""

    def embed(self, x: Tensor) -> Tensor:
        """The deepest map averaged over all its positions, [B, D]."""
        *_, deepest = self.maps(x).values()
        return deepest.flatten(2).mean(2)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, D]."""
        if self.modality == "image" and x.ndim == 5:
            return self._per_frame(x)
        return self.embed(x)

    def _per_frame(self, x: Tensor) -> Tensor:
        b, _, t, *_ = x.shape
        frames = x.transpose(1, 2).flatten(0, 1)
        return self.embed(frames).unflatten(0, (b, t)).mean(1)


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
