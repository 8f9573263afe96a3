"""Encoders that are evaluated on their way, after some steps of pretraining."""

import json
import signal
from functools import partial

import comparison_fakes as fakes
import polars as pl
import pytest
import torch

from pretexto.comparison.compare import Entry
from pretexto.comparison.grid import Run
from pretexto.comparison.results import load_results
from pretexto.comparison.rows import PROBE
from pretexto.encoders.store import load_encoder
from pretexto.errors import InputError, Interrupted
from pretexto.evaluation.evaluate import evaluate
from pretexto.reporting.frames import over_steps


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """A comparison that evaluates its encoders after one and three steps of four too."""
    out = tmp_path_factory.mktemp("probed")
    return fakes.films(out, probe_at=(3, 1, 4))


def on_the_way(rows):
    return [row for row in rows if row["status"] == PROBE]


def test_encoders_are_evaluated_on_their_way_by_the_first_protocol(probed):
    assert not probed.failed
    found = {(r["entry"], r["run_seed"], r["step"]) for r in on_the_way(probed.rows)}
    trained = ("turned", "supervised")
    assert found == {(n, s, k) for n in trained for s in (0, 1) for k in (1, 3)}
    assert {row["stamp"]["method"] for row in on_the_way(probed.rows)} == {"knn"}
    ends = {(r["entry"], r["step"]) for r in probed.rows if r["status"] == "done"}
    assert ends == {("turned", 4), ("supervised", 4), ("random-init", 0)}


def test_what_an_encoder_was_on_its_way_is_what_a_shorter_look_at_it_gives(probed):
    run = Run("turned", "test", 1).folder(probed.out)
    encoder = load_encoder(run / "steps" / "3")
    last = load_encoder(run)
    assert not torch.equal(encoder.layer.weight, last.layer.weight)
    rows = evaluate("knn", encoder, fakes.Films(), fakes.VIEW, clips=1)
    own = [r for r in on_the_way(probed.rows) if r["step"] == 3]
    own = [r for r in own if (r["entry"], r["run_seed"]) == ("turned", 1)]
    assert [r["value"] for r in own] == [r.value for r in rows]
    assert {r["encoder"] for r in own} == {r.encoder for r in rows}


def test_claims_and_tables_are_made_of_the_last_step_alone(probed, tmp_path):
    plain = fakes.films(tmp_path)
    tables = [json.loads((out / "table.json").read_text()) for out in (probed.out, tmp_path)]
    assert tables[0]["entries"] == tables[1]["entries"]
    assert (probed.out / "results.csv").read_text() == (tmp_path / "results.csv").read_text()
    assert not on_the_way(plain.rows)
    assert 'id="steps"' not in (tmp_path / "report.html").read_text()


def test_the_chart_has_each_entry_from_its_untrained_control_to_the_last_step(probed):
    results = load_results(probed.out)
    frame = over_steps(results, results.main[0]).sort("entry", "step")
    assert [(row["entry"], row["step"]) for row in frame.to_dicts()] == [
        (name, step) for name in ("supervised", "turned") for step in (0, 1, 3, 4)
    ]
    own = frame.filter(pl.col("entry") == "turned")
    column = results.main[0]
    assert own["mean"][0] == pytest.approx(100 * column.estimate("random-init").mean)
    assert own["mean"][3] == pytest.approx(100 * column.estimate("turned").mean)
    third = [r for r in on_the_way(probed.rows) if (r["entry"], r["step"]) == ("turned", 3)]
    values = [r["value"] for r in third if r["stamp"]["metric"] == column.stamp["metric"]]
    assert own["mean"][2] == pytest.approx(100 * sum(values) / 2)
    assert 'id="steps"' in (probed.out / "report.html").read_text()


def test_other_steps_on_the_way_are_refused_in_the_same_folder(probed, tmp_path):
    with pytest.raises(InputError, match=r"probe_at was \[1, 3, 4\], is now \[2\]"):
        fakes.films(probed.out, probe_at=(2,))
    with pytest.raises(InputError, match="probe_at: 0 is no step of pretraining"):
        fakes.films(tmp_path, probe_at=(0, 2))


def test_a_protocol_that_is_added_leaves_what_was_found_on_the_way(tmp_path):
    first = fakes.films(tmp_path, seeds=1, protocols=("knn",), probe_at=(2,))
    more = fakes.films(tmp_path, seeds=1, protocols=("retrieval",), probe_at=(2,))
    assert on_the_way(first.rows) == on_the_way(more.rows) != []
    assert {r["stamp"]["method"] for r in more.rows} == {"knn", "retrieval"}


def test_interrupted_it_keeps_the_same_encoders_on_the_way(probed, tmp_path):
    flag = tmp_path / "flag"
    entries = {"turned": Entry(partial(fakes.Stopped, str(flag), signal.SIGINT, at=1))}
    with pytest.raises(Interrupted):
        fakes.films(tmp_path / "o", entries, seeds=1, probe_at=(1, 3, 4))
    run = Run("turned", "test", 0).folder(tmp_path / "o")
    assert (run / "steps" / "1" / "encoder.json").exists()
    assert not (run / "steps" / "3").exists()
    assert not fakes.films(tmp_path / "o", entries, seeds=1, probe_at=(1, 3, 4)).failed
    undisturbed = Run("turned", "test", 0).folder(probed.out)
    for step in ("1", "3", "4"):
        files = [folder / "steps" / step / "encoder.safetensors" for folder in (run, undisturbed)]
        assert files[0].read_bytes() == files[1].read_bytes()
