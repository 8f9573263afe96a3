"""Killed at any moment, the same call gives the weights of a run that nothing disturbed."""

import csv
import hashlib
import multiprocessing
import os
import signal
import time

import pytest
import torch
from fakes import FakeEncoder, FakeSource, TwoPhases, fake_task

from pretexto.encoders.image import TinyImage
from pretexto.errors import InputError
from pretexto.tasks.chroma_gan import ChromaGAN
from pretexto.tasks.coherent_semantic_attention import CoherentSemanticAttention
from pretexto.tasks.parts.clip_input import ClipInput
from pretexto.tasks.parts.colour_guards import ColorizationGuards
from pretexto.tasks.parts.masks import Hole
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain

STEPS = 24


class SlowSource(FakeSource):
    """Takes long enough for a run to be killed in the middle."""

    def read(self, i, plan):
        time.sleep(0.005)
        return super().read(i, plan)


def two_phases():
    torch.manual_seed(0)
    return TwoPhases(FakeEncoder(norm=True))


def ordinary():
    return fake_task(norm=True)


def chroma_gan():
    torch.manual_seed(0)
    guards = ColorizationGuards(grey=False)
    return ChromaGAN(ClipInput(TinyImage(width=4), size=16), width=16, guards=guards)


def coherent_semantic_attention():
    torch.manual_seed(0)
    hole = Hole("irregular", 0.3)
    video = ClipInput(TinyImage(width=4), size=16)
    return CoherentSemanticAttention(video, hole=hole, width=8, critic_width=8)


def call(make, out, *, source=None, workers=0, **changes):
    torch.set_num_threads(1)
    trainer = TrainerArgs(
        **{
            "steps": STEPS,
            "batch_size": 6,
            "workers": workers,
            "checkpoint_every": 5,
            "log_every": 4,
            "accelerator": "cpu",
            "max_unreadable": 0.2,
            **changes,
        }
    )
    # Momentum is state that a resume must bring back.
    optimizer = OptimizerArgs(name="adamw", lr=0.01)
    source = source or FakeSource(27, broken=[4])
    return pretrain(make(), source, out, trainer=trainer, optimizer=optimizer)


def digest(run):
    return hashlib.sha256((run / "encoder.safetensors").read_bytes()).hexdigest()


def rows(run):
    """The columns of metrics.csv that do not depend on the clock."""
    with (run / "metrics.csv").open(newline="") as file:
        drop = {"examples_per_second", "waiting"}
        return [{k: v for k, v in row.items() if k not in drop} for row in csv.DictReader(file)]


EVERY = (ordinary, two_phases, chroma_gan, coherent_semantic_attention)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The same runs without a kill."""
    out = tmp_path_factory.mktemp("undisturbed")
    return {make: call(make, out / make.__name__) for make in EVERY}


def start_and_kill(make, out, *, workers, step):
    """Runs the call in a process of its own and kills it by SIGKILL once `step` is logged."""
    source = SlowSource(27, broken=[4])
    context = multiprocessing.get_context("fork")
    victim = context.Process(
        target=call,
        args=(make, out),
        kwargs={"source": source, "workers": workers, "log_every": 1},
    )
    victim.start()
    assert victim.pid
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and victim.is_alive():
        path = out / "metrics.csv"
        if path.exists() and path.read_text().count("\n") > step:
            break
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert not (out / "encoder.json").exists()


@pytest.mark.parametrize(
    ("make", "workers", "step"),
    [
        pytest.param(ordinary, 0, 2, id="before the first checkpoint"),
        pytest.param(ordinary, 0, 12, id="between checkpoints"),
        pytest.param(ordinary, 2, 7, id="with workers"),
        pytest.param(two_phases, 0, 13, id="with phases"),
        pytest.param(chroma_gan, 0, 12, id="critic with gradient penalty"),
        pytest.param(coherent_semantic_attention, 0, 12, id="two critics"),
    ],
)
def test_a_killed_run_goes_on_exactly(undisturbed, tmp_path, make, workers, step):
    start_and_kill(make, tmp_path, workers=workers, step=step)
    resumed = call(make, tmp_path, workers=workers, log_every=1)
    assert digest(resumed) == digest(undisturbed[make])
    assert [row["step"] for row in rows(resumed)] == [str(k + 1) for k in range(STEPS)]


def interrupting(after):
    class Interrupting(FakeSource):
        def read(self, i, plan):
            if self.reads == after:
                os.kill(os.getpid(), signal.SIGINT)
            return super().read(i, plan)

    return Interrupting(27, broken=[4])


def test_ctrl_c_saves_the_step_says_how_to_go_on_and_goes_on(undisturbed, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        call(ordinary, tmp_path, source=interrupting(after=40))
    assert "stopped after step" in capsys.readouterr().out
    done = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["pretexto"]["done"]
    assert done == 6  # 40 reads of 6 each: the seventh batch was being loaded
    resumed = call(ordinary, tmp_path)
    assert "going on from" in capsys.readouterr().out
    assert digest(resumed) == digest(undisturbed[ordinary])
    assert rows(resumed) == rows(undisturbed[ordinary])


def test_a_run_killed_between_its_last_step_and_its_export_is_exported(undisturbed, tmp_path):
    run = call(ordinary, tmp_path)
    text = (run / "run.json").read_text()
    card = (run / "encoder.json").read_text()
    (run / "run.json").write_text(text.replace('"finished": true', '"finished": false'))
    (run / "encoder.json").unlink()
    call(ordinary, tmp_path)
    assert digest(run) == digest(undisturbed[ordinary])
    assert (run / "encoder.json").read_text() == card
    assert '"finished": true' in (run / "run.json").read_text()


def test_a_damaged_checkpoint_gives_way_to_the_one_before(undisturbed, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        call(ordinary, tmp_path, source=interrupting(after=80))
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert digest(call(ordinary, tmp_path)) == digest(undisturbed[ordinary])


def test_an_interrupted_run_is_not_continued_with_other_data(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        call(ordinary, tmp_path, source=interrupting(after=40))
    with pytest.raises(InputError, match="1 file more: 027.mp4"):
        call(ordinary, tmp_path, source=FakeSource(28, broken=[4]))


def test_the_checkpoint_knows_batches_not_what_workers_fetched_ahead(tmp_path):
    # Workers run ahead of training; a checkpoint must not count what they hold ready.
    call(ordinary, tmp_path, workers=2, steps=7)
    held = torch.load(tmp_path / "checkpoints" / "previous.ckpt", weights_only=True)
    assert held["pretexto"]["done"] == 5
