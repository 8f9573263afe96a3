"""The run folder: what it holds, whose it is, and whether it is finished.

config.yaml        what was asked for; replaying it gives the same weights
run.json           the same in full, versions, commit, seed, times, what is odd about the media,
                   what was allowed to change, whether it is finished
data.parquet       every example: name, group, label, and why it was left out, if it was
metrics.csv        one row per `log_every` steps;  tensorboard/ …  the same, for other loggers
unreadable.jsonl   files that could not be read
checkpoints/       last.ckpt and the one before
encoder.safetensors, encoder.json
tokenizer.json     of a run on text: what its tokens mean
steps/STEP/        the same as they were after a step, where that was asked for
.lock              held by the one process that writes here
"""

import hashlib
import json
import os
import platform
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout

from .. import __version__
from ..datasets.cache import write_text
from ..datasets.example_list import LeftOut, read_listing, write_listing
from ..datasets.source import Source
from ..datasets.text.format import TOKENIZER
from ..errors import InputError, some
from ..modalities.tokenizer import Tokenizer, load_tokenizer
from ..tasks.task import Task
from .args import TrainerArgs, lightning_arguments, precision_of, processes_of
from .defaults import Setting, completed
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
_SETTINGS = {"trainer": Setting(TrainerArgs), "optimizer": Setting(OptimizerArgs)}


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
        "precision": precision_of(trainer),
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
    """In words, every value that matters and differs between a run's record and this call.

    An option that one of them does not have counts as null there, and one that the run is too old
    to have as what it is by default.
    """
    there = completed(there, here, _SETTINGS)
    if finished:
        there, here = ({k: v for k, v in x.items() if k != DEVICE} for x in (there, here))
    old, new = dict(_leaves(there)), dict(_leaves(here))
    return [
        f"{key}: {_word(old, key)} in the run, {_word(new, key)} now"
        for key in dict.fromkeys([*old, *new])
        if key not in HARMLESS and old.get(key) != new.get(key)
    ]


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


Record = dict[str, Any]


