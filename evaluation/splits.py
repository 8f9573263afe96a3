"""Splits: which examples a probe learns from, is tuned on and is tested on. Groups stay whole."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..datasets.example_list import NAME as LISTING
from ..datasets.example_list import read_listing
from ..datasets.fingerprint import Columns
from ..datasets.source import Source, Subset
from ..datasets.text.source import BLOCK
from ..errors import InputError

FOLDS = 5
VAL_SHARE = 0.2
NAMED = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """Disjoint numbers of examples, ascending; `val` may be empty, the others never are."""

    name: str
    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]

    def positions(self, indices: Sequence[int]) -> "Split":
        """The same split in positions within `indices`, without examples that are not there."""
        place = {index: position for position, index in enumerate(indices)}
        parts = {part: tuple(place[i] for i in getattr(self, part) if i in place) for part in NAMED}
        return replace(self, **parts)

    def fingerprint(self, source: Source) -> str:
        """A hash of the names in each part."""
        lists = [sorted(source.name(i) for i in getattr(self, part)) for part in NAMED]
        return hashlib.sha256(repr(lists).encode()).hexdigest()[:16]


def splits(source: Source, seed: int = 0) -> list[Split]:
    """The ways in which this source is split.

    Named "train" and "test" (without "test": "val") give one split. Named folds give one split
    each, tested on that fold. Otherwise groups are dealt into folds, balanced by class. A "val"
    split is used as it is; else about a fifth of the training groups is set aside.

    Args:
        seed: of the dealt folds and of the groups set aside; named splits do not depend on it.

    Raises:
        InputError: no labels, contradictory names, a group on both sides, too few groups.
    """
    labelled = [i for i in range(len(source)) if source.label(i) >= 0]
    if not labelled:
        raise InputError(
            "none of the examples has a label: put each class into a sub-folder of its own, or "
            "give a table with a class column (pack text anew)"
        )
    by_name: dict[str, list[int]] = {}
    for i in labelled:
        by_name.setdefault(source.split(i), []).append(i)
    if by_name.keys() & {"train", "test"} and len(by_name) > 1:
        out = [_named(source, by_name, seed)]
    elif len(by_name) > 1:
        out = _folds(source, by_name, seed)
    else:
        out = _folds(source, _deal(source, labelled, seed), seed)
    for split in out:
        _check_groups(source, split)
    return out


def _named(source: Source, by_name: dict[str, list[int]], seed: int) -> Split:
    if strange := by_name.keys() - set(NAMED):
        name = sorted(strange)[0]
        raise InputError(
            f"{len(by_name[name])} examples are in split {name!r} beside {'/'.join(NAMED)}: "
            "name every example's split train, val or test, or take those examples out"
        )
    if "train" not in by_name:
        raise InputError("there is a test split but none named train: name one")
    if "test" in by_name and "val" in by_name:
        return Split("test", *(tuple(by_name[part]) for part in NAMED))
    name = "test" if "test" in by_name else "val"
    train, val = carve(source, by_name["train"], seed)
    return Split(name, train, val, tuple(by_name[name]))


def _folds(source: Source, by_name: dict[str, list[int]], seed: int) -> list[Split]:
    if "" in by_name:
        raise InputError(
            f"{len(by_name[''])} examples are in no fold, e.g. {source.name(by_name[''][0])}: "
            "name every example's fold, or none"
        )
    out = []
    for name in sorted(by_name):
        rest = sorted(i for other in by_name if other != name for i in by_name[other])
        out.append(Split(name, *carve(source, rest, seed), tuple(by_name[name])))
    return out


def _deal(source: Source, labelled: list[int], seed: int) -> dict[str, list[int]]:
    """Group-disjoint folds, such that no class is missing from any fold's training side."""
    labels = [source.label(i) for i in labelled]
    groups = [source.group(i) for i in labelled]
    per_class = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    label, fewest = min(per_class.items(), key=lambda item: (item[1], item[0]))
    if len(per_class) < 2:
        raise InputError(f"all examples are of class {_class(source, label)}: two are needed")
    if fewest < 2:
        raise InputError(
            f"class {_class(source, label)} comes from a single group, {_group_of(source, label)}: "
            "it cannot stand in train and in test; add media, leave the class out, or name splits"
        )
    count = min(FOLDS, fewest)
    for attempt in range(20):
        folds = _assign(labels, groups, count, seed + 1000 * attempt)
        if all(len({c for c, f in zip(labels, folds, strict=True) if f != k}) == len(per_class)
               for k in range(count)):  # fmt: skip
            return {f"fold{k + 1}": [i for i, f in zip(labelled, folds, strict=True) if f == k]
                    for k in range(count)}  # fmt: skip
    raise InputError(
        f"no way found to deal the groups into {count} folds with every class in training: "
        "name train and test splits in a table"
    )


