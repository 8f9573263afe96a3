"""What a person reads while a run goes on, and a real task from media to encoder."""

import csv
import threading
from dataclasses import replace

import pytest
import torch
from fakes import FakeSource, fake_task
from task_kit import make_task

from pretexto import progress as display_module
from pretexto.encoders.image import TinyImage
from pretexto.encoders.store import load_encoder
from pretexto.progress import Display, in_words
from pretexto.tasks.rotation import Rotation
from pretexto.tasks.shuffle_learn import ShuffleLearn
from pretexto.training.module import NonFiniteLossError, Window
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain
from pretexto.training.sanity_check import look, motion_in_words

ROW = {
    "step": 40, "epoch": 1.0, "lr": 0.1, "loss": 0.51234, "accuracy": 0.75, "margin": 1.0,
    "examples_per_second": 123.4, "waiting": 0.71, "unreadable": 0, "left_out": 0,
}  # fmt: skip


def test_a_line_holds_loss_first_metric_speed_and_waiting():
    assert in_words(ROW) == "loss 0.5123 · accuracy 0.750 · 123 examples/s · waiting 71%"


def test_a_line_counts_what_went_missing():
    words = in_words({**ROW, "unreadable": 3, "left_out": 2})
    assert words.endswith("· 3 unreadable · 2 batches left out")


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(display_module, "time", clock)
    return clock


def test_plain_lines_come_at_intervals_and_at_the_end(clock, capsys):
    shown = Display(0)
    shown.start(0, 100)
    for done in range(1, 101):
        clock.now += 1
        shown.tick(done, {**ROW, "waiting": 0.1})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [
        f"{n}/100" for n in (3, 14, 25, 36, 47, 58, 69, 80, 91, 100)
    ]
    assert lines[0].endswith("1:37 left")
    assert lines[-1].endswith("0:00 left")


def test_advice_comes_once_and_only_when_loading_takes_long(clock, capsys):
    shown = Display(3)
    shown.start(0, 1000)
    clock.now += 5
    shown.tick(40, {**ROW, "waiting": 0.29})
    assert "loading" not in capsys.readouterr().out
    shown.tick(60, ROW)
    shown.tick(80, ROW)
    out = capsys.readouterr().out
    assert out.count("loading takes 71% of the time: raise --trainer.workers (now 3)") == 1


def test_waiting_is_the_share_of_time_that_the_loader_takes(tmp_path):
    class Slow(FakeSource):
        def read(self, i, plan):
            threading.Event().wait(0.02)
            return super().read(i, plan)

    trainer = TrainerArgs(steps=12, batch_size=6, workers=0, log_every=6, accelerator="cpu")
    out = pretrain(fake_task(), Slow(), tmp_path, trainer=trainer)
    with (out / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    # Six reads take at least 120 ms of a step, whose arithmetic takes a few (0.9 measured); the
    # bound leaves room for a machine that does other things meanwhile.
    assert 0.4 < float(last["waiting"]) <= 1
    assert float(last["examples_per_second"]) < 50


def test_a_window_averages_and_names_the_first_bad_step():
    window = Window()
    for k, loss in enumerate([1.0, 2.0, 6.0]):
        window.add(k, {"loss": torch.tensor(loss), "accuracy": torch.tensor(k)})
    assert window.sums() == {"loss": [9.0, 3], "accuracy": [3.0, 3]}
    other = Window()
    other.load(window.sums())
    other.add(3, {"loss": torch.tensor(1.0)})
    assert other.sums() == {"loss": [10.0, 4], "accuracy": [3.0, 3]}
    other.clear()
    assert other.sums() == {}
    for k, loss in enumerate([1.0, float("inf"), float("nan")]):
        other.add(k + 7, {"loss": torch.tensor(loss)})
    with pytest.raises(NonFiniteLossError) as caught:
        other.settle()
    assert caught.value.number == 8


def test_a_look_at_many_media_takes_some_of_them_evenly():
    seen = []

    class Counting(FakeSource):
        def info(self, i):
            seen.append(i)
            return super().info(i)

    task = fake_task(needs_sound=True)
    verdict = look(Counting(5000, silent=range(2500)), task, most=1000, say=print)
    assert verdict.looked_at == 1000
    assert sorted(seen) == list(range(0, 5000, 5))
    assert len(verdict.unsuitable) == 500
    assert [x.index for x in verdict.unsuitable[:3]] == [0, 5, 10]


@pytest.mark.parametrize("indexed", [False, True])
def test_a_look_knows_every_file(indexed):
    class Listed(FakeSource):
        pass

    Listed.indexed = indexed
    verdict = look(Listed(1500, silent=[1, 1499]), fake_task(needs_sound=True), say=print)
    assert verdict.looked_at == 1500
    assert [x.index for x in verdict.unsuitable] == [1, 1499]


@pytest.mark.parametrize(("indexed", "most"), [(False, "OPENED"), (True, "INDEXED")])
def test_a_look_at_too_many_says_that_it_is_partial(monkeypatch, indexed, most, capsys):
    class Listed(FakeSource):
        pass

    Listed.indexed = indexed
    monkeypatch.setattr(f"pretexto.training.sanity_check.{most}", 10)
    assert look(Listed(40), fake_task(), say=print).looked_at == 10
    said = capsys.readouterr().out
    assert "looking at 10 of 40 media before training" in said
    assert ("pretexto index" in said) is not indexed


def test_a_look_counts_media_of_which_the_motion_is_unknown_where_it_matters():
    class Measured(FakeSource):
        def info(self, i):
            return replace(super().info(i), motion=(1.0, 2.0) if i < 6 else ())

    task = make_task(ShuffleLearn, TinyImage(width=2), size=16, tau_min=0.2, tau_max=0.4)
    verdict = look(Measured(8), task, say=print)
    assert verdict.unmeasured == 2
    said = motion_in_words(verdict, task)
    assert said.startswith("motion is unknown in 2 of 8 examples, where ShuffleLearn will choose")
    assert "pretexto index DATA --out X.parquet" in said
    assert "\n" not in said
    assert motion_in_words(look(Measured(6), task, say=print), task) == ""
    task.by_motion = False
    for other in (make_task(Rotation, TinyImage(width=2), size=16), task):
        assert look(Measured(8), other, say=print).unmeasured == 0


def test_a_real_task_learns_from_media_to_encoder(tmp_path):
    torch.manual_seed(0)
    task = make_task(Rotation, TinyImage(width=2), size=16)
    trainer = TrainerArgs(steps=3, batch_size=4, workers=1, log_every=1, accelerator="cpu")
    optimizer = OptimizerArgs(name="lars", lr=1.0)
    out = pretrain(task, FakeSource(8), tmp_path, trainer=trainer, optimizer=optimizer)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(load_encoder(out)(x), task.video.encoder.eval()(x), rtol=0, atol=0)
