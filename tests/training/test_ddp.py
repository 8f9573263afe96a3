"""Two processes share a batch and learn what one process learns from the whole of it."""

import csv
import json
import os
import signal

import pytest
import torch
from fakes import FakeEncoder, FakeSource, FakeTask, TwoPhases, fake_task
from launched import train, train_in_two

from pretexto.encoders.store import load_encoder, read_card
from pretexto.tasks.task import START
from pretexto.training.distributed import Processes
from pretexto.training.sampler import Schedule


def ordinary():
    return fake_task(dropout=0.0)


def normalised():
    """Statistics of a batch of four differ from those of one of eight."""
    return fake_task(norm=True, dropout=0.0)


def two_phases():
    torch.manual_seed(0)
    return TwoPhases(FakeEncoder(dropout=0.0))


def test_a_process_that_is_there_first_waits_for_the_one_that_begins_the_run(tmp_path):
    train_in_two(ordinary, tmp_path / "two", FakeSource(), late=3.0)
    assert load_encoder(tmp_path / "two")


def column(run, name):
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("make", [ordinary, normalised, two_phases])
def test_two_processes_learn_what_one_learns(tmp_path, make):
    alone = train(make, tmp_path / "alone", FakeSource(), devices=1)
    train_in_two(make, tmp_path / "two", FakeSource())
    assert column(tmp_path / "two", "loss") == pytest.approx(column(alone, "loss"), abs=1e-6)
    for p, q in zip(
        load_encoder(alone).parameters(), load_encoder(tmp_path / "two").parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_what_one_process_cannot_read_all_of_them_know(tmp_path):
    # A batch of 8 is 4 for each; one rank losing 3 of its 4 makes both leave the batch out.
    source = FakeSource(8, broken=[0, 1, 2])
    train_in_two(ordinary, tmp_path / "two", source)
    assert read_card(tmp_path / "two")["unreadable"] == 3
    weights = torch.load(tmp_path / "two" / "checkpoints" / "last.ckpt", weights_only=True)
    steps = int(weights["state_dict"]["task.steps_taken"])
    assert steps == sum(usable(source, batch) for batch in Schedule(8, 8, 8))
    assert 0 < steps < 8


def usable(source, batch):
    """Whether both halves of a batch keep at least two examples."""
    kept = [request.index not in source.broken for request in batch]
    return min(sum(kept[:4]), sum(kept[4:])) >= 2


class Counted(FakeTask):
    """Writes down how many messages its process had sent when a step was done."""

    def __init__(self, encoder, folder):
        super().__init__(encoder)
        self.folder, self.sent = folder, []

    def after_step(self, phase=None, progress=START):
        super().after_step(phase, progress)
        self.sent.append(Processes.sent)
        (self.folder / f"sent-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(self.sent))


def test_most_steps_need_no_message(tmp_path, monkeypatch):
    def counting(self, values):
        Processes.sent += self.size > 1
        return greatest(self, values)

    greatest = Processes.greatest
    monkeypatch.setattr(Processes, "sent", 0, raising=False)
    monkeypatch.setattr(Processes, "greatest", counting)

    def counted():
        torch.manual_seed(0)
        return Counted(FakeEncoder(dropout=0.0), tmp_path)

    monkeypatch.setattr("pretexto.training.agreement.DELAY", 1e6)
    train_in_two(counted, tmp_path / "two", FakeSource(), steps=40, log_every=100)
    sent = [json.loads((tmp_path / f"sent-{rank}.json").read_text()) for rank in (0, 1)]
    # Two steps on their own, then two, four, and eight at a time.
    assert sent[0] == sent[1] == [1, 2, 3, 3, 4, 4, 4, 4, *(5 + k // 8 for k in range(32))]


class SignalledAt(FakeTask):
    """The second process gets a signal in its fourth step."""

    def after_step(self, phase=None, progress=START):
        super().after_step(phase, progress)
        if os.environ.get("LOCAL_RANK") == "1" and progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_to_one_ends_both_at_the_same_step_and_they_go_on_exactly(tmp_path):
    def signalled():
        torch.manual_seed(0)
        return SignalledAt(FakeEncoder(dropout=0.0))

    train_in_two(ordinary, tmp_path / "whole", FakeSource(), steps=40)
    out = tmp_path / "cut"
    # The first process says so; the other one was started for the training alone.
    train_in_two(signalled, out, FakeSource(), steps=40, codes=(1, 0))
    held = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["pretexto"]
    assert 4 <= held["done"] <= 15
    train_in_two(signalled, out, FakeSource(), steps=40, allow_changes=True)
    files = [(tmp_path / x / "encoder.safetensors").read_bytes() for x in ("whole", "cut")]
    assert files[0] == files[1]


@pytest.mark.parametrize("make", [normalised, two_phases])
def test_no_step_sends_buffers_around(tmp_path, monkeypatch, make):
    def sent(*_):
        raise AssertionError("buffers are alike on all processes already")

    kind = torch.nn.parallel.DistributedDataParallel
    monkeypatch.setattr(kind, "_sync_buffers", sent)
    train_in_two(make, tmp_path, FakeSource(), steps=2)
    assert (tmp_path / "encoder.json").exists()
