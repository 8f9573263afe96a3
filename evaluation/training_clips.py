"""Clips to learn from: drawn in the loader's workers, cropped and mirrored on the device."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datasets.packs.fetch_ahead import Visit, make_loader, visits
from ..datasets.packs.order import shard_order, window_within
from ..datasets.source import Shards, Source
from ..modalities.input_spec import InputSpec, as_float, encoder_input
from ..modalities.media import MediaError, MediaInfo
from ..modalities.rng import Generator, generator, integer, permutation, uniform
from ..modalities.transforms.image import (
    apply_crop,
    apply_crop_to_flow,
    apply_gain,
    draw_crop,
    draw_flip,
    draw_gain,
)
from .clip_dataset import shards_of

GAIN = 0.5  # greatest share by which the loudness of sound changes in training

Drawn = dict[str, Tensor]


class TrainingClips(Dataset):
    """A random clip of an example and how it is to be changed: (epoch, i) gives a dict of tensors.

    "input" is uint8 [3, (T,) H, W] or flow float32 [2, T, H, W], as large as the medium's
    proportions make it, with "box" and "flip" for it; or float32 [1, N] with its "gain"; or tokens,
    int64 [T]. "label" is int64 []. What cannot be read gives the reason instead. What is drawn
    depends on seed, epoch and i alone.

    Args:
        scale: least and greatest share of the area that a crop keeps.
        flip: mirror left and right half of the time.
    """

    def __init__(
        self, source: Source, spec: InputSpec, seed: int, scale: tuple[float, float], flip: bool
    ):
        self.source, self.spec, self.seed = source, spec, seed
        self.scale, self.flip = scale, flip

    def __getitem__(self, drawn: tuple[int, int]) -> Drawn | str:
        epoch, i = drawn
        rng = generator(self.seed, epoch, i)
        try:
            info = self.source.info(i)
            # A margin about the picture, so that crops are rarely enlarged.
            side = round(self.spec.size * 8 / 7)
            plan = self.spec.plan(self._start(info, rng), side)
            x = encoder_input(self.spec, self.source.read(i, plan))
        except MediaError as error:
            return str(error)
        label = torch.tensor(self.source.label(i))
        return {"input": x, "label": label, **self._changes(rng)}

    def _start(self, info: MediaInfo, rng: Generator) -> float:
        """Seconds, or of text the token, at which the clip starts."""
        if self.spec.modality == "text":
            first, last = self.spec.starts(info, 2)
            return first + integer(rng, int(last - first) + 1)
        room = 0.0 if info.kind == "image" else max(info.duration - self.spec.span - 1e-3, 0.0)
        return uniform(rng, 0, room)

    def _changes(self, rng: Generator) -> Drawn:
        if self.spec.modality == "text":
            return {}
        if self.spec.modality == "audio":
            return {"gain": draw_gain(rng, GAIN)}
        box = draw_crop(rng, scale=self.scale)
        return {"box": box, "flip": draw_flip(rng, 0.5 if self.flip else 0.0)}


class Loaded(NamedTuple):
    """What of a batch could be read, stacked; and why the rest could not."""

    batch: Drawn | None
    failed: list[str]


def collate(items: list[Drawn | str]) -> Loaded:
    """Stacks pictures of unlike proportions in a frame that holds each of them."""
    good = [item for item in items if isinstance(item, dict)]
    failed = [item for item in items if isinstance(item, str)]
    if not good:
        return Loaded(None, failed)
    if "box" in good[0] and len({item["input"].shape for item in good}) > 1:
        height, width = (max(item["input"].shape[k] for item in good) for k in (-2, -1))
        good = [_padded(item, height, width) for item in good]
    return Loaded({key: torch.stack([item[key] for item in good]) for key in good[0]}, failed)


def _padded(item: Drawn, height: int, width: int) -> Drawn:
    """The picture in the corner of a larger one; its box, in shares, still means the same part."""
    x = item["input"]
    out = x.new_zeros(*x.shape[:-2], height, width)
    out[..., : x.shape[-2], : x.shape[-1]] = x
    shares = torch.tensor([x.shape[-2] / height, x.shape[-1] / width]).repeat(2)
    return {**item, "input": out, "box": item["box"] * shares}


def augment(batch: Drawn, size: int) -> Tensor:
    """The encoder's input with the changes drawn for it, on the batch's device.

    Returns:
        float32 [B, 3, (T,) size, size] in [0, 1], flow [B, 2, T, size, size], [B, 1, N] in
        [-1, 1], or tokens int64 [B, T].
    """
    if batch["input"].dtype == torch.int64:
        return batch["input"]
    if "gain" in batch:
        return apply_gain(batch["input"], batch["gain"])
    x, drawn = batch["input"], (batch["box"], batch["flip"], size)
    # Vectors of flow change with the crop.
    return apply_crop_to_flow(x, *drawn) if x.shape[1] == 2 else apply_crop(as_float(x), *drawn)


class _Epochs:
    """Batches of (epoch, i): each epoch in an order of its own, by shards where there are any.

    A rest that fills no batch is left out, unless it is all there is.
    """

    def __init__(self, count: int, epochs: int, batch_size: int, seed: int, shards: Shards | None):
        self.count, self.epochs, self.seed, self.shards = count, epochs, seed, shards
        self.size = min(batch_size, count)
        self.used = self.count // self.size * self.size

    def __len__(self) -> int:
        return self.epochs * (self.count // self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.epochs):
            for part in self._order(epoch).reshape(-1, self.size).tolist():
                yield [(epoch, i) for i in part]

    def visits(self, shards: NDArray[np.integer]) -> Iterator[Visit]:
        """When the shards are read, from the shard of each example."""
        for epoch in range(self.epochs):
            batches = (epoch * self.used + np.arange(self.used)) // self.size
            yield from visits(shards[self._order(epoch)], batches)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self.shards is None:
            return permutation(generator(self.seed, epoch, 0), self.count).numpy()[: self.used]
        window = window_within(self.shards.room)
        return shard_order(self.shards.numbers, self.seed, epoch, window=window, count=self.used)


def training_loader(
    clips: TrainingClips, epochs: int, batch_size: int, workers: int, pin: bool = False
) -> DataLoader[Any]:
    """Yields `Loaded`, epoch after epoch; the workers live through all of them."""
    shards = shards_of(clips.source)
    batches = _Epochs(len(clips.source), epochs, batch_size, clips.seed, shards)
    return make_loader(
        clips,
        batches,
        shards,
        batches.visits,
        workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        # A generator of its own: an iterator would otherwise draw from the global one.
        generator=torch.Generator(),
    )
