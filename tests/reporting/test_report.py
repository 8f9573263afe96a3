"""The report in headless Chromium: no errors, no network, tables that sort, pictures that load."""

import csv
import json
import math
import re
from dataclasses import replace
from itertools import pairwise

import altair as alt
import polars as pl
import pytest
import torch
from report_fakes import MEANS, contrast, fill, fill_many, luminance, opened

from pretexto import cli
from pretexto.commands.audit import write_findings
from pretexto.comparison.audit import Finding
from pretexto.comparison.grid import Run, runs_of
from pretexto.comparison.results import load_results, read_history
from pretexto.comparison.rows import collect, save_failure
from pretexto.errors import InputError
from pretexto.reporting import charts
from pretexto.reporting.charts import percent_range, spread
from pretexto.reporting.frames import estimates, thin
from pretexto.reporting.html import page_values, write_report
from pretexto.reporting.pictures import data_uri
from pretexto.visualization.puzzles import save_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = fill(tmp_path_factory.mktemp("report"))
    write_report(out)
    return out


@pytest.fixture
def page(browser, folder):
    """The report opened without network; fails the test on any error or request to elsewhere."""
    yield from opened(browser, folder, width=1200)


def order(page):
    return page.locator("table.sortable tbody tr th").evaluate_all(
        "cells => cells.map(c => c.dataset.sort)"
    )


def test_the_page_opens_and_says_what_was_found(page):
    assert page.locator("h1").inner_text().startswith("alpha reaches 60.0")
    assert page.title() == "films · pretexto comparison"
    assert order(page) == ["alpha", "beta", "gamma", "delta", "supervised", "random-init"]
    text = page.locator("main").inner_text()
    assert "+30.0 ± 2.8" in text
    assert "failed: the loss is no number" in text
    assert "torn/one.mp4" in text
    assert "3 runs failed" in page.locator("header").inner_text()


def test_the_table_sorts_both_ways_and_keeps_failures_last(page):
    header = page.locator("table.sortable thead th").nth(1)
    assert header.get_attribute("aria-sort") is None
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert order(page) == ["supervised", "alpha", "gamma", "beta", "random-init", "delta"]
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert order(page) == ["random-init", "beta", "gamma", "alpha", "supervised", "delta"]
    assert "ascending" in page.locator("#sorted").inner_text()


def test_the_table_sorts_by_name_from_the_keyboard(page):
    header = page.locator("table.sortable thead th").first
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert order(page) == sorted([*MEANS, "delta"])
    page.keyboard.press("Space")
    assert header.get_attribute("aria-sort") == "descending"
    assert order(page) == sorted([*MEANS, "delta"], reverse=True)
    assert page.locator("thead [aria-sort]").count() == 1


def test_every_column_of_numbers_sorts_by_its_own_numbers(page):
    count = page.locator("table.sortable thead th").count()
    for column in range(1, count):
        page.locator("table.sortable thead button").nth(column).click()
        values = page.locator("table.sortable tbody tr").evaluate_all(
            f"rows => rows.map(r => r.cells[{column}].dataset.sort)"
        )
        numbers = [float(v) for v in values if v]
        assert numbers == sorted(numbers, reverse=True)
        assert numbers
        assert all(v == "" for v in values[len(numbers) :])


def test_all_pictures_load(page):
    widths = page.locator("img").evaluate_all("images => images.map(i => i.naturalWidth)")
    # A puzzle of each of four trained entries, two sheets of a query with five neighbours.
    assert len(widths) == 4 + 2 * 6
    assert all(width > 0 for width in widths)
    assert page.locator("img:not([alt])").count() == 0
    assert page.locator("figure.match").count() == 2 * 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_narrow_screens_and_both_schemes(browser, folder, width, scheme):
    for page in opened(browser, folder, width=width, scheme=scheme):
        room = page.evaluate("document.documentElement.scrollWidth")
        assert room <= width
        ink, ground = page.evaluate(
            "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        )
        assert contrast(ink, ground) > 7
        assert (luminance(ground) < 0.2) == (scheme == "dark")
        for tone in ("--soft", "--good", "--bad", *(f"--c{k}" for k in range(8))):
            colour = page.evaluate(
                "name => { const i = document.body.appendChild(document.createElement('i'));"
                "i.style.color = `var(${name})`; return getComputedStyle(i).color }",
                tone,
            )
            assert contrast(colour, ground) > 4.5, tone


def test_every_chart_is_drawn_and_answers_to_the_pointer(page):
    places = page.locator(".chart")
    # Two columns, and loss and accuracy of four trained entries; one budget has no cost chart.
    assert places.count() == 2 + 2 * 4
    assert page.locator(".chart svg").count() == places.count()
    assert all(places.evaluate_all("all => all.map(c => c.ariaLabel !== '')"))
    panel = places.first
    panel.scroll_into_view_if_needed()
    box = panel.bounding_box()
    # The first of five rows of 31 pixels is alpha's; anywhere on it will do.
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 6 + 15)
    tip = page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "alpha" in tip.inner_text()
    assert "60.0 ± 2.5" in tip.inner_text()
    assert "+30.0 ± 2.8" in tip.inner_text()


