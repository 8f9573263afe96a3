"""SIGTERM at any moment of `pretexto pretrain`: code 143, and the same command ends as if nothing
had been."""

import multiprocessing
import os
import random
import signal
import sys
import time

import numpy as np
import pytest
from PIL import Image

from pretexto import build, cli
from pretexto.commands import pretrain
from pretexto.encoders import image
from pretexto.tasks import rotation
from pretexto.training import pretrain as trainer

# What the processes would otherwise spend most of their time with.
LOADED = (build, pretrain, image, rotation, trainer)
STEPS = 20


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)).save(path)
    return tmp_path / "images"


def command(images, out):
    """In a process of its own, which need not import everything once more."""
    words = [
        "pretrain",
        "--config",
        "rotation",
        "--encoder",
        "tiny",
        "--data",
        images,
        "--out",
        out,
    ]
    words += ["--task.video.size", "16", "--trainer.steps", STEPS, "--trainer.batch_size", "6"]
    words += ["--trainer.workers", "1", "--trainer.checkpoint_every", "7", "--trainer.log_every", 5]
    words += ["--trainer.accelerator", "cpu"]
    os.setpgid(0, 0)
    sys.exit(cli.main([str(word) for word in words]))


def started(images, out):
    process = multiprocessing.get_context("fork").Process(target=command, args=(images, out))
    process.start()
    return process


def weights(out):
    return (out / "encoder.safetensors").read_bytes()


def rows(out):
    """Step, epoch, rate, loss and accuracy; the rest of metrics.csv is measured by a clock."""
    lines = (out / "metrics.csv").read_text().splitlines()
    return [line.split(",")[:5] for line in lines]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_at_thirty_random_moments_it_ends_with_143_and_goes_on_to_the_same_weights(
    images, tmp_path
):
    began = time.monotonic()
    whole = started(images, tmp_path / "whole")
    whole.join()
    took = time.monotonic() - began
    assert whole.exitcode == 0
    rng, ended, out, tries = random.Random(3), 0, tmp_path / "out0", 0
    while ended < 30 and tries < 150:
        tries += 1
        running = started(images, out)
        time.sleep(rng.uniform(0, took))
        if running.is_alive():
            os.kill(running.pid, signal.SIGTERM)
        running.join()
        if running.exitcode == 0:  # it was faster this time
            assert weights(out) == weights(tmp_path / "whole")
            out = tmp_path / f"out{tries}"
            continue
        # The first moment belongs to Python, before the command answers signals.
        assert running.exitcode == 143 or (running.exitcode == -15 and not out.exists())
        ended += 1
    assert ended == 30
    last = started(images, out)
    last.join()
    assert last.exitcode == 0
    for folder in tmp_path.glob("out*"):
        assert weights(folder) == weights(tmp_path / "whole")
        assert rows(folder) == rows(tmp_path / "whole")
