"""Protocol: the stamp that says how a number came about, and the row that carries both."""

import functools
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

MEAN = "mean of "


@dataclass(frozen=True, slots=True)
class Protocol:
    """Everything that two numbers must share to be compared; nothing about the encoder's making.

    Attributes:
        method: one of `methods.METHODS` or `methods.DENSE`.
        data: the source's fingerprint.
        data_name: what people call it.
        split: the split's name, or "mean of K splits".
        split_hash: over the names in train, val and test.
        view: fields of the InputSpec.
        clips: clips per medium.
        crops: crops per clip.
        recipe: the probe with its numbers, in words.
        metric: "top1", "top5", "mean_class", "R@k", "mean_iou" or "pair_auc", which are in
            [0, 1], or "adjusted_rand", which is 0 by chance and 1 at best.
    """

    method: str
    data: str
    data_name: str
    split: str
    split_hash: str
    view: dict[str, Any]
    clips: int
    crops: int
    recipe: str
    metric: str

    @property
    def stamp_hash(self) -> str:
        """Of all fields but `data_name`, which is only a name."""
        fields = {k: v for k, v in asdict(self).items() if k != "data_name"}
        text = json.dumps(fields, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Row:
    """One number with its stamp and its circumstances.

    Attributes:
        stamp: the protocol.
        value: of the metric.
        interval: ends of the 95 % interval over the test examples: Wilson's of a share of them,
            else a bootstrap over their groups.
        n_train, n_val, n_test: examples that could be read, per part.
        classes: number of classes.
        chance: what the metric is expected to be without looking at the features.
        level: where in the encoder the features come from; "embedding" is its output.
        best: whether this level scored highest on validation; None where there is no choice.
        validation: the score on the validation part, where one was used to pick something.
        strength: the regularisation picked there; lr: the learning rate.
        precision: what the frozen encoder computed in, "32" or "bf16".
        encoder: sha-256 of the encoder's weights.
        encoder_class: its import path.
        task: what it was trained with; "random-init" for a control.
        seed: of this evaluation and, by convention, of the pretraining.
        commit, versions: of the software that evaluated.
        unreadable: files dropped in this evaluation; unreadable_names: with the reason.
        unreadable_pretraining: files dropped in pretraining, None if unknown.
        unlabelled: examples left out because they have no label.
        seen_in_pretraining: test files that occurred in the pretraining data, None if unknown.
        per_class: accuracy by class name, of "mean_iou" the IoU; None for a class without test
            examples.
        confusion: counts, true class by row, predicted class by column.
        by_group: of each group of test examples (right, all), where the value is such a share: what
            tells how much it varies from group to group. See `metrics.by_group`.
        card: the pretraining's own words (steps, pretext metric, …), as far as given.
    """

    stamp: Protocol
    value: float
    interval: tuple[float, float]
    n_train: int
    n_val: int
    n_test: int
    classes: int
    chance: float
    level: str = "embedding"
    best: bool | None = None
    validation: float | None = None
    strength: float | None = None
    lr: float | None = None
    precision: str = "32"
    encoder: str = ""
    encoder_class: str = ""
    task: str = ""
    seed: int = 0
    commit: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0
    unreadable_names: list[str] = field(default_factory=list)
    unreadable_pretraining: int | None = None
    unlabelled: int = 0
    seen_in_pretraining: int | None = None
    per_class: dict[str, float | None] | None = None
    confusion: list[list[int]] | None = None
    by_group: dict[str, list[int]] | None = None
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def stamp_hash(self) -> str:
        return self.stamp.stamp_hash

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the stamp nested under "stamp" with its hash beside it."""
        return {"stamp_hash": self.stamp_hash, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Row":
        """The inverse of `to_dict`; raises TypeError or KeyError if the fields are not a row's."""
        rest = {k: v for k, v in values.items() if k not in ("stamp", "stamp_hash", "interval")}
        low, high = values["interval"]
        return cls(stamp=Protocol(**values["stamp"]), interval=(low, high), **rest)


def comparable(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by stamp hash: one group is one column of a table, and no row may join another's."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.stamp_hash, []).append(row)
    return groups


@functools.cache
def environment() -> tuple[str, tuple[tuple[str, str], ...]]:
    """Commit of this checkout ("" if it is none) and versions of what computes the numbers."""
    root = Path(__file__).resolve().parent.parent
    commit = ""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            commit = done.stdout.strip()
        except OSError:
            commit = ""
    return commit, tuple((name, _version(name)) for name in ("pretexto", "torch", "scikit-learn"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
