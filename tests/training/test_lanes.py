"""Rows that go on from batch to batch: their order, and their memory across a resume."""

import os
import signal

import numpy as np
import pytest
import torch
from launched import train, train_in_two
from text_kit import SENTENCES, packed, text_input

from pretexto.datasets.source import Subset
from pretexto.datasets.text.documents import Piece
from pretexto.datasets.text.source import Tokens
from pretexto.datasets.text.write import pack_text
from pretexto.encoders.store import load_encoder
from pretexto.errors import InputError, Interrupted
from pretexto.modalities.rng import generator
from pretexto.modalities.tokenizer import byte_tokenizer, load_tokenizer
from pretexto.tasks.segment_recurrence import SegmentRecurrence
from pretexto.tasks.task import START
from pretexto.training.data import fitted
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain
from pretexto.training.sampler import Schedule


def numbers(**options) -> np.ndarray:
    """Numbers of the examples, [steps, lanes of one rank]."""
    schedule = Schedule(**{"examples": 23, "batch_size": 4, "total": 10, "lanes": True, **options})
    return np.array([[request.index for request in batch] for batch in schedule])


def test_each_lane_reads_one_example_behind_the_other():
    found = numbers()
    assert found[:5].T.tolist() == [list(range(5 * lane, 5 * lane + 5)) for lane in range(4)]
    assert (found[5:] == found[:5]).all(), "each epoch begins anew"


def test_processes_share_the_lanes():
    both = [numbers(rank=rank, ranks=2) for rank in range(2)]
    assert (np.concatenate(both, 1) == numbers()).all()
    assert (numbers(start=3) == numbers()[3:]).all()


@pytest.mark.parametrize("option", [{"accumulate": 2}, {"balance": np.zeros(23, int)}])
def test_what_would_tear_lanes_is_refused(option):
    with pytest.raises(InputError, match="trainer.(accumulate|balanced) does not go with"):
        numbers(**option)


def test_documents_become_one_text_of_those_that_are_trained_on(tmp_path):
    pieces = [Piece(text, label="x") for text in ("abc", "def", "", "ghijk", "lm")]
    pack_text(pieces, tmp_path / "packed", byte_tokenizer())
    documents = Tokens(tmp_path / "packed")
    chosen = Subset(Subset(documents, [0, 1, 2, 3]), [0, 2, 3])
    made = SegmentRecurrence(text_input(2), memory=4)
    source = fitted(chosen, made)
    read = [source.read(i, made.plan(source.info(i), generator(0, 0, i))).tokens
            for i in range(len(source))]  # fmt: skip
    words = load_tokenizer(documents.path).decode
    assert [words(x) for x in read] == ["abc", "c", "gh", "hij", "jk"]
    assert source.name(1) != fitted(documents, made).name(1), "other documents, other names"


class Stopped(Tokens):
    """Sends this process SIGTERM at its n-th read."""

    reads, at = 0, 10**9

    def read(self, i, plan):
        Stopped.reads += 1
        if Stopped.reads == Stopped.at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().read(i, plan)


def task() -> SegmentRecurrence:
    return SegmentRecurrence(text_input(16, dropout=0.1), memory=24)


def run(source, out):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trainer = TrainerArgs(steps=10, batch_size=4, workers=0, checkpoint_every=4, logger="csv")
    pretrain(task(), source, out, trainer=trainer, optimizer=OptimizerArgs(lr=0.01))
    return load_encoder(out).state_dict()


def test_a_run_interrupted_in_mid_epoch_goes_on_with_its_memory(tmp_path, monkeypatch):
    path = packed(tmp_path).path
    whole = run(Tokens(path), tmp_path / "whole")
    Stopped.reads, Stopped.at = 0, 22
    with pytest.raises(Interrupted):
        run(Stopped(path), tmp_path / "torn")
    again = run(Tokens(path), tmp_path / "torn")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    # Without what the checkpoint keeps of the lanes it would be another run.
    Stopped.reads = 0
    with pytest.raises(Interrupted):
        run(Stopped(path), tmp_path / "other")
    monkeypatch.setattr(SegmentRecurrence, "carry", lambda self, kept: None)
    lost = run(Tokens(path), tmp_path / "other")
    assert not all(torch.equal(whole[name], lost[name]) for name in whole)


def plain() -> SegmentRecurrence:
    return SegmentRecurrence(text_input(16), memory=24)


def signal_in_its_fourth_step(self, phase=None, progress=START):
    """The second of two processes is told to end."""
    if os.environ.get("LOCAL_RANK") == "1" and progress.step == 3:
        os.kill(os.getpid(), signal.SIGTERM)


def test_two_processes_remember_what_one_does_and_go_on_with_it(tmp_path, monkeypatch):
    source = packed(tmp_path, SENTENCES * 4)
    options = {"steps": 40, "batch_size": 4}
    alone = load_encoder(train(plain, tmp_path / "alone", source, devices=1, **options))
    train_in_two(plain, tmp_path / "two", source, **options)
    two = load_encoder(tmp_path / "two")
    for p, q in zip(alone.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(SegmentRecurrence, "after_step", signal_in_its_fourth_step)
    for name in ("cut", "lost"):
        train_in_two(plain, tmp_path / name, source, codes=(1, 0), **options)
    held = torch.load(tmp_path / "cut/checkpoints/last.ckpt", weights_only=True)["pretexto"]
    assert 4 <= held["done"] <= 15, "in the middle of the epoch"
    train_in_two(plain, tmp_path / "cut", source, allow_changes=True, **options)
    monkeypatch.setattr(SegmentRecurrence, "carry", lambda self, kept: None)
    train_in_two(plain, tmp_path / "lost", source, allow_changes=True, **options)
    files = [tmp_path / name / "encoder.safetensors" for name in ("two", "cut", "lost")]
    whole, cut, lost = (file.read_bytes() for file in files)
    assert cut == whole
    assert lost != whole, "without its lanes it would be another run"
