"""The arithmetic of comparisons by hand, and the sentence that it comes to."""

import math

import numpy as np
import pytest
from numpy.random import default_rng as generator
from simulated_comparisons import WORLDS, rates

from pretexto.comparison.aggregate import columns, first_columns, main_columns
from pretexto.comparison.significance import Estimate, Sample, family, holm
from pretexto.reporting.summary import finding


def row(
    entry,
    seed,
    value,
    *,
    fold="test",
    level="embedding",
    best=None,
    chance=0.25,
    groups=None,
    **stamp,
):
    """A finished row with a stamp of few fields."""
    full = {"method": "linear", "metric": "top1", "recipe": "r", "data": "d", "split": fold}
    return {
        "status": "done",
        "entry": entry,
        "run_seed": seed,
        "fold": fold,
        "value": value,
        "level": level,
        "best": best,
        "chance": chance,
        "by_group": groups,
        "stamp": {**full, "split_hash": f"hash of {fold}", **stamp},
    }


# The arithmetic


def between(column, entry, other):
    """A difference that is looked at alone."""
    return column.differences([(entry, other)])[entry, other]


def test_mean_and_interval_over_seeds_by_hand():
    found = columns([row("a", s, v) for s, v in enumerate((0.5, 0.6, 0.7))])
    (column,) = found
    e = column.estimate("a")
    assert (e.n, e.over) == (3, "seeds")
    assert e.mean == pytest.approx(0.6)
    # t(0.975, 2) = 4.30265; deviation 0.1; 4.30265 · 0.1 / √3
    assert e.half == pytest.approx(0.248414, abs=1e-6)
    assert column.chance == 0.25
    assert column.estimate("b") is None


def test_a_difference_is_paired_by_seed():
    task = [row("a", s, v) for s, v in enumerate((0.50, 0.60, 0.70))]
    control = [row("random-init", s, v) for s, v in enumerate((0.40, 0.45, 0.50))]
    (column,) = columns(task + control)
    gain = between(column, "a", "random-init")
    # 0.10, 0.15, 0.20: deviation 0.05, so half of the interval above's half.
    assert gain.mean == pytest.approx(0.15)
    assert gain.half == pytest.approx(0.124207, abs=1e-6)
    assert gain.sign == 1
    assert between(column, "random-init", "a").sign == -1


def test_a_difference_takes_only_what_both_have():
    task = [row("a", s, 0.5 + s / 10) for s in range(3)]
    (column,) = columns([*task, row("random-init", 2, 0.4)])
    assert between(column, "a", "random-init").values == pytest.approx((0.3,))


def test_each_seed_counts_as_the_mean_over_its_folds():
    values = {(0, "x"): 0.2, (0, "y"): 0.4, (1, "x"): 0.5, (1, "y"): 0.9}
    (column,) = columns([row("a", s, v, fold=f) for (s, f), v in values.items()])
    assert column.estimate("a").values == pytest.approx((0.3, 0.7))
    assert column.estimate("a").mean == pytest.approx(0.5)


def test_folds_of_one_seed_give_no_interval():
    # Their training parts overlap: they are no independent values.
    (column,) = columns([row("a", 0, v, fold=f) for f, v in (("x", 0.2), ("y", 0.4))])
    e = column.estimate("a")
    assert (e.over, e.n, e.mean) == ("", 1, pytest.approx(0.3))
    assert math.isnan(e.half)


def test_test_groups_give_one_seed_an_interval_but_no_claim():
    groups = {"g1": (8, 10), "g2": (4, 10), "g3": (6, 10)}
    none = dict.fromkeys(groups, (0, 10))
    rows = [row("a", 0, 0.6, groups=groups), row("b", 0, 0.0, groups=none)]
    (column,) = columns(rows)
    e = column.estimate("a")
    # Each group's part: 2, -2 and 0 of 30; 3 / 2 · 8 / 900; t(0.975, 2) = 4.30265.
    assert (e.over, e.n) == ("test groups", 1)
    assert e.half == pytest.approx(4.30265 * math.sqrt(1.5 * 8 / 900), abs=1e-4)
    gain = between(column, "a", "b")
    assert gain.mean == pytest.approx(0.6)
    assert (math.isnan(gain.p), gain.sign) == (True, 0)


