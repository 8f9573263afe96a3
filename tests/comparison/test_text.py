"""A comparison of encoders of text: beside untrained and supervised, on labelled documents."""

import functools

import pytest
from comparison_fakes import here
from text_kit import labelled_text, text_input

from pretexto.comparison.compare import Entry, compare
from pretexto.datasets.text.source import Tokens
from pretexto.modalities.input_spec import InputSpec
from pretexto.reporting.html import write_report
from pretexto.tasks.causal_language import CausalLanguage
from pretexto.tasks.masked_language import MaskedLanguage
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs


def masked() -> MaskedLanguage:
    return MaskedLanguage(text_input(24))


def causal() -> CausalLanguage:
    return CausalLanguage(text_input(24))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    labelled_text(folder, lambda label, rng: label * rng.randint(4, 9), ("ab", "cd"))
    return compare(
        {"masked": Entry(masked), "causal": Entry(causal)},
        functools.partial(Tokens, str(folder / "labelled")),
        folder / "out",
        view=InputSpec("text", length=24),
        trainer=TrainerArgs(steps=6, batch_size=8, workers=0, accelerator="cpu"),
        optimizer=OptimizerArgs(lr=0.002),
        seeds=1,
        protocols=("linear", "knn"),
        clips=1,
        on_trial=write_report,
        executor=here,
    )


def test_every_kind_of_reader_has_its_own_untrained_one_and_all_read_the_same(done):
    assert done.failed == {}
    found = {}
    for row in done.rows:
        if row["stamp"]["metric"] == "top1" and row["level"] == "embedding":
            found.setdefault(row["stamp"]["method"], {})[row["entry"]] = row
    for method in ("linear", "knn"):
        entries = found[method]
        assert {"masked", "causal", "supervised"} < set(entries)
        assert len({row["stamp_hash"] for row in entries.values()}) == 1
        # Which letters there are is told by counts, which every reader has, trained or not.
        assert all(row["value"] >= 0.9 for row in entries.values())


def test_the_report_names_what_was_asked_and_said(done):
    page = (done.out / "report.html").read_text()
    assert "causal" in page
    assert "bits per byte" in page.lower() or "bits_per_byte" in page
