"""Tasks and media for comparisons that take a fraction of a second per run.

Everything is a function of a module, because worker processes import it by name.
"""

import os
import time
from pathlib import Path

import torch.nn.functional as F
from fakes import VIEW, FakeEncoder, FakeSource, FakeTask, FrameTask
from torch import nn

from pretexto.comparison.compare import Entry, compare
from pretexto.comparison.executor import Begun, Ended
from pretexto.comparison.trial import run_job
from pretexto.encoders.weights import start_from
from pretexto.modalities.media import Plan
from pretexto.tasks.task import START, Step
from pretexto.training.args import TrainerArgs
from pretexto.training.optim import OptimizerArgs
from pretexto.visualization.examples import save_evidence

TRAINER = TrainerArgs(steps=4, batch_size=6, workers=0, log_every=2, accelerator="cpu")


class Films(FakeSource):
    """24 videos of two classes; of every three the last one is for the test, or three folds."""

    title = "fake films"

    def __init__(self, *, folds: bool = False, **arguments):
        super().__init__(**arguments)
        self.folds = folds

    def split(self, i):
        return f"film{i % 3}" if self.folds else "test" if i % 3 == 2 else "train"


class Labels(FrameTask):
    """The supervised control of these comparisons."""

    def __init__(self, encoder, classes):
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, classes)

    def plan(self, info, rng):
        return Plan(times=(0.5,))

    def example(self, sample, rng):
        return {"frame": sample.frames[0]}

    def forward(self, batch, phase=None):
        scores = self.head(self.encoder(batch["frame"].float() / 255))
        return Step(F.cross_entropy(scores, batch["label"]))


def turned(**arguments) -> FakeTask:
    """The pretext task: is the frame upside down?"""
    return FakeTask(FakeEncoder(dropout=0.0), **arguments)


def wide() -> FakeTask:
    """The same with another encoder."""
    return FakeTask(FakeEncoder(dropout=0.0, dim=9))


def started(path: str) -> FakeTask:
    """The pretext task, its encoder starting from a file of weights."""
    encoder = FakeEncoder(dropout=0.0)
    start_from(encoder, path)
    return FakeTask(encoder)


def broken() -> FakeTask:
    """Its encoder can be built, but example 3 of the training part has no finite loss."""
    return turned(poison=3)


class Stopped(FakeTask):
    """A signal to its own process after a step of its first training, once per flag file."""

    def __init__(self, flag: str, number: int, at: int = 0):
        super().__init__(FakeEncoder(dropout=0.0))
        self.flag, self.number, self.at = Path(flag), number, at

    def after_step(self, phase=None, progress=START):
        super().after_step(phase, progress)
        if progress.step >= self.at and not self.flag.exists():
            self.flag.write_text("")
            os.kill(os.getpid(), self.number)


class Slow(FakeTask):
    """Its first step takes seconds, once per flag file, which says that it is under way."""

    def __init__(self, flag: str):
        super().__init__(FakeEncoder(dropout=0.0))
        self.flag = Path(flag)

    def after_step(self, *where):
        super().after_step(*where)
        if not self.flag.exists():
            self.flag.write_text("")
            time.sleep(8)


def devices(out: str) -> FakeTask:
    """Writes down which devices its process may see."""
    names = [os.environ.get(key, "-") for key in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")]
    Path(out, str(os.getpid())).write_text(" ".join(names))
    return turned()


def here(jobs):
    """An executor that starts no process, which would take seconds to load."""
    for job in jobs:
        yield Begun(job)
        yield Ended(job, run_job(job))


def films(out, entries=None, *, source=None, **changes):
    """A small comparison: one task, two seeds, knn and retrieval.

    Args:
        source: opens the media.
        changes: other arguments of `compare`; `executor=None` for trials in processes.
    """
    # It takes seconds to load, and processes that do trials import this module too.
    from pretexto.reporting.html import write_report

    arguments = {
        "view": VIEW,
        "trainer": TRAINER,
        "optimizer": OptimizerArgs(lr=0.01),
        "seeds": 2,
        "protocols": ("knn", "retrieval"),
        "clips": 1,
        "supervised": Labels,
        "evidence": save_evidence,
        "on_trial": write_report,
        "executor": here,
        **changes,
    }
    return compare(entries or {"turned": Entry(turned)}, source or Films, out, **arguments)