def test_seeds_and_groups_both_widen_an_interval():
    def half(spread, lean):
        rows = []
        for seed, d in enumerate((-spread, 0.0, spread)):
            counts = {"g1": (50 + lean + 100 * d, 100), "g2": (50 - lean + 100 * d, 100)}
            rows.append(row("a", seed, 0.5 + d, groups=counts))
        (column,) = columns(rows)
        return column.estimate("a").half

    # Seeds alone: t(0.975, 2) · 0.1 / √3. Groups alone: t(0.975, 1) · √(2 · 2 · 0.1²).
    assert half(0.1, 0) == pytest.approx(0.248414, abs=1e-6)
    assert half(0.0, 20) == pytest.approx(12.7062 * math.sqrt(2 * 2 * 0.1**2), abs=1e-4)
    assert half(0.1, 20) > 0.2 * (half(0.1, 0) + half(0.0, 20))


def test_a_group_that_several_folds_test_counts_as_one():
    def sample(names):
        rows = [row("a", s, 0.5, fold=f, groups={names[k]: (2, 4), "own": (2 * (s + 1), 4)})
                for s in (0, 1) for k, f in enumerate("xy")]  # fmt: skip
        (column,) = columns(rows)
        return column._sample("a").groups.shape

    assert sample(["g", "g"]) == (2, 2)
    assert sample(["g", "h"]) == (2, 3)


def test_groups_of_other_sizes_are_not_paired():
    rows = [row(e, s, 0.5, groups={"g1": (1, n), "g2": (1, n)})
            for e, n in (("a", 2), ("b", 3)) for s in (0, 1)]  # fmt: skip
    (column,) = columns(rows)
    assert column._sample("a", "b").groups is None


