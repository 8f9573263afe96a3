"""Numbers of others: known by the data's title, with their source, beside the tables only."""

import json

import pytest
from report_fakes import fill

from pretexto.reporting.html import write_report
from pretexto.reporting.published import published


@pytest.mark.parametrize(
    ("data", "accuracies"),
    [
        ("ESC-50", ["81.3", "79.8", "79.3", "74.2", "64.5"]),
        ("HMDB51 split 2", ["29.5", "23.4", "22.1"]),
        ("CIFAR-10", ["90.9", "90.4"]),
        ("CIFAR-100", []),
        ("films", []),
    ],
)
def test_a_set_is_known_by_its_title_whatever_its_split(data, accuracies):
    assert [row["accuracy"] for row in published(data)] == accuracies


def test_every_number_names_the_page_and_the_version_that_it_was_read_in():
    for data in ("ESC-50", "UCF101", "HMDB51", "CIFAR-10"):
        for row in published(data):
            assert 0 < float(row["accuracy"]) < 100
            assert "github.com/" in row["source"]
            assert "commit " in row["source"]


def test_a_report_shows_them_apart_from_what_was_measured(tmp_path):
    out = fill(tmp_path)
    plain = write_report(out).read_text()
    assert 'id="published"' not in plain
    measured = [(out / name).read_text() for name in ("results.md", "results.csv")]
    plan = json.loads((out / "plan.json").read_text())
    plan["data"]["name"] = "HMDB51 split 1"
    (out / "plan.json").write_text(json.dumps(plan))
    page = write_report(out).read_text()
    section = page[page.index('<section id="published">') :]
    assert "Published elsewhere, other protocol" in section
    assert "29.5" in section[: section.index("</section>")]
    same = [(out / name).read_text().replace("HMDB51 split 1", "films")
            for name in ("results.md", "results.csv")]  # fmt: skip
    assert same == measured
