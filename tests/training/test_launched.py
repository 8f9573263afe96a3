"""Two processes that torchrun started, on one machine or on two without a shared disk."""

import json
import multiprocessing
import os
import signal
import socket
import sys

import numpy as np
import torch
from fakes import FakeEncoder, FakeSource, FakeTask, fake_task
from PIL import Image

from pretexto import cli
from pretexto.tasks.task import START
from pretexto.training.pretrain import TrainerArgs, pretrain


def one_of_two(rank, port, nodes, job, args):
    torch.set_num_threads(1)
    local = {"GROUP_RANK": rank, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
    if nodes == 1:
        local = {"GROUP_RANK": 0, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
    told = {"RANK": rank, "WORLD_SIZE": 2, "TORCHELASTIC_RUN_ID": "x", **local}
    told |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    sys.exit(job(rank, *args))


def in_two(job, *args, nodes=1):
    """Exit codes of a job in both processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ranks = [
        context.Process(target=one_of_two, args=(rank, port, nodes, job, args)) for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(200)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in ranks]


class Signalled(FakeTask):
    """The second process gets a signal in its fourth step."""

    def after_step(self, phase=None, progress=START):
        super().after_step(phase, progress)
        if os.environ.get("RANK") == "1" and progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)


def signalled():
    torch.manual_seed(0)
    return Signalled(FakeEncoder())


def train(rank, make, folder):
    args = {"steps": 24, "batch_size": 8, "workers": 0, "accelerator": "cpu", "devices": 1}
    trainer = TrainerArgs(**args, nodes=2, allow_changes=True)
    pretrain(make(), FakeSource(), folder / str(rank) / "run", trainer=trainer)


def test_without_a_shared_disk_the_run_of_the_first_process_goes_on_exactly(tmp_path):
    assert in_two(train, fake_task, tmp_path / "whole", nodes=2) == [0, 0]
    assert in_two(train, signalled, tmp_path / "cut", nodes=2) == [1, 1]
    held = torch.load(tmp_path / "cut/0/run/checkpoints/last.ckpt", weights_only=True)
    assert 4 <= held["pretexto"]["done"] < 24
    assert in_two(train, signalled, tmp_path / "cut", nodes=2) == [0, 0]
    files = [tmp_path / x / "0/run/encoder.safetensors" for x in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert not list((tmp_path / "cut").glob("1/**/*.ckpt"))


def probe(rank, folder):
    words = ["pretrain", "--config", "rotation", "--encoder", "tiny", "--data", folder / "images"]
    words += ["--out", folder / "run", "--probe", "knn", "--task.video.size", "16"]
    words += ["--trainer.steps", "1", "--trainer.batch_size", "4", "--trainer.workers", "0"]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    return cli.main([str(word) for word in words])


def test_a_probe_behind_two_processes_gives_each_row_once(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("dark", "light"):
            (tmp_path / "images" / part / name).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 100, (24, 24, 3)) + 100 * (name == "light")
                path = tmp_path / "images" / part / name / f"{i}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    assert in_two(probe, tmp_path) == [0, 0]
    lines = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    rows = [(row["task"], row["stamp"]["metric"]) for row in map(json.loads, lines)]
    assert rows
    assert len(rows) == len(set(rows))