def test_marks_stand_where_their_numbers_are(page):
    marks = page.locator(".chart").first.locator("g.mark-symbol > path[aria-label*='kind']")
    where = marks.evaluate_all(
        "all => all.map(p => [p.ariaLabel.match(/entry: ([\\w-]+)/)[1],"
        " new DOMMatrix(getComputedStyle(p).transform).e])"
    )
    left = dict(where)
    assert list(left) == ["alpha", "beta", "gamma", "supervised", "random-init"]
    per_point = (left["alpha"] - left["beta"]) / (MEANS["alpha"] - MEANS["beta"])
    assert per_point > 0
    for name, mean in MEANS.items():
        assert left[name] == pytest.approx(left["beta"] + per_point * (mean - 0.4), abs=0.1)


def labels(chart):
    return chart.locator(".role-axis-label text").all_text_contents()


def test_learning_curves_zoom_with_the_control_key_alone(page):
    chart = page.locator("#curves .chart").first
    chart.scroll_into_view_if_needed()
    before = labels(chart)
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(300)
    assert labels(chart) == before, "the wheel alone belongs to the page"
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(
        "([chart, old]) => [...chart.querySelectorAll('.role-axis-label text')]"
        ".map(t => t.textContent).join() !== old",
        arg=[chart.element_handle(), ",".join(before)],
    )
    assert labels(chart) != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_follow_the_page_from_light_to_dark(browser, folder, scheme):
    for page in opened(browser, folder, width=400, scheme=scheme):
        colours = page.locator(".chart .role-axis-label text").evaluate_all(
            "all => [...new Set(all.map(t => getComputedStyle(t).fill))]"
        )
        ground = page.locator(".card").first.evaluate("c => getComputedStyle(c).backgroundColor")
        assert colours
        assert all(contrast(colour, ground) > 4.5 for colour in colours)


def test_the_page_holds_up_with_sixteen_tasks_and_unlike_budgets(browser, tmp_path):
    write_report(fill_many(tmp_path, 16))
    for page in opened(browser, tmp_path, width=400):
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        buttons = page.locator("#cost .switch button")
        assert buttons.all_inner_texts() == ["Time", "Examples"]
        shown = page.locator("#cost .chart:visible")
        assert "examples" not in shown.text_content()
        buttons.nth(1).click()
        page.locator("#cost .chart svg:visible").wait_for()
        assert "examples shown in one run" in shown.text_content()
        assert shown.count() == 1
        assert page.locator("#layers .chart svg").count() == 1


def test_the_page_names_no_other_address_and_escapes_what_users_named(folder):
    text = (folder / "report.html").read_text()
    # Links lead to the runs' folders beside the page, and nothing is loaded.
    assert not re.findall(r"""src=["'](?!data:)[^"']*""", text)
    assert not re.findall(r"""href=["'](?!data:|runs/)[^"']*""", text)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert "<b>walk</b>" not in text
    assert "<script>alert" not in text
    assert "&lt;b&gt;walk" in text
    assert text.count("<script>") == 1


def test_the_table_as_text(folder):
    lines = (folder / "results.md").read_text().splitlines()
    (alpha,) = [line for line in lines if line.startswith("| alpha")]
    cells = [cell.strip() for cell in alpha.strip("|").split("|")]
    # Deviation 0.01 over three seeds: 4.30265 · 0.01 / √3 = 0.0248. The differences 0.28, 0.31 and
    # 0.31 have a variance of 3e-4, 1e-4 for their mean. The two other tasks have the same, as a
    # median 1e-4 · 2 / 1.3863 = 1.4427e-4, which weighs twice as much: 1.295e-4, with 2 + 4
    # degrees of freedom: 2.44691 · √1.295e-4 = 0.0278.
    assert cells[1:3] == ["60.0 ± 2.5", "+30.0 ± 2.8"]
    # 1 step at 25 per second with 5 per step, and so on: 40 · 5 / 25 seconds, 200 examples.
    assert cells[-2:] == ["8.0 s", "200"]
    assert any("failed: the loss is no number" in line for line in lines)


