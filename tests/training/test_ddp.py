"""Two processes share a batch and learn what one process learns from the whole of it."""

import csv
import multiprocessing
import os
import socket
import time

import pytest
import torch
from fakes import FakeEncoder, FakeSource, TwoPhases, fake_task

from pretexto.encoders.store import load_encoder, read_card
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain
from pretexto.training.sampler import Schedule


def ordinary():
    return fake_task(dropout=0.0)


def normalised():
    """Statistics of a batch of four differ from those of one of eight."""
    return fake_task(norm=True, dropout=0.0)


def two_phases():
    torch.manual_seed(0)
    return TwoPhases(FakeEncoder(dropout=0.0))


def train(make, out, source, devices):
    torch.set_num_threads(1)
    trainer = TrainerArgs(
        steps=8, batch_size=8, workers=0, log_every=1, accelerator="cpu", devices=devices,
        max_unreadable=0.5,
    )  # fmt: skip
    optimizer = OptimizerArgs(name="sgd", lr=0.1)
    return pretrain(make(), source, out, trainer=trainer, optimizer=optimizer)


def one_of_two(rank, port, make, out, source, late=0.0):
    """A process as Lightning's own launcher starts it; the first one `late` seconds later."""
    time.sleep(late * (rank == 0))
    launched = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ.update(launched, NODE_RANK="0", LOCAL_RANK=str(rank))
    train(make, out, source, devices=2)


def train_in_two(make, out, source, late=0.0):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ranks = [
        context.Process(target=one_of_two, args=(rank, port, make, out, source, late))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in ranks] == [0, 0]


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
