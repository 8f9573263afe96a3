"""The encoders of a run on disk: at its end, and as they were at some steps on the way."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from ..encoders.store import save_encoder
from ..progress import NOT_METRICS
from ..tasks.task import Task
from .module import Pretraining, Row
from .run_dir import RunFolder, class_path, plain, snapshot


def export(folder: RunFolder, task: Task, module: Pretraining, row: Row) -> None:
    """Writes encoder.safetensors + encoder.json, one pair per encoder, then marks the run."""
    state = folder.state()
    assert state is not None
    metric = next((name for name in row if name not in NOT_METRICS), "loss")
    card = _card(state, task, module) | {
        "pretext_metric": {metric: row.get(metric)},
        "steps": module.total,
    }
    _save(folder.path, task, card, state)
    ended = {"finished": True, "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "last": plain(row)}
    folder.write_state({**state, **ended})


def _card(state: dict[str, Any], task: Task, module: Pretraining) -> dict[str, Any]:
    return {
        "task": class_path(task),
        "seed": module.seed,
        "commit": state["commit"],
        "versions": state["versions"],
        "unreadable": len(module.stream.unreadable),
        "data": state["data"]["fingerprint"],
    }


def _save(folder: Path, task: Task, card: dict[str, Any], state: dict[str, Any]) -> None:
    tokenizer = state["data"].get("tokenizer")
    for number, (name, encoder) in enumerate(task.encoders.items()):
        stem = "encoder" if number == 0 else f"encoder-{name}"
        spec = task.specs[name]
        spec = replace(spec, tokenizer=tokenizer) if spec.modality == "text" else spec
        save_encoder(folder, encoder, spec, plain(card), name=stem)


class Snapshots(Callback):
    """Keeps the encoders after some steps. Stands before `Checkpoints`, so that no run goes on from
    a step without having kept those before it.

    Args:
        folder: of the run.
        steps: after which ones; those that the run does not reach are left out.
    """

    def __init__(self, folder: RunFolder, steps: Sequence[int]):
        self.folder, self.steps = folder, steps
        self.reached = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any
    ) -> None:
        assert isinstance(pl_module, Pretraining)
        before = max(self.reached, pl_module.start)
        self.reached = pl_module.done
        due = [step for step in self.steps if before < step <= pl_module.done]
        if not due or not trainer.is_global_zero:
            return
        state = self.folder.state()
        assert state is not None
        for step in due:
            card = _card(state, pl_module.task, pl_module) | {"steps": step}
            _save(snapshot(self.folder.path, step), pl_module.task, card, state)
