"""Confusions by hand, in the report and as a picture."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from report_fakes import CLASSES, MEANS, contrast, fill, opened

from pretexto.cli import main
from pretexto.comparison.grid import runs_of
from pretexto.comparison.results import load_results
from pretexto.comparison.rows import collect
from pretexto.datasets.cache import write_json
from pretexto.errors import InputError
from pretexto.evaluation.stamp import Protocol, Row
from pretexto.reporting.classes import confusions, mistakes, shares
from pretexto.reporting.html import write_report
from pretexto.visualization.confusion import _draw, draw_confusions

NAMES = ("brush_hair", "catch", "clap", "climb_stairs", "golf", "jump", "kick_ball", "pick", "pour",
         "pullup", "push", "run", "shoot_ball", "shoot_bow", "shoot_gun", "sit", "stand",
         "swing_baseball", "throw", "walk", "<b>wave</b>")  # fmt: skip


def counts_of(count, seed, right=0.5):
    """Made-up confusions of 40 examples per class."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(count, 0.25), count) * (1 - right) + right * np.eye(count)
    return [rng.multinomial(40, row / row.sum()).tolist() for row in chances]


def with_confusions(out, classes, counts):
    """A comparison's folder whose rows of the first protocol know these counts, by entry."""
    fill(out)
    plan = json.loads((out / "plan.json").read_text())
    plan["data"]["classes"] = list(classes)
    write_json(out / "plan.json", plan)
    runs = runs_of(dict.fromkeys([*MEANS, "delta"], 3), ["test"])
    for run in runs:
        path = run.folder(out) / "rows.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        for row in rows:
            if row["stamp"]["method"] == "linear" and row["stamp"]["metric"] == "top1":
                row["confusion"] = counts(run)
        if rows:
            write_json(path, rows)
    collect(runs, out)
    return out


def test_runs_are_counted_together_and_rows_divided_by_their_sums(tmp_path):
    parts = {0: [[3, 1], [0, 4]], 1: [[1, 3], [2, 2]], 2: [[2, 2], [1, 3]]}
    out = with_confusions(tmp_path, CLASSES, lambda run: parts[run.seed])
    results = load_results(out)
    found = confusions(results, results.main[0])
    # [[6, 6], [3, 9]] in all.
    expected = [(CLASSES[0], [0.5, 0.5]), (CLASSES[1], [0.25, 0.75])]
    assert [s["name"] for s in found["first"]] == ["alpha", "random-init"]
    assert {s["name"] for s in found["others"]} == {"beta", "gamma", "supervised"}
    assert all(s["rows"] == expected for s in found["first"] + found["others"])


def test_mistakes_come_by_size_and_classes_without_examples_have_no_share():
    matrix = shares([[1, 1, 2], [0, 0, 0], [1, 0, 9]])
    assert matrix[1] == [None, None, None]
    found = [(m.true, m.said, m.share) for m in mistakes(matrix, ["a", "b", "c"])]
    assert found == [("a", "c", 0.5), ("a", "b", 0.25), ("c", "a", 0.1)]


def test_protocols_without_confusions_have_no_section(tmp_path):
    fill(tmp_path)
    results = load_results(tmp_path)
    assert confusions(results, results.main[0]) is None
    assert 'id="confusions"' not in write_report(tmp_path).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("confused")
    with_confusions(out, NAMES, lambda run: counts_of(21, run.seed, MEANS[run.entry]))
    write_report(out)
    return out


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1200, "dark")])
def test_numbers_can_be_read_on_their_ground(browser, folder, width, scheme):
    for page in opened(browser, folder, width=width, scheme=scheme):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cells = page.locator("#confusions > .confusions .confusion").first.locator("tbody td")
        assert cells.count() == 21 * 21
        painted = (
            "c => c.map(x => [getComputedStyle(x).color, x.style.getPropertyValue('--share')])"
        )
        darkest = max(cells.evaluate_all(painted), key=lambda pair: float(pair[1]))
        # The whole heat of a cell, as the style mixes it: --deep of --heat over --band.
        root = "k => getComputedStyle(document.documentElement).getPropertyValue(k).trim()"
        heat, deep, band = (page.evaluate(root, k) for k in ("--heat", "--deep", "--band"))
        base = [int(band[k : k + 2], 16) for k in (1, 3, 5)]
        mixed = [
            round(float(deep) * int(h) + (1 - float(deep)) * b)
            for h, b in zip(heat.split(), base, strict=True)
        ]
        assert contrast(darkest[0], "rgb({}, {}, {})".format(*mixed)) > 4.5


