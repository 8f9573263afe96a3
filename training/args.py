"""What a user may say about how training runs, and what those words come to."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrainerArgs:
    """How long, on what and how carefully to train. Give exactly one of `steps` and `epochs`.

    Args:
        steps: optimiser steps.
        epochs: passes over the data, in place of `steps`; may be a fraction.
        batch_size: examples per batch over all devices together; the whole set if it is smaller.
        accumulate: batches whose gradients are gathered for one step: as a batch so many times
            greater, in the memory of one (but batch norm and contrastive losses see one at a time).
        clip: greatest norm of a step's gradient; null: as it is.
        workers: loader processes per device, 0: none, None: one per available core, at most 8.
        accelerator: "auto", "cpu", "cuda" or another that Lightning knows.
        devices: how many, or "auto": all there are (one on CPU).
        nodes: machines; the launcher (torchrun, SLURM) starts the processes.
        strategy: Lightning's name for the way of spreading the model, for example "ddp", "fsdp".
        precision: "auto" (bf16-mixed on CUDA, 32 elsewhere) or Lightning's name for it.
        compile: compile the task's forward pass with torch.compile.
        checkpoint_every: steps between checkpoints.
        log_every: steps between rows of metrics.csv.
        max_unreadable: share of all files that may turn out unreadable before the run stops.
        drop_unsuitable: leave out media that the task cannot use, instead of refusing to start.

    Raises:
        InputError: a value that makes no sense.
    """

    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 64
    accumulate: int = 1
    clip: float | None = None
    workers: int | None = None
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed", "bf16-true"] = "auto"
    compile: bool = False
    checkpoint_every: int = 200
    log_every: int = 20
    max_unreadable: float = 0.01
    drop_unsuitable: bool = False

    def __post_init__(self):
        if self.steps is not None and self.epochs is not None:
            raise InputError(
                f"trainer.steps is {self.steps} and trainer.epochs is {self.epochs}: "
                "give one and set the other to null"
            )
        for name in _ABOVE_ZERO:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"trainer.{name} must be above 0, got {value}")
        if self.workers is not None and self.workers < 0:
            raise InputError(f"trainer.workers must be 0 or more, got {self.workers}")
        if not 0 <= self.max_unreadable <= 1:
            raise InputError(f"trainer.max_unreadable is a share, 0 … 1: {self.max_unreadable}")

    @property
    def workers_per_device(self) -> int:
        """Loader processes of each rank."""
        if self.workers is not None:
            return self.workers
        affinity = getattr(os, "sched_getaffinity", None)
        return min(8, len(affinity(0)) if affinity else os.cpu_count() or 1)


_ABOVE_ZERO = (
    "steps",
    "epochs",
    "batch_size",
    "accumulate",
    "clip",
    "nodes",
    "checkpoint_every",
    "log_every",
)


def total_steps(args: TrainerArgs, per_epoch: int) -> int:
    """Steps of the whole run.

    Raises:
        InputError: neither steps nor epochs are given.
    """
    if args.steps is not None:
        return args.steps
    if args.epochs is None:
        raise InputError("how long to train? give trainer.steps or trainer.epochs")
    return max(1, round(args.epochs * per_epoch))


def lightning_arguments(args: TrainerArgs, phases: bool) -> dict[str, Any]:
    """The same words as `lightning.Trainer` takes them.

    Args:
        phases: the task has alternating phases, so that some parameters lie idle in each.
    """
    cuda = torch.cuda.is_available() and args.accelerator in ("auto", "cuda", "gpu")
    devices = args.devices
    if devices == "auto" and not cuda:
        devices = 1 if args.accelerator in ("auto", "cpu") else "auto"
    many = args.nodes > 1 or _count(devices, cuda) > 1
    strategy = args.strategy
    if many and strategy in ("auto", "ddp"):
        strategy = "ddp_find_unused_parameters_true" if phases else "ddp"
    precision = ("bf16-mixed" if cuda else "32") if args.precision == "auto" else args.precision
    return {
        "accelerator": "cpu" if args.accelerator == "auto" and not cuda else args.accelerator,
        "devices": devices,
        "num_nodes": args.nodes,
        "strategy": strategy,
        "precision": "32-true" if precision == "32" else precision,
        # Statistics of the whole batch: a run then does not depend on how many devices share it.
        "plugins": _shared_statistics(cuda) if many else [],
    }


def _shared_statistics(cuda: bool) -> list[Any]:
    from .batch_norm import SharedStatistics

    return [SharedStatistics(cuda=cuda)]


def _count(devices: int | str, cuda: bool) -> int:
    if devices in ("auto", -1, "-1"):
        return torch.cuda.device_count() if cuda else 1
    return int(devices) if str(devices).isdigit() else len(str(devices).strip("[]").split(","))
