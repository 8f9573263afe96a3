"""What a user may say about how training runs, and what those words come to."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..errors import InputError

LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")


@dataclass(frozen=True, kw_only=True)
class TrainerArgs:
    """How long, on what and how carefully to train. Give exactly one of `steps` and `epochs`.

    Args:
        steps: optimiser steps.
        epochs: passes over the data, in place of `steps`; may be a fraction.
        batch_size: examples per batch over all devices together; the whole set if it is smaller.
        balanced: draw every class of labelled data equally often, whatever its size: an epoch has
            as many examples as ever, rare ones several times.
        accumulate: batches whose gradients are gathered for one step: as a batch so many times
            greater, in the memory of one (but batch norm and contrastive losses see one at a time).
        clip: greatest norm of a step's gradient; null: as it is.
        workers: loader processes per device, 0: none, None: one per available core, at most 8.
        accelerator: "auto", "cpu", "cuda" or another that Lightning knows.
        devices: how many, or "auto": all there are (one on CPU).
        nodes: machines; the launcher (torchrun, SLURM) starts the processes.
        strategy: Lightning's name for the way of spreading the model, for example "ddp", "fsdp".
        precision: "auto" (bf16-mixed on CUDA, 32 elsewhere) or another: "bf16-true" is bf16-mixed
            with the layers' weights in 16 bits too, which saves memory and rounds small steps off.
        compile: compile the task's forward pass with torch.compile.
        checkpoint_every: steps between checkpoints.
        log_every: steps between rows of metrics.csv.
        max_unreadable: share of all files that may turn out unreadable before the run stops.
        drop_unsuitable: leave out media that the task cannot use, instead of refusing to start.
        deterministic: only kernels that give the same to the last bit every time, where CUDA has
            others that are faster: for a resume that is exact there too.
        logger: where rows go beside metrics.csv, comma-separated: tensorboard, wandb, mlflow.
        allow_changes: go on with a run although its arguments, precision or devices were others;
            what changed is named and kept in run.json.

    Raises:
        InputError: a value that makes no sense.
    """

    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 64
    balanced: bool = False
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
    deterministic: bool = False
    logger: str = "csv,tensorboard"
    allow_changes: bool = False

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
        for name in self.loggers:
            if name not in LOGGERS:
                raise InputError(
                    f"trainer.logger: no logger {name!r}; choose from {', '.join(LOGGERS)}"
                )
        if self.precision == "bf16-true" and self.strategy.startswith("fsdp"):
            raise InputError(
                "trainer.precision bf16-true: fsdp shards weights of one type only; take bf16-mixed"
            )
        if not 0 <= self.max_unreadable <= 1:
            raise InputError(f"trainer.max_unreadable is a share, 0 … 1: {self.max_unreadable}")

    @property
    def loggers(self) -> list[str]:
        """The loggers by name."""
        return [name.strip() for name in self.logger.split(",") if name.strip()]

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
    cuda = _on_cuda(args)
    many = processes_of(args) > 1
    strategy = args.strategy
    if many and strategy in ("auto", "ddp"):
        strategy = "ddp_find_unused_parameters_true" if phases else "ddp"
    precision = precision_of(args)
    return {
        "accelerator": "cpu" if args.accelerator == "auto" and not cuda else args.accelerator,
        "devices": _devices(args),
        "num_nodes": args.nodes,
        "strategy": strategy,
        # What is computed in 16 bits is the same; `kernels.half_weights` sees to the weights.
        "precision": "bf16-mixed" if precision == "bf16-true" else precision,
        # Statistics of the whole batch: a run then does not depend on how many devices share it.
        "plugins": _shared_statistics(cuda) if many else [],
        "deterministic": args.deterministic,
        # The fastest kernels are found by trying, which may end otherwise in the next run.
        "benchmark": cuda and not args.deterministic,
    }


def precision_of(args: TrainerArgs) -> str:
    """The precision that the words come to: "32-true", "bf16-mixed", "16-mixed", "bf16-true"."""
    chosen = args.precision
    if chosen == "auto":
        chosen = "bf16-mixed" if _on_cuda(args) else "32"
    return "32-true" if chosen == "32" else chosen


def _shared_statistics(cuda: bool) -> list[Any]:
    from .batch_norm import SharedStatistics

    return [SharedStatistics(cuda=cuda)]


def processes_of(args: TrainerArgs) -> int:
    """Over how many processes the run is spread."""
    devices = _devices(args)
    if devices in ("auto", -1, "-1"):
        each = torch.cuda.device_count() if _on_cuda(args) else 1
    elif str(devices).isdigit():
        each = int(devices)
    else:
        each = len(str(devices).strip("[]").split(","))
    return args.nodes * each


def _on_cuda(args: TrainerArgs) -> bool:
    return torch.cuda.is_available() and args.accelerator in ("auto", "cuda", "gpu")


def _devices(args: TrainerArgs) -> int | str:
    if args.devices == "auto" and not _on_cuda(args):
        return 1 if args.accelerator in ("auto", "cpu") else "auto"
    return args.devices
