"""Evaluate an encoder's places: do they tell what each pixel of a picture belongs to?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..encoders.places import spread_levels
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from . import kmeans_segmentation as kmeans
from . import linear_segmentation as linear
from .features import default_batch, device_of, frozen
from .masked_set import (
    MaskedSet,
    OneClass,
    Seen,
    check_dense,
    learning_splits,
    seen,
    whole_split,
)
from .methods import DENSE
from .metrics import Outcome
from .results import ByLevel, Setting, circumstances, rows_of
from .splits import Split, pretraining_names
from .stamp import Row
from .statistics import bootstrap

HYPERCOLUMN = "hypercolumn"
MOMENTS = 1


@dataclass(frozen=True, slots=True)
class Segmented:
    """What was made of one picture, to be drawn.

    Attributes:
        method, name: of the evaluation, and of the example.
        frame: float [C, S, S], as in `Seen`.
        truth: uint8 [H, W].
        found: uint8 [H, W], with the numbers of the truth; 255 where nothing was matched.
    """

    method: str
    name: str
    frame: Tensor
    truth: NDArray[np.uint8]
    found: NDArray[np.uint8]


Watch = Callable[[Segmented], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What both methods need.

    Attributes:
        columns: by the level that rows name, the levels of a hypercolumn.
        failed: why examples could not be read, by number.
        watch: sees the first picture of each test example.
    """

    encoder: Encoder
    media: MaskedSet
    source: Source
    columns: dict[str, tuple[str, ...]]
    batch_size: int
    workers: int
    device: torch.device
    seed: int
    segments: int | None
    failed: dict[int, str]
    watch: Watch | None

    @property
    def main(self) -> str:
        """The level of which pictures are shown."""
        return list(self.columns)[-1]

    @property
    def levels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(level for same in self.columns.values() for level in same))

    def see(self, numbers: Sequence[int], label: str):
        """Those of these examples that can be read, encoded."""
        how = {"batch_size": self.batch_size, "workers": self.workers, "device": self.device}
        return seen(self.encoder, self.media, numbers, levels=self.levels, failed=self.failed,
                    label=label, **how)  # fmt: skip

    def show(self, method: str, one: Seen, found: NDArray[np.uint8]) -> None:
        """Hands the first picture of an example to `watch`."""
        if self.watch:
            name = self.source.name(one.index)
            frame = one.frames[0].float().cpu()
            self.watch(Segmented(method, name, frame, one.masks[0], found))

    def groups(self, examples: Sequence[int]) -> list[str]:
        return [self.source.group(i) for i in examples]


