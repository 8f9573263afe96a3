"""Evaluate an encoder: features once, then any of the probes, one stamped row per number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from .attentive import attentive
from .baselines import random_init
from .features import EMBEDDING, Features, device_of, extract
from .finetune import CLIPS, Tuning, finetune
from .knn import knn
from .linear import linear
from .lowshot import lowshot
from .methods import METHODS
from .metrics import Outcome, by_group
from .results import (
    ByLevel,
    Setting,
    circumstances,
    count_classes,
    print_rows,
    read_rows,
    rows_of,
    write_rows,
)
from .retrieval import retrieval
from .splits import Split, pretraining_names, splits
from .stamp import Row

__all__ = ["METHODS", "evaluate", "print_rows", "random_init", "read_rows", "write_rows"]

PROBED = 3  # clips per medium of the methods on frozen features


def evaluate(
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
    crops: int = 1,
    device: str = "auto",
    workers: int = 0,
    batch_size: int | None = None,
    cache: Path | None = None,
    levels: bool = False,
    data_name: str = "",
    tuning: Tuning | None = None,
    shared: bool = False,
) -> list[Row]:
    """Rows of one or several methods on every split of a labelled source.

    With several splits (folds) each has its rows, and rows of their mean follow. What cannot be
    read is found in the one pass that extracts features, and left out by all methods. The encoder
    and the global random state are left as they were. Several methods share one extraction; so
    do several calls with a `cache`.

    Args:
        method: one of `METHODS`, or several of them.
        card: the encoder's `encoder.json`; None for a control that was never trained.
        run: the run folder, whose `data.jsonl` tells which files pretraining has seen.
        seed: of the low-shot draw, the attentive probe and fine-tuning; named in the rows.
        split_seed: of folds and validation parts that the source does not name. One seed for all
            encoders, or their rows would not be comparable.
        levels: rows for every level of the encoder, not only for its output.
        data_name: what tables call the data; default: the title of the source.
        tuning: how to fine-tune; None: as `Tuning` has it.
        clips: per medium; None: 3, and 10 in the tests of fine-tuning.
        crops, device, workers, batch_size, cache, shared: see `features.extract`.

    Raises:
        InputError: an unknown method, an unlabelled source, or what `extract` and `splits` raise.
    """
    methods = (method,) if isinstance(method, str) else tuple(method)
    for name in methods:
        if name not in METHODS:
            raise InputError(f"no evaluation method {name!r}: take {', '.join(METHODS)}")
    kept = labelled(source)
    chosen = splits(kept, split_seed)
    probed, tested = (PROBED, CLIPS) if clips is None else (clips, clips)
    features = extract(
        encoder,
        kept,
        spec,
        clips=probed,
        crops=crops,
        batch_size=batch_size,
        workers=workers,
        device=device,
        levels=levels,
        tokens="attentive" in methods,
        cache=cache,
        shared=shared,
    )
    unlabelled = len(source) - len(kept)
    fields = circumstances(encoder, card, seed, features.unreadable, unlabelled, device)
    seen = pretraining_names(run)
    setting = Setting(
        source=kept,
        fingerprint=kept.fingerprint(),
        data_name=data_name or source.title or type(source).__name__,
        spec=spec,
        clips=probed,
        crops=crops,
        pretrained_on=seen,
        common=fields,
    )
    tune = partial(
        finetune,
        encoder,
        spec=spec,
        tuning=tuning or Tuning(),
        seed=seed,
        clips=tested,
        crops=crops,
        workers=workers,
        device=str(device_of(device)),
        shared=shared,
    )
    # Once for all methods and splits.
    features = features.to(device_of(device))
    rows = []
    for name in methods:
        tuned = name == "finetune"
        probe = partial(_tuned, tune) if tuned else partial(_probe, name, seed=seed)
        found = [_by_level(probe, features, kept, split) for split in chosen]
        own = replace(setting, clips=tested if tuned else probed)
        rows += rows_of(name, own, chosen, found)
    return rows


def labelled(source: Source) -> Source:
    """The source without the examples that have no label; itself if all have one."""
    keep = [i for i in range(len(source)) if source.label(i) >= 0]
    return source if len(keep) == len(source) or not keep else Subset(source, keep)


def _by_level(
    probe: Callable[[Features, Split, Source], ByLevel],
    features: Features,
    source: Source,
    split: Split,
) -> ByLevel:
    kept = features.indices.tolist()
    part = split.positions(kept)
    if not part.train or not part.test:
        raise InputError(f"split {split.name}: no example of train or of test could be read")
    readable = Subset(source, kept)
    found = probe(features, part, readable)
    groups = [readable.group(i) for i in part.test]
    return {level: [by_group(o, groups) for o in same] for level, same in found.items()}


def _probe(method: str, features: Features, split: Split, source: Source, *, seed: int) -> ByLevel:
    y, classes = features.labels, count_classes(source)
    if method == "attentive":
        assert features.tokens is not None
        counts = features.counts
        return {EMBEDDING: attentive(features.tokens, y, split, classes, counts=counts, seed=seed)}
    if method in ("knn", "retrieval"):
        nearest = {"knn": knn, "retrieval": retrieval}[method]
        return {level: nearest(x, y, split, classes) for level, x in features.values.items()}
    few = partial(lowshot, grouped=source, seed=seed)
    learn = partial(linear if method == "linear" else few, counts=features.counts)
    return {level: learn(x, y, split, classes) for level, x in features.vectors.items()}


def _tuned(
    tune: Callable[..., list[Outcome]], _: Features, split: Split, source: Source
) -> ByLevel:
    return {EMBEDDING: tune(source=source, split=split, classes=count_classes(source))}
