"""Splits: disjoint, group-pure, class-complete, on named and on many random sources."""

import random
from collections import Counter

import evaluation_fakes as fakes
import pytest
from helpers import shared_data

from pretexto.datasets.source import Subset
from pretexto.errors import InputError
from pretexto.evaluation.splits import Split, carve, splits, without_test


def parts(split: Split) -> list[set[int]]:
    return [set(split.train), set(split.val), set(split.test)]


def assert_sound(source, cut: Split) -> None:
    train, val, test = parts(cut)
    assert len(train) + len(val) + len(test) == len(train | val | test)
    groups = [{source.group(i) for i in part} for part in (train, val, test)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert train
    assert test
    for part in (cut.train, cut.val, cut.test):
        assert list(part) == sorted(part)


def random_source(seed: int):
    """1 to 60 groups of 1 to 6 examples; usually one class per group, sometimes mixed ones."""
    rng = random.Random(seed)
    classes, mixed = rng.randint(1, 6), rng.random() < 0.3
    labels, groups = [], []
    for group in range(rng.randint(1, 60)):
        label = rng.randrange(classes)
        for _ in range(rng.randint(1, 6)):
            labels.append(rng.randrange(classes) if mixed else label)
            groups.append(f"group{group}")
    order = list(range(len(labels)))
    rng.shuffle(order)
    return fakes.Listed([labels[i] for i in order], [groups[i] for i in order])


def test_random_sources_are_cut_soundly_or_refused():
    cut_up = 0
    for seed in range(40):
        source = random_source(seed)
        try:
            cuts = splits(source, seed)
        except InputError:
            per_class = Counter(
                c for c, _ in set(zip(source.listed_labels, source.listed_groups, strict=True))
            )
            assert len(per_class) < 2 or min(per_class.values()) < 5
            continue
        cut_up += 1
        tested = [i for cut in cuts for i in cut.test]
        assert sorted(tested) == list(range(len(source))), "each example is tested once"
        for cut in cuts:
            assert_sound(source, cut)
            assert {source.label(i) for i in cut.train} == set(source.listed_labels)
            assert set().union(*parts(cut)) == set(range(len(source)))
    assert cut_up > 20


def test_carving_keeps_groups_whole_and_a_class_in_train():
    for seed in range(100):
        source = random_source(1000 + seed)
        train, val = carve(source, range(len(source)), seed)
        assert sorted(train + val) == list(range(len(source)))
        assert not {source.group(i) for i in train} & {source.group(i) for i in val}
        assert {source.label(i) for i in train} == set(source.listed_labels)


def test_carving_takes_a_fifth_of_every_class_where_groups_allow():
    source = fakes.Listed([0] * 50 + [1] * 100 + [2] * 10)
    _, val = carve(source, range(160), 0)
    assert Counter(source.label(i) for i in val) == {0: 10, 1: 20, 2: 2}
    few = fakes.Listed([0] * 10 + [1] * 10, groups=["a"] * 5 + ["b"] * 5 + ["c"] * 9 + ["d"])
    train, val = carve(few, range(20), 0)
    assert Counter(few.label(i) for i in val) == {0: 5, 1: 1}
    assert len(train) == 14
    single = fakes.Listed([0] * 10 + [1] * 10, groups=["a"] * 10 + ["b"] * 10)
    assert carve(single, range(20), 0)[1] == ()


def test_carving_leaves_no_class_without_validation_where_two_groups_have_it():
    # Two groups of each rare class, twenty of the frequent one, films of one to four clips.
    labels, groups = [], []
    for label, films in [(0, 20), (1, 2), (2, 2), (3, 2)]:
        for film in range(films):
            for _ in range(1 + film % 4):
                labels.append(label)
                groups.append(f"{label}-{film}")
    source = fakes.Listed(labels, groups)
    for seed in range(20):
        train, val = carve(source, range(len(labels)), seed)
        assert {labels[i] for i in val} == {0, 1, 2, 3}
        assert sum(labels[i] == 0 for i in val) == 10, "a fifth"
        assert (train, val) == carve(source, range(len(labels))[::-1], seed)
    assert carve(source, range(len(labels)), 0) != carve(source, range(len(labels)), 1)


def test_a_class_of_one_group_stays_in_train_whatever_else_that_group_holds():
    source = fakes.Listed([0, 1, 0, 0, 1, 1, 2], ["mixed", "mixed", "a", "b", "c", "d", "mixed"])
    for seed in range(10):
        train, val = carve(source, range(7), seed)
        assert {0, 1, 6} <= set(train)
        assert {source.label(i) for i in val} == {0, 1}


def test_lone_examples_are_carved_without_a_search_over_groups(monkeypatch):
    import sklearn.model_selection as library

    def slow(*_, **__):
        raise AssertionError("a million examples would take minutes")

    monkeypatch.setattr(library, "StratifiedGroupKFold", slow)
    source = fakes.Listed([0, 1] * 50)
    _, val = carve(source, range(100), 3)
    assert Counter(source.label(i) for i in val) == {0: 10, 1: 10}


def test_what_may_be_pretrained_on_is_all_that_is_not_tested():
    names = ["train"] * 6 + ["test"] * 3 + ["train"]
    source = fakes.Listed([0, 1] * 4 + [0, -1], names=names)
    kept = without_test(source)
    assert kept is not None
    assert [kept.name(i) for i in range(len(kept))] == [source.name(i) for i in (*range(6), 9)]
    assert without_test(fakes.Listed([0, 1] * 10, names=["a", "b"] * 10)) is None
    assert without_test(fakes.Listed([0, 1] * 10)) is None


def test_named_train_and_test_give_one_split_whatever_the_seed():
    names = ["train"] * 40 + ["test"] * 20
    source = fakes.Listed([0, 1] * 30, names=names)
    (one,), (other,) = splits(source, 0), splits(source, 1)
    assert one.test == other.test == tuple(range(40, 60))
    assert set(one.train + one.val) == set(range(40))
    assert len(one.val) == 8
    assert one.train != other.train, "only the part set aside is drawn"
    assert splits(source, 0) == [one]


def test_a_named_validation_part_is_used_as_it_is():
    source = fakes.Listed([0, 1] * 6, names=["train"] * 4 + ["val"] * 4 + ["test"] * 4)
    (cut,) = splits(source, 5)
    assert (cut.train, cut.val, cut.test) == ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
    without = fakes.Listed([0, 1] * 12, names=["train"] * 20 + ["val"] * 4)
    (cut,) = splits(without, 5)
    assert (cut.name, cut.test) == ("val", (20, 21, 22, 23))
    assert_sound(without, cut)


def test_named_folds_are_cross_validated():
    source = fakes.Listed([0, 1] * 15, names=[f"fold{k % 3}" for k in range(30)])
    cuts = splits(source, 0)
    assert [cut.name for cut in cuts] == ["fold0", "fold1", "fold2"]
    for k, cut in enumerate(cuts):
        assert cut.test == tuple(range(k, 30, 3))
        assert_sound(source, cut)


def test_dealt_folds_are_balanced_and_follow_the_seed():
    source = fakes.Listed([0] * 50 + [1] * 100)
    cuts = splits(source, 0)
    assert len(cuts) == 5
    for cut in cuts:
        assert Counter(source.label(i) for i in cut.test) == {0: 10, 1: 20}
    assert cuts == splits(source, 0)
    assert cuts != splits(source, 1)


def test_unlabelled_examples_take_part_in_no_split():
    source = fakes.Listed([0, 1, -1] * 10)
    used = [set().union(*parts(cut)) for cut in splits(source, 0)]
    assert all(source.label(i) >= 0 for part in used for i in part)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (fakes.Listed([-1] * 5), "sub-folder"),
        (fakes.Listed([0] * 10), "two are needed"),
        (fakes.Listed([0] * 9 + [1]), "class c1 comes from a single group"),
        (fakes.Listed([0, 1] * 2, names=["train", "train", "test", "spare"]), "'spare' beside"),
        (fakes.Listed([0, 1] * 2, names=["val", "val", "test", "test"]), "none named train"),
        (fakes.Listed([0, 1] * 2, names=["a", "a", "b", ""]), "are in no fold, e.g. 0003.mp4"),
        (
            fakes.Listed([0, 1, 0, 1], ["x", "y", "x", "z"], ["train", "train", "test", "test"]),
            "group x is in train and in test",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused_with_the_remedy(source, message):
    with pytest.raises(InputError, match=message):
        splits(source, 0)


def test_positions_leave_out_what_was_not_read():
    cut = Split("s", (0, 2, 4), (6,), (1, 3))
    assert cut.positions([1, 2, 4, 6]) == Split("s", (1, 2), (3,), (0,))


def test_the_fingerprint_tells_splits_apart_by_names_not_numbers():
    source = fakes.Listed([0, 1] * 5)
    cut = Split("s", (0, 1, 2), (3,), (4, 5))
    subset = Subset(source, [9, 0, 1, 2, 3, 4, 5])
    moved = Split("other", (1, 2, 3), (4,), (5, 6))
    assert cut.fingerprint(source) == moved.fingerprint(subset)
    assert cut.fingerprint(source) != Split("s", (0, 1), (2, 3), (4, 5)).fingerprint(source)


def test_the_folds_of_real_clips_are_disjoint_by_film():
    import csv

    with (shared_data("video/jhmdb8") / "groups.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = sorted({row["class"] for row in rows})
    source = fakes.Listed(
        [kinds.index(row["class"]) for row in rows],
        [row["source_group"] for row in rows],
        [row["fold3"] for row in rows],
    )
    cuts = splits(source, 0)
    assert len(cuts) == 3
    for cut in cuts:
        assert_sound(source, cut)
        assert {source.label(i) for i in cut.train} == set(range(8))
        assert len(cut.val) > 0.1 * (len(cut.train) + len(cut.val))
