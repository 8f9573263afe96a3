"""Rows on disk and on screen."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..datasets.source import Source
from ..encoders.encoder import Encoder
from ..errors import InputError
from ..modalities.input_spec import InputSpec
from .feature_cache import weights_hash
from .features import device_of, precision
from .metrics import Outcome, per_class
from .splits import Split
from .stamp import MEAN, Protocol, Row, comparable, environment
from .statistics import interval, wilson


def write_rows(rows: Iterable[Row], file: Path) -> None:
    """Appends rows as JSON lines in one write and waits until the disk has them.

    A torn last line (of a process that was killed) is ended first, so that it spoils no other.
    """
    text = "".join(json.dumps(row.to_dict(), allow_nan=False) + "\n" for row in rows)
    if not text:
        return
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = memoryview(("\n" + text if torn else text).encode())
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def read_rows(file: Path) -> list[Row]:
    """All whole rows; a torn line counts as not written.

    Raises:
        InputError: a line is JSON but no row.
    """
    rows = []
    for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            continue
        try:
            rows.append(Row.from_dict(values))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}, line {number}: this is not a result row: {error}") from error
    return rows


def print_rows(rows: Sequence[Row]) -> None:
    """Small tables on stdout, one column per protocol: mean over seeds, 95 % interval, chance.

    Of several splits only their mean is shown. A star marks the level picked on validation. What
    an encoder saw of the test files in pretraining is said below.
    """
    columns = comparable(_final(rows))
    tables: dict[tuple[str, ...], list[list[Row]]] = {}
    for group in columns.values():
        stamp = group[0].stamp
        view = json.dumps(stamp.view, sort_keys=True)
        kind = (stamp.method, stamp.recipe, stamp.data, stamp.split_hash, view)
        tables.setdefault((*kind, f"{stamp.clips} clips x {stamp.crops} crops"), []).append(group)
    for (method, recipe, *_, clips), groups in tables.items():
        row = groups[0][0]
        title = f"{method} on {row.stamp.data_name}, {row.stamp.split}: {clips}, {recipe}"
        _table(title, *_lines(groups))
    for line in leaks(rows):
        print(line)


def leaks(rows: Iterable[Row]) -> list[str]:
    """In words, which encoders saw how many of the files that they are tested on."""
    most: dict[tuple[str, str], Row] = {}
    for row in rows:
        seen = most.get(key := (row.task, row.stamp.data_name))
        if row.seen_in_pretraining and row.seen_in_pretraining > (
            seen.seen_in_pretraining or 0 if seen else 0
        ):
            most[key] = row
    return [
        f"caution: {task.rpartition('.')[2]} saw {row.seen_in_pretraining} test files of {data} "
        "in pretraining: its numbers are not those on unseen media"
        for (task, data), row in most.items()
    ]


def _final(rows: Sequence[Row]) -> list[Row]:
    averaged = {(r.stamp.method, r.stamp.data) for r in rows if r.stamp.split.startswith(MEAN)}
    return [
        r
        for r in rows
        if r.stamp.split.startswith(MEAN) or (r.stamp.method, r.stamp.data) not in averaged
    ]


def _lines(groups: list[list[Row]]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of a table whose columns are the groups, its last line being chance."""
    cells: dict[tuple[str, str], list[list[Row]]] = {}
    for column, group in enumerate(groups):
        for row in group:
            line = cells.setdefault((row.task, row.level), [[] for _ in groups])
            line[column].append(row)
    lines = []
    for (task, level), line in cells.items():
        best = any(row.best for same in line for row in same)
        lines.append([task.rpartition(".")[2], f"{level} *" if best else level, *map(_cell, line)])
    lines.append(["chance", "", *(f"{group[0].chance:.3f}" for group in groups)])
    return ["task", "level", *(group[0].stamp.metric for group in groups)], lines


def _cell(rows: list[Row]) -> str:
    if not rows:
        return ""
    mean, half = interval([row.value for row in rows])
    low, high = (mean - half, mean + half) if len(rows) > 1 else rows[0].interval
    return f"{mean:.3f} ({low:.2f} to {high:.2f})"


