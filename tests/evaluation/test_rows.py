"""Rows: stamps, folds and their mean, the best level, what pretraining has seen, files, tables."""

import json
import math
from dataclasses import replace

import evaluation_fakes as fakes
import numpy as np
import pytest
import torch
from evaluation_fakes import IMAGE

from pretexto.datasets.example_list import LeftOut, write_listing
from pretexto.datasets.source import Source
from pretexto.errors import InputError
from pretexto.evaluation.evaluate import METHODS, evaluate, print_rows, read_rows, write_rows
from pretexto.evaluation.features import extract
from pretexto.evaluation.linear import tune
from pretexto.evaluation.metrics import Outcome, by_group
from pretexto.evaluation.results import best_levels, mean_outcomes
from pretexto.evaluation.splits import splits
from pretexto.evaluation.stamp import MEAN, Protocol, Row, comparable
from pretexto.evaluation.statistics import interval, wilson


def easy(n: int = 36, **rest) -> fakes.Coloured:
    """Three classes, told apart by colour."""
    labels = torch.arange(n) % 3
    noise = torch.randint(20, (n, 3), generator=torch.Generator().manual_seed(0))
    colours = (200 * torch.eye(3)[labels] + noise).to(torch.uint8)
    return fakes.Coloured(colours, labels.tolist(), kind="image", **rest)


