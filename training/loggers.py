"""Rows of numbers: into metrics.csv, the display, and the loggers that the user asked for."""

import csv
import json
import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from ..datasets.cache import write_text
from ..errors import InputError
from ..progress import Display
from .args import LOGGERS
from .module import NonFiniteLossError, Pretraining, Row
from .optim import rate
from .run_dir import RunFolder

_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


class MetricsFile:
    """metrics.csv, one row at a time. (Lightning's CSV logger begins a new file on a resume.)

    Args:
        path: the file.
        start: steps already done; rows beyond it, from before a kill, are taken out.
    """

    def __init__(self, path: Path, start: int):
        self.path = path
        self._columns = self._shorten(start)

    def write(self, row: Row) -> None:
        """Adds one row; a column that is new is empty in the rows before."""
        new = [name for name in row if name not in self._columns]
        if new:
            rows = self._rows()
            self._columns = [*self._columns, *new]
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _shorten(self, start: int) -> list[str]:
        """Keeps what a resume goes on from; returns the columns."""
        kept = [row for row in self._rows() if int(row["step"]) <= start]
        if not kept:
            self.path.unlink(missing_ok=True)
            return []
        self._columns = list(kept[0])
        self._rewrite(kept)
        return self._columns

    def _rows(self) -> list[dict[str, str]]:
        """The whole rows of the file: a kill may have cut the last one short."""
        if not self.path.exists():
            return []
        whole = self.path.read_text().rpartition("\n")[0]
        return list(csv.DictReader(whole.splitlines()))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        part = self.path.with_suffix(".part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(part, self.path)


def refuse_missing(names: list[str]) -> None:
    """Raises InputError where a logger's package is not installed."""
    for name in names:
        if name in _PACKAGES and find_spec(_PACKAGES[name]) is None:
            raise InputError(
                f"trainer.logger: {name} is not installed; pip install 'pretexto[{name}]', or "
                f"choose from {', '.join(LOGGERS)}"
            )


def make_loggers(
    names: list[str], folder: Path, start: int, config: Mapping[str, Any]
) -> list[Logger]:
    """Lightning's loggers of these names for one run, told of its config.

    Args:
        names: of TrainerArgs.logger; metrics.csv is written in any case.
        folder: the run's; its name is the run's name in the logger.
        start: steps already done.
        config: what the run follows from.
    """
    made: list[Logger] = []
    if "tensorboard" in names:
        from lightning.pytorch.loggers import TensorBoardLogger

        purge = start + 1 if start else None
        made.append(
            TensorBoardLogger(
                folder, name="", version="tensorboard", default_hp_metric=False, purge_step=purge
            )
        )
    if "wandb" in names:
        from lightning.pytorch.loggers import WandbLogger

        project = os.environ.get("WANDB_PROJECT", "pretexto")
        known = _id(folder, "wandb")
        wandb = WandbLogger(folder.name, folder, project=project, id=known, resume="allow")
        _keep_id(folder, "wandb", wandb.version)
        made.append(wandb)
    if "mlflow" in names:
        from lightning.pytorch.loggers import MLFlowLogger

        server, here = os.environ.get("MLFLOW_TRACKING_URI"), folder.resolve()
        mlflow = MLFlowLogger(
            os.environ.get("MLFLOW_EXPERIMENT_NAME", "pretexto"),
            run_name=folder.name,
            # mlflow 3 refuses the plain folder that Lightning would make.
            tracking_uri=server or f"sqlite:///{here / 'mlflow.db'}",
            artifact_location=None if server else str(here / "mlflow"),
            run_id=_id(folder, "mlflow"),
        )
        _keep_id(folder, "mlflow", mlflow.run_id)
        made.append(mlflow)
    for logger in made:
        logger.log_hyperparams(dict(config))
    return made


def _id(folder: Path, name: str) -> str | None:
    """Under which number a service knows the run, so that a resume goes on there too."""
    path = folder / f"{name}.id"
    return path.read_text().strip() if path.exists() else None


def _keep_id(folder: Path, name: str, number: Any) -> None:
    if number is not None:
        write_text(folder / f"{name}.id", f"{number}\n")


class Rows(Callback):
    """Every `every` steps, after the first and after the last one: a row for file and display.

    Args:
        folder: the run's.
        every: steps between rows.

    Attributes:
        file: where rows are kept; None on all ranks but the first.
        display: shows them; None likewise.
        last: the newest row.
    """

    def __init__(self, folder: RunFolder, every: int):
        self.folder, self.every = folder, every
        self.file: MetricsFile | None = None
        self.display: Display | None = None
        self.last: Row = {}
        self._examples, self._waited = 0, 0.0
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
        self._examples += (
            len(module.stream.delivered.get(done - 1, ())) * module.stream.processes.size
        )
        if done == 1 or done % self.every == 0 or done == module.total:
            self._row(module, trainer.loggers)
        elif self.display:
            self.display.tick(done, self.last)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = _ours(pl_module)
        # The last batches may have been left out, and with them the row of the last step.
        if self._examples and module.done == module.total:
            self._row(module, trainer.loggers)

    def state_dict(self) -> Row:
        return {"last": self.last}

    def load_state_dict(self, state_dict: Row) -> None:
        self.last = state_dict["last"]

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: Row
    ) -> None:
        self._settle(_ours(pl_module))

    def _row(self, module: Pretraining, loggers: list[Logger]) -> None:
        self._settle(module)
        means = module.means()
        module.stream.delivered.clear()
        now, waited = time.perf_counter(), module.stream.waited
        seconds = max(now - self._since, 1e-9)
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
        if self.file:
            self.file.write(self.last)
        for logger in loggers:
            numbers = {name: value for name, value in self.last.items() if name != "step"}
            logger.log_metrics(numbers, step=module.done)
        if self.display:
            self.display.tick(module.done, self.last)

    def _settle(self, module: Pretraining) -> None:
        """Checks the losses so far; on a bad one writes down the files and stops the run."""
        bad = None
        try:
            module.running.settle()
        except NonFiniteLossError as error:
            bad = (error.number, error.value, module.stream.delivered.get(error.number, []))
        told = [b for b in module.stream.processes.gather(bad) if b]
        if not told:
            return
        step, value = told[0][0] + 1, told[0][1]
        source = module.stream.loader.dataset.source  # type: ignore[attr-defined]
        names = [source.name(i) for _, _, members in told for i in members]
        path = self.folder.path / "nonfinite.json"
        if module.stream.processes.rank == 0:
            text = {"step": step, "loss": str(value), "files": names}
            write_text(path, json.dumps(text, indent=1, ensure_ascii=False))
        raise InputError(
            f"the loss became {value} at step {step}; the files of that batch are in {path}; look "
            "at them, or try a smaller optimizer.lr or trainer.precision 32"
        )


def _ours(module: L.LightningModule) -> Pretraining:
    assert isinstance(module, Pretraining)
    return module
