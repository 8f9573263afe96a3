"""What a person reads while a run goes on, and a real task from media to encoder."""

import csv
import threading

import pytest
import torch
from fakes import FakeSource, fake_task
from task_kit import make_task

from pretexto import progress as display_module
from pretexto.encoders.image import TinyImage
from pretexto.encoders.store import load_encoder
from pretexto.progress import Display, in_words
from pretexto.tasks.rotation import Rotation
from pretexto.training.module import NonFiniteLossError, RunningMeans
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain

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


def test_means_average_and_names_the_first_bad_step():
    means = RunningMeans()
    for k, loss in enumerate([1.0, 2.0, 6.0]):
        means.add(k, {"loss": torch.tensor(loss), "accuracy": torch.tensor(k)})
    assert means.sums() == {"loss": [9.0, 3], "accuracy": [3.0, 3]}
    other = RunningMeans()
    other.load(means.sums())
    other.add(3, {"loss": torch.tensor(1.0)})
    assert other.sums() == {"loss": [10.0, 4], "accuracy": [3.0, 3]}
    other.clear()
    assert other.sums() == {}
    for k, loss in enumerate([1.0, float("inf"), float("nan")]):
        other.add(k + 7, {"loss": torch.tensor(loss)})
    with pytest.raises(NonFiniteLossError) as caught:
        other.settle()
    assert caught.value.number == 8


def test_a_real_task_learns_from_media_to_encoder(tmp_path):
    torch.manual_seed(0)
    task = make_task(Rotation, TinyImage(width=2), size=16)
    trainer = TrainerArgs(steps=3, batch_size=4, workers=1, log_every=1, accelerator="cpu")
    optimizer = OptimizerArgs(name="lars", lr=1.0)
    out = pretrain(task, FakeSource(8), tmp_path, trainer=trainer, optimizer=optimizer)
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(load_encoder(out)(x), task.video.encoder.eval()(x), rtol=0, atol=0)
