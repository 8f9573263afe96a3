"""What a run follows from, as plain values, and how two such records differ."""

import json
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..tasks.task import Task
from .args import TrainerArgs, lightning_arguments, processes_of
from .optim import OptimizerArgs

# What may change between two calls of one run: it decides where and how fast, not what is learned.
HARMLESS = {
    "out",
    "trainer.workers",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.nodes",
    "trainer.strategy",
    "trainer.compile",
    "trainer.checkpoint_every",
    "trainer.log_every",
    "trainer.max_unreadable",
    "trainer.allow_changes",
    "trainer.logger",
}


# On what a run is computed: another device gives nearly the same, so only a run that is still
# under way is refused, unless it is allowed to change.
DEVICE = "device"


def describe(
    task: Task,
    trainer: TrainerArgs,
    optimizer: OptimizerArgs,
    seed: int,
    config: dict[str, Any] | None,
) -> dict[str, Any]:
    """Everything that the run follows from, as plain values; the config where there is one."""
    chosen = lightning_arguments(trainer, bool(task.phases))
    device = {
        "accelerator": chosen["accelerator"],
        "precision": chosen["precision"],
        "processes": processes_of(trainer),
    }
    record = {
        "task": {"class_path": class_path(task), "init_args": task.arguments},
        "trainer": asdict(trainer),
        "optimizer": asdict(optimizer),
        "seed": seed,
        **(config or {}),
        DEVICE: device,
    }
    return plain(record)


def plain(value: Any) -> Any:
    """The same as JSON and YAML would give it back."""
    return json.loads(json.dumps(value, default=str))


def class_path(thing: object) -> str:
    """The import path of an object's class."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def differences(there: dict[str, Any], here: dict[str, Any], *, finished: bool) -> list[str]:
    """In words, every value that matters and differs between a run's record and this call."""
    if finished:
        there, here = ({k: v for k, v in x.items() if k != DEVICE} for x in (there, here))
    old, new = dict(_leaves(there)), dict(_leaves(here))
    return [
        f"{key}: {_word(old, key)} in the run, {_word(new, key)} now"
        for key in dict.fromkeys([*old, *new])
        if key not in HARMLESS and old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


_ABSENT = object()


def _word(leaves: dict[str, Any], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False) if key in leaves else "absent"


def _leaves(tree: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{where}.{key}" if where else str(key))
    else:
        yield where, tree


@cache
def commit() -> str:
    """The git commit of this code, "" where it is no checkout or git is missing."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@cache
def versions() -> dict[str, str]:
    """Of this package, Python and the libraries that decide a result."""
    found = {"pretexto": __version__, "python": platform.python_version()}
    for name in ("torch", "torchvision", "torchaudio", "lightning", "av", "decord", "timm"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
