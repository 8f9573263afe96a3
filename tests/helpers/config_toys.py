"""Classes for configs in tests: arguments that are dataclasses, final modules and objects."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from torch import nn


@dataclass(frozen=True)
class Crop:
    scale: tuple[float, float] = (0.4, 1.0)
    flip: bool = True


@dataclass(frozen=True)
class Guards:
    exposure: bool = True
    noise: float = 0.1
    crop: Crop = Crop()


class Network(nn.Module, ABC):
    @abstractmethod
    def features(self): ...


class Small(Network):
    def __init__(self, *, width: int = 4):
        super().__init__()
        self.width = width

    def features(self): ...


@final
class Clips(nn.Module):
    def __init__(self, encoder: Network, *, size: int = 64, crop: Crop = Crop()):
        super().__init__()
        self.encoder, self.size, self.crop = encoder, size, crop


class Puzzle(nn.Module, ABC):
    @abstractmethod
    def ask(self): ...


@final
class Order(Puzzle):
    def __init__(
        self,
        video: Clips,
        *,
        guards: Guards = Guards(noise=0.7),
        second: Clips | None = None,
        extra: Any = None,
        table: Mapping[str, Any] | None = None,
        parts: list[Network] | None = None,
    ):
        super().__init__()
        self.video, self.guards, self.second = video, guards, second
        self.extra, self.table, self.parts = extra, table, parts

    def ask(self): ...