def test_the_page_shows_the_best_task_beside_its_control(browser, folder):
    for page in opened(browser, folder, width=1200):
        heads = page.locator("#confusions > .confusions h3").all_inner_texts()
        assert [h.strip() for h in heads] == ["alpha", "random-init"]
        assert page.locator("#confusions details .confusion").count() == 3
        first = page.locator("#confusions .confusion").first
        rows = first.locator("tbody tr").evaluate_all(
            "r => r.map(x => [x.querySelector('th').textContent,"
            "[...x.querySelectorAll('td')].map(c => Number(c.style.getPropertyValue('--share')))])"
        )
        summed = np.sum([counts_of(21, seed, MEANS["alpha"]) for seed in range(3)], 0)
        expected = summed / summed.sum(1, keepdims=True)
        assert [name for name, _ in rows] == [n.replace("_", " ") for n in NAMES]
        np.testing.assert_allclose([v for _, v in rows], expected, atol=0.0051)
        assert first.locator("td.own").count() == 21


def test_many_classes_are_listed_instead(tmp_path):
    names = [f"class_{k}" for k in range(31)]
    with_confusions(tmp_path, names, lambda run: counts_of(31, run.seed))
    page = write_report(tmp_path).read_text()
    assert "With 31 classes only what is confused most often" in page
    assert 'class="matrix' not in page
    assert page.count(" taken for class ") == 12 * 5


def row(counts, *, split="test", method="linear", encoder="e", level="embedding", task="a.Task"):
    names = [f"n{k}$" for k in range(len(counts or []))]
    stamp = Protocol(method, "f", "films", split, "h", {}, 1, 1, "r", "top1")
    shared = {"n_train": 9, "n_val": 0, "n_test": 9, "classes": len(names), "chance": 0.1}
    return Row(
        stamp, 0.5, (0, 1), confusion=counts, per_class=dict.fromkeys(names, 0.5),
        encoder=encoder, level=level, task=task, **shared,
    )  # fmt: skip


def pixels(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_picture_shows_the_mean_of_splits_of_each_method_and_encoder(tmp_path):
    own, other = counts_of(8, 0), counts_of(8, 1)
    wanted = [row(own, split="mean of 3 splits"), row(other, encoder="control")]
    ignored = [row(other, split="film0"), row(other, level="block1"), row(None, method="retrieval")]
    draw_confusions([*ignored, *wanted], tmp_path / "all.png")
    draw_confusions(wanted, tmp_path / "wanted.png")
    np.testing.assert_array_equal(pixels(tmp_path / "all.png"), pixels(tmp_path / "wanted.png"))
    draw_confusions([wanted[0]], tmp_path / "one.png")
    assert pixels(tmp_path / "wanted.png").shape[1] > 1.8 * pixels(tmp_path / "one.png").shape[1]
    with pytest.raises(InputError, match="no confusions to draw"):
        draw_confusions([row(None, method="retrieval")], tmp_path / "none.png")


@pytest.mark.parametrize("count", [2, 12, 30])
def test_what_is_always_right_is_a_dark_diagonal(tmp_path, count):
    draw_confusions([row((np.eye(count, dtype=int) * 5).tolist())], tmp_path / "x.png")
    dark = (pixels(tmp_path / "x.png") < [30, 70, 130]).all(2)
    at = np.argwhere(dark)
    # Text is dark too, but lies left of the map and below it.
    assert dark.mean() > 0.3 / count
    assert np.corrcoef(at[:, 0], at[:, 1])[0, 1] > 0.5 or count == 2


def test_true_classes_are_rows_and_what_they_are_taken_for_columns():
    axes = Figure().subplots()
    # Of class 0 a quarter is taken for class 2; class 1 is always taken for class 0.
    _draw(axes, row([[3, 0, 1], [4, 0, 0], [0, 0, 2]]))
    (drawn,) = axes.get_images()
    np.testing.assert_allclose(drawn.get_array(), [[0.75, 0, 0.25], [1, 0, 0], [0, 0, 1]])
    assert axes.yaxis_inverted()  # the first row is on top
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "taken for")
    written = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert written == {(0, 0): "75", (0, 2): "25", (1, 0): "100", (2, 2): "100"}


def test_the_command_refuses_what_it_could_not_draw(capsys, tmp_path):
    start = ["evaluate", "--encoder", str(tmp_path), "--data", "synthetic"]
    assert main([*start, "linear", "--confusion", "x.jpg"]) == 2
    assert "name a .png file" in capsys.readouterr().err
    assert main([*start, "retrieval", "--confusion", "x.png"]) == 2
    assert "names no classes; add linear" in capsys.readouterr().err