def test_times_of_runs_that_slowed_each_other_down_are_not_shown(tmp_path):
    out = fill(tmp_path)
    for path in out.glob("runs/*/*/*/job.json"):
        path.write_text('{"fields": {"alone": false}}')
    page = write_report(out).read_text()
    assert "No times are shown: not all runs are known" in page
    assert 'data-name="time"' not in page
    heads, _, *rows = [x for x in (out / "results.md").read_text().splitlines() if x[:1] == "|"]
    assert "pretraining" not in heads
    assert {line.count("|") for line in rows} == {heads.count("|")}
    # Of one run alone there is a time, and it is the entry's.
    (out / "runs" / "alpha" / "fold-test" / "seed-1" / "job.json").write_text(
        '{"fields": {"alone": true}}'
    )
    assert [line.seconds > 0 for line in load_results(out).lines] == [True] + 5 * [False]
    assert "Times are of runs that had the machine to themselves" in write_report(out).read_text()


def test_the_table_as_numbers(folder):
    entries = json.loads((folder / "table.json").read_text())["entries"]
    (cell,) = [v for k, v in entries["alpha"].items() if k.startswith("linear")]
    assert (cell["mean"], cell["half"], cell["over"], len(cell["values"])) == (60, 2.48, "seeds", 3)
    gain = cell["difference to control"]
    assert (gain["mean"], gain["half"]) == (30, 2.78)
    # t = 0.3 / √1.295e-4 = 26.4 with 6 degrees of freedom, twice its tail, times three tasks.
    assert gain["p"] == pytest.approx(6e-7, rel=0.1)
    assert entries["alpha"]["examples"] == 200
    assert "difference to control" not in str(entries["random-init"])


def test_the_table_for_spreadsheets_and_for_papers(folder):
    lines = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    (alpha,) = [x for x in lines if (x["entry"], x["protocol"]) == ("alpha", "Linear probe")]
    assert [alpha[k] for k in ("mean", "half", "seeds", "gain", "gain_half")] == [
        "60.00", "2.48", "3", "30.00", "2.78"]  # fmt: skip
    assert float(alpha["p"]) < 0.05
    (control,) = [x for x in lines if x["entry"] == "random-init" and x["protocol"] == "kNN"]
    assert (control["kind"], control["gain"]) == ("random", "")
    tex = (folder / "results.tex").read_text()
    assert "alpha & \\textbf{60.0} $\\pm$ 2.5 & 40.0 $\\pm$ 2.5 \\\\" in tex
    assert "random-init & 30.0 $\\pm$ 2.5 &" in tex


