"""The flow that a plan asks of one film: out of the cache, or computed from its frames."""

from collections.abc import Hashable

import torch
from torch import Tensor

from ..flow.cache import shared_cache
from ..flow.estimate import estimator
from ..flow.method import DEFAULT
from .frames import returned_size, start_seconds
from .packet_index import VideoTrack

Pair = tuple[int, int]


class FramePairs:
    """Pairs of frames between which flow is wanted.

    Args:
        track: the video's times.
        pairs: numbers of frames in `track.pts`.
        short_side: pixels of the frames.
        method: of flow, None: the usual one.
        film: what the film is known by in the cache, which changes when it does; None: its flow is
            computed every time.

    Attributes:
        needed: numbers of the frames that have to be decoded.
    """

    def __init__(
        self,
        track: VideoTrack,
        pairs: list[Pair],
        short_side: int | None,
        method: str | None,
        film: tuple[Hashable, ...] | None,
    ):
        self._pairs, self._method = pairs, method or DEFAULT
        self._size = returned_size(track, short_side)
        self._cache = shared_cache() if pairs and film else None
        starts = start_seconds(track, [number for pair in pairs for number in pair])
        times = zip(starts[::2], starts[1::2], strict=True)
        self._keys = [(film, *between, self._method, self._size) for between in times]
        self._fields: dict[Pair, Tensor] = {}
        for pair, key in zip(pairs, self._keys, strict=True):
            if pair[0] == pair[1]:
                self._fields[pair] = torch.zeros(2, *self._size)
            elif self._cache and (field := self._cache.get(key)) is not None:
                self._fields[pair] = field
        self._missing = list(dict.fromkeys(pair for pair in pairs if pair not in self._fields))
        self.needed = [number for pair in self._missing for number in pair]

    def __len__(self) -> int:
        return len(self._pairs)

    def flow(self, pixels: Tensor, row: dict[int, int]) -> Tensor:
        """float32 [P, 2, H, W]; none from a frame to itself.

        Args:
            pixels: uint8 [N, 3, H, W], of frames with the needed ones among them.
            row: which of them each number is.
        """
        if self._missing:
            first, second = (pixels[[row[p[k]] for p in self._missing]] for k in (0, 1))
            computed = estimator(self._method)(first, second)
            self._fields |= dict(zip(self._missing, computed, strict=True))
        if self._cache:
            for pair, key in dict(zip(self._pairs, self._keys, strict=True)).items():
                if pair in self._missing:
                    self._fields[pair] = self._cache.put(key, self._fields[pair])
        return torch.stack([self._fields[pair] for pair in self._pairs])
