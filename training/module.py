"""The only LightningModule: it trains any task, one step at a time."""

import math
from collections.abc import Callable
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from ..tasks.task import Batch, Task
from .batches import Stream
from .optim import OptimizerArgs, make_optimizer, rate

Numbered = tuple[int, Batch]
Row = dict[str, Any]


class Pretraining(L.LightningModule):
    """A task, its optimisers and its place in the stream of batches.

    Ordinary tasks take one step per batch; a task with phases takes one per phase, each with its
    own optimiser over `task.parameters_of(phase)`. What a step does follows from the weights, the
    optimisers' states, the seed and the batch's number, so a run goes on exactly where it was.

    Args:
        task: what is trained.
        optimizer: how.
        seed: of dropout and whatever else draws on the device.
        open_stream: from the number of the first batch, makes the stream; called once all
            processes have met.
    """

    stream: Stream
    total: int

    def __init__(
        self,
        task: Task,
        optimizer: OptimizerArgs,
        *,
        seed: int,
        open_stream: Callable[["Pretraining", int], Stream],
    ):
        super().__init__()
        self.task, self.recipe, self.seed = task, optimizer, seed
        self.automatic_optimization = not task.phases
        self.open_stream = open_stream
        self.window = Window()
        self.start = 0

    @property
    def done(self) -> int:
        """Batches trained on or left out, from the beginning of the run."""
        return self.stream.position

    def configure_optimizers(self) -> list[Optimizer]:
        if not self.task.phases:
            return [make_optimizer(self.task.parameters(), self.recipe)]
        return [make_optimizer(self.task.parameters_of(p), self.recipe) for p in self.task.phases]

    def train_dataloader(self) -> Stream:
        self.stream = self.open_stream(self, self.start)
        return self.stream

    def on_after_batch_transfer(self, batch: Numbered, dataloader_idx: int) -> Numbered:
        number, examples = batch
        # Before mixed precision begins: pixels are moved and coloured in full precision.
        with torch.no_grad():
            return number, self.task.augment(examples)

    def on_train_batch_start(self, batch: Numbered, batch_idx: int) -> None:
        number, _ = batch
        lr = rate(self.recipe, number, self.total)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        torch.manual_seed(step_seed(self.seed, self.global_rank, number))

    def training_step(self, batch: Numbered, batch_idx: int) -> Tensor | None:
        number, examples = batch
        if self.task.phases:
            self._alternate(number, examples)
            return None
        step = self.task(examples)
        self.window.add(number, {"loss": step.loss, **step.metrics})
        return step.loss

    def _alternate(self, number: int, examples: Batch) -> None:
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        values: dict[str, Tensor] = {}
        for phase, optimizer in zip(self.task.phases, optimizers, strict=True):
            assert isinstance(optimizer, LightningOptimizer)
            self.toggle_optimizer(optimizer)
            step = self.task(examples, phase)
            optimizer.zero_grad()
            self.manual_backward(step.loss)
            optimizer.step()
            self.untoggle_optimizer(optimizer)
            self.task.after_step()
            values |= {**step.metrics, f"{phase}_loss": step.loss.detach()}
        losses = [values[f"{phase}_loss"] for phase in self.task.phases]
        self.window.add(number, {**values, "loss": torch.stack(losses).sum()})

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.task.after_step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Lightning's own idea of progress would make it skip batches of a stream that already
        # begins in the right place; its state is left out, and ours says where to begin.
        checkpoint.pop("loops", None)
        checkpoint["pretexto"] = {"done": self.done, "window": self.window.state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.start = checkpoint["pretexto"]["done"]
        self.window.load(checkpoint["pretexto"]["window"])


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


class Window:
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
        """Sum and count of every name; the window is empty afterwards."""
        self.settle()
        sums, self._sums = self._sums, {}
        return sums

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold for the next row to be the same after a resume."""
        self.settle()
        return {name: list(total) for name, total in self._sums.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint's state."""
        self._sums = {name: list(total) for name, total in state.items()}