def _assign(labels: list[int], groups: list[str], count: int, seed: int) -> list[int]:
    """The fold of each example by scikit-learn: groups whole, classes in like shares."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    # Its search over groups takes minutes for a million of them; lone examples need none.
    alone = len(set(groups)) == len(groups)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    dealer = kind(count, shuffle=True, random_state=seed % 2**32)
    folds = [0] * len(labels)
    with warnings.catch_warnings():
        # It warns of a class that is not in every fold; callers choose among folds.
        warnings.simplefilter("ignore", UserWarning)
        for k, (_, test) in enumerate(dealer.split(labels, labels, groups)):
            for position in test:
                folds[position] = k
    return folds


def named_folds(groups: Sequence[str], seed: int = 0) -> dict[int, str]:
    """Deals examples without labels into folds by scikit-learn, groups whole: the fold of each.

    Raises:
        InputError: all are of one group.
    """
    from sklearn.model_selection import GroupKFold

    count = min(FOLDS, len(set(groups)))
    if count < 2:
        raise InputError(
            "all examples are of one group: none is left to be tested on; add media of others, or "
            "name train and test splits"
        )
    dealer = GroupKFold(count, shuffle=True, random_state=seed % 2**32)
    dealt = enumerate(dealer.split(groups, groups=groups), 1)
    return {int(i): f"fold{k}" for k, (_, test) in dealt for i in test}


def carve(
    source: Source, indices: Sequence[int], seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sets whole groups aside for validation, about a fifth of every class: (train, val).

    Every class keeps at least one example in train. One that the fold set aside lacks gives its
    smallest group; `val` is empty where no group can be spared.
    """
    labels = {i: source.label(i) for i in sorted(indices)}
    members: dict[str, list[int]] = {}
    for i in labels:
        members.setdefault(source.group(i), []).append(i)
    total = Counter(labels.values())

    def leaves_some(part: set[int]) -> bool:
        """Whether every class is left something without this part."""
        return all(n < total[c] for c, n in Counter(labels[i] for i in part).items())

    folds = _fold_sets({i: (labels[i], g) for g, own in members.items() for i in own}, seed)
    val = min(filter(leaves_some, folds), key=lambda part: _distance(part, labels), default=set())
    lacking = set(total) - {labels[i] for i in val}
    for group in sorted(members, key=lambda g: (len(members[g]), g)) if lacking else ():
        own = {labels[i] for i in members[group]}
        if own & lacking and leaves_some(val | set(members[group])):
            val, lacking = val | set(members[group]), lacking - own
    return tuple(i for i in labels if i not in val), tuple(sorted(val))


def _fold_sets(examples: dict[int, tuple[int, str]], seed: int) -> list[set[int]]:
    """Five folds of examples with their (label, group), fewer where groups are few."""
    indices = sorted(examples)
    labels, groups = [examples[i][0] for i in indices], [examples[i][1] for i in indices]
    count = min(FOLDS, len(set(groups)), max(Counter(labels).values(), default=0))
    if count < 2:
        return []
    out: list[set[int]] = [set() for _ in range(count)]
    for i, fold in zip(indices, _assign(labels, groups, count, seed), strict=True):
        out[fold].add(i)
    return out


def _distance(part: set[int], labels: dict[int, int]) -> tuple[int, float]:
    """How many classes the part lacks, and how far it is from a fifth of the examples."""
    lacking = set(labels.values()) - {labels[i] for i in part}
    return len(lacking), abs(len(part) / len(labels) - VAL_SHARE)


def without_test(source: Source, seed: int = 0) -> Source | None:
    """The source less the examples that `splits` tests on, unlabelled ones kept.

    What an encoder may be pretrained on before it is evaluated on this source. None where every
    example is tested in some fold, so that nothing would be left.
    """
    labelled = Subset(source, [i for i in range(len(source)) if source.label(i) >= 0])
    found = splits(labelled, seed)
    if len(found) > 1:
        return None
    tested = {labelled.indices[i] for i in found[0].test}
    return Subset(source, [i for i in range(len(source)) if i not in tested])


def _check_groups(source: Source, split: Split) -> None:
    sides: dict[str, str] = {}
    for part in NAMED:
        for i in getattr(split, part):
            other = sides.setdefault(source.group(i), part)
            if other != part:
                raise InputError(
                    f"group {source.group(i)} is in {other} and in {part} of split {split.name}: "
                    "examples of one group must not be split, or the result would be too good"
                )


def _class(source: Source, label: int) -> str:
    return source.classes[label] if label < len(source.classes) else str(label)


def _group_of(source: Source, label: int) -> str:
    return next(source.group(i) for i in range(len(source)) if source.label(i) == label)


def pretraining_names(run: Path | None) -> frozenset[str] | None:
    """Names in RUN/data.parquet; None if there is no such file, or if it names blocks of a text,
    which do not tell what documents they are of.

    Examples with a "left_out" reason were not trained on and are not among them.

    Raises:
        InputError: the file is there and says something else.
    """
    if run is None or not (Path(run) / LISTING).is_file():
        return None
    rows = read_listing(Path(run), "name", "left_out")
    names = frozenset(name for name, left_out in rows if left_out is None)
    return None if any(name.startswith(BLOCK) for name in names) else names


class Fold(Source):
    """A source that knows one split only; its fingerprint stays that of the whole."""

    def __init__(self, source: Source, split: Split):
        self.source, self.classes = source, source.classes
        self.title = source.title or type(source).__name__
        self.parts = {i: p for p in ("train", "val", "test") for i in getattr(split, p)}

    def __len__(self) -> int:
        return len(self.source)

    def name(self, i: int) -> str:
        return self.source.name(i)

    def info(self, i: int):
        return self.source.info(i)

    def read(self, i: int, plan):
        return self.source.read(i, plan)

    def label(self, i: int) -> int:
        return self.source.label(i)

    def group(self, i: int) -> str:
        return self.source.group(i)

    def split(self, i: int) -> str:
        return self.parts[i]

    def columns(self, rows: NDArray[np.int64] | None = None) -> Iterator[Columns]:
        return self.source.columns(rows)

    def tokenizer(self) -> str | None:
        return self.source.tokenizer()