def test_holm_by_hand():
    alone = {k: Estimate(1.0, 0.1, 3, "", (), p) for k, p in
             {"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan}.items()}  # fmt: skip
    found = holm(alone)
    assert {k: found[k].p for k in "abc"} == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert math.isnan(found["d"].p)
    assert [found[k].sign for k in "abcd"] == [1, 0, 0, 0]


def test_a_lucky_calm_of_three_seeds_is_drawn_towards_its_family():
    calm, wild = np.array([0.049, 0.05, 0.051]), np.array([0.0, 0.05, 0.1])
    alone = family({"calm": Sample(calm)})["calm"]
    among = family({"calm": Sample(calm), **{f"w{k}": Sample(wild) for k in range(6)}})["calm"]
    assert alone.sign == 1
    assert among.half > 10 * alone.half
    assert among.sign == 0


def test_one_run_has_no_interval():
    (column,) = columns([row("a", 0, 0.4)])
    assert math.isnan(column.estimate("a").half)
    assert between(column, "a", "a").sign == 0


def test_a_seed_that_lacks_a_fold_is_left_out_of_the_mean():
    rows = [row("a", s, v, fold=f) for s, f, v in ((0, "x", 0.2), (0, "y", 0.4), (1, "x", 0.9))]
    (column,) = columns(rows)
    assert column.estimate("a").mean == pytest.approx(0.3)


def test_equal_differences_are_not_taken_for_certainty():
    rows = [row(e, s, v) for s in (0, 1) for e, v in (("a", 0.5), ("r", 0.25))]
    (column,) = columns(rows)
    assert between(column, "a", "r").half == 0
    assert between(column, "a", "r").sign == 0


@pytest.mark.parametrize("change", ["recipe", "data", "metric", "method", "split_hash"])
def test_rows_with_unlike_stamps_are_never_in_one_column(change):
    found = columns([row("a", 0, 0.5), row("b", 0, 0.6, **{change: "another"})])
    assert len(found) == 2
    assert [c.estimate("a") is None for c in found] == [False, True]
    assert [c.estimate("b") is None for c in found] == [True, False]


def test_folds_share_a_column_though_their_splits_differ():
    assert len(columns([row("a", 0, 0.5, fold="x"), row("a", 0, 0.6, fold="y")])) == 1


def test_the_level_picked_on_validation_has_a_column_of_its_own():
    rows = [
        row("a", 0, 0.5, level="embedding", best=False),
        row("a", 0, 0.7, level="block2", best=True),
        row("b", 0, 0.6, level="embedding", best=True),
        row("b", 0, 0.1, level="block2", best=False),
    ]
    found = {column.level: column for column in columns(rows)}
    assert sorted(found) == ["best", "block2", "embedding"]
    means = {k: (c.estimate("a").mean, c.estimate("b").mean) for k, c in found.items()}
    assert means == {"embedding": (0.5, 0.6), "block2": (0.7, 0.1), "best": (0.7, 0.6)}


def test_the_table_has_the_output_before_the_level_picked_on_validation_and_no_other():
    rows = [
        row("a", 0, 0.7, level="block2", best=True),
        row("a", 0, 0.5, level="embedding", best=False),
        row("a", 0, 0.4, level="embedding", method="knn", recipe="neighbours"),
    ]
    names = [(c.stamp["method"], c.level) for c in main_columns(columns(rows))]
    assert names == [("linear", "embedding"), ("linear", "best"), ("knn", "embedding")]
    every = [(c.stamp["method"], c.level) for c in first_columns(columns(rows))]
    assert sorted(every) == sorted([*names, ("linear", "block2")])


def test_failures_have_no_value_and_the_table_takes_one_metric_per_protocol():
    failed = {"status": "failed", "entry": "a", "run_seed": 1, "fold": "test", "reason": "x"}
    found = columns([row("a", 0, 0.5), row("a", 0, 0.9, metric="top5"), failed])
    assert [c.stamp["metric"] for c in found] == ["top1", "top5"]
    assert main_columns(found) == found[:1]


# The sentence


def said(values, tasks=("a", "b")):
    (column,) = columns([row(e, s, v) for e, vs in values.items() for s, v in enumerate(vs)])
    return finding(column, tasks, dict.fromkeys(tasks, "random-init"))


def test_the_headline_names_a_winner_only_beyond_its_interval():
    control = {"random-init": (0.30, 0.31, 0.32)}
    head, lede = said({"a": (0.60, 0.61, 0.63), "b": (0.30, 0.33, 0.31), **control})
    assert head.startswith("a leads with 61.3 ± ")
    assert "30.3 ± 2.2 points above the same network untrained" in head
    assert "for b that is open" in lede
    head, _ = said({"a": (0.30, 0.33, 0.37), "b": (0.30, 0.33, 0.31), **control})
    assert head.startswith("No task is shown to beat the same network untrained")


def test_the_headline_of_single_runs_claims_nothing_about_spread():
    head, lede = said({"a": (0.6,), "b": (0.2,), "random-init": (0.5,)})
    assert head.startswith("In a single run each, a stands 10.0 points above")
    assert "more seeds" in lede
    head, _ = said({"a": (0.4,), "random-init": (0.5,)})
    assert "10.0 points below" in head


def test_the_headline_prefers_what_is_shown_to_what_is_high():
    calm = {"b": (0.50, 0.52, 0.51), "c": (0.30, 0.32, 0.32), "d": (0.31, 0.30, 0.32)}
    untrained = {"random-init": (0.30, 0.31, 0.32)}
    head, _ = said({"a": (0.9, 0.1, 0.95), **calm, **untrained}, tasks="abcd")
    assert head.startswith("b beats the same network untrained")
    assert "a has the highest mean" in head


def test_the_headline_leaves_open_which_of_two_is_better():
    values = {"a": (0.60, 0.61, 0.62), "b": (0.59, 0.63, 0.60), "random-init": (0.30, 0.31, 0.32)}
    head, lede = said(values)
    assert head.startswith("a reaches 61.0")
    assert "a and b beat it" in lede
    assert "Whether a is better than b is open." in lede


def test_the_headline_without_any_row():
    assert "No task has finished" in finding(None, ["a"], {"a": "random-init"})[0]


# The error rates


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_few_families_without_effect_make_hardly_any_claim(seeds):
    found = rates(seeds=seeds, world="typical", families=40, effect=0.0, rng=generator(seeds))
    assert found["false"] <= 0.15
    assert found["t over seeds"] > found["false"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("world", list(WORLDS))
@pytest.mark.parametrize("seeds", [3, 5])
def test_of_families_without_effect_at_most_one_in_twenty_claims_one(seeds, world):
    found = rates(seeds=seeds, world=world, families=1000, effect=0.0, rng=generator(1))
    # 0.05 and two standard errors of a share of 1,000.
    assert found["false"] <= 0.064
    strong = rates(seeds=seeds, world="typical", families=100, effect=0.8, rng=generator(2))
    assert strong["power"] > 0.5
