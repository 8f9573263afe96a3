"""What the trainer and a task tell each other: phases, groups, progress, accumulation, clipping."""

import csv

import pytest
import torch
from fakes import FakeEncoder, FakeSource, FakeTask, TwoPhases, fake_task
from torch import nn

from pretexto.modalities.media import Plan
from pretexto.tasks.task import Phase, Progress
from pretexto.training.data import Examples, make_loader
from pretexto.training.optim import OptimizerArgs
from pretexto.training.pretrain import TrainerArgs, pretrain
from pretexto.training.sampler import Schedule

SGD = OptimizerArgs(name="sgd", lr=0.05, warmup=0.0)


def args(**changes):
    return TrainerArgs(**{"steps": 6, "batch_size": 6, "workers": 0, "log_every": 1, **changes})


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_phases_take_their_own_steps_rates_and_optimisers(tmp_path):
    class Counting(TwoPhases):
        phases = (
            Phase("critic", steps=3, optimizer={"lr": 0.2, "momentum": 0.0}),
            Phase("encoder", optimizer={"name": "adamw"}),
        )

        def __init__(self, encoder):
            super().__init__(encoder)
            self.seen = []

        def after_step(self, phase=None, progress=None):
            self.seen.append((phase, progress))

    class Watched(Counting):
        def forward(self, batch, phase=None):
            self.rates = getattr(self, "rates", {})
            return super().forward(batch, phase)

    task = Watched(FakeEncoder(dropout=0.0))
    pretrain(task, FakeSource(), tmp_path, trainer=args(steps=2), optimizer=SGD)
    turn = ["critic", "critic", "critic", "encoder"]
    assert task.seen == [(name, Progress(k, 2)) for k in range(2) for name in turn]
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    critic, encoder = (x["param_groups"][0] for x in saved["optimizer_states"])
    assert (critic["momentum"], critic["nesterov"]) == (0.0, False)
    assert "betas" in encoder
    # The last of two steps without warm-up: half way down the cosine.
    assert (critic["lr"], encoder["lr"]) == pytest.approx((0.1, 0.025))


def test_groups_have_their_own_rate(tmp_path):
    class SlowEncoder(FakeTask):
        def param_groups(self, phase=None):
            return [
                {"params": self.encoder.parameters(), "lr_scale": 0.0},
                {"params": self.head.parameters()},
            ]

    torch.manual_seed(0)
    task = SlowEncoder(FakeEncoder(dropout=0.0))
    before = {name: p.clone() for name, p in task.named_parameters()}
    pretrain(task, FakeSource(), tmp_path, trainer=args(), optimizer=SGD)
    for name, p in task.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("encoder"), name


class Curriculum(FakeTask):
    """Reads a moment, makes an example and weighs its loss by how far training has come."""

    def plan(self, info, rng, progress):
        return Plan(times=(0.25 * progress.step,))

    def example(self, sample, rng, progress):
        made = super().example(sample, rng)
        return {**made, "planned": sample.times[0], "made": torch.tensor(progress.step)}

    def forward(self, batch, phase=None, progress=None):
        assert progress is not None
        steps = [int(x) for x in (batch["planned"] * 4).round()]
        assert steps == batch["made"].tolist() == [progress.step] * len(steps)
        step = super().forward(batch)
        return type(step)(step.loss * (1 + progress.share), {"share": torch.tensor(progress.share)})


@pytest.mark.parametrize("workers", [0, 1])
def test_progress_reaches_what_asks_for_it(tmp_path, workers):
    task = Curriculum(FakeEncoder())
    out = pretrain(task, FakeSource(), tmp_path, trainer=args(steps=4, workers=workers))
    assert [float(row["share"]) for row in rows(out)] == [0.0, 0.25, 0.5, 0.75]


def test_a_curriculum_goes_on_where_it_was():
    examples = Examples(FakeSource(), Curriculum(FakeEncoder()), 0)
    whole = list(make_loader(examples, Schedule(24, 6, 4)))
    later = list(make_loader(examples, Schedule(24, 6, 4, start=2)))
    assert [int(x.batch["made"][0]) for x in later] == [2, 3]
    for a, b in zip(later, whole[2:], strict=True):
        assert all(torch.equal(a.batch[key], b.batch[key]) for key in a.batch)


def weights(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_accumulated_batches_are_one_greater_batch(tmp_path, optimizer):
    recipe = OptimizerArgs(name=optimizer, lr=0.05)
    runs = [
        pretrain(
            fake_task(dropout=0.0),
            FakeSource(),
            tmp_path / str(k),
            trainer=args(batch_size=12 // k, accumulate=k),
            optimizer=recipe,
        )
        for k in (1, 2, 3)
    ]
    whole, *parts = [weights(run) for run in runs]
    for part in parts:
        for name, value in whole.items():
            torch.testing.assert_close(part[name], value, rtol=1e-4, atol=1e-6, msg=name)
    losses = [[float(row["loss"]) for row in rows(run)] for run in runs]
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)
    assert len(losses[2]) == 6


def test_accumulated_batches_weigh_by_what_is_left_of_them(tmp_path):
    # One member of each step is unreadable: its batch is smaller, and counts for less.
    source = FakeSource(12, broken=[5])
    runs = [
        pretrain(
            fake_task(dropout=0.0), source, tmp_path / str(k),
            trainer=args(batch_size=12 // k, accumulate=k, max_unreadable=0.1), optimizer=SGD,
        )
        for k in (1, 3)
    ]  # fmt: skip
    one, three = (weights(run) for run in runs)
    for name, value in one.items():
        torch.testing.assert_close(three[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_the_gradient_is_clipped_before_the_step(tmp_path):
    class Recorded(FakeTask):
        def after_step(self, phase=None, progress=None):
            grads = [p.grad for p in self.parameters() if p.grad is not None]
            self.norms.append(float(nn.utils.get_total_norm(grads)))

    def norms(clip, out):
        torch.manual_seed(0)
        task = Recorded(FakeEncoder(dropout=0.0))
        task.norms = []  # type: ignore[assignment]
        pretrain(task, FakeSource(), tmp_path / out, trainer=args(clip=clip), optimizer=SGD)
        return task.norms

    free, clipped = norms(None, "free"), norms(0.01, "clipped")
    assert min(free) > 0.02
    assert clipped == pytest.approx([0.01] * 6, rel=1e-3)
