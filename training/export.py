"""The end of a run: its encoders on disk, and the mark that it is finished."""

import time

from ..encoders.store import save_encoder
from ..tasks.task import Task
from .display import NOT_METRICS
from .journal import Row
from .module import Pretraining
from .record import class_path, plain
from .run import RunFolder


def export(folder: RunFolder, task: Task, module: Pretraining, row: Row) -> None:
    """Writes encoder.safetensors + encoder.json, one pair per encoder, then marks the run."""
    state = folder.state()
    assert state is not None
    metric = next((name for name in row if name not in NOT_METRICS), "loss")
    card = {
        "task": class_path(task),
        "pretext_metric": {metric: row.get(metric)},
        "steps": module.total,
        "seed": module.seed,
        "commit": state["commit"],
        "versions": state["versions"],
        "unreadable": len(module.stream.unreadable),
        "data": state["data"]["fingerprint"],
    }
    for number, (name, encoder) in enumerate(task.encoders.items()):
        stem = "encoder" if number == 0 else f"encoder-{name}"
        save_encoder(folder.path, encoder, task.views[name], plain(card), name=stem)
    ended = {"finished": True, "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "last": plain(row)}
    folder.write_state({**state, **ended})