def evaluate_segmentation(
    method: str | Sequence[str],
    encoder: Encoder,
    source: Source,
    spec: InputSpec,
    *,
    card: Mapping[str, Any] | None = None,
    run: Path | None = None,
    seed: int = 0,
    split_seed: int = 0,
    clips: int | None = None,
    device: str = "auto",
    workers: int = 0,
    batch_size: int | None = None,
    levels: bool = False,
    segments: int | None = None,
    data_name: str = "",
    watch: Watch | None = None,
) -> list[Row]:
    """Rows of one or several methods that compare segments with a source's masks.

    What is looked at is the hypercolumn of up to four levels of the encoder, from shallow to deep,
    in the middle of each clip. k-means learns nothing, and is tested on the test part, or on all
    examples of a source that has none; its numbers are means over pictures. The linear probe is
    learnt and tested on the source's splits, or on five folds of whole groups; its mean IoU is that
    of all pixels of a test part. The encoder and the global random state are left as they were.

    Args:
        method: one of `methods.DENSE`, or several of them.
        card, run, split_seed, data_name, device, workers: see `evaluate`.
        seed: of k-means, and of the pixels that the probe learns from.
        clips: moments looked at in each film; None: its middle.
        batch_size: encoder inputs per pass; None: as in `features.extract`.
        levels: rows of every level by itself too.
        segments: how many k-means makes of each picture; None: as many as there truly are.
        watch: is handed the first picture of each test example and what was made of it.

    Raises:
        InputError: an unknown method, an encoder without places, a source without masks, or
            nothing that could be read.
    """
    methods = (method,) if isinstance(method, str) else tuple(method)
    for name in methods:
        if name not in DENSE:
            raise InputError(f"no method {name!r} on masks: take {' or '.join(DENSE)}")
    check_dense(encoder, spec, source)
    place, clips = device_of(device), MOMENTS if clips is None else clips
    work = _Work(
        encoder=encoder,
        media=MaskedSet(source, spec, clips),
        source=OneClass(source),
        columns=_columns(encoder, levels),
        batch_size=batch_size or default_batch(spec, place),
        workers=workers,
        device=place,
        seed=seed,
        segments=segments,
        failed={},
        watch=watch,
    )
    rows = []
    for name in methods:
        chosen, found = _outcomes(name, work, split_seed)
        unreadable = [(source.name(i), why) for i, why in sorted(work.failed.items())]
        setting = Setting(
            source=work.source,
            fingerprint=source.fingerprint(),
            data_name=data_name or source.title or type(source).__name__,
            spec=spec,
            clips=clips,
            crops=1,
            pretrained_on=pretraining_names(run),
            common=circumstances(encoder, card, seed, unreadable, 0, device),
        )
        rows += rows_of(name, setting, chosen, found)
    return rows


def _outcomes(method: str, work: _Work, split_seed: int) -> tuple[list[Split], list[ByLevel]]:
    with frozen(work.encoder, work.device):
        if method == "kmeans_segmentation":
            split = whole_split(work.media.source)
            return [split], [_by_kmeans(work, split)]
        chosen = learning_splits(work.media.source, split_seed)
        return chosen, _by_probe(work, chosen)


def _columns(encoder: Encoder, each: bool) -> dict[str, tuple[str, ...]]:
    names = tuple(encoder.levels)
    chosen = spread_levels(names)
    if len(names) == 1:
        return {names[0]: names}
    alone = {name: (name,) for name in names} if each else {}
    return {**alone, HYPERCOLUMN: chosen}


def _by_kmeans(work: _Work, split: Split) -> ByLevel:
    method, side = "kmeans_segmentation", min(work.media.spec.size, kmeans.SIDE)
    tested: list[int] = []
    found: dict[str, list[list[float]]] = {name: [] for name in work.columns}
    for one in work.see(split.test, method):
        asked = [v for v, mask in enumerate(one.masks) if kmeans.count_segments(mask) > 1]
        if not asked:
            continue
        tested.append(one.index)
        for name, levels in work.columns.items():
            scores = []
            for v in asked:
                truth = one.masks[v]
                count = work.segments or kmeans.count_segments(truth)
                x = kmeans.columns([one.maps[level][v] for level in levels], side)
                labels = kmeans.resized(kmeans.kmeans_segments(x, count, work.seed), truth.shape)
                told = kmeans.agreement(truth, labels)
                auc = kmeans.pair_auc(x, truth, work.seed)
                scores.append([told.rand, told.iou, auc, told.blind])
                if v == 0 and name == work.main:
                    work.show(method, one, kmeans.renumbered(truth, labels))
            found[name].append(np.mean(scores, 0).tolist())
    if not tested:
        raise InputError(f"no picture could be judged: {_why(work, split.test)}")
    count = f"{work.segments}" if work.segments else "as many as true"
    recipe = f"{kmeans.RECIPE}, segments: {count}"
    groups = work.groups(tested)
    return {name: _means(np.array(values), groups, recipe) for name, values in found.items()}


def _why(work: _Work, examples: Sequence[int]) -> str:
    """What is wrong with the first of these examples."""
    lost = [i for i in examples if i in work.failed]
    if lost:
        return f"{work.source.name(lost[0])}: {work.failed[lost[0]]}"
    return "none of the masks has two segments or more"