def _table(title: str, heads: list[str], lines: list[list[str]]) -> None:
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        print(title)
        for line in [heads, *lines]:
            print("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    Console().print(table)


NAMED_FILES = 20
ByLevel = dict[str, list[Outcome]]


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows of one evaluation share: half of the stamp, and the circumstances.

    Attributes:
        source: the labelled examples.
        fingerprint: of the source; data_name: what tables call it.
        pretrained_on: names that pretraining has seen, None if unknown.
        common: fields of Row.
    """

    source: Source
    fingerprint: str
    data_name: str
    spec: InputSpec
    clips: int
    crops: int
    pretrained_on: frozenset[str] | None
    common: dict[str, Any]

    def stamp(self, method: str, split: str, split_hash: str, outcome: Outcome) -> Protocol:
        """The protocol of one outcome."""
        return Protocol(
            method=method,
            data=self.fingerprint,
            data_name=self.data_name,
            split=split,
            split_hash=split_hash,
            view=_view(self.spec),
            clips=self.clips,
            crops=self.crops,
            recipe=outcome.recipe,
            metric=outcome.metric,
        )

    def seen(self, split: Split) -> int | None:
        """How many test examples pretraining has seen."""
        if self.pretrained_on is None:
            return None
        return sum(self.source.name(i) in self.pretrained_on for i in split.test)


def _view(spec: InputSpec) -> dict[str, Any]:
    """A spec as a stamp has it: without colours, which belong to the encoder, and without the
    tokenizer, which belongs to the data.

    An encoder that knows lightness alone is compared with others on the same pictures.
    """
    own = ("colour", "tokenizer")
    return {name: value for name, value in spec.plain().items() if name not in own}


def circumstances(
    encoder: Encoder,
    card: Mapping[str, Any] | None,
    seed: int,
    unreadable: Sequence[tuple[str, str]],
    unlabelled: int,
    device: str,
) -> dict[str, Any]:
    """The fields of Row that do not depend on method, split or level.

    Args:
        unreadable: name of each example that was dropped, and why.
    """
    cls = type(encoder)
    commit, versions = environment()
    words = dict(card or {})
    lost = words.get("unreadable")
    names = [f"{name}: {reason}" for name, reason in unreadable]
    return {
        "encoder": weights_hash(encoder),
        "encoder_class": f"{cls.__module__}.{cls.__qualname__}",
        "task": str(words.get("task", "")) if card is not None else "random-init",
        "seed": seed,
        "commit": commit,
        "versions": dict(versions),
        "unreadable": len(names),
        "unreadable_names": names[:NAMED_FILES],
        "unreadable_pretraining": len(lost) if isinstance(lost, list | tuple | dict) else lost,
        "unlabelled": unlabelled,
        "precision": precision(device_of(device)),
        "card": {k: words[k] for k in ("steps", "pretext_metric", "seed", "data") if k in words},
    }


def rows_of(method: str, setting: Setting, splits: list[Split], found: list[ByLevel]) -> list[Row]:
    """Rows of each split and, of several, of their mean.

    Args:
        found: outcomes by level for each of the splits.
    """
    rows = []
    hashes = [split.fingerprint(setting.source) for split in splits]
    seen = [setting.seen(split) for split in splits]
    for split, digest, known, by_level in zip(splits, hashes, seen, found, strict=True):
        rows += _split_rows(method, (split.name, digest), by_level, setting, known)
    if len(splits) > 1:
        mean = {level: mean_outcomes([f[level] for f in found]) for level in found[0]}
        known = None if setting.pretrained_on is None else sum(n or 0 for n in seen)
        title = (f"{MEAN}{len(splits)} splits", "+".join(hashes))
        rows += _split_rows(method, title, mean, setting, known)
    return rows


def count_classes(source: Source) -> int:
    """Number of classes: as named, or as the labels need."""
    return max(len(source.classes), 1 + max(source.label(i) for i in range(len(source))))


def mean_outcomes(folds: list[list[Outcome]]) -> list[Outcome]:
    """The mean over folds of each metric and recipe; counts are summed, and so are confusions."""
    by_kind: dict[tuple[str, str], list[Outcome]] = {}
    for outcomes in folds:
        for outcome in outcomes:
            by_kind.setdefault((outcome.recipe, outcome.metric), []).append(outcome)
    # A metric that some fold lacks (R@50 in a small bank) has no mean over the folds.
    return [_mean(same) for same in by_kind.values() if len(same) == len(folds)]


def _mean(same: list[Outcome]) -> Outcome:
    n = len(same)
    checked = [o.validation for o in same if o.validation is not None]
    counts = [o.confusion for o in same if o.confusion is not None]
    return replace(
        same[0],
        value=sum(o.value for o in same) / n,
        interval=_mean_interval(same),
        chance=sum(o.chance for o in same) / n,
        n_train=sum(o.n_train for o in same),
        n_val=sum(o.n_val for o in same),
        n_test=sum(o.n_test for o in same),
        validation=sum(checked) / n if len(checked) == n else None,
        strength=None,
        lr=None,
        confusion=torch.stack(counts).sum(0) if len(counts) == n else None,
        per_class=_mean_shares([o.per_class for o in same if o.per_class is not None]),
        by_group=None,
    )


def _mean_interval(same: list[Outcome]) -> tuple[float, float] | None:
    """Of the mean over folds, whose test examples are drawn for themselves."""
    ends = [(o.value - o.interval[0], o.interval[1] - o.value) for o in same if o.interval]
    if len(ends) < len(same):
        return None
    mean = sum(o.value for o in same) / len(same)
    below, above = (math.hypot(*half) / len(same) for half in zip(*ends, strict=True))
    return mean - below, mean + above


def _mean_shares(folds: list[list[float | None]]) -> list[float | None] | None:
    """Class by class, over the folds that know it."""
    known = [[value for value in same if value is not None] for same in zip(*folds, strict=True)]
    return [sum(same) / len(same) if same else None for same in known] or None


def _split_rows(
    method: str,
    split: tuple[str, str],
    found: ByLevel,
    setting: Setting,
    seen: int | None,
) -> list[Row]:
    best = best_levels(found) if len(found) > 1 else {}
    return [
        Row(
            stamp=setting.stamp(method, *split, o),
            value=o.value,
            interval=o.interval or wilson(o.value, o.n_test),
            n_train=o.n_train,
            n_val=o.n_val,
            n_test=o.n_test,
            classes=count_classes(setting.source),
            chance=o.chance,
            level=level,
            best=best[o.recipe] == level if o.recipe in best else None,
            validation=o.validation,
            strength=o.strength,
            lr=o.lr,
            seen_in_pretraining=seen,
            per_class=_by_name(setting.source, o),
            confusion=None if o.confusion is None else o.confusion.tolist(),
            by_group=o.by_group,
            **setting.common,
        )
        for level, outcomes in found.items()
        for o in outcomes
    ]


def best_levels(found: Mapping[str, Iterable[Outcome]]) -> dict[str, str]:
    """By recipe the level that scored highest on validation (the deepest of equals)."""
    best: dict[str, tuple[float, str]] = {}
    for level, outcomes in found.items():
        for o in outcomes:
            if o.validation is not None and o.validation >= best.get(o.recipe, (-1.0, ""))[0]:
                best[o.recipe] = (o.validation, level)
    return {recipe: level for recipe, (_, level) in best.items()}


def _by_name(source: Source, outcome: Outcome) -> dict[str, float | None] | None:
    shares = outcome.per_class
    if shares is None and outcome.confusion is not None:
        shares = per_class(outcome.confusion)
    if shares is None:
        return None
    names = [*source.classes, *map(str, range(len(source.classes), len(shares)))]
    return dict(zip(names, shares, strict=True))
