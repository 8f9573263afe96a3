"""A comparison of encoders of sound: beside untrained, supervised and the log-mel floor."""

import json

import pytest
from comparison_fakes import here
from sound_fakes import Tones, cola

from pretexto.comparison.aggregate import columns
from pretexto.comparison.compare import compare
from pretexto.comparison.grid import FLOOR, Entry, with_controls
from pretexto.errors import InputError
from pretexto.evaluation.finetune import Tuning
from pretexto.modalities.input_spec import InputSpec
from pretexto.reporting.html import write_report
from pretexto.reporting.summary import finding
from pretexto.tasks.supervised import Supervised
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs

VIEW = InputSpec("audio", seconds=0.5, rate=16000)


def test_sound_has_a_supervised_control_and_one_floor():
    found = with_controls({"cola": Entry(cola)}, 3, VIEW)
    assert list(found) == ["cola", "supervised", "random-init", FLOOR]
    task = found["supervised"].build()
    assert isinstance(task, Supervised)
    assert task.specs == {"audio": VIEW}
    assert len(task.classes) == 3
    assert "LogMelFloor" in json.dumps(found[FLOOR].describe())
    with pytest.raises(InputError, match="belongs to a control"):
        with_controls({FLOOR: Entry(cola)}, 3, VIEW)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return compare(
        {"cola": Entry(cola)},
        Tones,
        tmp_path_factory.mktemp("sounds") / "out",
        view=VIEW,
        trainer=TrainerArgs(steps=12, batch_size=6, workers=0, accelerator="cpu"),
        optimizer=OptimizerArgs(lr=0.005),
        seeds=1,
        protocols=("retrieval", "finetune"),
        clips=2,
        tuning=Tuning(epochs=1, batch_size=6),
        on_trial=write_report,
        executor=here,
    )


def test_all_controls_stand_in_the_same_column(done):
    assert done.failed == {}
    by_method = {}
    for row in done.rows:
        if row["stamp"]["metric"] in ("top1", "R@1"):
            key = (row["stamp"]["method"], row["fold"])
            by_method.setdefault(key, {})[row["entry"]] = row
    for fold in ("fold0", "fold1"):
        found = by_method["retrieval", fold]
        assert list(found) == ["cola", "supervised", "random-init", FLOOR]
        assert len({row["stamp_hash"] for row in found.values()}) == 1
        assert found[FLOOR]["task"] == "log-mel floor"
        assert list(by_method["finetune", fold]) == ["cola", "supervised", "random-init"]


def test_the_report_shows_the_floor_and_says_what_it_means(done):
    text, page = (done.out / "results.md").read_text(), (done.out / "report.html").read_text()
    assert "| log-mel-floor | " in text
    assert "Statistics of the spectrogram, without a network, give " in page
    assert 'class="key floor"' in page


def test_the_headline_tells_the_distance_to_the_floor():
    def row(entry, seed, value):
        stamp = {"method": "linear", "metric": "top1", "recipe": "r", "data": "d", "split": "t",
                 "split_hash": "h"}  # fmt: skip
        return {"status": "done", "entry": entry, "run_seed": seed, "fold": "t", "value": value,
                "level": "embedding", "best": None, "chance": 0.1, "stamp": stamp}  # fmt: skip

    values = {"cola": (0.7, 0.72), "random-init": (0.5, 0.5), FLOOR: (0.75, 0.75)}
    rows = [row(name, seed, v) for name, both in values.items() for seed, v in enumerate(both)]
    (column,) = columns(rows)
    _, said = finding(column, ["cola"], {"cola": "random-init"}, {}, FLOOR)
    assert "give 75.0 %; cola differs from that by −4.0 ± 12.7 points" in said
    _, said = finding(column, ["cola"], {"cola": "random-init"})
    assert "Statistics" not in said
