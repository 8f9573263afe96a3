"""What happens beside the steps: checkpoints and rows of numbers."""

import csv
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from ..datasets.cache import write_text
from ..errors import InputError
from ..progress import Display
from .module import NonFiniteLossError, Pretraining, Row
from .optim import rate
from .run_dir import RunFolder


class Journal:
    """Rows on disk.

    Args:
        folder: of the run.
        start: steps already done; rows beyond it, from before a kill, are taken out.
    """

    def __init__(self, folder: Path, start: int):
        self.path = folder / "metrics.csv"
        self._cut(start)
        self._board = _tensorboard(folder / "tensorboard", start)

    def write(self, row: Row) -> None:
        """Adds one row; its columns must be those of the first."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row) if new else self._columns())
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Lets TensorBoard write what it still holds."""
        if self._board is not None:
            self._board.close()

    def _columns(self) -> list[str]:
        with self.path.open(newline="") as file:
            return next(csv.reader(file))

    def _cut(self, start: int) -> None:
        if not self.path.exists():
            return
        header, *lines = self.path.read_text().splitlines(keepends=True) or [""]
        kept = [x for x in lines if x.endswith("\n") and int(x.split(",")[0]) <= start]
        if header.endswith("\n") and start:
            write_text(self.path, header + "".join(kept))
        else:
            self.path.unlink()


class Checkpoints(Callback):
    """Keeps the last two checkpoints, each written aside and then moved into place.

    Args:
        folder: the run's.
        every: steps between them; one more is written at the end.
    """

    def __init__(self, folder: RunFolder, every: int):
        self.folder, self.every = folder.checkpoints, every
        self.saved = -1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        module = _ours(pl_module)
        if module.done // self.every > max(self.saved, module.start) // self.every:
            self._save(trainer, module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = _ours(pl_module)
        if module.done > max(self.saved, module.start):
            self._save(trainer, module)

    def _save(self, trainer: L.Trainer, module: Pretraining) -> None:
        part = self.folder / "part.ckpt"
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            last, previous = self.folder / "last.ckpt", self.folder / "previous.ckpt"
            if last.exists():
                _replace(last, previous)
            _replace(part, last)
        self.saved = module.done


def _replace(source: Path, target: Path) -> None:
    # Sharded strategies write folders, which cannot be moved onto one another.
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)


class Rows(Callback):
    """Every `every` steps, after the first and after the last one: a row for file and display.

    Args:
        folder: the run's.
        journal: where rows are kept; None on all ranks but the first.
        display: shows them; None likewise.
        every: steps between rows.
    """

    def __init__(
        self, folder: RunFolder, journal: Journal | None, display: Display | None, every: int
    ):
        self.folder, self.journal, self.display, self.every = folder, journal, display, every
        self.last: Row = {}
        self._examples, self._seconds, self._waited = 0, 0.0, 0.0
        self._since = time.perf_counter()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = _ours(pl_module)
        self._since = time.perf_counter()
        if self.display:
            self.display.start(module.start, module.total)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        module = _ours(pl_module)
        done = module.done
        self._examples += len(module.stream.recent.get(done - 1, ())) * module.stream.team.size
        if done == 1 or done % self.every == 0 or done == module.total:
            self._row(module)
        elif self.display:
            self.display.tick(done, self.last)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = _ours(pl_module)
        # The last batches may have been left out, and with them the row of the last step.
        if self._examples and module.done == module.total:
            self._row(module)

    def state_dict(self) -> Row:
        return {"last": self.last}

    def load_state_dict(self, state_dict: Row) -> None:
        self.last = state_dict["last"]

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: Row
    ) -> None:
        module = _ours(pl_module)
        self._settle(module)

    def _row(self, module: Pretraining) -> None:
        self._settle(module)
        means = _means(module)
        module.stream.recent.clear()
        now, waited = time.perf_counter(), module.stream.waited
        seconds = max(now - self._since, 1e-9)
        self._seconds += seconds
        self.last = {
            "step": module.done,
            "epoch": module.done / module.stream.schedule.per_epoch,
            "lr": rate(module.recipes[0].args, module.done - 1, module.total),
            **means,
            "examples_per_second": self._examples / seconds,
            "waiting": (waited - self._waited) / seconds,
            "unreadable": len(module.stream.unreadable),
            "left_out": module.stream.left_out,
        }
        self._since, self._waited, self._examples = now, waited, 0
        if self.journal:
            self.journal.write(self.last)
        if self.display:
            self.display.tick(module.done, self.last)

    def _settle(self, module: Pretraining) -> None:
        """Looks at the losses so far; on a bad one writes down the files and stops the run."""
        bad = None
        try:
            module.window.settle()
        except NonFiniteLossError as error:
            bad = (error.number, error.value, module.stream.recent.get(error.number, []))
        told = [b for b in module.stream.team.gather(bad) if b]
        if not told:
            return
        step, value = told[0][0] + 1, told[0][1]
        source = module.stream.loader.dataset.source  # type: ignore[attr-defined]
        names = [source.name(i) for _, _, members in told for i in members]
        path = self.folder.path / "nonfinite.json"
        if module.stream.team.rank == 0:
            text = {"step": step, "loss": str(value), "files": names}
            write_text(path, json.dumps(text, indent=1, ensure_ascii=False))
        raise InputError(
            f"the loss became {value} at step {step}; the files of that batch are in {path}; look "
            "at them, or try a smaller optimizer.lr or trainer.precision 32"
        )


def _ours(module: L.LightningModule) -> Pretraining:
    assert isinstance(module, Pretraining)
    return module


def _means(module: Pretraining) -> dict[str, float]:
    """Means over the window and over all ranks, "loss" first."""
    sums = module.window.sums()
    flat = module.stream.team.sums([number for total in sums.values() for number in total])
    totals = dict(zip(sums, zip(flat[::2], flat[1::2], strict=True), strict=True))
    means = {name: total / count for name, (total, count) in totals.items()}
    return {"loss": means.pop("loss"), **means}


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
