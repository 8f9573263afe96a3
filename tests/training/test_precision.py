"""Layers' weights in 16 bits: what stays in full, what is learned, and how a run goes on."""

import signal

import pytest
import task_kit
import torch
from fakes import FakeSource, Signalled, fake_task
from two_processes import small

from pretexto.encoders.store import load_encoder
from pretexto.errors import InputError, Interrupted
from pretexto.training.kernels import half_weights
from pretexto.training.pretrain import OptimizerArgs, TrainerArgs, pretrain


def args(**changes):
    defaults = {"steps": 6, "batch_size": 6, "workers": 0, "accelerator": "cpu"}
    return TrainerArgs(**{**defaults, "precision": "bf16-true", **changes})


def test_mixed_precision_takes_fused_optimisers_that_are_clipped(tmp_path):
    trainer = args(precision="bf16-mixed", clip=1e-3, steps=1)
    optimizer, task = OptimizerArgs(name="sgd", lr=0.1, warmup=0.0, weight_decay=0.0), fake_task()
    pretrain(task, FakeSource(), tmp_path, trainer=trainer, optimizer=optimizer)
    before = dict(fake_task().named_parameters())
    moved = torch.cat([(p - before[key]).flatten() for key, p in task.named_parameters()])
    # Nesterov's first step is (1 + momentum) times the gradient, whose norm is the limit.
    assert moved.norm().item() == pytest.approx(0.1 * 1.9 * 1e-3, rel=1e-3)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_it_trains_with_every_optimiser_and_is_exported_in_full(tmp_path, name):
    task = fake_task(norm=True)
    optimizer = OptimizerArgs(name=name, lr=0.1, warmup=0.0)
    run = pretrain(
        task, FakeSource(), tmp_path, trainer=args(clip=1.0, accumulate=2), optimizer=optimizer
    )
    half = [key for key, p in task.named_parameters() if p.dtype == torch.bfloat16]
    assert half == ["encoder.layer.weight", "head.weight"]
    before = dict(fake_task(norm=True).named_parameters())
    assert all(not torch.equal(p.float(), before[key]) for key, p in task.named_parameters())
    loaded = dict(load_encoder(run).named_parameters())
    assert {p.dtype for p in loaded.values()} == {torch.float32}
    assert torch.equal(loaded["layer.weight"], task.encoder.get_parameter("layer.weight").float())


def test_interrupted_it_goes_on_exactly(tmp_path):
    whole = pretrain(fake_task(), FakeSource(), tmp_path / "whole", trainer=args())
    with pytest.raises(Interrupted):
        pretrain(
            fake_task(), Signalled(signal.SIGTERM, at=14), tmp_path / "cut", trainer=args()
        )  # fmt: skip
    run = pretrain(fake_task(), FakeSource(), tmp_path / "cut", trainer=args())
    files = [(x / "encoder.safetensors").read_bytes() for x in (run, whole)]
    assert files[0] == files[1]


@pytest.mark.parametrize("cls", task_kit.TASKS, ids=lambda cls: cls.__name__)
def test_every_task_computes_with_them(cls):
    task = small(cls).float().train()
    batch = task.augment(task_kit.batch(task, 6))
    half_weights(task)
    for phase in task.phases or (None,):
        with torch.autocast("cpu", torch.bfloat16):
            step = task(batch, phase.name) if phase else task(batch)
        assert step.loss.dtype == torch.float32
        step.loss.backward()
    grads = [p.grad for p in task.parameters() if p.grad is not None]
    assert torch.bfloat16 in {g.dtype for g in grads}
    assert all(g.isfinite().all() for g in grads)


def test_what_no_optimiser_moves_stays_in_full():
    task = fake_task()
    task.head.requires_grad_(False)
    half_weights(task)
    assert task.head.weight.dtype == torch.float32
    assert task.encoder.get_parameter("layer.weight").dtype == torch.bfloat16


def test_sharded_weights_are_refused():
    with pytest.raises(InputError, match="take bf16-mixed"):
        args(strategy="fsdp")
