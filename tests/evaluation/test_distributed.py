"""Extraction by several processes: each reads its part, all have what one would have had."""

import socket

import extract_worker as worker
import pytest
import torch
import torch.multiprocessing as mp

from pretexto.evaluation import distributed


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    # Forked, they need not import everything once more.
    mp.start_processes(worker.run, (str(folder), free_port()), nprocs=2, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_share_the_reading_and_both_have_the_whole(both):
    media = worker.source()
    whole = worker.extracted(media, shared=False)
    # Two of five media against three, of which one cannot be read by whoever has it.
    assert [int(part["own"]) for part in both] == [1, 3]
    assert len(media.plans) == 4
    assert whole.tokens is not None
    for part in both:
        for level, x in whole.vectors.items():
            assert torch.equal(part[level], x), level
        assert torch.equal(part["tokens"], whole.tokens)
        assert torch.equal(part["counts"], whole.counts)
        assert torch.equal(part["labels"], whole.labels)
        assert part["indices"].tolist() == [0, 2, 3, 4]
        assert part["failed"].tolist() == [1]


def test_a_process_that_is_alone_meets_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.launched() as several:
        assert not several
    assert distributed.rank() == 0
    assert distributed.gather("own") == ["own"]
    assert distributed.own_part(7, True) == range(7)