def halves(n: int = 36) -> list[str]:
    return ["train" if i < 2 * n // 3 else "test" for i in range(n)]


ENCODER = fakes.MeanColour()
# The attentive probe has tests of its own, and takes longer than all others together.
FROZEN = [name for name in METHODS if name not in ("finetune", "attentive")]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    source = easy(names=halves(), broken=[1, 35])
    card = {"task": "rotation", "unreadable": ["a", "b"], "steps": 70}
    return evaluate(FROZEN, ENCODER, source, IMAGE, card=card, levels=True, seed=3)


def test_every_method_level_and_metric_has_a_row(rows):
    got = {(r.stamp.method, r.stamp.metric) for r in rows}
    tops = {(m, k) for m in ("linear", "knn", "lowshot") for k in ("top1", "mean_class")}
    assert got == tops | {("retrieval", f"R@{k}") for k in (1, 5, 10, 20)}
    for level in ("pixels", "embedding"):
        assert {(r.stamp.method, r.stamp.metric) for r in rows if r.level == level} == got
    assert len({r.stamp.recipe for r in rows if r.stamp.method == "lowshot"}) == 4
    assert all(r.value == 1.0 for r in rows)


def test_a_row_says_how_it_came_about(rows):
    row = next(r for r in rows if r.stamp.method == "linear" and r.stamp.metric == "top1")
    assert (row.n_train + row.n_val, row.n_test, row.classes) == (23, 11, 3)
    assert (row.task, row.seed, row.unreadable, row.unreadable_pretraining) == ("rotation", 3, 2, 2)
    assert row.unreadable_names == [f"{i:04}.mp4: decode: planted damage" for i in (1, 35)]
    assert row.per_class == {"c0": 1.0, "c1": 1.0, "c2": 1.0}
    assert row.confusion == [[4, 0, 0], [0, 4, 0], [0, 0, 3]]
    assert row.chance == pytest.approx(4 / 11)
    assert (row.stamp.split, row.stamp.clips, row.stamp.crops) == ("test", 3, 1)
    assert row.stamp.view["size"] == 8
    assert row.card == {"steps": 70}
    assert row.interval == wilson(1.0, 11)
    assert row.encoder_class.endswith("MeanColour")
    assert len(row.encoder) == 64
    assert set(row.versions) == {"pretexto", "torch", "scikit-learn"}


def test_one_call_for_all_methods_is_as_good_as_one_call_each(rows):
    source = easy(names=halves(), broken=[1, 35])
    card = {"task": "rotation", "unreadable": ["a", "b"], "steps": 70}
    alone = evaluate("knn", ENCODER, source, IMAGE, card=card, levels=True, seed=3)
    assert alone == [r for r in rows if r.stamp.method == "knn"]


def test_values_are_those_of_the_probe_on_the_features():
    labels = [i % 4 for i in range(60)]
    colours = torch.randint(256, (60, 3), generator=torch.Generator().manual_seed(5))
    colours[:, 0] = (colours[:, 0] // 4 + 60 * torch.tensor(labels)).clamp(max=255)
    source = fakes.Coloured(colours.to(torch.uint8), labels, kind="image", names=halves(60))
    (row, *_) = evaluate("linear", ENCODER, source, IMAGE)
    features, (split,) = extract(ENCODER, source, IMAGE), splits(source, 0)
    x, y = features.values["embedding"], features.labels
    probe = tune(x, y, split, 4)
    test = list(split.test)
    expected = (probe.classifier.scores(x[test]).argmax(1) == y[test]).double().mean()
    assert 0.3 < row.value < 1.0
    assert row.value == pytest.approx(expected.item())
    assert (row.strength, row.validation) == (probe.strength, probe.validation)


def test_folds_have_rows_of_their_own_and_of_their_mean():
    source = easy(names=[f"fold{i // 3 % 3}" for i in range(36)], broken=[0])
    rows = evaluate("knn", ENCODER, source, IMAGE)
    top = [r for r in rows if r.stamp.metric == "top1"]
    assert [r.stamp.split for r in top] == ["fold0", "fold1", "fold2", "mean of 3 splits"]
    assert len({r.stamp_hash for r in top}) == 4
    assert top[3].value == pytest.approx(sum(r.value for r in top[:3]) / 3)
    assert top[3].n_test == 35
    assert torch.tensor(top[3].confusion).sum() == 35


def test_the_mean_over_folds_adds_counts_and_averages_values():
    from pretexto.evaluation.metrics import Outcome

    first = Outcome("top1", 0.5, 0.2, "r", 10, 2, 4, validation=0.4, confusion=torch.eye(2).long())
    second = replace(first, value=1.0, chance=0.4, validation=0.8, n_test=6)
    lonely = Outcome("R@50", 1.0, 1.0, "r", 60, 0, 6)
    (mean,) = mean_outcomes([[first], [second, lonely]])
    assert (mean.value, mean.n_test, mean.n_train, mean.n_val) == (0.75, 10, 20, 4)
    assert mean.chance == pytest.approx(0.3)
    assert mean.validation == pytest.approx(0.6)
    assert mean.confusion is not None
    assert mean.confusion.tolist() == [[2, 0], [0, 2]]


def test_the_best_level_is_chosen_on_validation_never_on_test():
    from pretexto.evaluation.metrics import Outcome

    def outcome(validation: float, value: float) -> Outcome:
        return Outcome("top1", value, 0.1, "r", 10, 2, 4, validation=validation)

    found = {"a": [outcome(0.5, 1.0)], "b": [outcome(0.7, 0.2)], "c": [outcome(0.6, 0.9)]}
    assert best_levels(found) == {"r": "b"}
    assert best_levels({**found, "d": [outcome(0.7, 0.1)]}) == {"r": "d"}


def test_stars_stand_where_there_was_a_choice(rows):
    linear = [r for r in rows if r.stamp.method == "linear" and r.stamp.metric == "top1"]
    assert {r.level: r.best for r in linear} == {"pixels": False, "embedding": True}
    assert all(r.best is None for r in rows if r.stamp.method in ("knn", "retrieval"))
    alone = evaluate("linear", ENCODER, easy(names=halves()), IMAGE)
    assert all(r.best is None for r in alone)


def test_unlike_protocols_never_share_a_column():
    source = easy(names=halves())
    base = evaluate("knn", ENCODER, source, IMAGE)
    same = evaluate("knn", fakes.MeanColour(gain=2.0), source, IMAGE, seed=7, data_name="other")
    assert {k: len(v) for k, v in comparable(base + same).items()} == {
        r.stamp_hash: 2 for r in base
    }
    unlike = [
        evaluate("knn", ENCODER, source, IMAGE, crops=3),
        evaluate("knn", ENCODER, source, IMAGE, clips=1),
        evaluate("knn", ENCODER, source, replace(IMAGE, size=4)),
        evaluate("knn", ENCODER, easy(n=39, names=halves(39)), IMAGE),
        evaluate("knn", ENCODER, easy(), IMAGE),
        evaluate("knn", ENCODER, source, IMAGE, split_seed=1),
        evaluate("retrieval", ENCODER, source, IMAGE),
    ]
    hashes = [{r.stamp_hash for r in group} for group in [base, *unlike]]
    assert len(set().union(*hashes)) == sum(map(len, hashes))


@pytest.mark.parametrize("field", sorted(Protocol.__dataclass_fields__))
def test_each_field_of_the_stamp_counts_but_the_name(field, rows):
    stamp = rows[0].stamp
    changed = replace(stamp, **{field: 99})
    assert (changed.stamp_hash == stamp.stamp_hash) == (field == "data_name")


def test_the_data_are_called_by_their_title():
    source = easy(names=halves())
    source.title = "films"
    names = [evaluate("knn", ENCODER, source, IMAGE, data_name=n)[0].stamp for n in ("", "clips")]
    assert [stamp.data_name for stamp in names] == ["films", "clips"]


def test_the_seed_of_low_shot_draws_other_examples_for_the_same_column():
    source = easy(names=halves())
    one, two = (evaluate("lowshot", ENCODER, source, IMAGE, seed=s) for s in (0, 1))
    assert [r.stamp_hash for r in one] == [r.stamp_hash for r in two]
    assert [r.seed for r in one + two] == [0] * len(one) + [1] * len(two)


class Named(Source):
    """Names without media."""

    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def name(self, i):
        return self.names[i]

    def info(self, i):
        raise NotImplementedError

    def read(self, i, plan):
        raise NotImplementedError


def test_test_files_that_pretraining_saw_are_counted_and_said(tmp_path, capsys):
    source = easy(names=halves())
    # Twelve names, of which one is elsewhere and the last one was left out of the training.
    listed = Named([*(source.name(i) for i in range(20, 30)), "elsewhere.mp4", "0031.mp4"])
    write_listing(listed, tmp_path, LeftOut.of([(np.array([11]), "damaged")]))
    (row, *_) = evaluate("knn", ENCODER, source, IMAGE, run=tmp_path)
    assert row.seen_in_pretraining == 6
    print_rows(
        [
            row,
            replace(row, seen_in_pretraining=2),
            replace(row, task="b.Clean", seen_in_pretraining=0),
        ]
    )
    text = capsys.readouterr().out.splitlines()
    assert [line for line in text if line.startswith("caution")] == [
        "caution: random-init saw 6 test files of Coloured in pretraining: its numbers are not "
        "those on unseen media"
    ]
    (row, *_) = evaluate("knn", ENCODER, source, IMAGE, run=tmp_path / "none")
    assert row.seen_in_pretraining is None
    (tmp_path / "data.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"data.parquet: no list of examples"):
        evaluate("knn", ENCODER, source, IMAGE, run=tmp_path)


def test_controls_and_unlabelled_examples_are_called_so():
    source = easy(n=48)
    source.listed_labels[40:] = [-1] * 8
    (row, *_) = evaluate("knn", ENCODER, source, IMAGE)
    assert (row.task, row.unlabelled) == ("random-init", 8)


def test_mistakes_are_refused_before_anything_is_read():
    source = easy()
    with pytest.raises(InputError, match="no evaluation method 'liner': take linear, knn"):
        evaluate("liner", ENCODER, source, IMAGE)
    with pytest.raises(InputError, match="sub-folder"):
        evaluate("knn", ENCODER, fakes.Listed([-1] * 4), IMAGE)
    assert source.plans == []
    lost = easy(n=36, names=halves(), broken=range(24, 36))
    with pytest.raises(InputError, match="split test: no example of train or of test"):
        evaluate("knn", ENCODER, lost, IMAGE)


def test_rows_survive_the_file_and_a_torn_line(rows, tmp_path):
    file = tmp_path / "deep" / "results.jsonl"
    write_rows(rows[:2], file)
    with file.open("a") as stream:
        stream.write('{"stamp": {"method": "lin')
    write_rows(rows[2:], file)
    assert read_rows(file) == rows
    for line in file.read_text().splitlines()[:2]:
        assert json.loads(line)["stamp_hash"] in {r.stamp_hash for r in rows}
    file.write_text('{"value": 1}\n')
    with pytest.raises(InputError, match="line 1: this is not a result row"):
        read_rows(file)


def test_the_table_puts_each_protocol_in_its_column(rows, capsys):
    control = evaluate("linear", ENCODER, easy(names=halves()), IMAGE)
    worse = [replace(r, value=0.5) for r in control]
    print_rows([r for r in rows if r.stamp.method == "linear"] + control + worse)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("linear on Coloured, test: 3 clips x 1 crops, standardised")
    assert lines[1].split() == ["task", "level", "top1", "mean_class"]
    assert sum(line.startswith("rotation") for line in lines) == 2
    assert any("embedding *" in line for line in lines)
    assert "0.750" in next(line for line in lines if line.startswith("random-init"))
    assert lines[-1].startswith("chance")


def test_of_several_folds_the_table_shows_their_mean(capsys):
    source = easy(names=[f"fold{i // 3 % 3}" for i in range(36)])
    print_rows(evaluate("knn", ENCODER, source, IMAGE))
    text = capsys.readouterr().out
    assert "mean of 3 splits" in text
    assert "fold1" not in text


def test_intervals_over_seeds_are_students():
    assert interval([2.0]) == (2.0, pytest.approx(math.nan, nan_ok=True))
    mean, half = interval([1.0, 2.0, 3.0])
    # t of 0.975 with 2 degrees of freedom is 4.302653; the standard error is 1/sqrt(3).
    assert (mean, half) == (2.0, pytest.approx(4.302653 / math.sqrt(3), rel=1e-6))
    assert interval([0.5] * 4) == (0.5, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_wilson_intervals_worked_by_hand():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611.
    assert wilson(81 / 263, 263) == (
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )
    assert wilson(0.0, 20) == (0.0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(1.0, 20)[1] == 1.0
    with pytest.raises(ValueError, match="share"):
        wilson(1.5, 3)


# Groups of test media


def outcome(right):
    return Outcome("top1", 0.5, 0.5, "r", 1, 0, len(right), correct=torch.tensor(right))


def test_right_answers_are_counted_by_group():
    found = by_group(outcome([True, False, True, True]), ["b", "a", "a", "b"])
    assert found.by_group == {"a": [1, 2], "b": [2, 2]}
    assert by_group(replace(found, correct=None, by_group=None), ["a"]).by_group is None


def test_many_groups_are_counted_together_and_always_the_same_ones():
    names = [f"film {k}" for k in range(3000)]
    right = [k % 3 == 0 for k in range(3000)]
    found = by_group(outcome(right), names)
    assert len(found.by_group) <= 500
    assert sum(n for _, n in found.by_group.values()) == 3000
    assert sum(c for c, _ in found.by_group.values()) == 1000
    turned = by_group(outcome(right[::-1]), names[::-1])
    assert turned.by_group == found.by_group


def test_rows_say_how_many_of_each_group_are_right(rows):
    for row in rows:
        if row.stamp.metric in ("top1", "R@1") and not row.stamp.split.startswith(MEAN):
            assert sum(c for c, _ in row.by_group.values()) / row.n_test == pytest.approx(row.value)
            assert sum(n for _, n in row.by_group.values()) == row.n_test
