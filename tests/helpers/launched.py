"""Pretraining in two processes, as Lightning's own launcher starts them."""

import multiprocessing
import os
import socket
import time

import torch

from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain


def train(make, out, source, devices, **changes):
    torch.set_num_threads(1)
    defaults = {"steps": 8, "batch_size": 8, "workers": 0, "log_every": 1, "max_unreadable": 0.5}
    trainer = TrainerArgs(**{**defaults, **changes}, accelerator="cpu", devices=devices)
    optimizer = OptimizerArgs(name="sgd", lr=0.1)
    return pretrain(make(), source, out, trainer=trainer, optimizer=optimizer)


def one_of_two(rank, port, make, out, source, late, changes):
    """A process as Lightning's own launcher starts it; the first one `late` seconds later."""
    time.sleep(late * (rank == 0))
    launched = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ.update(launched, NODE_RANK="0", LOCAL_RANK=str(rank))
    train(make, out, source, devices=2, **changes)


def train_in_two(make, out, source, late=0.0, codes=(0, 0), **changes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ranks = [
        context.Process(target=one_of_two, args=(rank, port, make, out, source, late, changes))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in ranks] == [*codes]
