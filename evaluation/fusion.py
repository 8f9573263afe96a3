"""Late fusion: what the probes of two encoders say together, beside each alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.source import Source, Subset
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from .evaluate import PROBED, labelled
from .features import EMBEDDING, Features, device_of, extract
from .linear import averaged, rows_of_examples, tune
from .metrics import Outcome, by_group, outcomes
from .results import Setting, circumstances, count_classes, rows_of
from .splits import Split, pretraining_names, splits
from .stamp import Row

METHOD = "late_fusion"
_RECIPE = (
    "of each stream: standardised, logistic regression on every clip and crop, L2 picked on val, "
    "refit on train+val; class probabilities averaged over clips, and of both over the streams"
)


@dataclass(frozen=True, slots=True)
class Stream:
    """An encoder and what it looks at.

    Attributes:
        encoder: frozen.
        spec: its input.
        card: its `encoder.json`; None for a control that was never trained.
        run: its folder, where features are kept and `data.jsonl` says what it has seen.
    """

    encoder: Encoder
    spec: InputSpec
    card: Mapping[str, Any] | None = None
    run: Path | None = None


def evaluate_fusion(
    streams: Sequence[Stream],
    source: Source,
    *,
    seed: int = 0,
    split_seed: int = 0,
    clips: int | None = None,
    crops: int = 1,
    data_name: str = "",
    device: str = "auto",
    **how: Any,
) -> list[Row]:
    """Rows of the linear probe of each stream and of the mean of their class probabilities.

    As the two-stream network averages its softmax scores (Simonyan & Zisserman 2014,
    arXiv:1406.2199, section 2). All rows are of the same test examples: those that every stream
    can read; the others are counted and named. A row's level says of which stream it is.

    Args:
        streams: two or more, as of frames and of flow.
        source: labelled media that all of them are read from.
        seed, split_seed, clips, crops, data_name: see `evaluate`.
        device: see `features.extract`.
        how: `workers`, `batch_size` and `shared`, likewise.

    Raises:
        InputError: an unlabelled source, nothing that all streams can read, or what `extract` and
            `splits` raise.
    """
    kept, clips = labelled(source), PROBED if clips is None else clips
    chosen = splits(kept, split_seed)
    each = [
        extract(
            stream.encoder,
            kept,
            stream.spec,
            clips=clips,
            crops=crops,
            device=device,
            cache=stream.run and stream.run / "features",
            **how,
        )
        for stream in streams
    ]
    common = in_common(each)
    unlabelled = len(source) - len(kept)
    facts = [
        circumstances(stream.encoder, stream.card, seed, features.unreadable, unlabelled, device)
        for stream, features in zip(streams, common, strict=True)
    ]
    setting = Setting(
        source=kept,
        fingerprint=kept.fingerprint(),
        data_name=data_name or kept.title or type(kept).__name__,
        spec=streams[0].spec,
        clips=clips,
        crops=crops,
        pretrained_on=None,
        common={},
    )
    common = [features.to(device_of(device)) for features in common]
    found = [_split_outcomes(common, kept, split) for split in chosen]
    return _rows(streams, setting, facts, chosen, found)


def _rows(
    streams: Sequence[Stream],
    setting: Setting,
    facts: Sequence[dict[str, Any]],
    chosen: list[Split],
    found: Sequence[list[list[Outcome]]],
) -> list[Row]:
    """Rows of each stream and of all together, under one stamp.

    Args:
        facts: fields of Row, of each stream.
        found: of each split what `_split_outcomes` gives.
    """
    names, seen = _levels(streams), [pretraining_names(stream.run) for stream in streams]
    rows: list[Row] = []
    about = zip(names, [*facts, _joined(facts)], [*seen, _seen_by_any(seen)], strict=True)
    for k, (level, fields, known) in enumerate(about):
        own = replace(setting, pretrained_on=known, common=fields)
        rows += rows_of(METHOD, own, chosen, [{level: one[k]} for one in found])
    view = {name: stream.spec.plain() for name, stream in zip(names, streams, strict=False)}
    return [replace(row, stamp=replace(row.stamp, view=view)) for row in rows]


def fused(scores: Sequence[Tensor]) -> Tensor:
    """Logarithms [N, K] of the mean of class probabilities, of which these are the logarithms."""
    return torch.stack(list(scores)).logsumexp(0) - math.log(len(scores))


def in_common(found: Sequence[Features]) -> list[Features]:
    """The features of the examples that all have; what any of them lacks counts as unreadable.

    Raises:
        InputError: there is no such example.
    """
    kept = sorted(set.intersection(*(set(f.indices.tolist()) for f in found)))
    lost = {name: reason for features in found for name, reason in features.unreadable}
    if not kept:
        raise InputError(f"no example can be read by all encoders; {len(lost)} fail in one of them")
    return [replace(_only(f, kept), unreadable=tuple(lost.items())) for f in found]


def _only(features: Features, kept: Sequence[int]) -> Features:
    """The features of the examples of these numbers."""
    place = {number: k for k, number in enumerate(features.indices.tolist())}
    positions = [place[number] for number in kept]
    x = features.vectors[EMBEDDING]
    rows, counts = rows_of_examples(x, positions, features.counts)
    chosen = torch.tensor(positions)
    return replace(
        features,
        vectors={EMBEDDING: x[rows]},
        counts=counts,
        labels=features.labels[chosen],
        indices=features.indices[chosen],
    )


def _split_outcomes(found: Sequence[Features], source: Source, split: Split) -> list[list[Outcome]]:
    """Outcomes of each stream and, last, of all together."""
    kept = found[0].indices.tolist()
    part = split.positions(kept)
    if not part.train or not part.test:
        raise InputError(f"split {split.name}: no example of train or of test could be read")
    readable, y = Subset(source, kept), found[0].labels
    classes = count_classes(source)
    scores = []
    for features in found:
        x, counts = features.vectors[EMBEDDING], features.counts
        probe = tune(x, y, part, classes, counts=counts)
        scores.append(averaged(probe.classifier, x, part.test, counts))
    groups = [readable.group(i) for i in part.test]
    every = (outcomes(s, y, part, classes, _RECIPE) for s in (*scores, fused(scores)))
    return [[by_group(outcome, groups) for outcome in same] for same in every]


def _levels(streams: Sequence[Stream]) -> list[str]:
    """What rows call each stream, and all together: modalities, numbered where they repeat."""
    kinds = [stream.spec.modality for stream in streams]
    names = [
        f"{kind} {kinds[: k + 1].count(kind)}" if kinds.count(kind) > 1 else kind
        for k, kind in enumerate(kinds)
    ]
    return [*names, " + ".join(names)]


def _joined(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of Row of all streams together."""
    tasks = [one["task"].rpartition(".")[2] for one in facts]
    lost = [one["unreadable_pretraining"] for one in facts]
    return {
        **facts[0],
        "encoder": " + ".join(one["encoder"] for one in facts),
        "encoder_class": " + ".join(one["encoder_class"] for one in facts),
        "task": " + ".join(dict.fromkeys(tasks)),
        "unreadable_pretraining": None if None in lost else sum(lost),
        "card": {},
    }


def _seen_by_any(seen: Sequence[frozenset[str] | None]) -> frozenset[str] | None:
    """Names that some stream's pretraining has seen; None if that is unknown of one."""
    known = [names for names in seen if names is not None]
    return frozenset().union(*known) if len(known) == len(seen) else None
