"""The task of a pretraining run, with its weights and as it was before."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..tasks.task import Task


def trained_task(folder: str) -> "Task":
    """The task of a run, with the weights of its last checkpoint, ready to be applied.

    Raises:
        InputError: no pretraining run lies there.
    """
    from ..training.run_dir import load_task

    task = _built(folder)
    load_task(task, folder)
    return task.eval()


def untrained_task(folder: str, seed: int) -> "Task":
    """The task of a run with initial weights that follow from the seed.

    Raises:
        InputError: no pretraining run lies there.
    """
    from ..comparison.grid import seeded

    return seeded(lambda: _built(folder), seed).eval()


def _built(folder: str) -> "Task":
    from ..build import build, load_tree
    from ..tasks.task import Task

    config = Path(folder) / "config.yaml"
    if not config.is_file():
        raise InputError(f"--encoder {folder}: no run there; give the folder of a pretraining run")
    tree = load_tree(str(config))
    if "task" not in tree:
        raise InputError(f"{config}: names no task; give the folder of a pretraining run")
    return build({"task": tree["task"]}, {"task": Task}, str(config))["task"]