def test_the_table_can_be_downloaded_from_the_page(page, folder, tmp_path):
    with page.expect_download() as found:
        page.locator("a[download]").click()
    found.value.save_as(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == (folder / "results.csv").read_text()


def test_the_report_is_made_anew_by_its_command(tmp_path, capsys):
    out = fill(tmp_path)
    assert cli.main(["report", str(out)]) == 0
    assert (out / "report.html").exists()
    assert "report.html" in capsys.readouterr().out
    (Run("alpha", "test", 0).folder(out) / "rows.json").unlink()
    assert cli.main(["report", str(out)]) == 0
    assert "1 run has not been done yet" in (out / "report.html").read_text()
    assert cli.main(["report", str(tmp_path / "none")]) == 2


def test_pairs_of_tasks_stand_against_each_other(page):
    cells = page.locator("table.pairs tbody tr").first.locator("td").all_inner_texts()
    # alpha against alpha, beta and gamma; all seeds differ alike, so nothing is known of luck.
    assert [cell.split("\n")[0] for cell in cells] == ["·", "+20.0", "+10.0"]


def test_encoders_that_saw_the_test_files_are_named(tmp_path):
    out = fill(tmp_path)
    for run in [Run("beta", "test", seed) for seed in range(3)]:
        path = run.folder(out) / "rows.json"
        rows = [{**row, "seen_in_pretraining": 4} for row in json.loads(path.read_text())]
        path.write_text(json.dumps(rows))
    assert cli.main(["report", str(out)]) == 0
    said = "Pretraining has seen test files, without their labels: beta (12 times)"
    assert said in (out / "report.html").read_text()
    assert said in (out / "results.md").read_text()
    assert (
        json.loads((out / "table.json").read_text())["entries"]["beta"]["seen in pretraining"] == 12
    )


def finding(name, guard, low, verdict="", remedy=""):
    return Finding(name, "guard", f"the cue {name}", guard, low + 0.05, low, low + 0.1, 0.5, 400, 9,
                   verdict, remedy)  # fmt: skip


def test_audits_in_the_folder_are_shown(browser, tmp_path):
    out = fill(tmp_path)
    found = [
        finding("exposure", "on", 0.47, "close to chance"),
        finding("exposure", "off", 0.71, "tells the answer: keep the guard on"),
        finding("static", "on", 0.62, "tells the answer", "<i>stronger</i>"),
        replace(finding("mark", "", 0.5), accuracy=math.nan, low=math.nan, high=math.nan),
    ]
    write_findings(out / "audit.jsonl", [("alpha", f) for f in found])
    write_findings(out / "audit-beta.jsonl", [("beta", found[0])])
    write_report(out)
    for page in opened(browser, out, width=360):
        tables = page.locator("#audits table")
        assert tables.locator("thead th:first-child").all_inner_texts() == ["beta", "alpha"]
        cells = (
            tables.nth(1)
            .locator("tbody tr")
            .evaluate_all(
                "rows => rows.map(r => [...r.cells].map(c => c.innerText.trim().split('\\n')))"
            )
        )
        assert cells[1] == [
            ["exposure", "the cue exposure"], ["off"], ["76", "71 to 81"], ["50"],
            ["tells the answer: keep the guard on"],
        ]  # fmt: skip
        assert cells[2][4] == ["tells the answer", "<i>stronger</i>"]
        assert cells[3][1:3] == [["–"], ["–"]]
        # What tells the answer of the task as it was trained, and nothing else, is marked.
        assert page.locator("#audits .wrong").all_inner_texts() == ["67"]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("text", ["{", "[1]", '{"task": "alpha"}', "3"])
def test_a_file_that_is_no_audit_is_named(tmp_path, text):
    out = fill(tmp_path)
    (out / "audit.jsonl").write_text(f"{text}\n")
    with pytest.raises(InputError, match="audit.jsonl, line 1: no row of"):
        write_report(out)


def test_a_folder_without_a_comparison_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no comparison"):
        write_report(tmp_path)


def test_a_report_of_nothing_but_failures_can_be_written(tmp_path):
    fill(tmp_path)
    runs = runs_of(dict.fromkeys([*MEANS, "delta"], 3), ["test"])
    for run in runs:
        (run.folder(tmp_path) / "rows.json").unlink(missing_ok=True)
        save_failure(run, tmp_path, "no space left", "Traceback")
    collect(runs, tmp_path)
    page = write_report(tmp_path).read_text()
    assert "No task has finished" in page
    assert "18 runs failed" in page


# The arithmetic of the charts


def test_every_chart_is_what_vega_lite_takes(tmp_path):
    results = load_results(fill_many(tmp_path, 9))
    values = page_values(results)
    specs = [figure["spec"] for figure in (*values["panels"], *values["costs"], values["layers"])]
    specs += [plot["spec"] for entry in values["curves"] for plot in entry["plots"]]
    assert len(specs) > 9
    for spec in specs:
        alt.LayerChart.from_dict({**spec, "config": charts.CONFIG})  # raises on what is no chart


def test_frames_have_what_the_table_has(folder):
    results = load_results(folder)
    frame = estimates(results, results.main)
    (row,) = frame.filter((pl.col("entry") == "alpha") & (pl.col("protocol") == "kNN")).to_dicts()
    assert (round(row["mean"], 2), row["values"], row["seeds"]) == (40, [41, 40, 39], 3)
    assert (row["text"], row["gain_text"], row["sure"]) == ("40.0 ± 2.5", "−30.0 ± 2.8", -1)
    (control,) = frame.filter(
        (pl.col("entry") == "random-init") & (pl.col("protocol") == "kNN")
    ).to_dicts()
    assert (control["gain"], control["p"], control["gain_text"]) == (None, None, "")


def test_axes_hold_their_values_and_part_of_long_whiskers():
    frame = pl.DataFrame({"mean": [31.0, 62.0], "values": [[29.0, 33.0], [62.0]],
                          "low": [2.0, None], "high": [60.0, None]})  # fmt: skip
    assert percent_range(frame, []) == (15, 65)
    assert percent_range(frame, [5.0]) == (0, 65)


def test_no_chart_has_whiskers_beyond_its_axis(tmp_path):
    results = load_results(fill_many(tmp_path, 4))
    long = estimates(results, results.main[:1]).with_columns(
        low=pl.lit(-800.0), high=pl.lit(900.0), seconds=pl.int_range(1, 6) * 10.0
    )
    low, high = percent_range(long, [12.5])
    made = {
        "intervals": charts.intervals(long, 12.5, None),
        "cost": charts.cost(long, charts.COSTS[0], 12.5, None),
    }
    for name, chart in made.items():
        rows = chart["datasets"]["rows"]
        assert all(low <= row["low"] <= row["high"] <= high for row in rows), name


def test_many_names_stand_one_below_the_other_beside_all_points(tmp_path):
    results = load_results(fill_many(tmp_path, 12))
    spent = estimates(results, results.main[:1]).with_columns(seconds=pl.int_range(1, 14) * 10.0)
    few = charts.cost(spent.head(8), charts.COSTS[0], 12.5, None)
    assert len({row["label_x"] for row in few["datasets"]["rows"]}) > 1
    rows = charts.cost(spent, charts.COSTS[0], 12.5, None)["datasets"]["rows"]
    (where,) = {row["label_x"] for row in rows}
    assert where > max(row["seconds"] for row in rows)
    heights = sorted(row["label_y"] for row in rows)
    low, high = percent_range(spent, [12.5])
    # The plot is as high as 14 lines of text, or a little higher.
    assert min(b - a for a, b in pairwise(heights)) > (high - low) / 16


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_whiskers_have_the_colour_of_their_entry(browser, folder, scheme):
    for page in opened(browser, folder, width=1200, scheme=scheme):
        panel = page.locator("#accuracy .chart").first
        whiskers = panel.locator("g.mark-rule line, g.mark-rule path").evaluate_all(
            "all => all.map(line => getComputedStyle(line).stroke)"
        )
        own = page.locator("#results tbody .key").first.evaluate(
            "key => getComputedStyle(key).backgroundColor"
        )
        assert own in whiskers
        assert not {"rgb(0, 0, 0)", "none"} & set(whiskers)


def test_pictures_weigh_little_and_are_packed_once(tmp_path):
    path = tmp_path / "a.png"
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    save_image(noise, path)
    found = data_uri(path)
    assert found.startswith("data:image/webp;base64,")
    assert len(found) < path.stat().st_size
    assert data_uri(path) is found


def test_names_that_would_cover_each_other_give_way():
    assert spread([0.9, 0.2], [0.1, 0.1], gap=0.1, reach=0.3) == [0.9, 0.2]
    apart = spread([0.5, 0.5, 0.49, 0.02], [0.1, 0.2, 0.15, 0.15], gap=0.1, reach=0.3)
    ordered = sorted(apart)
    assert all(b - a > 0.1 - 1e-9 for a, b in pairwise(ordered))
    assert ordered[0] >= 0.05
    # Far apart across the plot they may stand at one height.
    assert spread([0.5, 0.5], [0.1, 0.6], gap=0.1, reach=0.3) == [0.5, 0.5]


def test_curves_are_thinned_to_means():
    assert thin([(k, 2.0 * k) for k in range(100)], 10)[0] == (4.5, 9.0)
    assert len(thin([(k, 0.0) for k in range(1001)], 100)) == 100


def test_time_of_training_leaves_out_pauses(tmp_path):
    rows = ["step,loss,accuracy,examples_per_second", "10,1,0.5,20", "30,1,0.5,40"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    history = read_history(tmp_path, 4)
    # 10 steps of 4 at 20 per second, then 20 steps at 40.
    assert history.seconds == pytest.approx(2 + 2)
    assert (history.steps, history.examples) == (30, 120)
    assert history.curves["accuracy"] == [(10, 0.5), (30, 0.5)]
    assert json.dumps(read_history(tmp_path / "none", 4).steps) == "0"


def test_runs_are_found_where_they_were_put(folder):
    assert (Run("alpha", "test", 2).folder(folder) / "rows.json").exists()