def _means(values: NDArray[np.float64], groups: list[str], recipe: str) -> list[Outcome]:
    """Outcomes of [N, 4], Rand index, IoU, area under the curve and blind IoU of each example."""
    chances = {"adjusted_rand": 0.0, "mean_iou": float(values[:, 3].mean()), "pair_auc": 0.5}
    ends = {"adjusted_rand": (-0.5, 1.0), "mean_iou": (0.0, 1.0), "pair_auc": (0.0, 1.0)}
    return [
        Outcome(
            metric=metric,
            value=float(own.mean()),
            chance=chances[metric],
            recipe=recipe,
            n_train=0,
            n_val=0,
            n_test=len(own),
            interval=bootstrap(
                np.stack([own, np.ones(len(own))], 1), groups, lambda s: s[0] / s[1], ends[metric]
            ),
        )
        for metric, own in zip(chances, values.T, strict=False)
    ]


def _by_probe(work: _Work, chosen: list[Split]) -> list[ByLevel]:
    """Outcomes of each split: pixels are drawn in one pass, and all are judged in a second one."""
    method, classes = "linear_segmentation", len(work.source.classes)
    learnt = sorted({i for split in chosen for i in split.train + split.val})
    channels = sum(work.encoder.levels[level].channels for level in work.levels)
    each = linear.pixels_each(len(learnt) * work.media.clips, channels)
    drawn = {}
    for one in work.see(learnt, "pixels"):
        drawn[one.index] = linear.draw_pixels(one, each, work.seed)
    probes = [_fitted(work, split, drawn, classes) for split in chosen]
    splits_of = {i: k for k, split in enumerate(chosen) for i in split.test}
    tables: list[dict[str, dict[int, NDArray]]] = [{n: {} for n in work.columns} for _ in chosen]
    for one in work.see(sorted(splits_of), method):
        k = splits_of[one.index]
        for name, probe in probes[k].items():
            found = probe.classes(one.maps, one.masks.shape[1:])
            tables[k][name][one.index] = linear.counts(one.masks, found, classes)
            if name == work.main:
                work.show(method, one, found[0].astype(np.uint8))
    return [
        {
            name: [_total(work, chosen[k], probes[k][name], table, len(drawn))]
            for name, table in tables[k].items()
        }
        for k in range(len(chosen))
    ]


def _fitted(
    work: _Work, split: Split, drawn: Mapping[int, linear.Pixels], classes: int
) -> dict[str, linear.SegmentationProbe]:
    """A probe of each column, learnt on one split."""
    train, val = ([i for i in part if i in drawn] for part in (split.train, split.val))
    known = {int(c) for i in train for c in drawn[i].classes.unique()}
    if len(known) < 2:
        what = _why(work, split.train) if not train else f"their masks know {len(known)} class"
        raise InputError(f"split {split.name}: nothing to be learnt from its training part: {what}")
    return {
        name: linear.fit_probe(drawn, levels, train, val, classes)
        for name, levels in work.columns.items()
    }


def _total(
    work: _Work,
    split: Split,
    probe: linear.SegmentationProbe,
    by_example: dict[int, NDArray],
    learnt: int,
) -> Outcome:
    if not by_example:
        raise InputError(
            f"split {split.name}: no picture could be judged: {_why(work, split.test)}"
        )
    tables = np.stack(list(by_example.values()))
    table = tables.sum(0)
    return Outcome(
        metric="mean_iou",
        value=linear.mean_iou(table),
        chance=linear.blind_iou(table),
        recipe=linear.RECIPE,
        n_train=sum(i not in work.failed for i in split.train),
        n_val=sum(i not in work.failed for i in split.val),
        n_test=len(tables),
        validation=probe.validation,
        strength=probe.strength,
        confusion=torch.from_numpy(table),
        per_class=linear.ious(table),
        interval=bootstrap(tables, work.groups(list(by_example)), linear.mean_iou),
    )
