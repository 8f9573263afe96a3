"""Checkpoints: the last two, whole at any moment; read where only one process has them."""

import os
import shutil
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from .distributed import Processes
from .module import Pretraining


class Checkpoints(Callback):
    """Keeps the last two checkpoints, each written aside and then moved into place.

    Args:
        folder: of the checkpoints.
        every: steps between them; one more is written at the end.
    """

    def __init__(self, folder: Path, every: int):
        self.folder, self.every = folder, every
        self.saved = -1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        assert isinstance(pl_module, Pretraining)
        if pl_module.done // self.every > max(self.saved, pl_module.start) // self.every:
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Pretraining)
        if pl_module.done > max(self.saved, pl_module.start):
            self._save(trainer, pl_module)

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


class FromFirst(TorchCheckpointIO):
    """Where some process does not see the checkpoint's file, it gets what the first one reads."""

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        processes = Processes()
        load = super().load_checkpoint
        if all(processes.gather(Path(path).exists())):
            return load(path, *args, **kwargs)
        return processes.first(lambda: load(path, *args, **kwargs))