class RunFolder:
    """One run's folder; only the run's first process writes there.

    Args:
        path: it need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def unreadable(self) -> Path:
        return self.path / "unreadable.jsonl"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Makes the folder and holds its lock, which the system frees if the process dies.

        Raises:
            InputError: it cannot be written, or another process trains there.
        """
        probe = self.path / f".write-{os.getpid()}"
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            probe.write_text("")
            probe.unlink()
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{self.path}: another process is training there; wait for its end, or give "
                "another --out"
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot write there ({error.strerror}); give another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def state(self) -> Record | None:
        """The content of run.json, None where no run has begun.

        Raises:
            InputError: the file is damaged.
        """
        path = self.path / "run.json"
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path}: damaged; give another --out") from error

    def wait_for_begin(self, seconds: float = 1800.0) -> None:
        """Waits until the run's first process has checked the media and begun the run here.

        Raises:
            InputError: it has not within `seconds`.
        """
        end = time.monotonic() + seconds
        while self.state() is None:
            if time.monotonic() > end:
                raise InputError(
                    f"{self.path}: the first process has begun no run here in {seconds:.0f} s;"
                    " give all processes the same --out on a disk that they share"
                )
            time.sleep(0.05)

    def compare(self, record: Record, source: Source, *, allow: bool) -> list[str]:
        """What differs between the run there and this call, in words, where that is allowed.

        Args:
            record: what this call would train.
            source: on what; other data are never allowed.
            allow: take note of changes in place of refusing them.

        Raises:
            InputError: the run there was made of another config or other data.
        """
        state = self.state()
        assert state is not None
        found = differences(state["record"], record, finished=state["finished"])
        if found and allow and not state["finished"]:
            changes = [*state.get("changes", []), *found]
            self.write_state({**state, "record": record, "changes": changes})
        elif found:
            raise InputError(
                f"{self.path} holds another run: {some(found, 5, '; ')}; give another --out, or "
                "the same command as then (trainer.allow_changes goes on all the same)"
            )
        if source.fingerprint() != state["data"]["fingerprint"]:
            other = some(_data_differences(self.path, source), 5, "; ")
            raise InputError(f"{self.path} holds a run on other data: {other}; give another --out")
        return found

    def begin(
        self,
        record: Record,
        config: Record,
        source: Source,
        left_out: LeftOut,
        found: Record,
    ) -> None:
        """Writes down what the run is made of; run.json last: it says that the rest is there.

        Args:
            record: what the run follows from.
            config: what gives the same run again.
            source: the media.
            left_out: examples that are not trained on.
            found: what a check of the media found: `notes` in words, counts of odd `sound` and of
                `unreadable` files.
        """
        fingerprint = write_listing(source, self.path, left_out)
        if (tokenizer := source.tokenizer()) is not None:
            write_text(self.path / TOKENIZER, tokenizer)
            found = {**found, "tokenizer": hashlib.sha256(tokenizer.encode()).hexdigest()}
        write_text(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        self.write_state(
            {
                "finished": False,
                "seed": record["seed"],
                "commit": commit(),
                "versions": versions(),
                "begun": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "data": {"examples": len(source), "fingerprint": fingerprint, **found},
                "record": record,
            }
        )

    def write_state(self, state: Record) -> None:
        """Replaces run.json."""
        write_text(self.path / "run.json", json.dumps(state, indent=1, ensure_ascii=False))

    def newest_checkpoint(self) -> Path | None:
        """The last whole checkpoint."""
        for name in ("last.ckpt", "previous.ckpt"):
            path = self.checkpoints / name
            if path.is_dir() or (path.exists() and zipfile.is_zipfile(path)):
                return path
        return None


def snapshot(folder: Path, step: int) -> Path:
    """Where a run keeps its encoders as they were after a step."""
    return folder / "steps" / str(step)


def run_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of the text that a run was trained on.

    Raises:
        InputError: none there, or another one than then.
    """
    path = Path(folder) / TOKENIZER
    if not path.is_file():
        raise InputError(
            f"{folder}: no {TOKENIZER} here; copy that of the packed text that it was trained on"
        )
    tokenizer, state = load_tokenizer(path), RunFolder(folder).state()
    known = state["data"].get("tokenizer") if state else None
    if known not in (None, tokenizer.vocabulary.sha256):
        raise InputError(f"{path}: not the tokenizer that the run was trained with; copy that one")
    return tokenizer


def load_task(task: Task, folder: str | Path) -> None:
    """Gives a task the weights that it had at the run's last checkpoint, heads included.

    Raises:
        InputError: no checkpoint there, or of another task.
    """
    path = RunFolder(folder).newest_checkpoint()
    if path is None:
        raise InputError(f"{folder}: holds no checkpoint; give the folder of a pretraining run")
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    try:
        task.load_state_dict({k.removeprefix("task."): v for k, v in weights.items()})
    except RuntimeError as error:
        raise InputError(
            f"{path}: does not fit {type(task).__name__}; use the run's own config.yaml"
        ) from error


def _data_differences(folder: Path, source: Source) -> list[str]:
    """In words, where the source and the run's list part; at most the first thing of each kind."""
    there = {name for (name,) in read_listing(folder, "name")}
    here = {row[0] for row in _rows(source)}
    found = _count(sorted(here - there), "more") + _count(sorted(there - here), "missing")
    if found:
        return found
    keys = ("label", "group", "split")
    for old, new in zip_longest(read_listing(folder, "name", *keys), _rows(source)):
        if old is None or new is None or old[0] != new[0]:
            return ["the same files in another order"]
        for key, was, now in zip(keys, old[1:], new[1:], strict=True):
            if was != now:
                return [f"{key} of {old[0]}: {was} in the run, {now} now"]
    return ["their list is another"]


def _rows(source: Source) -> Iterator[tuple]:
    """Name, label, group and split of every example."""
    for batch in source.columns():
        texts = (
            column if isinstance(column, list) else column.to_pylist()  # type: ignore[union-attr]
            for column in (batch.names, batch.groups, batch.splits)
        )
        names, groups, splits = texts
        yield from zip(names, batch.labels.tolist(), groups, splits, strict=True)


def _count(names: list[str], word: str) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return [f"{len(names)} file{'s' if len(names) > 1 else ''} {word}: {shown}"]
