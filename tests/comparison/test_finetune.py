"""The protocol "finetune" in comparisons: its rows, its budget, and what survives interruption."""

import json

import comparison_fakes as fakes
import pytest
from PIL import Image

from pretexto import cli
from pretexto.build import build
from pretexto.commands import compare as command
from pretexto.comparison.aggregate import columns
from pretexto.encoders.store import load_encoder
from pretexto.errors import InputError
from pretexto.evaluation.evaluate import evaluate
from pretexto.evaluation.finetune import Tuning
from pretexto.reporting.formatting import control_text, tuned_text

TUNING = Tuning(epochs=2, batch_size=8, lr=0.003)


def films(out, **changes):
    arguments = {"protocols": ("knn", "finetune"), "tuning": TUNING, "seeds": 1, **changes}
    return fakes.films(out, **arguments)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return films(tmp_path_factory.mktemp("tuned"))


def tuned(rows, entry):
    return {
        r["stamp"]["metric"]: r
        for r in rows
        if r["entry"] == entry and r["stamp"]["method"] == "finetune"
    }


def test_every_entry_is_fine_tuned_with_the_budget_asked_for(done):
    for entry in ("turned", "supervised", "random-init"):
        found = tuned(done.rows, entry)
        assert set(found) == {"top1", "mean_class"}
        for words in ("2 epochs", "lr 0.003", "batch 8"):
            assert words in found["top1"]["stamp"]["recipe"]
    plan = json.loads((done.out / "plan.json").read_text())
    assert (plan["tuning"]["epochs"], plan["tuning"]["lr"]) == (2, 0.003)


def test_a_row_is_what_evaluating_the_same_encoder_gives(done):
    for entry in ("turned", "random-init"):
        run = done.out / "runs" / entry / "fold-test" / "seed-0"
        arguments = {"tuning": TUNING, "clips": 1, "seed": 0}
        rows = evaluate("finetune", load_encoder(run), fakes.Films(), fakes.VIEW, **arguments)
        expected = {r.stamp_hash: (r.value, r.confusion) for r in rows}
        found = {
            r["stamp_hash"]: (r["value"], r["confusion"]) for r in tuned(done.rows, entry).values()
        }
        assert found == expected


def test_the_table_and_the_page_have_the_column_and_say_what_its_control_is(done):
    text = (done.out / "results.md").read_text()
    assert "| Fine-tuned top-1 | Δ |" in text
    assert "training from scratch with labels" in text
    page = (done.out / "report.html").read_text()
    assert "Fine-tuned" in page
    assert "training from scratch with labels" in page
    knn, fine = (
        next(c for c in columns(done.rows) if c.stamp["method"] == m) for m in ("knn", "finetune")
    )
    assert control_text(knn) == "the same network untrained"
    assert control_text(fine) == "the same network trained from scratch"
    assert tuned_text([knn]) == ""


def test_another_budget_of_tuning_is_refused_only_where_it_matters(done, tmp_path):
    with pytest.raises(InputError, match=r"tuning\.epochs was 2, is now 3"):
        films(done.out, tuning=Tuning(epochs=3, batch_size=8, lr=0.003))
    films(tmp_path, protocols=("knn",))
    assert not films(tmp_path, protocols=("knn",), tuning=Tuning(epochs=9)).failed


def test_crops_reach_every_row_and_the_plan(tmp_path):
    found = films(tmp_path, clips=2, crops=3)
    methods = {(r["stamp"]["method"], r["stamp"]["clips"], r["stamp"]["crops"]) for r in found.rows}
    assert methods == {("knn", 2, 3), ("finetune", 2, 3)}
    run = tmp_path / "runs" / "turned" / "fold-test" / "seed-0"
    arguments = {"tuning": TUNING, "clips": 2, "crops": 3}
    rows = evaluate("finetune", load_encoder(run), fakes.Films(), fakes.VIEW, **arguments)
    own = {m: (r["stamp_hash"], r["value"]) for m, r in tuned(found.rows, "turned").items()}
    assert own == {r.stamp.metric: (r.stamp_hash, r.value) for r in rows}
    assert json.loads((tmp_path / "plan.json").read_text())["crops"] == 3
    assert json.loads((tmp_path / "table.json").read_text())["plan"]["crops"] == 3
    with pytest.raises(InputError, match="crops was 3, is now 1"):
        films(tmp_path, clips=2)


@pytest.mark.parametrize("wrong", [{"crops": 2}, {"clips": 0}])
def test_looks_that_cannot_be_are_refused_before_anything_is_written(wrong, tmp_path):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is "):
        films(tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_killed_while_tuning_it_goes_on_without_pretraining_again(done, tmp_path):
    films(tmp_path, protocols=("knn",))
    run = tmp_path / "runs" / "turned" / "fold-test" / "seed-0"
    # What a process that dies in evaluation leaves: an encoder and no rows.
    (run / "rows.json").unlink()
    written = (run / "encoder.safetensors").stat().st_mtime_ns
    whole = films(tmp_path)
    assert (run / "encoder.safetensors").stat().st_mtime_ns == written
    values = [
        {(r["entry"], r["stamp_hash"]): r["value"] for r in rows}
        for rows in (whole.rows, done.rows)
    ]
    assert values[0] == values[1]


def test_the_command_takes_protocols_and_tuning(monkeypatch, tmp_path):
    got = {}
    monkeypatch.setattr(command, "compare_from", lambda tree, *_, **__: got.update(tree) or 0)
    words = ["--config", "four_tasks", "--protocols", "knn,finetune", "--tuning.epochs", "5"]
    words += ["--clips", "10", "--crops", "3"]
    assert cli.main(["compare", *words, "--out", str(tmp_path)]) == 0
    assert got["protocols"] == ["knn", "finetune"]
    assert got["tuning"] == {"epochs": 5}
    assert (got["clips"], got["crops"]) == (10, 3)


def test_the_command_hands_clips_and_crops_on(monkeypatch, tmp_path):
    got = {}

    def stopped(*_, **arguments):
        got.update(arguments)
        raise InputError("enough")

    monkeypatch.setattr("pretexto.comparison.compare.compare", stopped)
    (tmp_path / "a").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "a" / "a.png")
    words = ["compare", "--config", "four_tasks", "--data", str(tmp_path)]
    for more, wanted in [([], (3, 1)), (["--clips", "10", "--crops", "3"], (10, 3))]:
        assert cli.main([*words, *more]) == 2
        assert (got["clips"], got["crops"]) == wanted


def test_the_config_of_a_comparison_says_how_to_tune():
    schema = {"tuning": command.schema()["tuning"]}
    found = build({"tuning": {"epochs": 4, "lr": 0.01, "batch_size": 4}}, schema, "c")
    assert found["tuning"] == Tuning(epochs=4, lr=0.01, batch_size=4)
    found = build({"tuning": {"lr": [0.01, 0.001]}}, schema, "c")
    assert found["tuning"].rates == (0.001, 0.01)
    with pytest.raises(
        InputError, match=r"c: tuning.epoch: Tuning has no 'epoch'; did you mean epochs"
    ):
        build({"tuning": {"epoch": 4}}, schema, "c")
    with pytest.raises(InputError, match="at least 1 epoch"):
        build({"tuning": {"epochs": 0}}, schema, "c")
