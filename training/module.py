"""The only LightningModule: it trains any task, one step at a time."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from ..tasks.task import Batch, Phase, Progress, Step, Task
from .batches import Stream
from .data import call
from .optim import OptimizerArgs, make_optimizer, rate, set_rate

Numbered = tuple[int, list[Batch]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One optimiser of a run: of a phase, or of the whole task (name None)."""

    phase: str | None
    steps: int
    args: OptimizerArgs


def recipes(task: Task, args: OptimizerArgs) -> list[Recipe]:
    """One per phase, each with what its phase says otherwise; one for a task without phases."""

    def of(phase: Phase) -> Recipe:
        return Recipe(phase.name, phase.steps, replace(args, **phase.optimizer))

    return [of(phase) for phase in task.phases] or [Recipe(None, 1, args)]


class Pretraining(L.LightningModule):
    """A task, its optimisers and its place in the stream of batches.

    Ordinary tasks take one optimiser step per batch; a task with phases takes its phases' steps
    one after another, each with its own optimiser over `task.param_groups(phase)`. What a step
    does follows from the weights, the optimisers' states, the seed and the step's number, so a
    run goes on exactly where it was.

    Args:
        task: what is trained.
        optimizer: how.
        seed: of dropout and whatever else draws on the device.
        clip: greatest norm of a gradient; None: as it is.
        open_stream: makes the stream from `start` on; called once all processes have met.

    Attributes:
        start: steps done when this call began.
        left_out: batches left out until then.
        unreadable: files met that could not be read until then; None: at the run's beginning.
    """

    stream: Stream
    total: int

    def __init__(
        self,
        task: Task,
        optimizer: OptimizerArgs,
        *,
        seed: int,
        clip: float | None = None,
        open_stream: Callable[["Pretraining"], Stream],
    ):
        super().__init__()
        self.task, self.seed, self.clip = task, seed, clip
        self.recipes = recipes(task, optimizer)
        # One way for phases, accumulation and the ordinary case; Lightning's own has no phases.
        self.automatic_optimization = False
        self.open_stream = open_stream
        self.running = RunningMeans()
        self.start, self.left_out = 0, 0
        self.unreadable: int | None = None

    @property
    def done(self) -> int:
        """Steps taken or left out, from the beginning of the run."""
        return self.stream.position

    def configure_optimizers(self) -> list[Optimizer]:
        # A fused step cannot be told of the factor by which losses of 16 bits are scaled.
        fused = getattr(self.trainer.precision_plugin, "scaler", None) is None
        return [
            make_optimizer(self.task.param_groups(recipe.phase), recipe.args, fused=fused)
            for recipe in self.recipes
        ]

    def train_dataloader(self) -> Stream:
        self.stream = self.open_stream(self)
        return self.stream

    def on_train_batch_start(self, batch: Numbered, batch_idx: int) -> None:
        number, _ = batch
        for recipe, optimizer in zip(self.recipes, self.trainer.optimizers, strict=True):
            set_rate(optimizer, rate(recipe.args, number, self.total))
        torch.manual_seed(step_seed(self.seed, self.global_rank, number))

    def training_step(self, batch: Numbered, batch_idx: int) -> None:
        number, batches = batch
        values: dict[str, Tensor] = {}
        # Several batches are augmented as they come: a step's pixels need not fit in memory.
        ready = [self._augment(batches[0])] if len(batches) == 1 else None
        for recipe, optimizer in self._optimizers():
            for _ in range(recipe.steps):
                parts = ready or map(self._augment, batches)
                values |= self._optimize(optimizer, recipe.phase, parts, _shares(batches), number)
        if self.task.phases:
            losses = [values[f"{phase.name}_loss"] for phase in self.task.phases]
            values["loss"] = torch.stack(losses).sum()
        self.running.add(number, values)

    def _optimizers(self) -> list[tuple[Recipe, LightningOptimizer]]:
        found = self.optimizers()
        optimizers = found if isinstance(found, list) else [found]
        return list(zip(self.recipes, optimizers, strict=True))  # type: ignore[arg-type]

    def _augment(self, batch: Batch) -> Batch:
        # Before mixed precision begins: pixels are moved and coloured in full precision.
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self.task.augment(batch)

    def _optimize(
        self,
        optimizer: LightningOptimizer,
        phase: str | None,
        batches: Iterable[Batch],
        shares: list[float],
        number: int,
    ) -> dict[str, Tensor]:
        """One step of one optimiser; returns the means over its batches."""
        progress = Progress(number, self.total)
        if phase is not None:
            self.toggle_optimizer(optimizer)
        optimizer.zero_grad()
        values: dict[str, Tensor] = {}
        for k, (share, batch) in enumerate(zip(shares, batches, strict=True), 1):
            with self._local() if k < len(shares) else nullcontext():
                step: Step = call(self.task, batch, phase, progress=progress)
                self.manual_backward(step.loss if share == 1 else step.loss * share)
            named = {"loss" if phase is None else f"{phase}_loss": step.loss, **step.metrics}
            for name, value in named.items():
                part = value.detach() * share if share != 1 else value.detach()
                values[name] = values[name] + part if name in values else part
        optimizer.step()
        if phase is not None:
            self.untoggle_optimizer(optimizer)
        self.task.after_step(phase, progress)
        return values

    def _local(self) -> AbstractContextManager:
        """Where gradients stay on their device until the step's last batch."""
        return getattr(self.trainer.strategy.model, "no_sync", nullcontext)()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.clip is not None:
            # Not `clip_gradients`: in mixed precision that refuses fused optimisers, which may be
            # clipped as long as no factor scales the loss.
            self.trainer.precision_plugin.clip_grad_by_norm(optimizer, self.clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Lightning's own idea of progress would make it skip batches of a stream that already
        # begins in the right place; its state is left out, and ours says where to begin.
        checkpoint.pop("loops", None)
        checkpoint["pretexto"] = {
            "done": self.done,
            "means": self._totals(),
            "left_out": self.stream.left_out,
            "unreadable": len(self.stream.unreadable),
            "carried": self._carried(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        held = checkpoint["pretexto"]
        self.start, self.left_out = held["done"], held["left_out"]
        self.unreadable = held["unreadable"]
        # The checkpoint has the sums over all processes: one of them takes them on.
        if self.global_rank == 0:
            self.running.load(held["means"])
        self._carry(held.get("carried", {}))

    def _carried(self) -> Batch:
        """What the task keeps of its lanes, of all processes one behind the other, on the host."""
        own = {name: value.cpu() for name, value in self.task.carried().items()}
        parts = self.stream.processes.gather(own)
        if not all(parts):
            return {}
        return {name: torch.cat([part[name] for part in parts]) for name in own}

    def _carry(self, kept: Batch) -> None:
        """Gives the task its part of that back, whatever number of processes shares the lanes."""
        size, rank = self.trainer.world_size, self.global_rank
        own = {name: value.chunk(size)[rank] for name, value in kept.items()}
        self.task.carry({name: value.to(self.device) for name, value in own.items()})

    def means(self) -> dict[str, float]:
        """Means over all steps since the last call and over all processes, "loss" first."""
        totals = self._totals()
        self.running.clear()
        means = {name: total / count for name, (total, count) in totals.items()}
        return {"loss": means.pop("loss"), **means}

    def _totals(self) -> dict[str, list[float]]:
        """Sum and count of every name over all processes, whichever of them know it."""
        totals: dict[str, list[float]] = {}
        for sums in self.stream.processes.gather(self.running.sums()):
            for name, (total, count) in sums.items():
                before = totals.get(name, [0.0, 0])
                totals[name] = [before[0] + total, before[1] + count]
        return totals


def _shares(batches: list[Batch]) -> list[float]:
    """Of each batch in its step: as if the loss were the mean over all their examples."""
    sizes = [len(batch["index"]) for batch in batches]
    return [size / sum(sizes) for size in sizes]


def step_seed(seed: int, rank: int, number: int) -> int:
    """The seed of the global generators for one step, so that a resume draws the same."""
    # A fourth number keeps these streams apart from those of examples, which have three.
    state = np.random.SeedSequence([seed, rank, number, 1]).generate_state(1, np.uint64)[0]
    return int(state) & 0x7FFF_FFFF_FFFF_FFFF


class NonFiniteLossError(Exception):
    """The loss of one step is no number. `number` is that of its batch, from 0."""

    def __init__(self, number: int, value: float):
        super().__init__(f"loss {value} in batch {number}")
        self.number, self.value = number, value


class RunningMeans:
    """Means over some steps. Adding costs the device no wait; asking for the means costs one."""

    def __init__(self):
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._sums: dict[str, list[float]] = {}

    def add(self, number: int, values: dict[str, Tensor]) -> None:
        """Notes one step's scalars, "loss" among them."""
        self._pending.append((number, {k: v.detach() for k, v in values.items()}))

    def settle(self) -> None:
        """Brings what was noted to the host. Raises NonFiniteLossError at the first bad loss."""
        if not self._pending:
            return
        pending, self._pending = self._pending, []
        flat = [value.float().reshape(()) for _, values in pending for value in values.values()]
        numbers = iter(torch.stack(flat).tolist())
        for batch, values in pending:
            for name in values:
                value = next(numbers)
                if name == "loss" and not math.isfinite(value):
                    raise NonFiniteLossError(batch, value)
                total = self._sums.setdefault(name, [0.0, 0.0])
                total[0] += value
                total[1] += 1

    def sums(self) -> dict[str, list[float]]:
        """Sum and count of every name."""
        self.settle()
        return {name: list(total) for name, total in self._sums.items()}

    def clear(self) -> None:
        """Begins anew."""
        self._sums = {}

    def load(self, sums: dict[str, list[float]]) -> None:
        """Goes on from a checkpoint's sums."""
        self._sums = {name: list(total) for name, total in sums.items()}
