"""Media with masks: what an encoder makes of each of their places, beside what each pixel shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..datasets.masked import IGNORED
from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..encoders.places import middle_maps
from ..errors import InputError
from ..modalities.flow import geometry
from ..modalities.image import resize
from ..modalities.input_spec import InputSpec, as_float
from ..modalities.media import MediaError, Plan
from ..progress import progress
from .clip_dataset import clip_starts, plan_clips, whole_clips
from .features import autocast
from .splits import Split, named_folds, splits

SPATIAL = ("image", "video", "flow")


@dataclass(frozen=True, slots=True)
class Seen:
    """One example, read and encoded.

    Attributes:
        index: its number in the source.
        frames: float [V, 3, S, S] of pictures, [V, 2, S, S] of flow: the middle of each clip.
        maps: by level [V, C, H', W'] of that middle.
        masks: uint8 [V, H, W], of the same moments at the size that they have in the file.
    """

    index: int
    frames: Tensor
    maps: dict[str, Tensor]
    masks: NDArray[np.uint8]


def check_dense(encoder: Encoder, spec: InputSpec, source: Source) -> None:
    """Raises InputError where there is no place to look at, or no mask to compare with."""
    if spec.modality not in SPATIAL or encoder.modality != spec.modality:
        raise InputError(
            f"segmentation looks at the places of a picture; this encoder is for {encoder.modality}"
            ": name a run on pictures, videos or flow, or another encoder of it by --modality"
        )
    if not source.mask_classes:
        raise InputError(
            f"{source.title or type(source).__name__} has no masks to compare segments with: take "
            "synthetic, voc:PATH or masks:PATH (folders images and masks)"
        )


class MaskedSet(Dataset):
    """Example i as (i, inputs [V, …], masks [V, H, W]) or, if it cannot be read, (i, why, None).

    The whole picture is shown, squashed to the square that the encoder takes: no pixel of the masks
    is left out.

    Args:
        clips: evenly spaced clips per film; pictures have one.
    """

    def __init__(self, source: Source, spec: InputSpec, clips: int):
        self.source, self.spec, self.clips = source, spec, clips

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[int, Tensor | str, NDArray[np.uint8] | None]:
        spec, source = self.spec, self.source
        try:
            info = source.info(i)
            starts = clip_starts(spec, info, self.clips)
            sample = source.read(i, plan_clips(spec, info, starts))
            middles = tuple(start + spec.frame_interval * (spec.frames // 2) for start in starts)
            masks = source.masks(i, Plan(times=middles, past_end="repeat"))
            _check_masks(masks, (info.height, info.width), source, i)
        except MediaError as error:
            return i, f"{error.stage}: {error.reason}", None
        clips = whole_clips(spec, sample, len(starts))
        return i, torch.stack([_squared(clip, spec) for clip in clips]), masks


def _check_masks(masks: NDArray[np.uint8], size: tuple[int, int], source: Source, i: int) -> None:
    if masks.shape[1:] != size:
        (height, width), (tall, wide) = masks.shape[1:], size
        reason = f"its mask has {width}x{height} pixels, the picture {wide}x{tall}"
        raise MediaError(source.name(i), "mask", reason)
    known = masks[masks != IGNORED]
    if known.size and known.max() >= len(source.mask_classes):
        reason = f"its mask has the number {known.max()}, of {len(source.mask_classes)} classes"
        raise MediaError(source.name(i), "mask", reason)


def _squared(x: Tensor, spec: InputSpec) -> Tensor:
    """[C, (T,) H, W] at [size, size], whatever its shape."""
    square = (spec.size, spec.size)
    if spec.modality == "flow":
        return geometry.resize(x.transpose(0, 1), square).transpose(0, 1)
    return resize(x, square)


def seen(
    encoder: Encoder,
    media: MaskedSet,
    numbers: Sequence[int],
    *,
    levels: Sequence[str],
    batch_size: int,
    workers: int,
    device: torch.device,
    failed: dict[int, str],
    label: str,
) -> Iterator[Seen]:
    """Reads and encodes these examples, in order. The encoder is frozen and on the device already.

    Args:
        levels: whose maps are kept.
        failed: takes why an example could not be read, by its number.
        label: of the progress bar.
    """
    size = max(1, batch_size // media.clips)
    batches: DataLoader[Any] = DataLoader(
        media,
        sampler=list(numbers),  # pyright: ignore[reportArgumentType]
        batch_size=size,
        num_workers=workers,
        collate_fn=list,
        # A generator of its own: an iterator would otherwise draw from the global one.
        generator=torch.Generator(),
    )
    for batch in progress(batches, len(batches), label):
        failed |= {i: x for i, x, _ in batch if isinstance(x, str)}
        good = [item for item in batch if not isinstance(item[1], str)]
        if not good:
            continue
        counts = [len(x) for _, x, _ in good]
        x = as_float(torch.cat([x for _, x, _ in good]).to(device))
        with autocast(device):
            maps = {k: m for k, m in middle_maps(encoder, x).items() if k in levels}
        middle = x if x.ndim == 4 else x[:, :, x.shape[2] // 2]
        parts = {level: m.float().split(counts) for level, m in maps.items()}
        for k, ((i, _, masks), frames) in enumerate(zip(good, middle.split(counts), strict=True)):
            yield Seen(i, frames, {level: p[k] for level, p in parts.items()}, masks)


class OneClass(Subset):
    """Media with masks, all of one class, so that splits need no labels; `classes` are the masks'.

    Its fingerprint is that of the source.
    """

    def __init__(self, source: Source, parts: dict[int, str] | None = None):
        super().__init__(source, range(len(source)))
        self.classes, self.parts = source.mask_classes, parts

    def label(self, i: int) -> int:
        return 0

    def split(self, i: int) -> str:
        return super().split(i) if self.parts is None else self.parts[i]


def learning_splits(source: Source, seed: int) -> list[Split]:
    """The splits of what learns from masks: the source's own, or five folds of whole groups."""
    if len(set(source.splits())) > 1:
        return splits(OneClass(source), seed)
    dealt = named_folds([source.group(i) for i in range(len(source))], seed)
    return splits(OneClass(source, dealt), seed)


def whole_split(source: Source) -> Split:
    """The split of what learns nothing: all examples of the test part (else of "val"), or all."""
    names = list(source.splits())
    known = set(names)
    name = next((n for n in ("test", "val") if n in known and len(known) > 1), "all")
    chosen = tuple(i for i, own in enumerate(names) if name in (own, "all"))
    return Split(name, (), (), chosen)
